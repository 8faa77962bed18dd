"""The interface of a learning rule, and the parts that several rules share.

A rule is written once for all tasks and episodes: every tensor carries the axes [M, B] in front
(see `mermaide_pl.game.trajectory`). Randomness comes in from outside, as uniform numbers drawn from
each task's own generator; a rule declares how many it needs per step (`num_uniforms`) and derives
all its draws from them, so an agent behaves the same in whatever batch it appears.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number

HyperParameter: TypeAlias = Any
"""Given as one number or one per task [M]; held by the rule as a tensor [M, 1, 1]."""


def hyper_parameter(
    default: float, *, low: float = -math.inf, high: float = math.inf, above: float = -math.inf
) -> Any:
    """A dataclass field for a hyper-parameter with its allowed range."""
    return field(default=default, metadata={"low": low, "high": high, "above": above})


@dataclass
class LearningRule(ABC):
    """One learning rule with its hyper-parameters, for M tasks at once.

    Subclasses are dataclasses whose fields are made by `hyper_parameter`. `state` is whatever
    `init` returns; `update` may reuse its tensors.
    """

    sees_bonus: ClassVar[bool] = False
    """True if the agent sees the bonus on offer before it picks its arm."""
    best_responds: ClassVar[bool] = False
    """True if the agent knows its base rewards and the bonus, and picks what pays most."""
    is_tensors: ClassVar[bool] = True
    """True if the rule uses tensor operations alone, which can be captured and replayed."""

    response_parameters: ClassVar[tuple[str, ...]] = ()
    """Hyper-parameters that `choice_probabilities` alone reads."""

    def __post_init__(self) -> None:
        for item in fields(self):
            value = torch.as_tensor(getattr(self, item.name), dtype=torch.float64).reshape(-1, 1, 1)
            for number in value.flatten().tolist():
                check_number(f"{type(self).__name__}.{item.name}", number, **item.metadata)
            setattr(self, item.name, value)

    def to(self, base_rewards: Tensor) -> Self:
        """Copy the rule, its hyper-parameters on the device and in the dtype of `base_rewards`."""
        moved = copy.copy(self)
        for item in fields(self):
            setattr(moved, item.name, getattr(self, item.name).to(base_rewards))
        return moved

    def num_uniforms(self, num_arms: int) -> int:
        """Number of uniform numbers that `act` and `update` read per step; default: one per arm."""
        return num_arms

    @abstractmethod
    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> Any:
        """The state before the first step.

        Args:
            base_rewards: float [M, A]; only rules that know their rewards may read the values.
            target_arm: int64 [M]; only rules that see the bonus may read the values.
            num_episodes: B.
        """

    @abstractmethod
    def act(self, state: Any, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """Pick an arm; must not change the state.

        Args:
            state: from `init` or `update`.
            bonus: bonus on the target arm in this step, float [M, B]; zero unless `sees_bonus`.
            uniforms: numbers in (0, 1), float [M, B, num_uniforms].

        Returns:
            Arms, int64 [M, B].
        """

    @abstractmethod
    def update(self, state: Any, arms: Tensor, rewards: Tensor, uniforms: Tensor) -> Any:
        """Learn from one pull and return the new state.

        Args:
            state: from `init` or `update`; its tensors may be changed in place.
            arms: int64 [M, B].
            rewards: reward received, bonus included, float [M, B].
            uniforms: the same numbers that `act` saw in this step.
        """

    def decision_variables(self, state: Any) -> tuple[Tensor, ...]:
        """All that `choice_probabilities` depends on, other than `response_parameters`.

        Args:
            state: from `init` or `update`; it stays the same.

        Returns:
            Tensors that no later `update` changes, float or bool [M, B, ...] each.

        Raises:
            ValueError: if the rule has no choice probabilities in closed form.
        """
        raise ValueError(f"{type(self).__name__} has no choice probabilities in closed form")

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Probabilities with which `act` picks each arm, float [M, B, A].

        Args:
            variables: `decision_variables` of any steps, which may lie along the axis B.

        Raises:
            ValueError: if the rule has none in closed form.
        """
        raise ValueError(f"{type(self).__name__} has no choice probabilities in closed form")


@dataclass
class PullTally:
    """Pulls and reward sums per arm: the whole memory of mean-tracking rules."""

    counts: Tensor  # [M, B, A] float, pulls
    sums: Tensor  # [M, B, A] float, sum of rewards
    step: int = 1  # the coming step, counted from 1

    @classmethod
    def empty(cls, base_rewards: Tensor, num_episodes: int) -> PullTally:
        """No pulls yet."""
        counts = base_rewards.new_zeros(base_rewards.shape[0], num_episodes, base_rewards.shape[1])
        return cls(counts, torch.zeros_like(counts))

    def add(self, arms: Tensor, rewards: Tensor) -> PullTally:
        """Count one pull, in place."""
        index = arms.unsqueeze(-1)
        self.counts.scatter_add_(-1, index, torch.ones_like(rewards).unsqueeze(-1))
        self.sums.scatter_add_(-1, index, rewards.unsqueeze(-1))
        return PullTally(self.counts, self.sums, self.step + 1)

    def means(self) -> Tensor:
        """Mean reward of each arm, zero where it was never pulled, float [M, B, A]."""
        return self.sums / self.counts.clamp(min=1.0)


class MeanTrackingRule(LearningRule):
    """A rule whose whole state is a `PullTally`."""

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> PullTally:
        """An empty tally."""
        return PullTally.empty(base_rewards, num_episodes)

    def update(
        self, state: PullTally, arms: Tensor, rewards: Tensor, uniforms: Tensor
    ) -> PullTally:
        """Count the pull."""
        return state.add(arms, rewards)


def random_argmax(values: Tensor, uniforms: Tensor) -> Tensor:
    """Index of the largest value along the last axis, ties broken uniformly at random.

    Args:
        values: float [..., A].
        uniforms: numbers in (0, 1), float [..., A].
    """
    is_best = values == values.amax(-1, keepdim=True)
    return torch.where(is_best, uniforms, -1.0).argmax(-1)


def even_chances(chosen: Tensor) -> Tensor:
    """Equal chances of all that is chosen, zeros if nothing is.

    Args:
        chosen: zeros and ones, float [..., A].

    Returns:
        float [..., A].
    """
    return chosen / chosen.sum(-1, keepdim=True).clamp(min=1.0)


def chances_of_best(values: Tensor) -> Tensor:
    """Chances of each arm by `random_argmax`, float [..., A]."""
    is_best = values == values.amax(-1, keepdim=True)
    return even_chances(is_best.to(values))
