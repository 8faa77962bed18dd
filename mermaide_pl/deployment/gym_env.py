"""The game as Gymnasium environments, in which other algorithms can learn to be the principal.

Importing this module registers ``mermaide/Bandit-v0``; Gymnasium also imports it by itself for
``gymnasium.make("mermaide_pl.deployment.gym_env:mermaide/Bandit-v0")``, and so does `make_vec`.

An episode is one game of T steps with one agent, and every reset draws another agent.

- Observation: the features of `CountFeatures`, float32 [F]: counts of all that the principal may
  have seen, so that no memory is needed. The target arm comes first.
- Action: the intervention level, 0 to L - 1.
- Reward: the principal's, ``1[a_t = a*] - cost * b(u_t)``. The package's *return* is its mean over
  the T steps.
- End: *terminated* after T steps. The horizon is a rule of the game and the observation holds the
  time, so there is no future whose value could be estimated, as truncation would say.
- Info: ``task``, the number of the agent in its split, so that
  ``population.sample([task], split=split)`` is the agent; and after each step ``arm``, the arm
  pulled, in agent labels, and ``aligned``, whether it was the target, both as they truly happened.

Equal seeds draw equal agents, with the random numbers that `rollout` draws for `Stream.SCORE`.
Nothing is rendered: ``render_mode`` is None, and `render` returns None.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mermaide_pl.config.validation import check_levels, whole_number
from mermaide_pl.deployment.vector_episode import NUM_TASKS, Encounter, Setting
from mermaide_pl.game import Game
from mermaide_pl.populations import Population, Split

try:
    import gymnasium
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "mermaide_pl.deployment.gym_env needs Gymnasium: pip install 'mermaide-pl[gym]'"
    ) from None
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

ENVIRONMENT_ID = "mermaide/Bandit-v0"


class BanditEnv(gymnasium.Env[np.ndarray, np.int64]):
    """One agent at a time; see the module.

    Args:
        population: agents, the path of their YAML file, or the name of a population of the
            package; by default ``train_ucb``.
        game: the rules; by default those of `Game` with the arms of the population.
        split: which of the population's agents: train, val, test or tune.
        render_mode: None.

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
        render_mode: None = None,
    ) -> None:
        _check_render_mode(render_mode)
        self._setting = Setting.of(population, game, split)
        self._encounter: Encounter | None = None
        self.observation_space, self.action_space = _spaces(self._setting)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode with another agent."""
        super().reset(seed=seed)
        _refuse_options(options)
        self._encounter = Encounter(self._setting, [_draw(self.np_random)])
        return self._encounter.features()[0], _only(self._encounter.infos())

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one step."""
        encounter = self._encounter
        if encounter is None or encounter.is_over:
            raise _reset_needed()
        actions = np.asarray([action])
        check_levels("actions", actions, 1, self._setting.game.num_levels)
        rewards, infos = encounter.step(actions)
        return encounter.features()[0], rewards.item(), encounter.is_over, False, _only(infos)

    def render(self) -> None:
        """Do nothing: nothing is rendered."""


class BanditVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """M agents that step together, as one batch; see the module.

    All episodes end at once, unless some were reset before. The step after the end ignores its
    action and begins an episode with another agent: `AutoresetMode.NEXT_STEP`, Gymnasium's default.

    Args:
        num_envs: M.
        population: as of `BanditEnv`.
        game: as of `BanditEnv`.
        split: as of `BanditEnv`.
        max_episode_steps: episodes are truncated after so many steps, as by Gymnasium's `TimeLimit`
            around `BanditEnv`; None or -1 for those of the game.
        render_mode: None.

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
        max_episode_steps: int | None = None,
        render_mode: None = None,
    ) -> None:
        _check_render_mode(render_mode)
        self.num_envs = whole_number("num_envs", num_envs, low=1)
        self._setting = Setting.of(population, game, split)
        self._limit: int | None = None
        if max_episode_steps not in (None, -1):
            self._limit = whole_number("max_episode_steps", max_episode_steps, low=1)
        self.single_observation_space, self.single_action_space = _spaces(self._setting)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        # those whose episodes began together share an encounter
        self._encounters = np.full(self.num_envs, None, dtype=object)
        self._places = np.zeros(self.num_envs, dtype=np.int64)  # in their encounter
        # of agents that were seeded by a list; the others share `np_random`
        self._own_random: dict[int, np.random.Generator] = {}
        self._features = np.zeros(self.observation_space.shape or (), dtype=np.float32)

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin episodes with other agents, even if the running ones have not ended.

        Args:
            seed: one for all, or a list of M: an agent that has its own is the one that `BanditEnv`
                draws with that seed. Without a seed the sequence of agents continues.
            options: ``reset_mask``, bool [M]: which agents to replace by others; all by default.

        Returns:
            Features of all, and infos of the new agents.

        Raises:
            ValueError: one line that says which input is wrong.
        """
        mask = self._reset_mask(options)
        if not mask.all() and None in self._encounters:
            raise _reset_needed()
        if isinstance(seed, Sequence | np.ndarray):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed must have {self.num_envs} values, got {len(seed)}")
            self._own_random |= {
                row: seeding.np_random(whole_number(f"seed[{row}]", seed[row], low=0))[0]
                for row in np.flatnonzero(mask).tolist()
                if seed[row] is not None
            }
        else:
            super().reset(seed=seed)
            if seed is not None:
                self._own_random = {
                    row: own for row, own in self._own_random.items() if not mask[row]
                }
        infos = self._begin(np.flatnonzero(mask))
        return self._features.copy(), infos

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Play one step with each agent, or begin with another where the episode has ended."""
        encounters = dict.fromkeys(self._encounters.tolist())
        if None in encounters:
            raise _reset_needed()
        rows_of = {each: np.flatnonzero(self._encounters == each) for each in encounters}
        ended, over, cut = np.zeros((3, self.num_envs), dtype=np.bool_)
        for encounter, rows in rows_of.items():
            ended[rows] = encounter.is_over or encounter.num_steps == self._limit
        levels = np.array(actions)
        if levels.shape == ended.shape:
            levels[ended] = 0
        check_levels("actions", levels, self.num_envs, self._setting.game.num_levels)
        rewards, infos = np.zeros(self.num_envs), dict[str, Any]()
        for encounter, rows in rows_of.items():
            if ended[rows[0]]:
                continue
            places = self._places[rows]
            given = np.zeros(encounter.num_agents, dtype=np.int64)
            given[places] = levels[rows]  # those that were left play on, unseen
            paid, seen = encounter.step(given)
            rewards[rows], self._features[rows] = paid[places], encounter.features()[places]
            over[rows], cut[rows] = encounter.is_over, encounter.num_steps == self._limit
            self._note(infos, rows, {name: values[places] for name, values in seen.items()})
        if ended.any():
            infos = self._begin(np.flatnonzero(ended), infos)
        return self._features.copy(), rewards, over, cut, infos

    def render(self) -> None:
        """Do nothing: nothing is rendered."""

    def _begin(self, rows: np.ndarray, infos: dict[str, Any] | None = None) -> dict[str, Any]:
        """Begin episodes of some rows with other agents, and add their entries to infos."""
        numbers = [_draw(self._own_random.get(row, self.np_random)) for row in rows.tolist()]
        encounter = Encounter(self._setting, numbers)
        self._encounters[rows], self._places[rows] = encounter, np.arange(len(rows))
        self._features[rows] = encounter.features()
        return self._note({} if infos is None else infos, rows, encounter.infos())

    def _note(
        self, infos: dict[str, Any], rows: np.ndarray, seen: dict[str, np.ndarray]
    ) -> dict[str, Any]:
        """Add entries of some rows, with Gymnasium's masks of the rows that have an entry."""
        for name, values in seen.items():
            if name not in infos:
                infos[name] = np.zeros(self.num_envs, dtype=values.dtype)
                infos[f"_{name}"] = np.zeros(self.num_envs, dtype=np.bool_)
            infos[name][rows], infos[f"_{name}"][rows] = values, True
        return infos

    def _reset_mask(self, options: dict[str, Any] | None) -> np.ndarray:
        options = dict(options or {})
        mask = options.pop("reset_mask", None)
        _refuse_options(options, "reset_mask alone")
        if mask is None:
            return np.ones(self.num_envs, dtype=np.bool_)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(
                f"reset_mask must be {self.num_envs} bools, at least one of them true, got"
                f" {mask.dtype} of shape {mask.shape}"
                + (", all false" if mask.dtype == np.bool_ else "")
            )
        return mask


def _spaces(setting: Setting) -> tuple[Box, Discrete]:
    low, high = setting.bounds()
    return Box(low, high, dtype=np.float32), Discrete(setting.game.num_levels)


def _draw(randomness: np.random.Generator) -> int:
    """The number of an agent."""
    return int(randomness.integers(NUM_TASKS))


def _check_render_mode(render_mode: object) -> None:
    if render_mode is not None:
        raise ValueError(
            f"render_mode must be None, rendering is not supported, got {render_mode!r:.60}"
        )


def _refuse_options(options: dict[str, Any] | None, allowed: str = "none") -> None:
    if options:
        names = ", ".join(map(str, options))
        raise ValueError(f"reset of {ENVIRONMENT_ID}: unknown options {names}, allowed: {allowed}")


def _reset_needed() -> ResetNeeded:
    return ResetNeeded(f"{ENVIRONMENT_ID}: no episode is running, call reset() first")


def _only(infos: dict[str, np.ndarray]) -> dict[str, Any]:
    return {name: values.item() for name, values in infos.items()}


if ENVIRONMENT_ID not in gymnasium.registry:  # a module may be loaded again
    gymnasium.register(
        ENVIRONMENT_ID,
        entry_point=f"{__name__}:BanditEnv",
        vector_entry_point=f"{__name__}:BanditVectorEnv",
    )
