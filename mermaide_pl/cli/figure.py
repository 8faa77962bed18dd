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
from mermaide_pl.config.validation import check_seed, one_line, try_all
from mermaide_pl.experiments import CHOICE_FIGURES, GAME_FIGURES, PAPER_FIGURES
from mermaide_pl.runtime.console import say

if TYPE_CHECKING:
    from mermaide_pl.experiments.paper import Experiment


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide figure",
        description="Repeat a figure of the paper (fig2 to fig6), or make one of a principal for"
        " every game, or of people's choices: writes PNG and CSV files, says what came out.",
    )
    parser.add_argument(
        "name",
        choices=[*PAPER_FIGURES, *GAME_FIGURES, *CHOICE_FIGURES],
        help="name of the figure",
    )
    parser.add_argument(
        "--ckpt_path",
        type=str,
        nargs="+",
        default=None,
        help=f"for {', '.join([*GAME_FIGURES, *CHOICE_FIGURES])}: checkpoints, each of another"
        " training",
    )
    parser.add_argument(
        "--data",
        type=str,
        default=None,
        help=f"for {', '.join(CHOICE_FIGURES)}: choices of people, a folder as the competition's"
        " authors published it, or a table",
    )
    parser.add_argument("--out", type=str, default=None, help="folder, by default results/NAME")
    parser.add_argument("--quick", action="store_true", help="smaller, in less than three minutes")
    parser.add_argument("--seed", type=int, default=0, help="seed of agents and trainings")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Repeat a figure of the paper, or make one of a principal for every game, or of people."""
    given = parser().parse_args(list(arguments))
    check_seed("--seed", given.seed)
    out = Path(f"results/{given.name}" if given.out is None else given.out)
    if given.name in PAPER_FIGURES and given.ckpt_path is not None:
        raise ValueError(f"{given.name} trains its own principals; it takes no --ckpt_path")
    if given.name in GAME_FIGURES and not given.ckpt_path:
        raise ValueError(f"{given.name} needs --ckpt_path, checkpoints of one principal")
    if given.name in CHOICE_FIGURES and given.data is None:
        raise ValueError(f"{given.name} needs --data, choices of people")
    if given.name not in CHOICE_FIGURES and given.data is not None:
        raise ValueError(f"{given.name} takes no --data")
    if given.data is not None and not Path(given.data).exists():
        raise ValueError(one_line(f"--data {given.data} does not exist"))
    try_all(*(partial(existing_checkpoint, path) for path in given.ckpt_path or ()))
    if given.name in CHOICE_FIGURES:
        experiment = _of_people(given)
    elif given.name in GAME_FIGURES:
        experiment = _of_a_universal(given)
    else:
        experiment = _of_the_paper(given.name)
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


def _of_people(given: Any) -> Experiment:
    from mermaide_pl.deployment.choice_tables import read_choice_data
    from mermaide_pl.evaluation.loading import read_principals
    from mermaide_pl.experiments.choice_engineering import run
    from mermaide_pl.experiments.games.checkpoints import check_different
    from mermaide_pl.game import CHOICE_ENGINEERING

    paths = given.ckpt_path or []
    check_different(paths)
    if paths:  # refuses those of another game before the folder is made
        read_principals({path: path for path in paths}, "auto", CHOICE_ENGINEERING)
    data = read_choice_data(given.data)
    say(f"{given.data}: {data}")
    return partial(run, data, paths)
