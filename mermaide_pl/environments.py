"""The game as environments of Gymnasium, on which other algorithms can learn to be the principal.

Importing this module registers ``mermaide/Bandit-v0``; Gymnasium also imports it by itself for
``gymnasium.make("mermaide_pl.environments:mermaide/Bandit-v0")``, and so does `make_vec`.

An episode is one game of T steps with one agent, and every reset meets another agent.

- Observation: the features of `Tallies`, float32 [F]: all that the principal may have seen, counted
  up, so that no memory is needed. The target arm comes first.
- Action: the intervention level, 0 to L - 1.
- Reward: the principal's, ``1[a_t = a*] - cost * b(u_t)``. The package's *return* is its mean over
  the T steps.
- End: *terminated* after T steps. The horizon is a rule of the game and the observation holds the
  time, so there is no future whose value could be estimated, as truncation would say.
- Info: ``task``, the number of the agent in its split, so that
  ``population.sample([task], split=split)`` is the agent; and after each step ``arm``, the arm
  pulled, in agent labels, and ``aligned``, whether it was the target, both as they truly happened.

Equal seeds meet equal agents, with the random numbers that `rollout` draws for the stream "query".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from mermaide_pl.agents import UCB
from mermaide_pl.checks import check_levels, check_number
from mermaide_pl.game import Game
from mermaide_pl.population_files import load_population
from mermaide_pl.principal import Past, Tallies
from mermaide_pl.stepwise_rollout import Episodes
from mermaide_pl.tasks import AgentFamily, Population, Split

try:
    import gymnasium
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "mermaide_pl.environments needs Gymnasium: pip install 'mermaide-pl[gym]'"
    ) from None
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

ENVIRONMENT_ID = "mermaide/Bandit-v0"
_NUM_TASKS = 2**40  # of a split
_ENCODING = Tallies()


class _Encounters:
    """M agents at once, episode after episode: all that both environments do.

    Args:
        num_agents: M.
        population: agents, or the path of their YAML file; by default UCB agents with moderate
            exploration.
        game: the rules; by default those of `Game` with the arms of the population.
        split: which of the population's agents.
    """

    def __init__(
        self,
        num_agents: int,
        population: Population | str | Path | None,
        game: Game | None,
        split: Split,
    ) -> None:
        check_number("num_envs", num_agents, low=1)
        if population is None:
            population = Population([AgentFamily(UCB, {"beta": [0.17, 0.27, 0.42, 0.5, 0.67]})])
        elif not isinstance(population, Population):
            population = load_population(population)
        self._population = population
        self._game = game or Game(num_arms=population.num_arms)
        if population.num_arms != self._game.num_arms:
            raise ValueError(
                f"the agents have {population.num_arms} arms, the game has {self._game.num_arms}"
            )
        population.sample(range(1), split=split)  # refuses an unknown split
        self._split: Split = split
        self._num_agents = num_agents
        self._past: Past | None = None
        low, high = (bound.numpy() for bound in _ENCODING.bounds(self._game))
        self.observation_space = Box(low, high, dtype=np.float32)
        self.action_space = Discrete(self._game.num_levels)

    @property
    def over(self) -> bool:
        """Whether the episodes have ended."""
        return self._past is not None and int(self._past.step) == self._game.num_steps

    @torch.inference_mode()
    def meet(
        self, randomness: np.random.Generator, options: dict[str, Any] | None
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Meet agents drawn from the split: their features [M, F], and infos [M]."""
        if options:
            raise ValueError(f"reset of {ENVIRONMENT_ID} takes no options, got {options}")
        self._numbers = randomness.integers(_NUM_TASKS, size=self._num_agents)
        tasks = self._population.sample(self._numbers.tolist(), split=self._split)
        self._episodes = Episodes(tasks, self._game, stream="query", num_episodes=1)
        self._episodes.start()
        self._past = Past.empty(tasks.base_rewards, self._game, self._num_agents, 1)
        return self._features(self._past), {"task": self._numbers.copy()}

    @torch.inference_mode()
    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """Play `actions` [M]: features [M, F], rewards float64 [M], whether ended [M], infos."""
        if self._past is None or self.over:
            raise ResetNeeded(f"{ENVIRONMENT_ID}: no episode is running, call reset() first")
        actions = np.asarray(actions)
        check_levels("actions", actions, self._num_agents, self._game.num_levels)
        levels = torch.as_tensor(actions).long().unsqueeze(1)
        step, game, tasks = int(self._past.step), self._game, self._episodes.tasks
        played = self._episodes.play_step(step, levels)
        self._past.add(played.observed_arms, levels, played.observed_agent_rewards, game)
        aligned = played.arms == tasks.target_arm.unsqueeze(1)
        rewards = game.principal_rewards(aligned, game.bonus_of(levels, tasks.base_rewards))
        infos = {
            "task": self._numbers.copy(),
            "arm": played.arms[:, 0].numpy(),
            "aligned": aligned[:, 0].numpy(),
        }
        over = np.full(self._num_agents, self.over)
        return self._features(self._past), rewards[:, 0].double().numpy(), over, infos

    def _features(self, past: Past) -> np.ndarray:
        return _ENCODING.features(past, self._game)[:, 0].numpy()


class BanditEnv(gymnasium.Env[np.ndarray, np.int64]):
    """One agent at a time; see the module.

    Args:
        population: agents, or the path of their YAML file; by default UCB agents with moderate
            exploration.
        game: the rules; by default those of `Game` with the arms of the population.
        split: which of the population's agents: train, val, test or tune.

    Raises:
        ValueError: one line that says which input is wrong.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 # as the base class has it

    def __init__(
        self,
        population: Population | str | Path | None = None,
        *,
        game: Game | None = None,
        split: Split = "train",
    ) -> None:
        self._encounters = _Encounters(1, population, game, split)
        self.observation_space = self._encounters.observation_space
        self.action_space = self._encounters.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Meet another agent."""
        super().reset(seed=seed)
        features, infos = self._encounters.meet(self.np_random, options)
        return features[0], _only(infos)

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one step."""
        features, rewards, over, infos = self._encounters.step(np.asarray([action]))
        return features[0], rewards.item(), over.item(), False, _only(infos)


class BanditVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """M agents that step together, as one batch; see the module.

    All episodes end at once. The step after that ignores its actions and meets M other agents
    (`AutoresetMode.NEXT_STEP`, Gymnasium's default).

    Args:
        num_envs: M.
        population: as of `BanditEnv`.
        game: as of `BanditEnv`.
        split: as of `BanditEnv`.

    Raises:
        ValueError: one line that says which input is wrong.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 # as the base class has it
        "render_modes": [],
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        population: Population | str | Path | None = None,
        *,
        game: Game | None = None,
        split: Split = "train",
    ) -> None:
        self._encounters = _Encounters(num_envs, population, game, split)
        self.num_envs = num_envs
        self.single_observation_space = self._encounters.observation_space
        self.single_action_space = self._encounters.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Meet M other agents, whether or not the episodes have ended."""
        super().reset(seed=seed)
        features, infos = self._encounters.meet(self.np_random, options)
        return features, _of_all(infos)

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play one step with each agent, or meet others if the episodes have ended."""
        if self._encounters.over:
            features, infos = self._encounters.meet(self.np_random, None)
            rewards, over = np.zeros(self.num_envs), np.zeros(self.num_envs, dtype=np.bool_)
        else:
            features, rewards, over, infos = self._encounters.step(actions)
        return features, rewards, over, np.zeros_like(over), _of_all(infos)


def _only(infos: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: values.item() for name, values in infos.items()}


def _of_all(infos: dict[str, np.ndarray]) -> dict[str, Any]:
    """With the masks of Gymnasium's vector environments, which say who has an entry: all have."""
    masks = {f"_{name}": np.ones(len(values), dtype=np.bool_) for name, values in infos.items()}
    return infos | masks


if ENVIRONMENT_ID not in gymnasium.registry:  # a module may be loaded again
    gymnasium.register(
        ENVIRONMENT_ID,
        entry_point=f"{__name__}:BanditEnv",
        vector_entry_point=f"{__name__}:BanditVectorEnv",
    )
