"""A meta-iteration as a loop over tasks, the way meta-learning libraries for PyTorch are used.

Peers differ in how they adapt; tasks, rollouts and the outer update are the same for all.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from peers.torch_principal import Episodes, TorchPrincipal, episode_loss
from peers.workload import Recording, Workload

Play: TypeAlias = Callable[[Iterable[Tensor]], Episodes]
"""Weights, in the order of the principal's parameters, to episodes played by them."""


@dataclass(frozen=True)
class Agent:
    """A UCB agent and the principal's target."""

    base_rewards: Tensor  # [A] float
    beta: float
    target_arm: int  # agent label

    @classmethod
    def draw(cls, workload: Workload, generator: torch.Generator) -> Agent:
        """Uniform base rewards, exploration from the list, target among the non-best arms."""
        dtype = getattr(torch, workload.dtype)
        base_rewards = torch.rand(workload.num_arms, generator=generator, dtype=dtype)
        which = int(torch.randint(len(workload.betas), (), generator=generator))
        rank = int(torch.randint(1, workload.num_arms, (), generator=generator))
        target = int(base_rewards.argsort(descending=True)[rank])
        return cls(base_rewards, workload.betas[which], target)


def play(
    principal: TorchPrincipal, agent: Agent, workload: Workload, generator: torch.Generator
) -> Episodes:
    """Play B episodes with one agent, side by side."""
    with torch.inference_mode():
        steps = _steps(principal, agent, workload, generator)
    # stacked outside inference mode: what is recorded here is learned from
    arms, levels = (torch.stack(record, dim=1) for record in zip(*steps, strict=True))
    rewards = torch.tensor(workload.bonuses).to(agent.base_rewards)[levels] * -workload.cost
    return Episodes(arms, levels, rewards + (arms == 0))


def _steps(
    principal: TorchPrincipal, agent: Agent, workload: Workload, generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Observed arms and levels [B] of every step."""
    B, T, A = workload.num_episodes, workload.num_steps, workload.num_arms
    like = agent.base_rewards
    # all random numbers at once; the tiny ones break ties
    noise = workload.reward_noise * torch.empty(T, B).to(like).normal_(generator=generator)
    tie_breaks = 1e-6 * torch.empty(T, B, A).to(like).uniform_(generator=generator)
    exponentials = torch.empty(T, B, workload.num_levels).to(like)
    gumbels = -exponentials.exponential_(generator=generator).log()
    first_arms = torch.rand(A, B, generator=generator).argsort(0)
    one_hot_level, one_hot_arm = torch.eye(workload.num_levels).to(like), torch.eye(A).to(like)
    label = torch.arange(A)
    label[[0, agent.target_arm]] = label[[agent.target_arm, 0]]
    bonus_of = torch.tensor(workload.bonuses).to(like)
    counts, sums, one = like.new_zeros(B, A), like.new_zeros(B, A), like.new_ones(B, 1)
    time = (torch.arange(T).to(like) / T).view(T, 1, 1).expand(T, B, 1)
    hidden = like.new_zeros(B, workload.hidden_size)
    level_part, arm_part = like.new_zeros(B, workload.num_levels), like.new_zeros(B, A)
    steps = []
    for t in range(T):
        features = torch.cat([level_part, time[t], arm_part], dim=-1)
        level_logits, hidden = principal.step(features, hidden)
        levels = (level_logits + gumbels[t]).argmax(-1)
        if t < A:
            arms = first_arms[t]
        else:
            bound = sums / counts + agent.beta * (math.log(t + 1) / counts).sqrt()
            arms = (bound + tie_breaks[t]).argmax(-1)
        bonus = bonus_of[levels] * (arms == agent.target_arm)
        pulled = arms.unsqueeze(-1)
        counts.scatter_add_(1, pulled, one)
        sums.scatter_add_(1, pulled, (agent.base_rewards[arms] + noise[t] + bonus).unsqueeze(-1))
        seen = label[arms]
        level_part, arm_part = one_hot_level[levels], one_hot_arm[seen]
        steps.append((seen, levels))
    return steps


class PerTaskPeer(ABC):
    """A `peers.workload.Peer` that takes the tasks one after another.

    Args:
        workload: sizes and constants.
        weights: initial meta weights by name.
        seed: of all random numbers.
    """

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None:
        self.workload = workload
        self.principal = TorchPrincipal(workload, weights)
        # rollouts use a plain copy: functional modules cost time in each of the many steps
        self._player = copy.deepcopy(self.principal).requires_grad_(False)
        self._meta_optimizer = torch.optim.Adam(self.principal.parameters(), lr=workload.meta_lr)
        self._generator = torch.Generator().manual_seed(seed)

    @abstractmethod
    def outer_loss(self, support: Play, query: Play) -> Tensor:
        """Loss of one task on query episodes after adaptation, differentiable to `principal`."""

    def meta_step(self) -> float:
        """Do one meta-iteration and return the outer loss."""
        agents = [
            Agent.draw(self.workload, self._generator) for _ in range(self.workload.num_tasks)
        ]
        loss = self._backward(2 * (partial(self._play, agent),) for agent in agents)
        self._meta_optimizer.step()
        return loss

    def meta_gradient(self, support: Recording, query: Recording) -> dict[str, np.ndarray]:
        """Gradient of the outer loss on given episodes."""
        self._backward(
            (_replay(support, task), _replay(query, task))
            for task in range(self.workload.num_tasks)
        )
        parameters = self.principal.parameters()
        return {
            name: parameter.grad.numpy().copy()
            for name, parameter in zip(self.workload.weight_shapes, parameters, strict=True)
        }

    def _backward(self, plays: Iterable[tuple[Play, Play]]) -> float:
        """Leave the meta-gradient in the parameters; each task's graph is freed at once."""
        self._meta_optimizer.zero_grad()
        total = 0.0
        for support, query in plays:
            loss = self.outer_loss(support, query) / self.workload.num_tasks
            loss.backward()
            total += loss.item()
        return total

    def _play(self, agent: Agent, weights: Iterable[Tensor]) -> Episodes:
        with torch.no_grad():
            for own, given in zip(self._player.parameters(), weights, strict=True):
                own.copy_(given)
        return play(self._player, agent, self.workload, self._generator)

    def _loss(self, network: Callable[[Tensor], tuple[Tensor, Tensor]], played: Episodes) -> Tensor:
        return episode_loss(network, played, self.workload)


def _replay(recording: Recording, task: int) -> Play:
    arrays = (recording.observed_arms, recording.levels, recording.rewards)
    episodes = Episodes(*(torch.from_numpy(array[task]) for array in arrays))
    return lambda _: episodes
