"""The recurrence of the principal, its hidden state from step to step: interface and GRU."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from mermaide_pl.principals.layers import Weights, linear

INITIAL_STATE: Final = "recurrence.initial_state"
"""Name of the weight that every recurrence has: the state in which episodes begin, float [H]."""


class Recurrence(ABC):
    """Slot of the principal for the recurrence."""

    @abstractmethod
    def build(self, num_features: int, hidden_size: int) -> RecurrentLayer:
        """The layer for F features and H hidden units."""


class RecurrentLayer(nn.Module, ABC):
    """Maps features to hidden states, each a function of the one before.

    Its methods take weights with the prefix "recurrence.", meta weights, or fast weights of the
    tasks. No fused kernels of torch here: those cannot be differentiated twice, which second-order
    adaptation needs.
    """

    initial_state: nn.Parameter
    """State in which episodes begin, [H]."""

    @abstractmethod
    def sequence(self, weights: Weights, features: Tensor, state: Tensor) -> Tensor:
        """States after each step of recorded episodes.

        Args:
            weights: meta weights, or fast weights of the M tasks.
            features: float [M, B, T, F].
            state: before the first step, float [M, B, H].

        Returns:
            float [M, B, T, H].
        """

    @abstractmethod
    def step(self, weights: Weights, features: Tensor, state: Tensor) -> Tensor:
        """The state after one step: features [M, B, F] and state [M, B, H] to float [M, B, H]."""

    @staticmethod
    def first_state(weights: Weights, num_tasks: int, num_episodes: int) -> Tensor:
        """State in which episodes begin, float [M, B, H]."""
        state = weights[INITIAL_STATE]
        state = state.unsqueeze(1) if state.dim() == 2 else state
        return state.expand(num_tasks, num_episodes, -1)


@dataclass(frozen=True)
class GRU(Recurrence):
    """Gated recurrent unit, in the convention of `torch.nn.GRU`.

    Equations:
        r = sigmoid(x_r + W_r h + b_r);  z = sigmoid(x_z + W_z h + b_z)
        n = tanh(x_n + r * (W_n h + b_n));  h' = n + z * (h - n)

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical
    machine translation", EMNLP 2014.
    """

    def build(self, num_features: int, hidden_size: int) -> RecurrentLayer:
        """A GRU layer."""
        return _GRU(num_features, hidden_size)


class _GRU(RecurrentLayer):
    def __init__(self, num_features: int, hidden_size: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, num_features))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden_size))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden_size))
        self.initial_state = nn.Parameter(torch.zeros(hidden_size))
        for of_inputs, of_state in zip(
            self.weight_ih.data.chunk(3), self.weight_hh.data.chunk(3), strict=True
        ):
            nn.init.xavier_uniform_(of_inputs)
            nn.init.orthogonal_(of_state)

    def sequence(self, weights: Weights, features: Tensor, state: Tensor) -> Tensor:
        states = []
        for projected in self._projected(weights, features).unbind(2):
            state = self._next(weights, projected, state)
            states.append(state)
        return torch.stack(states, dim=2)

    def step(self, weights: Weights, features: Tensor, state: Tensor) -> Tensor:
        return self._next(weights, self._projected(weights, features), state)

    @staticmethod
    def _projected(weights: Weights, features: Tensor) -> Tensor:
        """Input projections ``x_r, x_z, x_n``, float [M, ..., 3H]."""
        return linear(features, weights["recurrence.weight_ih"], weights["recurrence.bias_ih"])

    @staticmethod
    def _next(weights: Weights, projected: Tensor, state: Tensor) -> Tensor:
        size = state.shape[-1]
        recurrent = linear(state, weights["recurrence.weight_hh"], weights["recurrence.bias_hh"])
        gates = torch.sigmoid(projected[..., : 2 * size] + recurrent[..., : 2 * size])
        reset, update = gates.chunk(2, dim=-1)
        candidate = torch.tanh(projected[..., 2 * size :] + reset * recurrent[..., 2 * size :])
        return torch.lerp(candidate, state.to(candidate), update)
