"""Figures of one universal principal in many games: computing, records, and drawing.

An experiment is ``run(ckpt_paths, out, quick, seed) -> str``: it scores the principals of
checkpoints that `check_universal` has passed, writes its CSV and PNG files into the folder `out`,
and returns its result in one sentence. `quick` takes under three minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from mermaide_pl.experiments import GAME_FIGURES
from mermaide_pl.experiments.games import budget, frontier, scores

__all__ = ["EXPERIMENTS", "Experiment"]

Experiment: TypeAlias = Callable[[Sequence[str], Path, bool, int], str]
"""Maps checkpoints, folder for the results, quick or in full, and seed to the result."""

EXPERIMENTS: dict[str, Experiment] = dict(
    zip(GAME_FIGURES, (scores.run, budget.run, frontier.run), strict=True)
)
"""Name of each figure to its experiment."""
