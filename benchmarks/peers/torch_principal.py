"""The principal as an ordinary `torch.nn.Module`, for the peers that loop over tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peers.workload import Workload

Network: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Features [B, T, F] to level logits [B, T, L] and arm logits [B, T, L, A]."""


class Episodes(NamedTuple):
    """Recorded episodes of one task."""

    observed_arms: Tensor  # [B, T] int64, principal labels
    levels: Tensor  # [B, T] int64
    rewards: Tensor  # [B, T] float, principal's


class TorchPrincipal(nn.Module):
    """GRU, forecast and policy; its parameters stand in the order of `Workload.weight_shapes`.

    The recurrence is a loop in Python with all input projections made beforehand: on the CPU this
    is faster than `nn.GRUCell` and as fast as `nn.GRU`, and it can be differentiated twice.

    Args:
        workload: gives the sizes.
        weights: initial weights by name.
    """

    def __init__(self, workload: Workload, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._hidden_size = workload.hidden_size
        self._num_about_target = workload.num_global_features + 1
        self._forecast_shape = (workload.num_levels, workload.num_arms)
        shapes = workload.weight_shapes
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            shape = shapes[f"recurrence.{name}"]
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.arm = nn.Linear(*reversed(shapes["world_model.arm_weight"]))
        self.policy_in = nn.Linear(*reversed(shapes["policy.policy_in_weight"]))
        self.policy_out = nn.Linear(*reversed(shapes["policy.policy_out_weight"]))
        self.to(getattr(torch, workload.dtype))
        for name, parameter in zip(shapes, self.parameters(), strict=True):
            parameter.data.copy_(torch.from_numpy(weights[name]))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Forward pass on recorded episodes; see `Network`."""
        projected = F.linear(features, self.weight_ih, self.bias_ih)
        hidden = features.new_zeros(features.shape[0], self._hidden_size)
        states = []
        for gates, candidate in zip(
            projected[..., : 2 * self._hidden_size].unbind(1),
            projected[..., 2 * self._hidden_size :].unbind(1),
            strict=True,
        ):
            hidden = self._recur(gates, candidate, hidden)
            states.append(hidden)
        return self._heads(torch.stack(states, dim=1), features)

    def step(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step: features [B, F] and state [B, H] to level logits [B, L] and new state."""
        projected = F.linear(features, self.weight_ih, self.bias_ih)
        gates, candidate = projected.split((2 * self._hidden_size, self._hidden_size), dim=-1)
        hidden = self._recur(gates, candidate, hidden)
        return self._heads(hidden, features)[0], hidden

    def _recur(self, gates: Tensor, candidate: Tensor, hidden: Tensor) -> Tensor:
        sizes = (2 * self._hidden_size, self._hidden_size)
        recurrent, recalled = F.linear(hidden, self.weight_hh, self.bias_hh).split(sizes, dim=-1)
        reset, update = torch.sigmoid(gates + recurrent).chunk(2, dim=-1)
        return torch.lerp(torch.tanh(torch.addcmul(candidate, reset, recalled)), hidden, update)

    def _heads(self, hidden: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        arm_logits = self.arm(torch.cat([hidden, features], dim=-1))
        arm_logits = arm_logits.unflatten(-1, self._forecast_shape)
        about_target = features[..., : self._num_about_target]
        forecast = arm_logits.softmax(-1)[..., 0]
        inputs = torch.cat([hidden, about_target, forecast], dim=-1)
        return self.policy_out(torch.tanh(self.policy_in(inputs))), arm_logits


def recorded_features(episodes: Episodes, workload: Workload) -> Tensor:
    """Features before every step of recorded episodes, float [B, T, F]."""
    dtype = episodes.rewards.dtype
    time = torch.arange(workload.num_steps, dtype=dtype) / workload.num_steps
    return torch.cat(
        [
            _previous(F.one_hot(episodes.levels, workload.num_levels).to(dtype)),
            time.view(1, -1, 1).expand(*episodes.levels.shape, 1),
            _previous(F.one_hot(episodes.observed_arms, workload.num_arms).to(dtype)),
        ],
        dim=-1,
    )


def _previous(values: Tensor) -> Tensor:
    """Values of the step before, zeros at first; [B, T, ...]."""
    return F.pad(values[:, :-1], (0, 0, 1, 0))


def episode_loss(network: Network, episodes: Episodes, workload: Workload) -> Tensor:
    """Loss of one task on its episodes; see `peers.workload`."""
    level_logits, arm_logits = network(recorded_features(episodes, workload))
    to_go = episodes.rewards.flip(-1).cumsum(-1).flip(-1)
    advantages = to_go - to_go.mean(0)
    played = episodes.levels.unsqueeze(-1)
    log_probs = level_logits.log_softmax(-1).gather(-1, played).squeeze(-1)
    index = played.unsqueeze(-1).expand(-1, -1, 1, workload.num_arms)
    factual = arm_logits.gather(2, index).squeeze(2)
    cross_entropy = F.cross_entropy(factual.flatten(0, 1), episodes.observed_arms.flatten())
    return cross_entropy - (log_probs * advantages).mean()
