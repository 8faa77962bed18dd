"""Meta-learning of a principal: losses, adaptation, the meta-step, and its Lightning modules."""

from mermaide_pl.meta_learning.adaptation import (
    Adaptation,
    GradientAdaptation,
    NoAdaptation,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.meta_step import Objective
from mermaide_pl.meta_learning.module import MermaideModule

__all__ = [
    "Adaptation",
    "GradientAdaptation",
    "MermaideModule",
    "NoAdaptation",
    "Objective",
    "RecurrentAdaptation",
    "TaskDataModule",
]
