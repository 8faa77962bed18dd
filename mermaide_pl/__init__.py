"""MERMAIDE on PyTorch Lightning: a principal that meta-learns to steer learning agents."""

from mermaide_pl.deployment.live import LivePrincipal
from mermaide_pl.evaluation.protocol import evaluate
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population

__version__ = "0.1.0"
load_pretrained = MermaideModule.pretrained

__all__ = [
    "AgentFamily",
    "Game",
    "LivePrincipal",
    "MermaideModule",
    "Population",
    "TaskDataModule",
    "evaluate",
    "load_pretrained",
]
