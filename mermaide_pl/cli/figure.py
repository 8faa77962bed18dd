"""`mermaide figure`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.output_paths import make_folder
from mermaide_pl.config.validation import check_seed
from mermaide_pl.experiments import games, paper
from mermaide_pl.experiments.games.checkpoints import check_universal
from mermaide_pl.runtime.console import say
from mermaide_pl.runtime.run_folders import occupied


def run(arguments: Sequence[str]) -> None:
    """Repeat a figure of the paper, or make one of a principal for every game."""
    parser = PlainParser(
        prog="mermaide figure",
        description="Repeat a figure of the paper (fig2 to fig6), or make one of a principal for"
        " every game: writes PNG and CSV files, says what came out.",
    )
    parser.add_argument(
        "name", choices=[*paper.EXPERIMENTS, *games.EXPERIMENTS], help="which figure"
    )
    parser.add_argument(
        "--ckpt_path",
        type=str,
        nargs="+",
        default=None,
        help=f"for {', '.join(games.EXPERIMENTS)}: checkpoints, each of another training",
    )
    parser.add_argument("--out", type=str, default=None, help="folder, by default results/NAME")
    parser.add_argument("--quick", action="store_true", help="in less than three minutes")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    given = parser.parse_args(list(arguments))
    check_seed("--seed", given.seed)
    out = Path(f"results/{given.name}" if given.out is None else given.out)
    if given.name in paper.EXPERIMENTS:
        if given.ckpt_path is not None:
            raise ValueError(f"{given.name} trains its own principals; it takes no --ckpt_path")
        experiment = paper.EXPERIMENTS[given.name]
    else:
        if not given.ckpt_path:
            raise ValueError(f"{given.name} needs --ckpt_path, checkpoints of one principal")
        check_universal(given.ckpt_path)  # before the folder is made
        experiment = partial(games.EXPERIMENTS[given.name], given.ckpt_path)
    make_folder(out, given.out)
    with occupied(out), needs_extra("experiments", f"figure {given.name}", "pandas"):
        say(experiment(out, given.quick, given.seed))
    say(f"results: {out}")
