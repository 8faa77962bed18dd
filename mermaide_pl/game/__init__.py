"""The game: its rules, what happened in it, its equilibrium, and its random numbers."""

from mermaide_pl.game.budget import Budget, allowed_levels, nearest_allowed
from mermaide_pl.game.choice_engineering import CHOICE_ENGINEERING
from mermaide_pl.game.game import TIE_TOLERANCE, Game
from mermaide_pl.game.game_batch import AnyGame, GameBatch
from mermaide_pl.game.observation import FullInformation, Observation, PartialInformation
from mermaide_pl.game.trajectory import Trajectory, relabel_target_first

__all__ = [
    "CHOICE_ENGINEERING",
    "TIE_TOLERANCE",
    "AnyGame",
    "Budget",
    "FullInformation",
    "Game",
    "GameBatch",
    "Observation",
    "PartialInformation",
    "Trajectory",
    "allowed_levels",
    "nearest_allowed",
    "relabel_target_first",
]
