"""Principals against the same unseen agents with the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from itertools import product

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from mermaide_pl.engines import AUTO, Engine, Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.baselines import best_of
from mermaide_pl.evaluation.methods import ALWAYS, NO_INTERVENTION
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population, TaskBatch
from mermaide_pl.principals import AlwaysIntervene, GreedyPlayer, NoIntervention, Player
from mermaide_pl.principals.grids import oracle_grid, schedule_grids
from mermaide_pl.runtime.distributed import Share

NUM_TUNING_AGENTS = 300
_CHUNK = 250  # agents played at once, bounds the memory
UNTUNED: dict[str, Player] = {NO_INTERVENTION: NoIntervention(), ALWAYS: AlwaysIntervene()}
"""Fixed schedules that need no tuning."""
PlayerFor = Callable[[TaskBatch], Player]
"""The principal for some agents."""


@dataclass(frozen=True)
class Scores:
    """What one principal did with each of N agents, mean over the agent's episodes."""

    returns: np.ndarray  # [N] float64
    alignment: np.ndarray  # [N] float64
    intervention_rate: np.ndarray  # [N] float64


PopulationScores = dict[tuple[str, int], Scores]
"""Scores by method and shots."""


@dataclass(frozen=True)
class PairedEvaluation:
    """Tunes baselines and scores principals; of what is played, this process plays its share.

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
    num_tuning_agents: int = NUM_TUNING_AGENTS
    num_episodes: int = 2
    seed: int = 0
    engine: Engine = AUTO
    share: Share = Share()
    progress: Progress = field(default_factory=lambda: Progress(disable=True))

    def schedules(self, train: Population) -> dict[str, Player]:
        """The fixed schedules by name; those with a setting as they are best on `train`."""
        grids = schedule_grids(self.game)
        tuned = {name: self._best(name, grid, train) for name, grid in grids.items()}
        return {**UNTUNED, **tuned}

    def oracle(self, population: Population) -> Player:
        """The oracle that is best on `population`."""
        return self._best("oracle", oracle_grid(self.game), population)

    def _best(self, name: str, grid: Sequence[Player], population: Population) -> Player:
        tasks = population.sample(range(self.num_tuning_agents), split="tune", seed=self.seed)
        with self._advance(f"tuning {name}", len(grid)) as advance:
            return best_of(
                grid, tasks, self.game, engine=self.engine, on_step=advance, share=self.share
            )

    def scores(
        self, players: Mapping[tuple[str, int], PlayerFor], population: Population
    ) -> PopulationScores:
        """Play with unseen agents; all principals meet the same agents and random numbers.

        A job is one of the principals and one chunk of agents. A chunk is played whole, for its
        numbers depend on the batch by rounding.

        Args:
            players: principals by method and shots.
            population: of the agents, which are drawn from its test split.
        """
        numbers = range(self.num_agents)
        chunks = [numbers[first : first + _CHUNK] for first in numbers[::_CHUNK]]
        agents = [population.sample(chunk, split="test", seed=self.seed) for chunk in chunks]
        jobs = list(product(enumerate(players.values()), zip(chunks, agents, strict=True)))
        found = torch.zeros(len(players), len(fields(Scores)), self.num_agents, dtype=torch.float64)
        with self._advance("playing", len(jobs)) as advance:
            for number in self.share.of(len(jobs)):
                (row, player_for), (chunk, tasks) = jobs[number]
                played = rollout(
                    tasks,
                    player_for(tasks),
                    self.game,
                    stream=Stream.SCORE,
                    num_episodes=self.num_episodes,
                    engine=self.engine,
                )
                found[row, :, chunk.start : chunk.stop] = scores_of(played)
                advance()
        self.share.total(found)
        return {key: Scores(*each.numpy()) for key, each in zip(players, found, strict=True)}

    @contextmanager
    def _advance(self, what: str, num_jobs: int) -> Iterator[Callable[[], None]]:
        """To call after each job of this process, while they are done."""
        task = self.progress.add_task(what, total=num_jobs)
        yield lambda: self.progress.advance(task, self.share.num_processes)
        self.progress.remove_task(task)


def scores_of(played: Trajectory) -> Tensor:
    """The fields of `Scores`, float64 [3, M], of episodes [M, B, T]."""
    return torch.stack(
        [getattr(played, each.name).double().mean(1) for each in fields(Scores)]
    ).cpu()


def fixed_players(players: Mapping[str, Player]) -> dict[tuple[str, int], PlayerFor]:
    """Principals that are the same for any agents, at no shots."""

    def the_same(player: Player) -> PlayerFor:
        return lambda _: player

    return {(method, 0): the_same(player) for method, player in players.items()}


def learned_players(
    modules: Mapping[str, MermaideModule], shots: Sequence[int]
) -> dict[tuple[str, int], PlayerFor]:
    """Trained principals at several numbers of support episodes."""
    return {
        (method, number): adapted_player(module, number)
        for method, module in modules.items()
        for number in shots
    }


def adapted_player(module: MermaideModule, shots: int) -> PlayerFor:
    """The learned principal for some agents, after `shots` support episodes with each."""
    return lambda tasks: GreedyPlayer(module.principal, module.adapted_weights(tasks, shots))
