"""Probabilities of recorded choices under a learning rule, each given the choices before it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from mermaide_pl.agents import LearningRule
from mermaide_pl.experiments.learners.choices import Choices
from mermaide_pl.experiments.learners.fitted_rules import FittedRule

_MOST_NUMBERS = 2**22  # of a tensor of probabilities, computed at a time


class Likelihood:
    r"""Likelihood of recorded choices under a rule, for any values of its hyper-parameters.

    ``log p(choices) = sum_t log p(a_t | a_1, r_1, ..., a_{t-1}, r_{t-1})``. Of `unknown` values
    each agent has one for all its choices: ``p(a_t | past) = sum_k w_k p_k(a_t | past)``, weight
    ``w_k`` proportional to the likelihood of the choices before, so that the product over ``t`` is
    the mean likelihood over ``k``. Every episode begins with the memory of its first step.

    Args:
        fitted: the rule.
        choices: of M agents, in N = B T places.
        scale: lowest and highest reward, by which hyper-parameters in reward units are bounded; by
            default of these choices.
    """

    def __init__(
        self, fitted: FittedRule, choices: Choices, scale: tuple[float, float] | None = None
    ) -> None:
        self.fitted, self.choices = fitted, choices
        self.names = tuple(fitted.free)
        rewards = choices.rewards[choices.recorded]
        self.scale = scale or (rewards.min().item(), rewards.max().item())
        low, high = self.scale
        self._unit = high - low or 1.0
        fixed = dict(fitted.fixed)
        if fitted.middle is not None:
            fixed[fitted.middle] = (low + high) / 2.0
        self._combinations = [
            dict(zip(fitted.unknown, each, strict=True))
            for each in product(*fitted.unknown.values())
        ]
        self._rules = [fitted.rule(**fixed, **each) for each in self._combinations]
        self._arms = choices.arms.flatten(1)
        self._recorded = choices.recorded.flatten(1)
        # what only choice depends on leaves the memory as it is
        chooses_only = set(fitted.free) <= set(fitted.rule.response_parameters)
        self._variables = (
            [self._recall(rule, choices.arms, choices.rewards) for rule in self._rules]
            if chooses_only
            else None
        )

    @property
    def num_parameters(self) -> int:
        """P, free hyper-parameters."""
        return len(self.names)

    def values(self, places: Tensor) -> Tensor:
        """Hyper-parameters at places between their bounds, 0 to 1; float [..., P] each."""
        bounds = self.fitted.free.values()
        each = [bound.value(places[..., p], self._unit) for p, bound in enumerate(bounds)]
        return torch.stack(each, dim=-1)

    def probabilities(self, values: Tensor, agents: Tensor | None = None) -> Tensor:
        """Probabilities of all arms.

        Args:
            values: hyper-parameters, float64 [R, P].
            agents: whose choices, int64 [R]; all M in turn if it is None.

        Returns:
            float64 [R, N, A].
        """
        owners = torch.arange(len(self.choices)) if agents is None else agents
        parts = self._parts(values, owners)
        return torch.cat([self._mixed(*part) for part in parts])

    def logs(self, values: Tensor, agents: Tensor | None = None) -> Tensor:
        """Log-probabilities of the arms chosen, 0 where nothing was recorded; float64 [R, N]."""
        owners = torch.arange(len(self.choices)) if agents is None else agents
        parts = [
            self._logs(self._mixed(each, whose), whose)
            for each, whose in self._parts(values, owners)
        ]
        return torch.cat(parts)

    def unknown(self, values: Tensor) -> dict[str, Tensor]:
        """The most probable `unknown` values of each agent.

        Args:
            values: hyper-parameters, float64 [M, P].

        Returns:
            By name, float64 [M] each.
        """
        owners = torch.arange(len(self.choices))
        sums = [
            self._logs(self._of_one(number, values, owners), owners).sum(1)
            for number in range(len(self._rules))
        ]
        best = torch.stack(sums).argmax(0)
        return {
            name: values.new_tensor([each[name] for each in self._combinations])[best]
            for name in self.fitted.unknown
        }

    def rule_of(self, values: Tensor) -> LearningRule:
        """The rule with hyper-parameters of each agent, float64 [M, P], and `unknown` values."""
        given = dict(zip(self.names, values.unbind(1), strict=True))
        return _with_values(self._rules[0], given | self.unknown(values))

    def _parts(self, values: Tensor, owners: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        rows = self._arms.shape[1] * self.choices.num_arms
        size = max(1, _MOST_NUMBERS // rows)
        return zip(torch.split(values, size), torch.split(owners, size), strict=True)

    def _mixed(self, values: Tensor, owners: Tensor) -> Tensor:
        each = [self._of_one(number, values, owners) for number in range(len(self._rules))]
        if len(each) == 1:
            return each[0]
        logs = torch.stack([self._logs(chances, owners) for chances in each])
        weights = F.pad(logs, (1, -1)).cumsum(2).softmax(0).unsqueeze(-1)
        return (weights * torch.stack(each)).sum(0)

    def _logs(self, chances: Tensor, owners: Tensor) -> Tensor:
        chosen = chances.gather(2, self._arms[owners].unsqueeze(2)).squeeze(2)
        tiny = torch.finfo(chosen.dtype).tiny
        return chosen.clamp(min=tiny).log().where(self._recorded[owners], 0.0)

    def _of_one(self, number: int, values: Tensor, owners: Tensor) -> Tensor:
        """Probabilities under one combination of `unknown` values, float64 [R, N, A]."""
        given = dict(zip(self.names, values.unbind(1), strict=True))
        rule = _with_values(self._rules[number], given)
        if self._variables is not None:
            variables = tuple(each[owners] for each in self._variables[number])
        else:
            variables = self._recall(rule, self.choices.arms[owners], self.choices.rewards[owners])
        return rule.choice_probabilities(*variables)

    def _recall(self, rule: LearningRule, arms: Tensor, rewards: Tensor) -> tuple[Tensor, ...]:
        """Decision variables of all steps, [R, N, ...] each."""
        like = rewards.new_zeros(len(arms), self.choices.num_arms)
        state = rule.init(like, arms.new_zeros(len(arms)), arms.shape[1])
        steps, none = [], rewards.new_empty(0)
        for arm, reward in zip(arms.unbind(2), rewards.unbind(2), strict=True):
            steps.append(rule.decision_variables(state))
            state = rule.update(state, arm, reward, none)
        return tuple(torch.stack(each, 2).flatten(1, 2) for each in zip(*steps, strict=True))


def _with_values(rule: LearningRule, values: Mapping[str, Tensor]) -> LearningRule:
    """A copy of a rule with hyper-parameters of its own for each of R agents, float [R]."""
    changed = copy.copy(rule)
    for name, each in values.items():
        setattr(changed, name, each.view(-1, 1, 1))
    return changed
