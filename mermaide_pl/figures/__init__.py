"""Figures of recorded results: functions that return a matplotlib figure, and their logger."""

from mermaide_pl.figures.adaptation_curves import draw_adaptation_curves
from mermaide_pl.figures.episode import draw_episode
from mermaide_pl.figures.intervention_rate import draw_intervention_rate
from mermaide_pl.figures.learning_curves import draw_learning_curves
from mermaide_pl.figures.meta_training import draw_meta_training
from mermaide_pl.figures.tensorboard import FigureLogger

__all__ = [
    "FigureLogger",
    "draw_adaptation_curves",
    "draw_episode",
    "draw_intervention_rate",
    "draw_learning_curves",
    "draw_meta_training",
]
