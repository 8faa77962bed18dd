"""The intervention policy and its critic: two small networks on the same input."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mermaide_pl.game import Game
from mermaide_pl.principals.layers import Weights, init_linear, linear


class Critic(ABC):
    """Slot of the principal for an estimate of the rewards still to come."""

    exists: ClassVar[bool]


@dataclass(frozen=True)
class StateValue(Critic):
    """A network like the policy's, on the same input."""

    exists = True


@dataclass(frozen=True)
class NoCritic(Critic):
    """Ablation: every value is zero, so advantages consist of rewards alone."""

    exists = False


class PolicyAndCritic(nn.Module):
    """Policy ``pi(u_t | state, forecast, t/T)`` and state value, one tanh layer each.

    Args:
        input_size: numbers in the input: state, features of the step, forecast.
        hidden_size: hidden units of the policy.
        game: gives L.
        critic: `StateValue`, or `NoCritic` for none.
        critic_size: hidden units of the critic.
    """

    def __init__(
        self, input_size: int, hidden_size: int, game: Game, critic: Critic, critic_size: int
    ) -> None:
        super().__init__()
        self.has_critic = critic.exists
        init_linear(self, "policy_in", input_size, hidden_size, gain=1.0)
        init_linear(self, "policy_out", hidden_size, game.num_levels, gain=0.01)
        if not self.has_critic:
            return
        init_linear(self, "critic_in", input_size, critic_size, gain=1.0)
        init_linear(self, "critic_out", critic_size, 1, gain=0.1)

    def level_logits(self, weights: Weights, inputs: Tensor) -> Tensor:
        """Logits of the policy.

        Args:
            weights: with the prefix "policy.".
            inputs: float [M, ..., I].

        Returns:
            float [M, ..., L].
        """
        return self._network("policy", weights, inputs)

    def values(self, weights: Weights, inputs: Tensor) -> Tensor:
        """The critic: principal's rewards still to come, as a share of T; arguments as above."""
        if not self.has_critic:
            return inputs.new_zeros(inputs.shape[:-1])
        return self._network("critic", weights, inputs).squeeze(-1)

    @staticmethod
    def _network(name: str, weights: Weights, inputs: Tensor) -> Tensor:
        def layer(part: str, inputs: Tensor) -> Tensor:
            prefix = f"policy.{name}_{part}"
            return linear(inputs, weights[f"{prefix}_weight"], weights[f"{prefix}_bias"])

        return layer("out", torch.tanh(layer("in", inputs)))
