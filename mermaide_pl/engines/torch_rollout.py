"""The rollout in PyTorch, step by step: any device, any agent, any principal."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from mermaide_pl.game import Game
from mermaide_pl.game.randomness import step_uniforms
from mermaide_pl.game.trajectory import relabel_target_first
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPlayer, Player, Principal, Table


@dataclass(frozen=True)
class Record:
    """What a `Trajectory` is made of; axes [M, B, T], see there, or [M, B] for one step."""

    arms: Tensor
    levels: Tensor
    agent_rewards: Tensor
    observed_arms: Tensor
    observed_agent_rewards: Tensor


class Episodes:
    """Agents, noise and rules of episodes that are played step by step, by whomever.

    Args:
        tasks: M tasks.
        game: the rules.
        stream: name of the random stream.
        num_episodes: B, episodes with each task.
        same_luck: whether an agent draws the same random numbers in all its episodes.
    """

    def __init__(
        self,
        tasks: TaskBatch,
        game: Game,
        *,
        stream: str,
        num_episodes: int,
        same_luck: bool = False,
    ) -> None:
        self.tasks, self.game = tasks, game
        self._stream, self._num_episodes = stream, num_episodes
        self.agents = tasks.agents(
            stream=stream, num_episodes=num_episodes, num_steps=game.num_steps, same_luck=same_luck
        )
        self.seen_uniforms = self.uniforms("observation", 3)

    def uniforms(self, name: str, *size: int) -> Tensor:
        """Random numbers of a part of the game, contiguous [T, M, B, *size]."""
        shape = (self._num_episodes, self.game.num_steps, *size)
        stream = f"{self._stream}/{name}"
        return step_uniforms(self.tasks.seeds, stream, shape, self.tasks.base_rewards)

    def start(self) -> None:
        """Go to the first step; equal levels then give equal steps."""
        self.agents.start()
        target_arm = self.tasks.target_arm
        all_arms = torch.arange(self.game.num_arms, device=target_arm.device)
        all_arms = all_arms.expand(len(self.tasks), -1)
        self._principal_label = relabel_target_first(all_arms, target_arm)

    def play_step(self, step: int, levels: Tensor) -> Record:
        """Play one step; `levels` int64 [M, B]."""
        bonus = self.game.bonus_of(levels, self.tasks.base_rewards)
        arms = self.agents.act(step, bonus)
        agent_rewards = self.agents.learn(step, arms, bonus)
        observation, uniforms = self.game.observation, self.seen_uniforms[step]
        seen = observation.arms(arms, uniforms, self.game.num_arms)
        return Record(
            arms=arms,
            levels=levels,
            agent_rewards=agent_rewards,
            observed_arms=self._principal_label.gather(1, seen),
            observed_agent_rewards=observation.agent_rewards(agent_rewards, uniforms),
        )


class Stage(Episodes):
    """Everything a rollout reads, random numbers included, so that it can be played again."""

    def __init__(self, tasks: TaskBatch, player: Player, game: Game, **options: Any) -> None:
        super().__init__(tasks, game, **options)
        self.player = player
        uniforms = self.uniforms("principal")
        self.table = Table(tasks, self.agents, game, self._num_episodes, uniforms)

    def tensors(self) -> list[Tensor]:
        """All that differs between rollouts of one `signature`."""
        assert isinstance(self.player, LearnedPlayer)
        weights = list(self.player.weights.values())
        own = [self.tasks.target_arm, self.seen_uniforms, self.table.uniforms]
        return [*own, *self.agents.tensors(), *weights]

    def signature(self) -> tuple[object, ...]:
        """What two rollouts must have in common to be one sequence of kernels."""
        assert isinstance(self.player, LearnedPlayer)
        rules = tuple(type(rule) for rule in self.agents.rules)
        shapes = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in self.tensors())
        players = type(self.player), id(self.player.principal)
        autocast = torch.is_autocast_enabled(self.table.uniforms.device.type)
        return *players, self.game, self.tasks.reward_model, rules, shapes, autocast


def play(stage: Stage) -> Record:
    """Play the episodes; equal stages give equal records."""
    player, steps = stage.player, []
    # thousands of small operations: inference mode saves a part of the cost of each
    with torch.inference_mode():
        stage.start()
        player.start(stage.table)
        for step in range(stage.game.num_steps):
            played = stage.play_step(step, player.act(step))
            player.observe(played.levels, played.observed_arms, played.observed_agent_rewards)
            steps.append(played)
    # stacked outside inference mode: what is recorded here is learned from
    names = [item.name for item in fields(Record)]
    return Record(*(torch.stack([getattr(one, name) for one in steps], dim=2) for name in names))


def capture_cuda_graph(stage: Stage) -> tuple[Record, Callable[[], None]]:
    """Record the kernels of `play` as a CUDA graph: the record it fills, and its replay.

    A step of the game is some ninety small kernels, whose launches take longer than they do; a
    graph launches all T steps at once.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        play(stage)  # fills caches that must not be filled while capturing
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may use the GPU
        record = play(stage)
    return record, graph.replay


class Replays:
    """Captured rollouts by signature; a replay first takes the tensors of the rollout asked for.

    Args:
        capture: how to capture.
        most: captured rollouts to keep; the oldest goes first.
    """

    def __init__(
        self,
        capture: Callable[[Stage], tuple[Record, Callable[[], None]]] = capture_cuda_graph,
        most: int = 8,
    ) -> None:
        self._capture = capture
        self._most = most
        self._kept: dict[tuple[object, ...], tuple[Stage, Record, Callable[[], None]]] = {}

    @staticmethod
    def suit(tasks: TaskBatch, player: Player, game: Game) -> bool:
        """Whether every rollout like this one is known to run the same kernels."""
        if not isinstance(player, LearnedPlayer) or len(tasks.families) > 1:
            return False
        if not tasks.families[0].rule.is_tensors:
            return False
        principal, (family,) = player.principal, tasks.families
        if not isinstance(principal, Principal):
            return False
        parts = [player, principal, principal.history, principal.world_model]
        parts += [game.observation, family.rule, tasks.reward_model]
        return all(type(part).__module__.startswith("mermaide_pl.") for part in parts if part)

    def play(self, tasks: TaskBatch, player: LearnedPlayer, game: Game, **options: Any) -> Record:
        """As `play` of a `Stage`; `options` are those of `Stage`."""
        stage = Stage(tasks, player, game, **options)
        key = stage.signature()
        if key not in self._kept:
            if len(self._kept) == self._most:
                del self._kept[next(iter(self._kept))]
            weights = {name: weight.clone() for name, weight in player.weights.items()}
            twin = type(player)(player.principal, weights)
            own = Stage(copy.deepcopy(tasks), twin, game, **options)
            self._kept[key] = (own, *self._capture(own))
        own, record, replay = self._kept[key]
        with torch.inference_mode():  # in which the stage may have been made
            for mine, given in zip(own.tensors(), stage.tensors(), strict=True):
                mine.copy_(given)
            replay()
        # the next replay writes over it
        return Record(*(getattr(record, item.name).clone() for item in fields(Record)))
