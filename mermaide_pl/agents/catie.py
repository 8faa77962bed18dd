"""CATIE: contingent average, trend, inertia and exploration, a model of human choice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mermaide_pl.agents.base import (
    HyperParameter,
    LearningRule,
    even_chances,
    hyper_parameter,
    random_argmax,
)

MAX_ARMS = 16
"""Most arms of a game that CATIE plays: its memory grows with their third power."""
_MAX_CONTEXT = 2


@dataclass
class CATIEState:
    """The memory of CATIE; a context is the latest `context` pairs of a choice and an outcome."""

    pulls: Tensor  # [M, B, A] float
    means: Tensor  # [M, B, A] float, mean reward, 0 before the first
    squares: Tensor  # [M, B, A] float, sum of squared deviations from the mean
    context_pulls: Tensor  # [M, B, A, C] float, pulls after each of C = (2A)^2 contexts
    context_sums: Tensor  # [M, B, A, C] float, their rewards
    arms: Tensor  # [M, B, 2] int64, the latest arm and the one before, 0 if there is none
    rewards: Tensor  # [M, B, 2] float, their rewards
    surprise: Tensor  # [M, B, 1] float, of the latest reward
    surprise_sum: Tensor  # [M, B, 1] float, of all rewards
    step: int = 1  # the coming step, counted from 1


@dataclass
class CATIE(LearningRule):
    r"""Contingent average, trend, inertia and exploration.

    Step 1 is a random arm, with `tries_first` every arm once first in random order. Then, in turn:

        trend        if the latest two arms agree and their rewards differ, with probability `tau`
                     the same arm if the reward rose, else another one at random,
        exploration  with probability ``epsilon (1 + S + mean S) / 3`` an arm at random,
        inertia      with probability `phi` the same arm,
        contingent   the arm of the largest contingent average, ties broken at random: the mean of
        average      its rewards after the latest `context` pairs (arm, whether the reward was above
                     `threshold`). Where the arm was not pulled after these, the mean after others
                     at random, each after which it was; if there are none, its mean.

    The surprise of a reward ``r`` is ``S = |E - r| / (s + |E - r|)``: ``s`` the standard deviation
    of the arm's rewards up to ``r``, ``E`` its expected contingent average before; 0 if ``s`` is 0.
    ``mean S`` is over all steps.

    Source: Plonsky, Erev, "Learning in settings with partial feedback and the wavy recency effect
    of rare events", Cognitive Psychology 93 (2017), with the parameters and random contexts of Dan,
    Plonsky, Loewenstein, "Behavior engineering using quantitative reinforcement learning models",
    Nature Communications 16:4109 (2025). Both have two arms and binary rewards; any number of arms
    up to 16, and `threshold`, are this project's. Where their simulation draws the context that
    stands for an unknown one, ``E`` is here the mean over it, as in their forecasts.

    Args:
        tau: probability of following a trend, 0 to 1.
        epsilon: probability of exploring at the largest surprise, 0 to 1.
        phi: probability of inertia, 0 to 1.
        context: k, pairs of a context, 0, 1 or 2.
        threshold: reward above which an outcome counts as a gain, reward units.
        tries_first: 1 to pull every arm once first, in random order, else 0.
    """

    response_parameters: ClassVar[tuple[str, ...]] = ("tau", "epsilon", "phi")

    tau: HyperParameter = hyper_parameter(0.29, low=0.0, high=1.0)
    epsilon: HyperParameter = hyper_parameter(0.3, low=0.0, high=1.0)
    phi: HyperParameter = hyper_parameter(0.71, low=0.0, high=1.0)
    context: HyperParameter = hyper_parameter(2.0, low=0.0, high=_MAX_CONTEXT)
    threshold: HyperParameter = hyper_parameter(0.5)
    tries_first: HyperParameter = hyper_parameter(1.0, low=0.0, high=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("context", "tries_first"):
            for number in getattr(self, name).flatten().tolist():
                if number != int(number):
                    raise ValueError(f"CATIE.{name} must be a whole number, got {number:g}")

    def num_uniforms(self, num_arms: int) -> int:
        """One each for trend, exploration and inertia; two per arm, for ties and for contexts."""
        if num_arms > MAX_ARMS:
            raise ValueError(f"CATIE plays with at most {MAX_ARMS} arms, got {num_arms}")
        return 3 + 2 * num_arms

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> CATIEState:
        """Nothing pulled."""
        M, A = base_rewards.shape

        def zeros(*size: int) -> Tensor:
            return base_rewards.new_zeros(M, num_episodes, *size)

        contexts = (2 * A) ** _MAX_CONTEXT
        return CATIEState(
            pulls=zeros(A),
            means=zeros(A),
            squares=zeros(A),
            context_pulls=zeros(A, contexts),
            context_sums=zeros(A, contexts),
            arms=zeros(2).long(),
            rewards=zeros(2),
            surprise=zeros(1),
            surprise_sum=zeros(1),
        )

    def act(self, state: CATIEState, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm of the first branch that is taken."""
        follows, explores, is_inert = (uniforms[..., n : n + 1] for n in range(3))
        ties, draws = uniforms[..., 3:].chunk(2, dim=-1)
        comes_first, trend, novelty, latest = self._branches(state)
        choice = torch.where(is_inert < self.phi, latest, self._drawn_average(state, draws))
        choice = choice.masked_fill(explores < self.epsilon * novelty, 0.0)
        choice = torch.where((follows < self.tau) & trend.any(-1, keepdim=True), trend, choice)
        choice = torch.where(comes_first.any(-1, keepdim=True), comes_first, choice)
        return random_argmax(choice, ties)

    def decision_variables(self, state: CATIEState) -> tuple[Tensor, ...]:
        """Chances of each arm in each branch.

        Returns:
            Chances of the arms that come first, and of a trend, zeros if there is none, float
            [M, B, A]; ``(1 + S + mean S) / 3``, [M, B, 1]; the latest arm, one-hot, and chances by
            contingent average, [M, B, A].
        """
        values, weights = self._averages(state)
        return *self._branches(state), chances_of_largest(values, weights)

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """The mixture of the branches."""
        comes_first, trend, novelty, latest, average = variables
        explores = self.epsilon * novelty
        mixed = self.phi * latest + (1.0 - self.phi) * average
        mixed = explores / latest.shape[-1] + (1.0 - explores) * mixed
        follows = self.tau * trend.any(-1, keepdim=True)
        mixed = follows * trend + (1.0 - follows) * mixed
        return torch.where(comes_first.any(-1, keepdim=True), comes_first, mixed)

    def update(
        self, state: CATIEState, arms: Tensor, rewards: Tensor, uniforms: Tensor
    ) -> CATIEState:
        """Be surprised by a reward, and count it for its arm and context."""
        index, reward = arms.unsqueeze(-1), rewards.unsqueeze(-1)
        values, weights = self._averages(state)
        error = ((weights * values).sum(-1).gather(-1, index) - reward).abs()
        # Welford's recursion: exactly 0 for rewards that are all equal
        state.pulls.scatter_add_(-1, index, torch.ones_like(reward))
        pulls, mean = state.pulls.gather(-1, index), state.means.gather(-1, index)
        change = reward - mean
        mean = mean + change / pulls
        state.means.scatter_(-1, index, mean)
        state.squares.scatter_add_(-1, index, change * (reward - mean))
        deviation = (state.squares.gather(-1, index) / (pulls - 1.0).clamp(min=1.0)).sqrt()
        surprise = torch.where(deviation > 0, error / (deviation + error), 0.0)
        # no context before the first pairs
        counts = (self.context < state.step).to(reward).expand_as(reward)
        pulled = F.one_hot(arms, state.pulls.shape[-1]).to(reward)
        place = self._context(state).expand(*pulled.shape, 1)
        state.context_pulls.scatter_add_(-1, place, (pulled * counts).unsqueeze(-1))
        state.context_sums.scatter_add_(-1, place, (pulled * counts * reward).unsqueeze(-1))
        return replace(
            state,
            arms=torch.cat([index, state.arms[..., :1]], dim=-1),
            rewards=torch.cat([reward, state.rewards[..., :1]], dim=-1),
            surprise=surprise,
            surprise_sum=state.surprise_sum + surprise,
            step=state.step + 1,
        )

    def _branches(self, state: CATIEState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first four of the `decision_variables`."""
        untried = (state.pulls == 0) & ((self.tries_first > 0) | (state.step == 1))
        latest = F.one_hot(state.arms[..., 0], state.pulls.shape[-1]).to(state.pulls)
        arms, rewards = state.arms.chunk(2, dim=-1), state.rewards.chunk(2, dim=-1)
        is_trend = (arms[0] == arms[1]) & (rewards[0] != rewards[1]) & (state.step > 2)
        chosen = torch.where(rewards[0] > rewards[1], latest, 1.0 - latest)
        mean_surprise = state.surprise_sum / max(state.step - 1, 1)
        novelty = (1.0 + state.surprise + mean_surprise) / 3.0
        return even_chances(untried.to(latest)), even_chances(is_trend * chosen), novelty, latest

    def _context(self, state: CATIEState) -> Tensor:
        """Number of the context after the latest pairs, int64 [M, B, 1, 1]; 0 without any."""
        num_pairs = 2 * state.pulls.shape[-1]
        pairs = 2 * state.arms + (state.rewards > self.threshold)
        latest, before = pairs.unsqueeze(-1).chunk(2, dim=-2)
        size = self.context.unsqueeze(-1)
        return latest * (size > 0) + num_pairs * before * (size > 1)

    def _known(self, state: CATIEState) -> tuple[Tensor, Tensor, Tensor]:
        """Contexts after which an arm was pulled, bool [M, B, A, C]; the one that stands now.

        The last two say whether it stands, int64, and whether its average counts, bool, each
        [M, B, A, 1].
        """
        known = state.context_pulls > 0
        here = self._context(state).expand(*known.shape[:-1], 1)
        return known, here, known.gather(-1, here) | ~known.any(-1, keepdim=True)

    def _averages(self, state: CATIEState) -> tuple[Tensor, Tensor]:
        """Contingent averages of each arm and their weights, float [M, B, A, C]."""
        known, here, counts = self._known(state)
        values = state.context_sums / state.context_pulls.clamp(min=1.0)
        # an arm without any has its mean in the place of the context
        values = torch.where(known.any(-1, keepdim=True), values, state.means.unsqueeze(-1))
        now = torch.zeros_like(values).scatter_(-1, here, 1.0)
        return values, torch.where(counts, now, even_chances(known.to(values)))

    def _drawn_average(self, state: CATIEState, draws: Tensor) -> Tensor:
        """Contingent average of each arm, of a context drawn where it is unknown; [M, B, A]."""
        known, here, counts = self._known(state)
        values, _ = self._averages(state)
        number = (draws * known.sum(-1)).floor().unsqueeze(-1) + 1.0
        drawn = (known.cumsum(-1) >= number).to(torch.uint8).argmax(-1, keepdim=True)
        return values.gather(-1, torch.where(counts, here, drawn)).squeeze(-1)


def chances_of_largest(values: Tensor, weights: Tensor) -> Tensor:
    """Chance that the number drawn for an arm is the largest, ties broken at random.

    With ``F_b(v)`` the chance of a number below ``v`` and ``e_b(v)`` that of ``v`` itself, arm
    ``a`` wins with ``v`` with chance ``int_0^1 prod_{b != a} (F_b(v) + u e_b(v)) du``; Gauss and
    Legendre's rule is exact for this polynomial.

    Args:
        values: C numbers of each arm, float [..., A, C].
        weights: their chances, each arm's of sum 1, float [..., A, C].

    Returns:
        float [..., A].
    """
    num_arms = values.shape[-2]
    numbers, order = values.sort(-1)
    below = F.pad(weights.gather(-1, order).cumsum(-1), (1, 0))
    nodes, node_weights = np.polynomial.legendre.leggauss((num_arms + 1) // 2)
    chances = []
    for arm in range(num_arms):
        sought, wins = values[..., arm, :].contiguous(), torch.zeros_like(values[..., 0, :])
        less: list[Tensor] = []
        more: list[Tensor] = []
        for other in range(num_arms):
            if other != arm:
                row = numbers[..., other, :].contiguous()
                for right, found in ((False, less), (True, more)):
                    places = torch.searchsorted(row, sought, right=right)
                    found.append(below[..., other, :].gather(-1, places))
        for node, weight in zip((nodes + 1.0) / 2.0, node_weights / 2.0, strict=True):
            product = torch.ones_like(wins)
            for low, high in zip(less, more, strict=True):
                product = product * torch.lerp(low, high, float(node))
            wins = wins + float(weight) * product
        chances.append((weights[..., arm, :] * wins).sum(-1))
    return torch.stack(chances, dim=-1)
