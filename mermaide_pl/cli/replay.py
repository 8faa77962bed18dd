"""`mermaide replay`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from rich.box import SIMPLE_HEAD
from rich.progress import track
from rich.table import Table

from mermaide_pl.cli.early_checks import check_inputs
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.engine_name import EngineName
from mermaide_pl.config.input_paths import existing_skipped_step
from mermaide_pl.runtime.console import console

if TYPE_CHECKING:
    from mermaide_pl.evaluation.replay import Replayed

_FEW = 3


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide replay",
        description="Play a training step that was skipped again, task by task: which of them has"
        " a loss or a gradient that is not finite?",
    )
    parser.add_argument("file", type=str, help="skipped/stepN.pt in the folder of a run")
    parser.add_argument(
        "--population",
        type=str,
        nargs="+",
        default=[],
        help="population files that name the learners of your own it was trained on",
    )
    parser.add_argument(
        "--engine",
        choices=get_args(EngineName),
        default=None,
        help="engine that computes the step, by default that of the run",
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Play a skipped training step again, task by task."""
    given = parser().parse_args(list(arguments))
    check_inputs(lambda: existing_skipped_step(given.file), populations=given.population)
    from mermaide_pl.evaluation.replay import SkippedStep
    from mermaide_pl.populations.files import load_populations

    load_populations(given.population)
    step = SkippedStep.load(given.file, given.engine)
    out = console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, width in (("task seed", 20), ("loss", 8), ("gradient\nnorm", 8)):
        table.add_column(name, min_width=width, no_wrap=True)  # numbers are never cut
    table.add_column("not finite", min_width=10)
    table.add_column("agent")
    played = list(track(step.play(), "playing", len(step.tasks), console=out, transient=True))
    for task in sorted(played, key=lambda task: task.is_finite):
        table.add_row(
            str(task.seed),
            f"{task.loss:.3g}",
            f"{task.gradient_norm:.3g}",
            _not_finite(task),
            task.agent,
            style=None if task.is_finite else "red",
        )
    out.print(table)
    number = sum(not task.is_finite for task in played)
    out.print(f"step {step.number}: {number} of {len(played)} tasks are not finite alone")


def _not_finite(task: Replayed) -> str:
    """Name the parts of a task that are not finite; for gradients the parameters, if few."""
    found = [] if math.isfinite(task.loss) else ["loss"]
    number = len(task.not_finite)
    if 0 < number <= _FEW:
        found.append("gradient of " + ", ".join(task.not_finite))
    elif number:
        found.append(f"gradient of {number}/{task.num_parameters} parameters")
    return ", ".join(found)
