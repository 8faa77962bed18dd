"""The figures of the paper: each file computes rows, writes them as CSV, and draws them.

An experiment of the paper is ``run(out, quick, seed) -> str``: it writes its CSV and PNG files into
the folder `out` and returns its result in one sentence. `quick` takes under three minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from mermaide_pl.experiments import PAPER_FIGURES
from mermaide_pl.experiments.paper import (
    fixed_schedules,
    intervention_timing,
    multi_round,
    single_round,
)

__all__ = ["EXPERIMENTS", "Experiment"]

Experiment: TypeAlias = Callable[[Path, bool, int], str]
"""Maps folder for the results, quick or in full, and seed to the result in one sentence."""

_RUNS = (
    single_round.run,
    multi_round.run,
    fixed_schedules.fig4,
    fixed_schedules.fig5,
    intervention_timing.run,
)
EXPERIMENTS: dict[str, Experiment] = dict(zip(PAPER_FIGURES, _RUNS, strict=True))
"""Name of each figure of the paper to its experiment."""
