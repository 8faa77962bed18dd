"""Estimators of the advantages of the levels played: a slot of the objective."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number, check_probability
from mermaide_pl.objectives.returns import (
    advantage_noise_scale,
    generalised_advantages,
    normalise_per_task,
    rewards_to_go,
)


@dataclass(frozen=True)
class Outcome:
    """Pulls, costs and values of the levels played, without gradient."""

    pulls: Tensor  # [M, B, T] float, 1 where the target arm was pulled, else 0
    costs: Tensor  # [M, B, T] float, of the levels played
    mean_costs: Tensor  # [M, B, T] float, of the policy, before its level was drawn
    values: Tensor  # [M, B, T] float, the critic's, per step of T, in the unit of the rewards
    may_see_bonus: (
        Tensor  # [M] bool, False only where the arm cannot depend on the step's own level
    )
    reward_unit: float | Tensor = 1.0  # [M, 1, 1] float, the largest absolute reward of a step
    counts_unpulled: bool = False  # True if the level matters too where the target was not pulled

    @property
    def rewards(self) -> Tensor:
        """Principal's rewards in their unit, float [M, B, T]."""
        return (self.pulls - self.costs) / self.reward_unit


class Advantages(ABC):
    """Slot for the estimator of the advantages in the policy gradient."""

    @abstractmethod
    def __call__(self, outcome: Outcome) -> Tensor:
        """Advantages of the levels played, without gradient, float [M, B, T]."""


@dataclass(frozen=True)
class GeneralisedAdvantages(Advantages):
    """Generalised advantages on one scale for all tasks and all times.

    `generalised_advantages`, minus the mean over the task's other episodes at the same step (what
    the critic cannot know of this agent), each measured by its own noise (`advantage_noise_scale`),
    then normalised for each task (`normalise_per_task`).

    Args:
        gae_lambda: 0 (one step) to 1 (all later rewards).
    """

    gae_lambda: float = 0.995

    def __post_init__(self) -> None:
        check_probability("GeneralisedAdvantages.gae_lambda", self.gae_lambda)

    def __call__(self, outcome: Outcome) -> Tensor:
        """See the base class."""
        raw = _generalised(outcome, self.gae_lambda)
        scale = advantage_noise_scale(raw, self.gae_lambda)
        return normalise_per_task(_less_the_mean(raw) / scale)


@dataclass(frozen=True)
class HindsightAdvantages(Advantages):
    r"""Advantages that condition on the arm pulled, for agents that cannot see the bonus.

    The arm of such an agent does not depend on the level of the same step, so a baseline may depend
    on the arm without bias. Where the target was not pulled the agent received no bonus and
    learned nothing from it: the advantage is taken to be the cost alone, without noise, though the
    principal remembers the level and may choose later ones by it. Where it was pulled, the
    generalised advantage is compared with those of the task's other episodes that pulled it at the
    same step. Where the level counts though the target was not pulled, since the others are paid
    too or a budget must be spent, the other episodes that did not pull it are the baseline there.

    An agent that may see the bonus pulls the target *because of* the level, so its arm says nothing
    about what the level was worth. There the generalised advantage is compared with those of all
    other episodes. Which agents may see the bonus is known in training, where the agents are ours.
    The inner loop plays with unknown agents, and treats none of them as blind.

    Equation:
        A_t = mean_costs_t - costs_t                          if blind and not pulled,
        A_t = GAE_t - mean of the other episodes' GAE_t       else, or if that counts,

    the other episodes being those that pulled the target, if the agent is blind. Both are divided
    by the noise ``sigma_t`` of `advantage_noise_scale` and by `unit`. The division by ``sigma_t``
    weighs late steps more than the gradient of the return does. Where an intervention costs more
    than a pull is worth, rewards are measured by that cost: dear games do not drown the others.

    Source: this project's; baselines that depend on what does not depend on the action are those of
    Mesnard et al., "Counterfactual credit assignment in model-free reinforcement learning", ICML
    2021.

    Args:
        gae_lambda: 0 (one step) to 1 (all later rewards); high, since an intervention pays off over
            all the steps that follow.
        unit: rewards that count as one. The same for all tasks: an agent counts by how much is at
            stake with it.
    """

    gae_lambda: float = 0.995
    unit: float = 0.4

    def __post_init__(self) -> None:
        check_probability("HindsightAdvantages.gae_lambda", self.gae_lambda)
        check_number("HindsightAdvantages.unit", self.unit, above=0.0)

    def __call__(self, outcome: Outcome) -> Tensor:
        """See the base class."""
        given, pulls = _generalised(outcome, self.gae_lambda), outcome.pulls
        compared = torch.where(outcome.may_see_bonus[:, None, None], 1.0, pulls)
        raw = _less_the_others(given, compared)
        if outcome.counts_unpulled:
            known = _less_the_others(given, 1.0 - compared)
            raw = torch.where(compared > 0, raw, known)
        else:
            known = (outcome.mean_costs - outcome.costs) / outcome.reward_unit
        scale = self.unit * advantage_noise_scale(raw, self.gae_lambda)
        return torch.where(compared > 0, raw, known) / scale


@dataclass(frozen=True)
class CentredRewardsToGo(Advantages):
    """Rewards to go, minus their mean over the task's episodes at the same step; no critic."""

    def __call__(self, outcome: Outcome) -> Tensor:
        """See the base class."""
        return _less_the_mean(rewards_to_go(outcome.rewards))


def _generalised(outcome: Outcome, gae_lambda: float) -> Tensor:
    values = outcome.values * outcome.values.shape[-1]
    return generalised_advantages(outcome.rewards, values, gae_lambda)


def _less_the_others(raw: Tensor, compared: Tensor) -> Tensor:
    """Minus the mean over the task's other episodes with 1 in `compared`; both [M, B, T]."""
    if raw.shape[1] == 1:
        return raw
    others = (compared.sum(1, keepdim=True) - compared).clamp(min=1.0)
    return raw - ((raw * compared).sum(1, keepdim=True) - raw * compared) / others


def _less_the_mean(raw: Tensor) -> Tensor:
    """Minus the mean over the task's episodes, if there are several; [M, B, T]."""
    return raw - raw.mean(1, keepdim=True) if raw.shape[1] > 1 else raw
