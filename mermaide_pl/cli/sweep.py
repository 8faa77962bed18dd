"""`mermaide sweep`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mermaide_pl.cli.early_checks import check_sweep
from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import CONFIGURATIONS


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide sweep",
        description="Search configurations of `mermaide fit`; the same command resumes where it"
        " stopped, and shares the trials with others that run it.",
    )
    parser.add_argument(
        "--config", type=str, required=True, help="configuration of the search: a file or a name"
    )
    parser.add_argument(
        "--storage", type=str | None, default=None, help="URL of a database, overrides the file"
    )
    parser.add_argument(
        "--trials",
        type=int | None,
        default=None,
        help="total number of trials, overrides the file; 0 only writes the results so far",
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="time budget; no trial begins after it"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Search configurations."""
    given = parser().parse_args(list(arguments))
    check_sweep(given.config)
    with needs_extra("sweep", "a sweep", "optuna", "sqlalchemy"):
        from mermaide_pl.sweeps.search import sweep
    from mermaide_pl.cli.lightning import configured

    sweep(
        CONFIGURATIONS.path(given.config),
        configured,
        minutes=given.minutes,
        num_trials=given.trials,
        storage=given.storage,
    )
