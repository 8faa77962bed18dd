"""Which agents exist: families x hyper-parameters x base rewards x target rule, in disjoint splits.

A `Population` is a distribution over tasks. Task number `index` of a split is always the same
agent, whichever batch it is drawn into, and no agent is in two splits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from mermaide_pl.agents import AgentGroup, Family, GaussianReward, LearningRule, RewardModel
from mermaide_pl.checks import check_number
from mermaide_pl.randomness import mix, task_uniforms

Split: TypeAlias = Literal["train", "val", "test", "tune"]
_SPLITS: tuple[Split, ...] = ("train", "val", "test", "tune")


@dataclass(frozen=True)
class Interval:
    """Values drawn uniformly from [low, high]."""

    low: float
    high: float

    def __post_init__(self) -> None:
        check_number("Interval.low", self.low)
        check_number("Interval.high", self.high, low=self.low)


HyperParameterRange: TypeAlias = float | list[float] | Interval
"""One value, a list to choose from uniformly, or an interval to draw from uniformly."""


@dataclass(frozen=True)
class AgentFamily:
    """A learning rule and the hyper-parameters its agents may have.

    Args:
        rule: the learning rule, in YAML by import path, e.g. ``mermaide_pl.agents.UCB``.
        hyper_parameters: per name one value, a list of values, or an interval ``{low, high}``.
        weight: how often this family is drawn, relative to the others.
    """

    rule: type[LearningRule]
    hyper_parameters: dict[str, HyperParameterRange] = field(default_factory=dict)
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_number(f"weight of the {self.rule.__name__} family", self.weight, above=0.0)
        allowed = [item.name for item in fields(self.rule)]
        for name, values in self.hyper_parameters.items():
            if name not in allowed:
                raise ValueError(
                    f"{self.rule.__name__} has no hyper-parameter '{name}',"
                    f" allowed: {', '.join(allowed) or 'none'}"
                )
            if isinstance(values, list) and not values:
                raise ValueError(f"{self.rule.__name__}.{name}: the list of values is empty")
        corners = {name: _corners(values) for name, values in self.hyper_parameters.items()}
        longest = max(map(len, corners.values()), default=1)
        self.rule(**{k: v + v[-1:] * (longest - len(v)) for k, v in corners.items()})

    def draw(self, uniforms: Tensor) -> LearningRule:
        """The rule for m tasks; `uniforms` [m, K] with one column per hyper-parameter."""
        drawn = {}
        for column, (name, values) in enumerate(sorted(self.hyper_parameters.items())):
            uniform = uniforms[:, column].double()
            if isinstance(values, Interval):
                drawn[name] = values.low + (values.high - values.low) * uniform
            else:
                choices = torch.tensor(values, dtype=torch.float64).reshape(-1)
                drawn[name] = choices[(uniform * len(choices)).long()]
        return self.rule(**drawn)


def _corners(values: HyperParameterRange) -> list[float]:
    if isinstance(values, Interval):
        return [values.low, values.high]
    return values if isinstance(values, list) else [values]


class BaseRewards(ABC):
    """Distribution of the base rewards of one agent."""

    @abstractmethod
    def draw(self, uniforms: Tensor) -> Tensor:
        """Base rewards in reward units, float [M, A], from uniform numbers [M, A]."""


@dataclass(frozen=True)
class UniformRewards(BaseRewards):
    """Independent and uniform on [low, high]."""

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_number("UniformRewards.low", self.low)
        check_number("UniformRewards.high", self.high, above=self.low)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Stretch the uniform numbers."""
        return self.low + (self.high - self.low) * uniforms


@dataclass(frozen=True)
class NormalRewards(BaseRewards):
    """Independent normal with `mean` and `scale`, truncated to [low, high]."""

    mean: float = 0.5
    scale: float = 0.2
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_number("NormalRewards.mean", self.mean)
        check_number("NormalRewards.scale", self.scale, above=0.0)
        check_number("NormalRewards.low", self.low)
        check_number("NormalRewards.high", self.high, above=self.low)

    def draw(self, uniforms: Tensor) -> Tensor:
        """Invert the truncated normal distribution function."""
        bounds = (torch.tensor([self.low, self.high]) - self.mean) / self.scale
        below_low, below_high = torch.special.ndtr(bounds.double())
        quantile = torch.special.ndtri(below_low + (below_high - below_low) * uniforms.double())
        return (self.mean + self.scale * quantile).to(uniforms).clamp(self.low, self.high)


@dataclass(frozen=True)
class FixedRewards(BaseRewards):
    """The same base rewards for every agent."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(float(value) for value in self.values))
        for value in self.values:
            check_number("FixedRewards.values", value)

    def draw(self, uniforms: Tensor) -> Tensor:
        """The values, for every task."""
        if len(self.values) != uniforms.shape[1]:
            raise ValueError(
                f"FixedRewards.values has {len(self.values)} values for {uniforms.shape[1]} arms"
            )
        return torch.tensor(self.values).to(uniforms).expand_as(uniforms).clone()


class TargetRule(ABC):
    """How the principal's preferred arm is chosen."""

    @abstractmethod
    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the target arm of each task.

        Args:
            base_rewards: float [M, A].
            uniforms: uniform numbers [M, 2].

        Returns:
            Base rewards [M, A] (a rule may move the target's) and target arms, int64 [M].
        """


@dataclass(frozen=True)
class UniformTarget(TargetRule):
    """Uniform among the arms that are not the agent's best."""

    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Draw a rank from second best to worst."""
        num_arms = base_rewards.shape[1]
        rank = 1 + (uniforms[:, :1] * (num_arms - 1)).long()
        order = base_rewards.argsort(dim=1, descending=True)
        return base_rewards, order.gather(1, rank).squeeze(1)


@dataclass(frozen=True)
class SecondBestTarget(TargetRule):
    """The agent's second best arm."""

    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Take rank two."""
        return base_rewards, base_rewards.argsort(dim=1, descending=True)[:, 1]


@dataclass(frozen=True)
class GapTarget(TargetRule):
    """A uniformly chosen non-best arm whose base reward is moved to a drawn distance from the best.

    The distance ``delta = max_a r_a - r_{a*}`` is uniform on [low, high], in reward units.
    """

    low: float = 0.1
    high: float = 0.5

    def __post_init__(self) -> None:
        check_number("GapTarget.low", self.low, low=0.0)
        check_number("GapTarget.high", self.high, low=self.low)

    def choose(self, base_rewards: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the arm, then set its reward to ``max - delta``."""
        base_rewards, target = UniformTarget().choose(base_rewards, uniforms)
        delta = self.low + (self.high - self.low) * uniforms[:, 1:]
        moved = base_rewards.amax(1, keepdim=True) - delta
        return base_rewards.scatter(1, target.unsqueeze(1), moved), target


class TaskBatch:
    """M tasks: agents with their base rewards and the principal's target.

    Args:
        seeds: one 64-bit seed per task, the source of all its randomness.
        families: learning rules with the rows they cover.
        base_rewards: float [M, A], reward units.
        target_arm: int64 [M], agent labels.
        reward_model: distribution of the agents' own rewards.
    """

    # A plain class: Lightning takes dataclasses apart and cannot rebuild frozen ones.
    def __init__(
        self,
        seeds: Sequence[int],
        families: Sequence[Family],
        base_rewards: Tensor,
        target_arm: Tensor,
        reward_model: RewardModel,
    ) -> None:
        self.seeds = list(seeds)
        self.families = list(families)
        self.base_rewards = base_rewards
        self.target_arm = target_arm
        self.reward_model = reward_model

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def delta(self) -> Tensor:
        """How much each agent dislikes its target, ``max_a r_a - r_{a*}``, float [M]."""
        target_reward = self.base_rewards.gather(1, self.target_arm.unsqueeze(1)).squeeze(1)
        return self.base_rewards.amax(1) - target_reward

    @property
    def sees_bonus(self) -> Tensor:
        """Which agents see the bonus before they act, bool [M]."""
        sees = torch.zeros(len(self), dtype=torch.bool, device=self.base_rewards.device)
        for family in self.families:
            sees[family.rows] = family.rule.sees_bonus
        return sees

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> TaskBatch:
        """The same tasks on another device, or with another floating-point type."""
        return TaskBatch(
            self.seeds,
            [Family(family.rule, family.rows.to(device)) for family in self.families],
            self.base_rewards.to(device=device, dtype=dtype),
            self.target_arm.to(device),
            self.reward_model,
        )

    def agents(self, *, stream: str, num_episodes: int, num_steps: int) -> AgentGroup:
        """The agents, fresh, ready to play."""
        return AgentGroup(
            self.families,
            self.base_rewards,
            self.target_arm,
            self.reward_model,
            self.seeds,
            stream=stream,
            num_episodes=num_episodes,
            num_steps=num_steps,
        )


@dataclass(frozen=True)
class Population:
    """A distribution over agents.

    Args:
        families: learning rules with their hyper-parameters.
        num_arms: A.
        base_rewards: distribution of the base rewards.
        target: how the target arm is chosen.
        reward_model: distribution of an agent's reward around the base reward.
    """

    families: list[AgentFamily]
    num_arms: int = 10
    base_rewards: BaseRewards = UniformRewards()
    target: TargetRule = UniformTarget()
    reward_model: RewardModel = GaussianReward()

    def __post_init__(self) -> None:
        check_number("Population.num_arms", self.num_arms, low=2)
        if not self.families:
            raise ValueError("Population.families is empty, it needs at least one family")
        # the lowest, the highest, and one drawn agent: whatever can go wrong does so here
        for extreme in (2.0**-25, 1.0 - 2.0**-24):
            rewards = self.base_rewards.draw(torch.full((1, self.num_arms), extreme))
            moved, _ = self.target.choose(rewards, torch.full((1, 2), 1.0 - 2.0**-24))
            self.reward_model.check(moved)
        self.sample(range(1), split="train")

    def sample(self, indices: Sequence[int], *, split: Split, seed: int = 0) -> TaskBatch:
        """Draw tasks by number.

        Args:
            indices: numbers of the tasks within the split, 0 <= index < 2**40.
            split: train, val, test, or tune (for tuning schedules and oracles).
            seed: another seed gives another set of agents, 0 <= seed < 2**22.

        Returns:
            The tasks in the order of `indices`, on the CPU, float32.
        """
        seeds = [task_seed(index, split, seed) for index in indices]
        num_hyper = max(len(family.hyper_parameters) for family in self.families)
        uniforms = task_uniforms(seeds, "task", (3 + num_hyper + self.num_arms,))
        which, target, hyper, rewards = torch.split(
            uniforms, [1, 2, num_hyper, self.num_arms], dim=1
        )
        base_rewards, target_arm = self.target.choose(self.base_rewards.draw(rewards), target)
        self.reward_model.check(base_rewards)
        weights = torch.tensor([family.weight for family in self.families])
        thresholds = (weights.cumsum(0) / weights.sum())[:-1]
        chosen = torch.searchsorted(thresholds, which.squeeze(1).contiguous(), right=True)
        families = []
        for number, family in enumerate(self.families):
            rows = (chosen == number).nonzero().squeeze(1)
            if len(rows):
                families.append(Family(family.draw(hyper[rows]), rows))
        return TaskBatch(seeds, families, base_rewards, target_arm, self.reward_model)


def task_seed(index: int, split: Split, seed: int = 0) -> int:
    """The 64-bit seed of a task; different (seed, split, index) never share one.

    The three are packed into 22 + 2 + 40 bits and scrambled one to one.

    Raises:
        ValueError: if `seed` or `index` does not fit.
    """
    if split not in _SPLITS:
        raise ValueError(f"split must be one of {', '.join(_SPLITS)}, got {split!r}")
    check_number("seed", seed, low=0, high=2**22 - 1)
    check_number("task index", index, low=0, high=2**40 - 1)
    return mix(seed << 42 | _SPLITS.index(split) << 40 | index)
