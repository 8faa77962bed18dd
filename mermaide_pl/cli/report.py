"""`mermaide report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mermaide_pl.cli.early_checks import check_inputs
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import RunPaths
from mermaide_pl.config.output_paths import make_place
from mermaide_pl.config.validation import try_all
from mermaide_pl.runtime.console import say


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide report",
        description="Write one HTML page about a training run, with its pictures inside it.",
    )
    parser.add_argument("--logdir", type=str, required=True, help="folder of one run")
    parser.add_argument("--out", type=str, default="report.html", help="HTML file to write")
    parser.add_argument(
        "--population",
        type=str,
        nargs="+",
        default=[],
        help="populations to score the principal on, files or names, in place of the results in the"
        " folder",
    )
    parser.add_argument("--num_agents", type=int, default=250, help="agents per population")
    parser.add_argument("--seed", type=int, default=0, help="seed of the agents")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Write a page about a training run."""
    given = parser().parse_args(list(arguments))
    check_inputs(
        lambda: make_place(Path(given.out), given.population),
        lambda: RunPaths.find(given.logdir),
        populations=given.population,
    )
    from mermaide_pl.populations.files import load_populations
    from mermaide_pl.reporting.report import write_report
    from mermaide_pl.runtime.checkpoints import read_checkpoint

    _, populations = try_all(
        lambda: read_checkpoint(RunPaths.find(given.logdir).checkpoint),
        lambda: load_populations(given.population),
    )
    path = write_report(
        given.logdir,
        given.out,
        populations=populations,
        num_agents=given.num_agents,
        seed=given.seed,
    )
    say(f"report: {path}")
