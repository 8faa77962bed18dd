"""Figures of recorded results: functions that return a matplotlib figure, and their loggers."""

from mermaide_pl.reporting.figures.adaptation_curves import draw_adaptation_curves
from mermaide_pl.reporting.figures.alignment_curves import draw_alignment_curves
from mermaide_pl.reporting.figures.budget_curves import draw_budget_curves
from mermaide_pl.reporting.figures.choice_engineering import draw_choice_engineering
from mermaide_pl.reporting.figures.episode import draw_episode
from mermaide_pl.reporting.figures.family_matrix import draw_family_matrix
from mermaide_pl.reporting.figures.frontier import draw_frontier, draw_trade_off
from mermaide_pl.reporting.figures.games import draw_games
from mermaide_pl.reporting.figures.intervention_rate import draw_intervention_rate
from mermaide_pl.reporting.figures.learning_curves import draw_learning_curves
from mermaide_pl.reporting.figures.meta_training import draw_meta_training
from mermaide_pl.reporting.figures.method_scores import draw_method_scores
from mermaide_pl.reporting.figures.pull_maps import draw_pull_maps
from mermaide_pl.reporting.figures.tensorboard import FigureLogger, SettingsLogger
from mermaide_pl.reporting.figures.timing import draw_timing
from mermaide_pl.reporting.figures.training_curves import draw_training_curves

__all__ = [
    "FigureLogger",
    "SettingsLogger",
    "draw_adaptation_curves",
    "draw_alignment_curves",
    "draw_budget_curves",
    "draw_choice_engineering",
    "draw_episode",
    "draw_family_matrix",
    "draw_frontier",
    "draw_games",
    "draw_intervention_rate",
    "draw_learning_curves",
    "draw_meta_training",
    "draw_method_scores",
    "draw_pull_maps",
    "draw_timing",
    "draw_trade_off",
    "draw_training_curves",
]
