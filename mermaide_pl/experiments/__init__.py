"""Experiments: the figures of the paper, and comparisons of methods."""

from mermaide_pl.experiments.comparison.settings import Method

__all__ = ["Method"]
