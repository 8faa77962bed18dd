"""The head of the recurrent world model: what will the agent do at each intervention level?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from mermaide_pl.game import Game
from mermaide_pl.principal.layers import Weights, init_linear, linear


class WorldModel(ABC):
    """Slot of the principal for a model of the agent."""

    @abstractmethod
    def build(self, state_size: int, game: Game) -> ForecastHead | None:
        """The module that forecasts from a state of `state_size` numbers, or None."""


@dataclass(frozen=True)
class ArmForecast(WorldModel):
    """Forecasts the agent's next arm for every level, ``p(a_t | history, u)``."""

    def build(self, state_size: int, game: Game) -> ForecastHead:
        """A linear head on the recurrent state."""
        return ForecastHead(state_size, game)


@dataclass(frozen=True)
class NoWorldModel(WorldModel):
    """Ablation: the policy sees the recurrent state only, and no forecast is learned."""

    def build(self, state_size: int, game: Game) -> None:
        """Nothing."""


class ForecastHead(nn.Module):
    """Linear map from the state to arm logits of every level.

    Args:
        state_size: numbers in the state.
        game: gives L and A.
    """

    def __init__(self, state_size: int, game: Game) -> None:
        super().__init__()
        self._shape = (game.num_levels, game.num_arms)
        init_linear(self, "arm", state_size, game.num_levels * game.num_arms, gain=0.1)

    def forward(self, weights: Weights, state: Tensor) -> Tensor:
        """Logits of ``p(a_t | history, u)`` in principal labels.

        Args:
            weights: with the prefix "world_model.".
            state: float [M, ..., state_size].

        Returns:
            float [M, ..., L, A].
        """
        logits = linear(state, weights["world_model.arm_weight"], weights["world_model.arm_bias"])
        return logits.unflatten(-1, self._shape)
