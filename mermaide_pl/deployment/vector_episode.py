"""Episodes of several agents at once, the shared core of the Gymnasium environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mermaide_pl.engines import Stream, draw_noise
from mermaide_pl.engines.torch_rollout import VectorGame
from mermaide_pl.game import Game
from mermaide_pl.populations import Population, Split, packaged
from mermaide_pl.populations.files import load_population
from mermaide_pl.principals import CountFeatures, HistoryState

NUM_TASKS = 2**40
"""Agents of a split."""
_ENCODING = CountFeatures()


@dataclass(frozen=True)
class Setting:
    """Agents to play with, and the rules of the game."""

    population: Population
    game: Game
    split: Split

    @classmethod
    def of(
        cls, population: Population | str | Path | None, game: Game | None, split: Split
    ) -> Setting:
        """The setting, with defaults filled in and checked.

        Args:
            population: agents, the path of their YAML file, or the name of a population of the
                package; by default ``train_ucb``.
            game: the rules; by default those of `Game` with the arms of the population.
            split: which of the population's agents.

        Raises:
            ValueError: one line that says which input is wrong.
        """
        if population is None:
            population = packaged("train_ucb")
        elif not isinstance(population, Population):
            population = load_population(population)
        game = game or Game(num_arms=population.arms_in(Game()))
        num_arms = population.arms_in(game)
        if num_arms != game.num_arms:
            raise ValueError(f"the agents have {num_arms} arms, the game has {game.num_arms}")
        population = population.in_game(game)
        population.sample(range(1), split=split, game=game)  # refuses an unknown split
        return cls(population, game, split)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest features, float32 [F]."""
        low, high = _ENCODING.bounds(self.game)
        return low.numpy(), high.numpy()


class Encounter:
    """One episode with each of M agents, side by side.

    Args:
        setting: the rules.
        numbers: of the agents in their split, M of them.
    """

    @torch.inference_mode()
    def __init__(self, setting: Setting, numbers: Sequence[int]) -> None:
        self._game, self._numbers = setting.game, np.array(numbers)
        self._tasks = setting.population.sample(
            list(numbers), split=setting.split, game=setting.game
        )
        noise = draw_noise(self._tasks, None, self._game, stream=Stream.SCORE, num_episodes=1)
        self._episodes = VectorGame(self._tasks, self._game, noise)
        self._episodes.start()
        self._past = HistoryState.empty(self._tasks.base_rewards, self._game, len(numbers), 1)

    @property
    def num_agents(self) -> int:
        """M."""
        return len(self._numbers)

    @property
    def num_steps(self) -> int:
        """Steps that were played."""
        return int(self._past.step)

    @property
    def is_over(self) -> bool:
        """True if all steps of the game were played."""
        return self.num_steps == self._game.num_steps

    @torch.inference_mode()
    def features(self) -> np.ndarray:
        """The principal's features, float32 [M, F]."""
        return _ENCODING.features(self._past)[:, 0].numpy()

    def infos(self) -> dict[str, np.ndarray]:
        """The numbers of the agents, ``task`` [M]."""
        return {"task": self._numbers.copy()}

    @torch.inference_mode()
    def step(self, actions: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Play a step.

        Args:
            actions: levels, integers [M].

        Returns:
            Rewards, float64 [M], and infos [M].
        """
        levels, game = torch.as_tensor(actions).long().unsqueeze(1), self._game
        played = self._episodes.play_step(self.num_steps, levels)
        self._past.add(played.observed_arms, played.levels, played.observed_agent_rewards)
        aligned = played.arms == self._tasks.target_arm.unsqueeze(1)
        rewards = game.principal_rewards(
            aligned, game.outlay_of(played.levels, self._tasks.base_rewards)
        )
        seen = {"arm": played.arms[:, 0].numpy(), "aligned": aligned[:, 0].numpy()}
        return rewards[:, 0].double().numpy(), self.infos() | seen
