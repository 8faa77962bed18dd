"""Populations of agents: families x hyper-parameters x base rewards x target, in disjoint splits.

A `Population` is a distribution over tasks. Task number `index` of a split is always the same
agent, whichever batch it is drawn into, and no agent is in two splits.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import Tensor

from mermaide_pl.agents import (
    Family,
    GaussianReward,
    LearningRule,
    PythonAgent,
    RewardModel,
    RuleSource,
)
from mermaide_pl.config.serialization import describe
from mermaide_pl.config.validation import check_count, check_number, check_seed
from mermaide_pl.game import Game
from mermaide_pl.game.randomness import mix, task_uniforms
from mermaide_pl.populations.base_rewards import BaseRewards, UniformRewards
from mermaide_pl.populations.batch import TaskBatch
from mermaide_pl.populations.games import GameRanges
from mermaide_pl.populations.ranges import Range, corners, draw
from mermaide_pl.populations.targets import TargetRule, UniformTarget

Split: TypeAlias = Literal["train", "val", "test", "tune"]
_MOST_WEIGHT = 1e9  # float32 adds the weights up
_SPLITS: tuple[Split, ...] = ("train", "val", "test", "tune")


Rule: TypeAlias = type[LearningRule] | RuleSource
if not TYPE_CHECKING:

    class Rule(ABC):  # noqa: B024 # abstract, so that `isinstance` works on it
        """A learning rule, given in a file by name or import path; other learners use `factory`."""

    Rule.register(type)
    Rule.register(RuleSource)


@dataclass(frozen=True)
class AgentFamily:
    """A learning rule and the hyper-parameters its agents may have.

    Args:
        rule: the learning rule, in YAML by import path, e.g. ``mermaide_pl.agents.UCB``; or a
            `RuleSource`, in YAML with its ``class_path`` and ``init_args``.
        hyper_parameters: per name one value, a list of values, an interval ``{low, high}``, or
            mostly one value, ``{value, share, otherwise}``.
        weight: relative frequency with which this family is drawn.
        factory: instead of a rule, your own learner, as `PythonAgent` takes it, in YAML by
            import path, e.g. ``my_module.MyLearner``.
        num_workers: processes for learners made by `factory`.
    """

    rule: Rule = LearningRule
    hyper_parameters: dict[str, Range] = field(default_factory=dict)
    weight: float = 1.0
    factory: InitVar[str | Callable[..., Any] | None] = None
    num_workers: InitVar[int] = 0

    def __post_init__(self, factory: str | Callable[..., Any] | None, num_workers: int) -> None:
        if (self.rule is LearningRule) == (factory is None):
            raise ValueError("a family needs either a rule or a factory")
        if factory is not None:
            object.__setattr__(self, "rule", PythonAgent(factory, num_workers))
        elif num_workers:
            raise ValueError("num_workers is allowed with a factory only")
        check_number(
            f"weight of the {self.rule.__name__} family", self.weight, above=0.0, high=_MOST_WEIGHT
        )
        allowed = _hyper_parameters(self.rule)
        for name, values in self.hyper_parameters.items():
            if allowed is not None and name not in allowed:
                raise ValueError(
                    f"{self.rule.__name__} has no hyper-parameter '{name}',"
                    f" allowed: {', '.join(allowed) or 'none'}"
                )
            if isinstance(values, list) and not values:
                raise ValueError(f"{self.rule.__name__}.{name}: the list of values is empty")
            for value in corners(values):
                check_number(f"{self.rule.__name__}.{name}", value)
        if isinstance(self.rule, RuleSource):
            return
        extremes = {name: corners(values) for name, values in self.hyper_parameters.items()}
        longest = max(map(len, extremes.values()), default=1)
        self.rule(**{k: v + v[-1:] * (longest - len(v)) for k, v in extremes.items()})

    def draw(self, uniforms: Tensor, labels: Sequence[str]) -> LearningRule:
        """The rule for m tasks.

        Args:
            uniforms: float [m, K], one column per hyper-parameter.
            labels: names of the tasks in messages.
        """
        drawn = {}
        for column, (name, values) in enumerate(sorted(self.hyper_parameters.items())):
            drawn[name] = draw(values, uniforms[:, column])
        if isinstance(self.rule, RuleSource):
            return self.rule.for_tasks(labels, drawn)
        return self.rule(**drawn)


def _hyper_parameters(rule: Rule) -> list[str] | None:
    """Names of the hyper-parameters a rule allows; None if it allows any."""
    if isinstance(rule, RuleSource):
        return rule.hyper_parameters()
    return [item.name for item in fields(rule)]


@dataclass(frozen=True)
class Population:
    """A distribution over agents.

    Args:
        families: learning rules with their hyper-parameters.
        num_arms: A, None for as many as the game has.
        base_rewards: distribution of the base rewards.
        target: rule by which the target arm is chosen.
        reward_model: distribution of an agent's reward around the base reward.
        games: distribution of the games that are played with the agents; None leaves them open.
    """

    families: list[AgentFamily]
    num_arms: int | None = None
    base_rewards: BaseRewards = UniformRewards()
    target: TargetRule = UniformTarget()
    reward_model: RewardModel = GaussianReward()
    games: GameRanges | None = None

    def __post_init__(self) -> None:
        if self.num_arms is not None:
            check_count("Population.num_arms", self.num_arms, low=2)
            if self.games is not None and self.games.num_arms is not None:
                raise ValueError("Population.num_arms and games.num_arms exclude each other")
        if not self.families:
            raise ValueError("Population.families is empty, it needs at least one family")
        num_arms = self.arms_in(Game())
        for family in self.families:
            if isinstance(family.rule, RuleSource):
                given = family.hyper_parameters.items()
                first = {name: corners(values)[0] for name, values in given}
                family.rule.check(first, num_arms)
        # draw the lowest, the highest and one random agent, so that errors appear here
        for extreme in (2.0**-25, 1.0 - 2.0**-24):
            rewards = self.base_rewards.draw(torch.full((1, num_arms), extreme))
            moved, _ = self.target.choose(rewards, torch.full((1, 2), 1.0 - 2.0**-24))
            self.reward_model.check(moved)
        self.sample(range(1), split="train")

    @property
    def spec(self) -> Any:
        """Itself as plain data, see `describe`; its number of arms left to the game."""
        return describe(replace(self, num_arms=None))

    def arms_in(self, game: Game) -> int:
        """A of the agents in a game, where the number of arms is not drawn."""
        return self.num_arms or self.base_rewards.num_arms or game.num_arms

    def in_game(self, game: Game) -> Population:
        """The same agents where one game is played with all of them.

        Args:
            game: that game.
        """
        ranges = self.games
        if ranges is None:
            return self
        kept = None if ranges.reward_noise is None else GameRanges(reward_noise=ranges.reward_noise)
        return replace(self, games=kept)

    def sample(
        self,
        indices: Sequence[int],
        *,
        split: Split,
        seed: int = 0,
        game: Game = Game(),
        meta_batch: int = 0,
    ) -> TaskBatch:
        """Draw tasks by their numbers within a split.

        Args:
            indices: numbers of the tasks within the split, 0 <= index < 2**40.
            split: train, val, test, or tune (for tuning schedules and oracles).
            seed: another seed gives another set of agents, 0 <= seed < `NUM_SEEDS`.
            game: gives what the population does not draw, the number of arms first of all.
            meta_batch: number of the meta-batch within the split, by which sizes are drawn.

        Returns:
            The tasks in the order of `indices`, on the CPU, float32.
        """
        return self.from_seeds(
            [task_seed(index, split, seed) for index in indices],
            [f"{split} task {index}" for index in indices],
            game=game,
            sizes_seed=task_seed(meta_batch, split, seed),
        )

    def from_seeds(
        self,
        seeds: Sequence[int],
        labels: Sequence[str] | None = None,
        *,
        game: Game = Game(),
        sizes_seed: int = 0,
    ) -> TaskBatch:
        """Draw tasks by their seeds, as `TaskBatch.seeds` has them.

        Args:
            seeds: 64-bit seeds.
            labels: names of the tasks in messages, by default from their seeds.
            game: gives what the population does not draw.
            sizes_seed: 64-bit seed of the sizes of their games, `TaskBatch.sizes_seed`.

        Returns:
            The tasks in the order of `seeds`, on the CPU, float32.
        """
        labels = labels or [f"the task of seed {seed}" for seed in seeds]
        games, reward_model = None, self.reward_model
        if self.games is not None:
            game = self.games.sizes(sizes_seed, game)
            games, scale = self.games.numbers(seeds, game)
            if scale is not None:
                reward_model = reward_model.with_scale(scale)
        num_arms = self.arms_in(game)
        num_hyper = max(len(family.hyper_parameters) for family in self.families)
        uniforms = task_uniforms(seeds, "task", (3 + num_hyper + num_arms,))
        which, target, hyper, rewards = torch.split(uniforms, [1, 2, num_hyper, num_arms], dim=1)
        base_rewards, target_arm = self.target.choose(self.base_rewards.draw(rewards), target)
        self.reward_model.check(base_rewards)
        weights = torch.tensor([family.weight for family in self.families])
        thresholds = (weights.cumsum(0) / weights.sum())[:-1]
        chosen = torch.searchsorted(thresholds, which.squeeze(1).contiguous(), right=True)
        families = []
        for number, family in enumerate(self.families):
            rows = (chosen == number).nonzero().squeeze(1)
            if len(rows):
                named = [labels[row] for row in rows.tolist()]
                families.append(Family(family.draw(hyper[rows], named), rows))
        return TaskBatch(
            seeds,
            families,
            base_rewards,
            target_arm,
            reward_model,
            games=games,
            sizes_seed=sizes_seed,
        )


def task_seed(index: int, split: Split, seed: int = 0) -> int:
    """The 64-bit seed of a task, unique for each (seed, split, index).

    The three are packed into 22 + 2 + 40 bits and scrambled one to one.

    Raises:
        ValueError: if `seed` or `index` does not fit.
    """
    if split not in _SPLITS:
        raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")
    check_seed("seed", seed)
    check_number("task index", index, low=0, high=2**40 - 1)
    return mix(seed << 42 | _SPLITS.index(split) << 40 | index)
