"""Paired evaluation: all principals play the same unseen agents on common random numbers."""

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
from mermaide_pl.populations import Population, Split, TaskBatch
from mermaide_pl.principals import AlwaysIntervene, LearningPlayer, NoIntervention, Player
from mermaide_pl.principals.grids import oracle_grid, schedule_grids
from mermaide_pl.runtime.distributed import Shard

NUM_TUNING_AGENTS = 300
_CHUNK = 250  # agents played at once; bounds memory
UNTUNED: dict[str, Player] = {NO_INTERVENTION: NoIntervention(), ALWAYS: AlwaysIntervene()}
"""Fixed schedules that need no tuning."""
PlayerFor = Callable[[TaskBatch], Player | LearningPlayer]
"""Maps agents to the player that is scored on them."""


@dataclass(frozen=True)
class Scores:
    """Scores of one principal on each of N agents, means over the episodes of an agent."""

    returns: np.ndarray  # [N] float64
    alignment: np.ndarray  # [N] float64
    intervention_rate: np.ndarray  # [N] float64


PopulationScores = dict[tuple[str, int], Scores]
"""Scores by method and number of shots."""


@dataclass(frozen=True)
class PairedEvaluation:
    """Tunes baselines and scores principals; the rollouts are shared among processes.

    Args:
        game: rules of the game.
        num_agents: N, agents of each population.
        num_tuning_agents: agents that schedules and oracles are tuned on.
        num_episodes: scored episodes with each agent.
        seed: seed of the agents.
        engine: computes the rollouts and forward passes.
        share: rollouts that this process plays.
        progress: displays the progress bars.
    """

    game: Game
    num_agents: int
    num_tuning_agents: int = NUM_TUNING_AGENTS
    num_episodes: int = 2
    seed: int = 0
    engine: Engine = AUTO
    share: Shard = Shard()
    progress: Progress = field(default_factory=lambda: Progress(disable=True))

    def schedules(self, train: Population) -> dict[str, Player]:
        """The fixed schedules by name; those with a parameter are tuned on `train`."""
        tuned = {name: self.schedule(name, train) for name in schedule_grids(self.game)}
        return {**UNTUNED, **tuned}

    def schedule(self, name: str, train: Population) -> Player:
        """The fixed schedule of that name in `schedule_grids`, tuned on `train`."""
        return self._best(name, schedule_grids(self.game)[name], train)

    def oracle(self, population: Population) -> Player:
        """The oracle, tuned on `population`."""
        return self._best("oracle", oracle_grid(), population)

    def _best(self, name: str, grid: Sequence[Player], population: Population) -> Player:
        tasks = self._agents(population, range(self.num_tuning_agents), "tune")
        with self._advance(f"tuning {name}", len(grid)) as advance:
            return best_of(
                grid, tasks, self.game, engine=self.engine, on_step=advance, share=self.share
            )

    def scores(
        self, players: Mapping[tuple[str, int], PlayerFor], population: Population
    ) -> PopulationScores:
        """Score principals on unseen agents, the same agents and random numbers for all.

        A job is one pair of a principal and a chunk of agents; jobs are shared among processes. A
        chunk is never split, since rounding depends on the batch.

        Args:
            players: principals by method and number of shots.
            population: population whose test split the agents are drawn from.
        """
        numbers = range(self.num_agents)
        chunks = [numbers[first : first + _CHUNK] for first in numbers[::_CHUNK]]
        agents = [self._agents(population, chunk, "test") for chunk in chunks]
        jobs = list(product(enumerate(players.values()), zip(chunks, agents, strict=True)))
        found = torch.zeros(len(players), len(fields(Scores)), self.num_agents, dtype=torch.float64)
        with self._advance("playing", len(jobs)) as advance:
            for number in self.share.of(len(jobs)):
                (row, player_for), (chunk, tasks) = jobs[number]
                played = rollout(
                    tasks,
                    player_for(tasks),
                    tasks.game(self.game),
                    stream=Stream.SCORE,
                    num_episodes=self.num_episodes,
                    engine=self.engine,
                )
                found[row, :, chunk.start : chunk.stop] = scores_of(played)
                advance()
        self.share.total(found)
        return {key: Scores(*each.numpy()) for key, each in zip(players, found, strict=True)}

    def _agents(self, population: Population, numbers: Sequence[int], split: Split) -> TaskBatch:
        """Agents of the population that play this evaluation's game, whatever it may draw."""
        agents = population.in_game(self.game)
        return agents.sample(numbers, split=split, seed=self.seed, game=self.game)

    @contextmanager
    def _advance(self, what: str, num_jobs: int) -> Iterator[Callable[[], None]]:
        """Show a progress bar; yield a function to call after each job of this process."""
        task = self.progress.add_task(what, total=num_jobs)
        yield lambda: self.progress.advance(task, self.share.num_processes)
        self.progress.remove_task(task)


def scores_of(played: Trajectory) -> Tensor:
    """The fields of `Scores`, float64 [3, M], from episodes [M, B, T]."""
    return torch.stack(
        [getattr(played, each.name).double().mean(1) for each in fields(Scores)]
    ).cpu()


def fixed_players(players: Mapping[str, Player]) -> dict[tuple[str, int], PlayerFor]:
    """Players that do not adapt, such as schedules, at 0 shots."""

    def the_same(player: Player) -> PlayerFor:
        return lambda _: player

    return {(method, 0): the_same(player) for method, player in players.items()}


def learned_players(
    modules: Mapping[str, MermaideModule], shots: Sequence[int]
) -> dict[tuple[str, int], PlayerFor]:
    """Trained principals at each number of support episodes in `shots`."""
    return {
        (method, number): adapted_player(module, number)
        for method, module in modules.items()
        for number in shots
    }


def adapted_player(module: MermaideModule, shots: int) -> PlayerFor:
    """The trained principal, adapted to each agent on `shots` support episodes."""
    return lambda tasks: module.player(module.adapted_weights(tasks, shots))
