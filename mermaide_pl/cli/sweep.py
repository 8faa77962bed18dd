"""`mermaide sweep`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.lightning import configured
from mermaide_pl.cli.parser import PlainParser


def run(arguments: Sequence[str]) -> None:
    """Search configurations."""
    parser = PlainParser(
        prog="mermaide sweep",
        description="Search configurations of `mermaide fit`; the same command resumes where it"
        " stopped, and shares the trials with others that run it.",
    )
    parser.add_argument("--config", type=str, required=True, help="what to search")
    parser.add_argument(
        "--storage", type=str | None, default=None, help="URL of a database, overrides the file"
    )
    parser.add_argument(
        "--trials",
        type=int | None,
        default=None,
        help="trials in all, overrides the file; 0 only writes the results so far",
    )
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="budget: no trial begins after it"
    )
    given = parser.parse_args(list(arguments))
    with needs_extra("sweep", "a sweep", "optuna", "sqlalchemy"):
        from mermaide_pl.sweeps.search import sweep
    sweep(
        given.config,
        configured,
        minutes=given.minutes,
        num_trials=given.trials,
        storage=given.storage,
    )
