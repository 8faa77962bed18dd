"""The project itself on workload W1: all tasks in one stack, in C++ and in PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mermaide_pl.agents import UCB, GaussianReward
from mermaide_pl.engines import EngineName, Stream, choose_engine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.meta_step import meta_step
from mermaide_pl.objectives import PlainMAML
from mermaide_pl.objectives.advantages import CentredRewardsToGo
from mermaide_pl.populations import AgentFamily, Population, TaskBatch
from mermaide_pl.principals import (
    GRU,
    Architecture,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoCritic,
    Principal,
    Recurrence,
)
from peers.workload import Recording, Workload

OBJECTIVE = Objective(
    surrogate=PlainMAML(),
    advantages=CentredRewardsToGo(),
    inner_policy_weight=1.0,
    critic_weight=0.0,
    logit_penalty=0.0,
    entropy_start=0.0,
    entropy_end=0.0,
    zero_shot_weight=0.0,
)


class _Ours:
    engine_name: EngineName
    recurrence: Recurrence = GRU()
    device = "cpu"

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None:
        self.workload = workload
        self.game = Game(
            workload.num_arms, workload.num_steps, workload.bonuses, cost=workload.cost
        )
        architecture = Architecture(
            workload.hidden_size,
            workload.policy_size,
            LastStep(),
            LinearForecast(),
            NoCritic(),
            self.recurrence,
        )
        self.dtype = getattr(torch, workload.dtype)
        self.engine = choose_engine(self.engine_name)
        self.principal = Principal(architecture, self.game)
        self.principal.to(self.device, self.dtype)
        # the peers begin at zero and stay there
        self.principal.recurrence.initial_state.requires_grad_(False)
        own = self.principal.weights()  # which another recurrence keeps
        given = {name: torch.from_numpy(weights[name].copy()) for name in weights if name in own}
        self.principal.load_state_dict(own | given)
        self.inner_loop = GradientAdaptation(
            inner_lr=workload.inner_lr, num_shots=workload.num_episodes, learn_inner_lr=False
        ).build(self.principal.weights())
        self.inner_loop.to(self.device)
        self.population = Population(
            [AgentFamily(UCB, {"beta": list(workload.betas)})],
            num_arms=workload.num_arms,
            reward_model=GaussianReward(workload.reward_noise),
        )
        self.optimizer = torch.optim.Adam(self.principal.parameters(), lr=workload.meta_lr)
        self.seed, self.drawn = seed, 0

    def meta_step(self) -> float:
        """Do one meta-iteration to its end and return the outer loss."""
        return self.accumulate(first=True, last=True)

    def accumulate(self, *, first: bool, last: bool) -> float:
        """One chunk of tasks of a meta-iteration."""
        if first:
            self.optimizer.zero_grad()
        w = self.workload
        with self.engine.threads(self.principal, w.num_tasks * w.num_episodes * w.num_steps):
            loss = meta_step(
                self.principal,
                self.inner_loop,
                OBJECTIVE,
                self._tasks(),
                num_query_episodes=w.num_episodes,
                engine=self.engine,
            ).loss
            loss.backward()
        if last:
            self.optimizer.step()
        return loss.item()

    def meta_gradient(self, support: Recording, query: Recording) -> dict[str, np.ndarray]:
        """Gradient of the outer loss on given episodes."""
        weights, _ = adapt(
            self.principal, self.inner_loop, OBJECTIVE, self._recorded(support), self.engine
        )
        played = self._recorded(query)
        output = self.engine.forward(self.principal, weights, played)
        sees = torch.zeros_like(played.aligned[:, 0, 0])  # UCB agents do not see the bonus
        loss = OBJECTIVE.outer_loss(output, played, sees, progress=0.0).mean()
        own = {name: self.principal.weights()[name] for name in self.workload.weight_shapes}
        gradients = torch.autograd.grad(loss, list(own.values()))
        return {name: part.cpu().numpy() for name, part in zip(own, gradients, strict=True)}

    def rollout(self) -> int:
        """Play support episodes by the meta weights and query episodes by one set per task."""
        tasks, meta = self._tasks(), self.principal.weights()
        fast = {name: one.detach().expand(len(tasks), *one.shape) for name, one in meta.items()}
        fast = {name: one.contiguous() for name, one in fast.items()}
        for stream, weights in ((Stream.SUPPORT, meta), (Stream.QUERY, fast)):
            player = LearnedPlayer(self.principal, weights)
            count = self.workload.num_episodes
            rollout(tasks, player, self.game, stream=stream, num_episodes=count, engine=self.engine)
        return self.workload.agent_steps

    def _tasks(self) -> TaskBatch:
        numbers = range(self.drawn, self.drawn + self.workload.num_tasks)
        self.drawn = numbers.stop
        tasks = self.population.sample(numbers, split="train", seed=self.seed)
        return tasks.to(self.device, self.dtype)

    def _recorded(self, recording: Recording) -> Trajectory:
        arms, levels, rewards = (
            torch.from_numpy(part).to(self.device)
            for part in (recording.observed_arms, recording.levels, recording.rewards)
        )
        hidden: Tensor = torch.zeros_like(rewards)
        return Trajectory(arms, levels, arms == 0, rewards, hidden, arms, hidden, self.game)


class OursNative(_Ours):
    """In C++."""

    engine_name: EngineName = "native"


class OursTorch(_Ours):
    """In plain PyTorch, as without a compiler."""

    engine_name: EngineName = "torch"


class OursCuda(OursTorch):
    """On a GPU, the rollouts captured as CUDA graphs."""

    device = "cuda"
