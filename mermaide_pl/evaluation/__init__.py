"""Evaluation: principals against the same unseen agents, with the same random numbers."""

from mermaide_pl.evaluation.protocol import evaluate

__all__ = ["evaluate"]
