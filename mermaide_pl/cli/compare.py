"""`mermaide compare`."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mermaide_pl.cli.early_checks import check_comparison
from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.game_options import add_game_options, chosen_game
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import COMPARISONS


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide compare",
        description="Train and score many methods; the same command resumes where it stopped.",
    )
    parser.add_argument(
        "--config",
        type=str,
        required=True,
        help="configuration of methods, conditions and seeds: a file or a name",
    )
    parser.add_argument("--out", type=str, default=None, help="folder, by default results/CONFIG")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="time budget; no training begins after it"
    )
    parser.add_argument(
        "--ray",
        type=str | None,
        default=None,
        metavar="ADDRESS",
        help="run several trainings at once with Ray: `local` on the cores of this machine,"
        " `auto` or HOST:PORT on those of a cluster",
    )
    add_game_options(parser)
    return parser


def run(arguments: Sequence[str]) -> None:
    """Train and score many methods."""
    given = parser().parse_args(list(arguments))
    check_comparison(given.config)
    with needs_extra("experiments", "a comparison", "pandas"):
        from mermaide_pl.experiments.comparison.runs import Finish, compare
    finish: Finish | None = None
    if given.ray is not None:
        # of its messages only those about runs that are tried again
        os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "^")
        os.environ.setdefault("RAY_DEDUP_LOGS_ALLOW_REGEX", "retries remaining")
        with needs_extra("ray", "--ray", "ray"):
            from mermaide_pl.experiments.comparison.on_ray import finish_on_ray
        finish = partial(finish_on_ray, given.ray)
    out = f"results/{Path(given.config).stem}" if given.out is None else given.out
    path = COMPARISONS.path(given.config)
    compare(path, out, minutes=given.minutes, game_of=partial(chosen_game, given), finish=finish)
