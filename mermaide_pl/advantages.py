"""How much better than expected the levels played turned out: a slot of the objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from mermaide_pl.checks import check_number, check_probability
from mermaide_pl.objectives import (
    advantage_noise_scale,
    generalised_advantages,
    normalise_per_task,
    rewards_to_go,
)


class Advantages(ABC):
    """Slot for the estimator of the advantages in the policy gradient."""

    @abstractmethod
    def __call__(self, rewards: Tensor, values: Tensor) -> Tensor:
        """Advantages of the levels played, without gradient.

        Args:
            rewards: float [M, B, T].
            values: the critic's, as a share of T, float [M, B, T].

        Returns:
            float [M, B, T].
        """


@dataclass(frozen=True)
class GeneralisedAdvantages(Advantages):
    """Generalised advantages on one scale for all tasks and all times.

    `generalised_advantages`, minus the mean over the task's other episodes at the same step (what
    the critic cannot know of this agent), each measured by its own noise (`advantage_noise_scale`),
    then divided by `unit`, or normalised for each task (`normalise_per_task`).

    Args:
        gae_lambda: 0 (one step) to 1 (all later rewards).
        unit: reward units, the same for all tasks, so that an agent counts by how much is at stake
            with it; None counts all agents alike, those too that nothing can be done about.
    """

    gae_lambda: float = 0.995
    unit: float | None = None

    def __post_init__(self) -> None:
        check_probability("GeneralisedAdvantages.gae_lambda", self.gae_lambda)
        if self.unit is not None:
            check_number("GeneralisedAdvantages.unit", self.unit, above=0.0)

    def __call__(self, rewards: Tensor, values: Tensor) -> Tensor:
        """See the base class."""
        raw = generalised_advantages(rewards, values.detach() * rewards.shape[-1], self.gae_lambda)
        scale = advantage_noise_scale(raw, self.gae_lambda)
        centred = _less_the_mean(raw) / scale
        return normalise_per_task(centred) if self.unit is None else centred / self.unit


@dataclass(frozen=True)
class CentredRewardsToGo(Advantages):
    """Rewards to go, minus their mean over the task's episodes at the same step; no critic."""

    def __call__(self, rewards: Tensor, values: Tensor) -> Tensor:
        """See the base class."""
        return _less_the_mean(rewards_to_go(rewards))


def _less_the_mean(raw: Tensor) -> Tensor:
    """Minus the mean over the task's episodes, if there are several; [M, B, T]."""
    return raw - raw.mean(1, keepdim=True) if raw.shape[1] > 1 else raw
