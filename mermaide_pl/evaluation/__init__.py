"""Evaluation: principals play the same unseen agents on common random numbers."""

from mermaide_pl.evaluation.protocol import evaluate

__all__ = ["evaluate"]
