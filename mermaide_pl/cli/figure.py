"""`mermaide figure`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import existing_checkpoint
from mermaide_pl.config.output_paths import make_folder
from mermaide_pl.config.validation import check_seed, try_all
from mermaide_pl.experiments import GAME_FIGURES, PAPER_FIGURES
from mermaide_pl.runtime.console import say

if TYPE_CHECKING:
    from mermaide_pl.experiments.paper import Experiment


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide figure",
        description="Repeat a figure of the paper (fig2 to fig6), or make one of a principal for"
        " every game: writes PNG and CSV files, says what came out.",
    )
    parser.add_argument("name", choices=[*PAPER_FIGURES, *GAME_FIGURES], help="which figure")
    parser.add_argument(
        "--ckpt_path",
        type=str,
        nargs="+",
        default=None,
        help=f"for {', '.join(GAME_FIGURES)}: checkpoints, each of another training",
    )
    parser.add_argument("--out", type=str, default=None, help="folder, by default results/NAME")
    parser.add_argument("--quick", action="store_true", help="in less than three minutes")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Repeat a figure of the paper, or make one of a principal for every game."""
    given = parser().parse_args(list(arguments))
    check_seed("--seed", given.seed)
    out = Path(f"results/{given.name}" if given.out is None else given.out)
    if given.name in PAPER_FIGURES and given.ckpt_path is not None:
        raise ValueError(f"{given.name} trains its own principals; it takes no --ckpt_path")
    if given.name in GAME_FIGURES and not given.ckpt_path:
        raise ValueError(f"{given.name} needs --ckpt_path, checkpoints of one principal")
    try_all(*(partial(existing_checkpoint, path) for path in given.ckpt_path or ()))
    experiment = _of_a_universal(given) if given.ckpt_path else _of_the_paper(given.name)
    from mermaide_pl.runtime.run_folders import occupied

    make_folder(out, given.out)
    with occupied(out), needs_extra("experiments", f"figure {given.name}", "pandas"):
        say(experiment(out, given.quick, given.seed))
    say(f"results: {out}")


def _of_the_paper(name: str) -> Experiment:
    from mermaide_pl.experiments.paper import EXPERIMENTS

    return EXPERIMENTS[name]


def _of_a_universal(given: Any) -> Experiment:
    from mermaide_pl.experiments.games import EXPERIMENTS
    from mermaide_pl.experiments.games.checkpoints import check_universal

    check_universal(given.ckpt_path)  # before the folder is made
    return partial(EXPERIMENTS[given.name], given.ckpt_path)
