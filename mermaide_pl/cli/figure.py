"""`mermaide figure`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.output_paths import make_folder
from mermaide_pl.config.validation import check_seed
from mermaide_pl.experiments.paper import EXPERIMENTS
from mermaide_pl.runtime.console import say
from mermaide_pl.runtime.run_folders import occupied


def run(arguments: Sequence[str]) -> None:
    """Repeat a figure of the paper."""
    parser = PlainParser(
        prog="mermaide figure",
        description="Repeat a figure of the paper: writes PNG and CSV files, says what came out.",
    )
    parser.add_argument("name", choices=list(EXPERIMENTS), help="which figure")
    parser.add_argument("--out", type=str, default=None, help="folder, by default results/NAME")
    parser.add_argument("--quick", action="store_true", help="in less than three minutes")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    given = parser.parse_args(list(arguments))
    check_seed("--seed", given.seed)
    out = Path(f"results/{given.name}" if given.out is None else given.out)
    make_folder(out, given.out)
    with occupied(out):
        say(EXPERIMENTS[given.name](out, given.quick, given.seed))
    say(f"results: {out}")
