"""The intervention policy and its critic: two small networks on the same input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mermaide_pl.game import Game
from mermaide_pl.principal.layers import Weights, init_linear, linear


class PolicyAndCritic(nn.Module):
    """Policy ``pi(u_t | state, forecast, t/T)`` and state value, one tanh layer each.

    Args:
        input_size: numbers in the input: state, features of the step, forecast.
        hidden_size: units of each hidden layer.
        game: gives L.
    """

    def __init__(self, input_size: int, hidden_size: int, game: Game) -> None:
        super().__init__()
        init_linear(self, "policy_in", input_size, hidden_size, gain=1.0)
        init_linear(self, "policy_out", hidden_size, game.num_levels, gain=0.01)
        init_linear(self, "critic_in", input_size, hidden_size, gain=1.0)
        init_linear(self, "critic_out", hidden_size, 1, gain=0.1)

    def forward(self, weights: Weights, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate both networks.

        Args:
            weights: with the prefix "policy.".
            inputs: float [M, ..., I].

        Returns:
            Level logits, float [M, ..., L], and the value: the principal's rewards still to come,
            as a share of T, float [M, ...].
        """

        def network(name: str) -> Tensor:
            hidden = torch.tanh(
                linear(
                    inputs, weights[f"policy.{name}_in_weight"], weights[f"policy.{name}_in_bias"]
                )
            )
            return linear(
                hidden, weights[f"policy.{name}_out_weight"], weights[f"policy.{name}_out_bias"]
            )

        return network("policy"), network("critic").squeeze(-1)
