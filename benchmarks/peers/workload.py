"""Workload W1, one meta-iteration of a recurrent principal on UCB agents, and its interfaces.

A meta-iteration draws M agents, plays B support episodes with each by the meta weights, adapts the
weights to each by one step of gradient descent, plays B query episodes by the adapted weights, and
moves the meta weights by one step of Adam along the exact gradient of the outer loss,

    dJ/dw = 1/M sum_m (I - inner_lr * Hess L_m^support(w)) grad L_m^query(w'_m),
    w'_m = w - inner_lr * grad L_m^support(w),

with the recorded episodes as constants. The loss of a task on its episodes is

    L = -mean_{b,t} log pi(u_t) A_t - mean_{b,t} log p(a_t | history, u_t),

``A_t`` the principal's rewards still to come minus their mean over the episodes at the same t.
Axis letters are those of `mermaide_pl.game.trajectory`; arms are in principal labels, target first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np


@dataclass(frozen=True)
class Workload:
    """The numbers of W1; the defaults are the published ones."""

    num_tasks: int = 16  # M
    num_episodes: int = 8  # B, in support and in query
    num_steps: int = 200  # T
    num_arms: int = 10  # A
    betas: tuple[float, ...] = (0.17, 0.27, 0.42, 0.5, 0.67)  # exploration of the UCB agents
    reward_noise: float = 0.1  # standard deviation of the agents' rewards
    bonuses: tuple[float, ...] = (0.0, 1.0)  # of each level, reward units
    cost: float = 0.25  # per unit of bonus, whether or not the target was pulled
    hidden_size: int = 64  # H
    policy_size: int = 64
    inner_lr: float = 0.01
    meta_lr: float = 1e-3
    dtype: Literal["float32", "float64"] = "float32"

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.bonuses)

    @property
    def num_global_features(self) -> int:
        """Features that are not of one arm: one-hot last level and t/T."""
        return self.num_levels + 1

    @property
    def num_features(self) -> int:
        """F, with the one-hot last arm."""
        return self.num_global_features + self.num_arms

    @property
    def agent_steps(self) -> int:
        """Agent steps of one meta-iteration, support and query."""
        return 2 * self.num_tasks * self.num_episodes * self.num_steps

    @property
    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights, named as those of `mermaide_pl.principals.Principal`."""
        gates, arms = 3 * self.hidden_size, self.num_levels * self.num_arms
        # the policy sees the state, the global features, whether the last arm was the target,
        # and the forecast of the target for every level
        policy_input = self.hidden_size + self.num_global_features + 1 + self.num_levels
        return {
            "recurrence.weight_ih": (gates, self.num_features),
            "recurrence.weight_hh": (gates, self.hidden_size),
            "recurrence.bias_ih": (gates,),
            "recurrence.bias_hh": (gates,),
            "world_model.arm_weight": (arms, self.hidden_size + self.num_features),
            "world_model.arm_bias": (arms,),
            "policy.policy_in_weight": (self.policy_size, policy_input),
            "policy.policy_in_bias": (self.policy_size,),
            "policy.policy_out_weight": (self.num_levels, self.policy_size),
            "policy.policy_out_bias": (self.num_levels,),
        }

    def initial_weights(self, seed: int) -> dict[str, np.ndarray]:
        """Gaussian matrices of variance 1 / inputs, small output layers, zero biases."""
        rng = np.random.default_rng(seed)
        gains = {"world_model.arm_weight": 0.1, "policy.policy_out_weight": 0.01}
        weights = {}
        for name, shape in self.weight_shapes.items():
            scale = gains.get(name, 1.0) / np.sqrt(shape[-1]) if len(shape) == 2 else 0.0
            weights[name] = (scale * rng.standard_normal(shape)).astype(self.dtype)
        return weights


@dataclass(frozen=True)
class Recording:
    """Episodes with all tasks, as far as the losses read them."""

    observed_arms: np.ndarray  # [M, B, T] int64, principal labels
    levels: np.ndarray  # [M, B, T] int64
    rewards: np.ndarray  # [M, B, T] float, principal's

    @classmethod
    def random(cls, workload: Workload, seed: int) -> Recording:
        """Uniformly random arms and levels, and the rewards that follow from them."""
        rng = np.random.default_rng(seed)
        shape = (workload.num_tasks, workload.num_episodes, workload.num_steps)
        arms = rng.integers(workload.num_arms, size=shape)
        levels = rng.integers(workload.num_levels, size=shape)
        rewards = (arms == 0) - workload.cost * np.array(workload.bonuses)[levels]
        return cls(arms, levels, rewards.astype(workload.dtype))


class Peer(Protocol):
    """One way to compute the meta-iteration.

    Args:
        workload: sizes and constants.
        weights: initial meta weights by name.
        seed: of all random numbers.
    """

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None: ...

    def meta_step(self) -> float:
        """Do one meta-iteration to its end and return the outer loss."""

    def meta_gradient(self, support: Recording, query: Recording) -> dict[str, np.ndarray]:
        """Gradient of the outer loss to the meta weights on given episodes; changes nothing."""


class Simulator(Protocol):
    """One way to play the episodes of a meta-iteration; arguments as for `Peer`."""

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None: ...

    def rollout(self) -> int:
        """Play support episodes by the meta weights and query episodes by one set per task.

        Returns:
            The number of agent steps played.
        """
