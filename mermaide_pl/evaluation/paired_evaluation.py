"""Principals against the same unseen agents with the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from rich.progress import Progress, TaskID

from mermaide_pl.engines import AUTO, Engine, Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.baselines import best_of
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population, TaskBatch
from mermaide_pl.principals import AlwaysIntervene, GreedyPlayer, NoIntervention, Player
from mermaide_pl.principals.grids import oracle_grid, schedule_grids
from mermaide_pl.runtime.distributed import Share

_CHUNK = 250  # agents played at once, bounds the memory
UNTUNED: dict[str, Player] = {"no intervention": NoIntervention(), "always": AlwaysIntervene()}
"""Fixed schedules that need no tuning."""
PlayerFor = Callable[[TaskBatch], Player]
"""The principal for some agents."""


@dataclass(frozen=True)
class Scores:
    """What one principal did with each of N agents, mean over the agent's episodes."""

    returns: np.ndarray  # [N] float64
    alignment: np.ndarray  # [N] float64
    intervention_rate: np.ndarray  # [N] float64

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Scores:
        """Collect the chunks of a population."""

        def per_agent(quantity: str) -> np.ndarray:
            chunks = [getattr(played, quantity).double().mean(1) for played in trajectories]
            return torch.cat(chunks).cpu().numpy()

        return cls(*(per_agent(name) for name in ("returns", "alignment", "intervention_rate")))

    def stacked(self) -> torch.Tensor:
        """All of it, float64 [3, N]."""
        return torch.from_numpy(np.stack([self.returns, self.alignment, self.intervention_rate]))


PopulationScores = dict[tuple[str, int], Scores]
"""Scores by method and shots."""


@dataclass(frozen=True)
class Contest:
    """How principals are compared; of what is played, this process plays its share.

    Args:
        game: the rules.
        num_agents: N, agents of each population.
        num_tuning_agents: agents that schedules and oracles are tuned on.
        num_episodes: scored episodes with each agent.
        seed: which agents are drawn.
        engine: what computes.
        share: of this process.
        progress: where to show how far it is.
    """

    game: Game
    num_agents: int
    num_tuning_agents: int
    num_episodes: int
    seed: int
    engine: Engine
    share: Share
    progress: Progress

    def play(
        self,
        modules: Mapping[str, MermaideModule],
        others: Mapping[str, Player],
        train: Population,
        populations: Mapping[str, Population],
        shots: Sequence[int],
    ) -> tuple[dict[str, Player], dict[str, PopulationScores]]:
        """Tune and play all of them.

        Args:
            modules: name to trained principal.
            others: name to further principals.
            train: the population that schedules are tuned on.
            populations: name to population of unseen agents.
            shots: numbers of support episodes that trained principals adapt on.

        Returns:
            The schedules as tuned, by name; and the scores by population.
        """
        grids, oracles = schedule_grids(self.game), oracle_grid(self.game)
        total = sum(map(len, grids.values())) + len(populations) * len(oracles)
        tuning = self.progress.add_task("tuning schedules and oracles", total=total)
        playing = self.progress.add_task("playing", total=len(populations))
        schedules = {label: self._tuned(grid, train, tuning) for label, grid in grids.items()}
        simple = {**UNTUNED, **schedules, **others}
        learned = {
            (method, number): adapted_player(module, number)
            for method, module in modules.items()
            for number in shots
        }
        scores = {}
        for name, population in populations.items():
            same = {(method, 0): the_same(player) for method, player in simple.items()}
            oracle = self._tuned(oracles, population, tuning)
            playable = same | learned | {("oracle", 0): the_same(oracle)}
            scores[name] = self._scores(playable, population)
            self.progress.advance(playing)
        return schedules, scores

    def _tuned(self, grid: Sequence[Player], agents: Population, tuning: TaskID) -> Player:
        tasks = agents.sample(range(self.num_tuning_agents), split="tune", seed=self.seed)
        return best_of(
            grid,
            tasks,
            self.game,
            engine=self.engine,
            on_step=lambda: self.progress.advance(tuning, self.share.num_processes),
            share=self.share,
        )

    def _scores(
        self, playable: Mapping[tuple[str, int], PlayerFor], population: Population
    ) -> PopulationScores:
        """What each did with the unseen agents; a job is one of them and one chunk of agents.

        A chunk is played whole, for its numbers depend on the batch by rounding.
        """
        chunks = unseen_agents(population, self.num_agents, self.seed)
        jobs = list(product(enumerate(playable.values()), enumerate(chunks)))
        found = torch.zeros(len(playable), 3, self.num_agents, dtype=torch.float64)
        for job in self.share.of(len(jobs)):
            (row, player_for), (number, tasks) = jobs[job]
            played = play_unseen(player_for, [tasks], self.game, self.num_episodes, self.engine)
            first = number * _CHUNK
            found[row, :, first : first + len(tasks)] = played.stacked()
        self.share.total(found)
        return {key: Scores(*each.numpy()) for key, each in zip(playable, found, strict=True)}


def unseen_agents(population: Population, num_agents: int, seed: int) -> list[TaskBatch]:
    """The agents on which principals are scored, in chunks that bound the memory."""
    return [
        population.sample(range(first, min(first + _CHUNK, num_agents)), split="test", seed=seed)
        for first in range(0, num_agents, _CHUNK)
    ]


def play_unseen(
    player_for: PlayerFor,
    chunks: Sequence[TaskBatch],
    game: Game,
    num_episodes: int,
    engine: Engine = AUTO,
) -> Scores:
    """Play scored episodes; all principals meet the same random numbers.

    Args:
        player_for: the principal for some of the agents.
        chunks: agents.
        game: the rules.
        num_episodes: with each agent.
        engine: what computes.
    """
    options: dict[str, Any] = {
        "stream": Stream.SCORE,
        "num_episodes": num_episodes,
        "engine": engine,
    }
    return Scores.of([rollout(tasks, player_for(tasks), game, **options) for tasks in chunks])


def the_same(player: Player) -> PlayerFor:
    """The same principal for any agents."""
    return lambda _: player


def adapted_player(module: MermaideModule, shots: int) -> PlayerFor:
    """The learned principal for some agents, after `shots` support episodes with each."""
    return lambda tasks: GreedyPlayer(module.principal, module.adapted_weights(tasks, shots))
