"""The rollouts of a meta-iteration in NumPy: all tasks and episodes at once, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from peers.workload import Recording, Workload

Kernels: TypeAlias = dict[str, np.ndarray]
"""Matrices [I, O] and biases [O], or one per task: [M, I, O] and [M, 1, O]."""


@dataclass(frozen=True)
class Agents:
    """M UCB agents and the principal's targets."""

    base_rewards: np.ndarray  # [M, A] float
    beta: np.ndarray  # [M, 1, 1] float
    target_arm: np.ndarray  # [M] int64, agent labels

    @classmethod
    def draw(cls, workload: Workload, rng: np.random.Generator) -> Agents:
        """Uniform base rewards, exploration from the list, target among the non-best arms."""
        M = workload.num_tasks
        base_rewards = rng.random((M, workload.num_arms), dtype=workload.dtype)
        beta = rng.choice(np.array(workload.betas, workload.dtype), (M, 1, 1))
        rank = rng.integers(1, workload.num_arms, M)
        order = np.argsort(-base_rewards, axis=1)
        return cls(base_rewards, beta, order[np.arange(M), rank])


class NumpySimulator:
    """A `peers.workload.Simulator`.

    Args:
        workload: sizes and constants.
        weights: weights of the principal by name.
        seed: of all random numbers.
    """

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None:
        self.workload = workload
        self.shared = {name: np.ascontiguousarray(weight.T) for name, weight in weights.items()}
        # in a meta-iteration every task has its own adapted weights; equal ones cost the same
        self.per_task = {
            name: np.repeat(np.atleast_2d(weight)[None], workload.num_tasks, axis=0)
            for name, weight in self.shared.items()
        }
        self._rng = np.random.default_rng(seed)

    def rollout(self) -> int:
        """Play the support and the query episodes of M new tasks; the number of agent steps."""
        agents = Agents.draw(self.workload, self._rng)
        for kernels in (self.shared, self.per_task):
            self.play(kernels, agents)
        return self.workload.agent_steps

    def play(self, kernels: Kernels, agents: Agents) -> Recording:
        """Play B episodes with each agent."""
        w, rng, dtype = self.workload, self._rng, self.workload.dtype
        M, B, T, A, L = w.num_tasks, w.num_episodes, w.num_steps, w.num_arms, w.num_levels
        noise = w.reward_noise * rng.standard_normal((T, M, B), dtype=dtype)
        tie_breaks = dtype_of(1e-6, dtype) * rng.random((T, M, B, A), dtype=dtype)
        gumbels = -np.log(rng.standard_exponential((T, M, B, L), dtype=dtype))
        first_arms = np.argsort(rng.random((A, M, B)), axis=0)
        bonuses = np.array(w.bonuses, dtype)
        one_hot_arm, one_hot_level = np.eye(A, dtype=dtype), np.eye(L, dtype=dtype)
        tasks, target = np.arange(M)[:, None], agents.target_arm[:, None]
        label = np.tile(np.arange(A), (M, 1))
        label[tasks, target], label[:, 0] = 0, agents.target_arm
        counts, sums = np.zeros((M, B, A), dtype), np.zeros((M, B, A), dtype)
        pull_counts, pull_sums = counts.reshape(-1, A), sums.reshape(-1, A)
        rows = np.arange(M * B)
        state = np.zeros((M, B, w.hidden_size + w.num_features), dtype)  # hidden and features
        features = state[..., w.hidden_size :]
        arms_seen = np.empty((T, M, B), np.int64)
        levels_played = np.empty((T, M, B), np.int64)
        for t in range(T):
            features[..., L] = t / T
            logits = self._forward(kernels, state)
            levels = np.argmax(logits + gumbels[t], axis=-1)
            if t < A:
                arms = first_arms[t]
            else:
                bound = sums / counts + agents.beta * np.sqrt(np.log(t + 1, dtype=dtype) / counts)
                arms = np.argmax(bound + tie_breaks[t], axis=-1)
            rewards = agents.base_rewards[tasks, arms] + noise[t]
            rewards += bonuses[levels] * (arms == target)
            pull_counts[rows, arms.ravel()] += 1
            pull_sums[rows, arms.ravel()] += rewards.ravel()
            seen = label[tasks, arms]
            features[..., :L], features[..., L + 1 :] = one_hot_level[levels], one_hot_arm[seen]
            arms_seen[t], levels_played[t] = seen, levels
        arms, levels = np.moveaxis(arms_seen, 0, -1), np.moveaxis(levels_played, 0, -1)
        rewards = (arms == 0) - dtype_of(w.cost, dtype) * bonuses[levels]
        return Recording(arms, levels, rewards)

    def _forward(self, kernels: Kernels, state: np.ndarray) -> np.ndarray:
        """Level logits [M, B, L]; moves the hidden part of `state` one step, in place."""
        w = self.workload
        H, G = w.hidden_size, w.num_global_features
        hidden, features = state[..., :H], state[..., H:]
        projected = _linear(features, kernels, "recurrence.weight_ih", "recurrence.bias_ih")
        recurrent = _linear(hidden, kernels, "recurrence.weight_hh", "recurrence.bias_hh")
        gates = projected[..., : 2 * H] + recurrent[..., : 2 * H]
        gates = 1.0 / (1.0 + np.exp(-gates))
        reset, update = gates[..., :H], gates[..., H:]
        candidate = np.tanh(projected[..., 2 * H :] + reset * recurrent[..., 2 * H :])
        hidden[...] = candidate + update * (hidden - candidate)
        arm = _linear(state, kernels, "world_model.arm_weight", "world_model.arm_bias")
        arm = np.exp(arm.reshape(*arm.shape[:-1], w.num_levels, w.num_arms))
        forecast = arm[..., 0] / arm.sum(-1)
        inputs = np.concatenate([state[..., : H + G + 1], forecast], axis=-1)
        units = np.tanh(
            _linear(inputs, kernels, "policy.policy_in_weight", "policy.policy_in_bias")
        )
        return _linear(units, kernels, "policy.policy_out_weight", "policy.policy_out_bias")


def dtype_of(value: float, dtype: str) -> np.floating:
    """A number in the type of the workload, so that it does not widen arrays."""
    return np.dtype(dtype).type(value)


def _linear(inputs: np.ndarray, kernels: Kernels, weight: str, bias: str) -> np.ndarray:
    """Inputs [M, B, I] to [M, B, O]."""
    matrix = kernels[weight]
    if matrix.ndim == 2:  # one flat product is faster than M small ones
        rows = inputs.reshape(-1, inputs.shape[-1]) @ matrix
        return rows.reshape(*inputs.shape[:-1], -1) + kernels[bias]
    return inputs @ matrix + kernels[bias]
