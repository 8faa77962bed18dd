"""The head of the recurrent world model: the agent's next arm, given each intervention level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mermaide_pl.config.validation import check_count
from mermaide_pl.game import Game
from mermaide_pl.principals.layers import Weights, init_linear, linear


class WorldModel(ABC):
    """Slot of the principal for a model of the agent."""

    @abstractmethod
    def build(self, hidden_size: int, sizes: tuple[int, int], game: Game) -> nn.Module | None:
        """The forecast ``p(a_t | history, u)`` for H hidden units and (G, P) features, or None.

        Its ``forward(weights, hidden, features)`` takes weights with the prefix "world_model.", the
        state [M, ..., H] and the features [M, ..., G + A * P], and returns arm logits of every
        level in principal labels, float [M, ..., L, A].
        """


@dataclass(frozen=True)
class NoWorldModel(WorldModel):
    """Ablation: no forecast is learned, and the policy's other inputs stay the same."""

    def build(self, hidden_size: int, sizes: tuple[int, int], game: Game) -> None:
        """None."""


@dataclass(frozen=True)
class LinearForecast(WorldModel):
    """One linear map from state and features to all logits."""

    def build(self, hidden_size: int, sizes: tuple[int, int], game: Game) -> nn.Module:
        """The linear map."""
        return _Linear(hidden_size + sizes[0] + game.num_arms * sizes[1], game)


class _Linear(nn.Module):
    def __init__(self, state_size: int, game: Game) -> None:
        super().__init__()
        self._shape = (game.num_levels, game.num_arms)
        init_linear(self, "arm", state_size, game.num_levels * game.num_arms, gain=0.1)

    def forward(self, weights: Weights, hidden: Tensor, features: Tensor) -> Tensor:
        state = torch.cat([hidden, features], dim=-1)
        logits = linear(state, weights["world_model.arm_weight"], weights["world_model.arm_bias"])
        return logits.view(*logits.shape[:-1], *self._shape)


@dataclass(frozen=True)
class SharedForecast(WorldModel):
    """One small network shared by all arms, which differ by their features only.

    Equation:
        logit_{u,a} = v_u . tanh(W_g [h, global features] + W_a [features of arm a])

    Weights learned on one arm serve all arms, so a forecast needs fewer episodes and transfers to
    unseen agents.

    Args:
        size: hidden units per arm.
    """

    size: int = 8

    def __post_init__(self) -> None:
        check_count("SharedForecast.size", self.size, low=1)

    def build(self, hidden_size: int, sizes: tuple[int, int], game: Game) -> nn.Module:
        """The network."""
        return _Shared(hidden_size, sizes, self.size, game)


class _Shared(nn.Module):
    def __init__(self, hidden_size: int, sizes: tuple[int, int], size: int, game: Game) -> None:
        super().__init__()
        self._num_global, self._num_per_arm = sizes
        init_linear(self, "common", hidden_size + self._num_global, size, gain=1.0)
        # no more biases: they would shift all arms alike, which a softmax does not see
        init_linear(self, "arm", self._num_per_arm, size, gain=1.0, bias=False)
        init_linear(self, "out", size, game.num_levels, gain=0.1, bias=False)

    def forward(self, weights: Weights, hidden: Tensor, features: Tensor) -> Tensor:
        def layer(name: str, inputs: Tensor) -> Tensor:
            prefix = f"world_model.{name}"
            return linear(inputs, weights[f"{prefix}_weight"], weights.get(f"{prefix}_bias"))

        overall, per_arm = features.tensor_split([self._num_global], dim=-1)
        per_arm = per_arm.reshape(*per_arm.shape[:-1], -1, self._num_per_arm)
        common = layer("common", torch.cat([hidden, overall], dim=-1))
        units = torch.tanh(layer("arm", per_arm) + common.unsqueeze(-2))
        # contiguous, for the softmax over arms that follows
        return layer("out", units).transpose(-1, -2).contiguous()
