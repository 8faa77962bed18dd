"""Learners generated from the mechanisms of many learning rules, to train principals with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar

import torch
from torch import Tensor

from mermaide_pl.agents.base import HyperParameter, LearningRule, hyper_parameter, random_argmax
from mermaide_pl.config.validation import MAX_COUNT, check_number


class Perception(IntEnum):
    """How a learner perceives a reward ``r``, with the scale `cap`."""

    EXACT = 0  # r
    CLIPPED = 1  # min(r, cap)
    TOSSED = 2  # cap with probability r / cap, clipped to [0, 1], else 0
    SQUASHED = 3  # cap * tanh(r / cap)


@dataclass
class GeneratedState:
    """The memory of generated learners."""

    pulls: Tensor  # [M, B, A] float, discounted
    values: Tensor  # [M, B, A] float, reward units: sums of rewards, values, or preferences
    latest: Tensor  # [M, B, A] float, the latest arm, one-hot
    reward_sum: Tensor  # [M, B, 1] float, of all rewards perceived
    initial: Tensor  # [M, 1, A] float, initial value of each arm, reward units
    step: int = 1  # the coming step, counted from 1
    is_target: Tensor | None = None  # [M, 1, A] float, one-hot, of learners that see the bonus


@dataclass
class GeneratedLearner(LearningRule):
    r"""A learner put together from mechanisms; each hyper-parameter's neutral value turns one off.

    *Learning.* A reward is perceived as ``r`` (`Perception`). The value of arm ``a`` is one of

        mean          ``(S_a + prior_pulls * v_a) / n_a``,  ``n_a = N_a + prior_pulls``, ``v_a``
                      where ``n_a`` is 0; pulls ``N_a`` and reward sums ``S_a`` shrink by `discount`
                      in every step,
        moving value  if ``learning_rate > 0``: ``V_a <- V_a + learning_rate * (r - V_a)`` after a
                      pull, from ``v_a``,
        preference    if `learns_preferences`: ``H_b <- H_b + learning_rate * (r - mean of the
                      rewards before) * (1[b = a] - p_b)`` for all ``b`` after a pull of ``a``, from
                      0, with ``p = softmax(H / temperature)``; the first reward changes nothing.

    An arm's value begins at ``v_a``, `initial_value` moved by `knowledge` towards its base reward.

    *Choice.* In a lapse a uniformly random arm, else, ties broken at random,

        ``argmax_a value_a + beta * sqrt(ln(1 + sum_b N_b) / n_a) + perseveration * 1[a = latest]
        + temperature * g_a + posterior_scale / sqrt(1 + n_a) * z_a``

    with standard Gumbel ``g_a`` and logistic ``z_a`` of variance 1, which for an arm rise with the
    same uniform number. Lapse rate and temperature fall as ``1 / (1 + decay * (t - 1))``. An arm
    whose bound is infinite (``n_a = 0`` and ``beta > 0``) comes first; with `tries_first`, any that
    was never pulled. After step `forgets_at` the learner begins anew, once, ``t`` included.

    Of what excludes each other, a lapse wins over everything; arms that come first over the rest;
    preferences over moving values, and these over means. `beta`, `posterior_scale`,
    `initial_value`, `knowledge` and `prior_pulls` mean nothing to preferences. To moving values,
    `discount` and `prior_pulls` matter for ``n_a`` alone.

    With few mechanisms this is `UCB`, `DiscountedUCB`, `NoisyUCB`, `EpsilonGreedy`, `Softmax` or
    `RescorlaWagner`. If rewards and bonuses are measured in another unit, `beta`, `temperature`,
    `posterior_scale`, `initial_value`, `perseveration` and `cap` are too, and the arms stay.

    Source: the mixture is this project's. Bounds: Auer, Cesa-Bianchi, Fischer, Machine Learning 47
    (2002); discount: Garivier, Moulines, ALT 2011; Gumbel noise: Maddison, Tarlow, Minka, NeurIPS
    2014; noise that falls as a posterior's: Thompson, Biometrika 25 (1933), here logistic; lapses:
    Wichmann, Hill, Perception & Psychophysics 63 (2001); moving values, any initial value,
    preferences (with temperature 1): Sutton, Barto, "Reinforcement Learning", 2nd edition (2018),
    sections 2.5, 2.6, 2.8; perseveration: Lau, Glimcher, Journal of the Experimental Analysis of
    Behavior 84 (2005); clipped rewards: Mnih et al., Nature 518 (2015); tossed: Agrawal, Goyal,
    COLT 2012, algorithm 2; squashed, the diminishing sensitivity of Tversky, Kahneman, Journal of
    Risk and Uncertainty 5 (1992); restarts: Besson et al., JMLR 23 (2022).

    Args:
        beta: exploration coefficient, reward units, at least 0.
        temperature: of the Gumbel noise, reward units, at least 0; above 0 with preferences.
        posterior_scale: standard deviation of the noise of an arm without pulls, reward units, at
            least 0.
        lapse_rate: share of lapses in the first step, 0 to 1.
        decay: rate at which lapses and temperature fall, per step, at least 0.
        learning_rate: share of the error that is learned, 0 to 1; 0 for means.
        discount: weight of a pull one step later, above 0, at most 1.
        initial_value: of every arm, reward units.
        prior_pulls: pulls that the initial value is worth, at least 0.
        learns_preferences: 1 for preferences, else 0.
        perseveration: added value of the latest arm, reward units; negative to alternate.
        perception: number of a `Perception`.
        cap: scale of the perception, reward units, above 0.
        tries_first: 1 to pull every arm once first, in random order, else 0.
        knowledge: 0 to begin knowing nothing of the base rewards, 1 to begin knowing all of them.
        forgets_at: step after which all is forgotten, rounded down; 0 for never.
    """

    beta: HyperParameter = hyper_parameter(0.0, low=0.0)
    temperature: HyperParameter = hyper_parameter(0.0, low=0.0)
    posterior_scale: HyperParameter = hyper_parameter(0.0, low=0.0)
    lapse_rate: HyperParameter = hyper_parameter(0.0, low=0.0, high=1.0)
    decay: HyperParameter = hyper_parameter(0.0, low=0.0)
    learning_rate: HyperParameter = hyper_parameter(0.0, low=0.0, high=1.0)
    discount: HyperParameter = hyper_parameter(1.0, above=0.0, high=1.0)
    initial_value: HyperParameter = hyper_parameter(0.5)
    prior_pulls: HyperParameter = hyper_parameter(0.0, low=0.0)
    learns_preferences: HyperParameter = hyper_parameter(0.0, low=0.0, high=1.0)
    perseveration: HyperParameter = hyper_parameter(0.0)
    perception: HyperParameter = hyper_parameter(0.0, low=0.0, high=max(Perception))
    cap: HyperParameter = hyper_parameter(1.0, above=0.0)
    tries_first: HyperParameter = hyper_parameter(1.0, low=0.0, high=1.0)
    knowledge: HyperParameter = hyper_parameter(0.0, low=0.0, high=1.0)
    forgets_at: HyperParameter = hyper_parameter(0.0, low=0.0, high=MAX_COUNT)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__name__
        for name in ("learns_preferences", "perception", "tries_first"):
            for number in getattr(self, name).flatten().tolist():
                if number != int(number):
                    raise ValueError(f"{kind}.{name} must be a whole number, got {number:g}")
        for number in torch.where(self.learns_preferences > 0, self.temperature, 1.0).flatten():
            check_number(f"{kind}.temperature with preferences", number.item(), above=0.0)

    def num_uniforms(self, num_arms: int) -> int:
        """One for the lapse, one for the toss of the reward, and one per arm."""
        return 2 + num_arms

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> GeneratedState:
        """No pulls yet, and the initial values."""
        M, A = base_rewards.shape
        pulls = base_rewards.new_zeros(M, num_episodes, A)
        base = base_rewards.unsqueeze(1)
        initial = self.initial_value + self.knowledge * (base - self.initial_value)
        values = pulls + self._first_values(initial)
        none = torch.zeros_like(pulls)
        return GeneratedState(pulls, values, none, pulls[..., :1].clone(), initial)

    def act(self, state: GeneratedState, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arm of the highest noisy value; a random one in a lapse."""
        remaining, per_arm = self._remaining(state.step), uniforms[..., 2:]
        prefers, pulls = self.learns_preferences > 0, state.pulls + self.prior_pulls
        neg_log = per_arm.log().neg()
        logistic = -(neg_log + (-per_arm).log1p()) * (3.0**0.5 / torch.pi)
        noise = self.posterior_scale * logistic * (1.0 + pulls).rsqrt()
        noise = noise.masked_fill(prefers, 0.0) - self.temperature * remaining * neg_log.log()
        comes_first = (state.pulls == 0) & (self.tries_first > 0)
        comes_first |= (pulls == 0) & (self.beta > 0) & ~prefers
        values = (self.drive(state, bonus) + noise).masked_fill(comes_first, torch.inf)
        lapses = uniforms[..., :1] < self.lapse_rate * remaining
        return random_argmax(values.masked_fill(lapses, 0.0), per_arm)

    def drive(self, state: GeneratedState, bonus: Tensor) -> Tensor:
        """What draws the learner to each arm before noise, reward units, float [M, B, A].

        Args:
            state: the memory.
            bonus: bonus on the target arm in this step, float [M, B].
        """
        pulls = state.pulls + self.prior_pulls
        known, pulls = pulls > 0, torch.where(pulls > 0, pulls, 1.0)
        means = (state.values + self.prior_pulls * state.initial) / pulls
        means = torch.where(known, means, state.initial)
        values = torch.where(self.learning_rate > 0, state.values, means)
        width = (state.pulls.sum(-1, keepdim=True).log1p() / pulls).sqrt()
        values = values + self.beta * width
        values = torch.where(self.learns_preferences > 0, state.values, values)
        return values + self.perseveration * state.latest

    def update(
        self, state: GeneratedState, arms: Tensor, rewards: Tensor, uniforms: Tensor
    ) -> GeneratedState:
        """Learn from one pull, then forget all if it is time."""
        reward = self.perceive(rewards.unsqueeze(-1), uniforms[..., 1:2])
        pulled = torch.zeros_like(state.pulls).scatter_(-1, arms.unsqueeze(-1), 1.0)
        prefers, values = self.learns_preferences > 0, state.values
        steps = self._steps_so_far(state.step)
        baseline = torch.where(steps > 0, state.reward_sum / steps.clamp(min=1.0), reward)
        temperature = torch.where(prefers, self.temperature * self._remaining(state.step), 1.0)
        chances = (values / temperature).softmax(-1)
        preferences = values + self.learning_rate * (reward - baseline) * (pulled - chances)
        moving = values + self.learning_rate * (reward - values) * pulled
        sums = values * self.discount + reward * pulled
        values = torch.where(self.learning_rate > 0, moving, sums)
        values = torch.where(prefers, preferences, values)
        forgets = self.forgets_at.floor() == state.step
        return replace(
            state,
            pulls=(state.pulls * self.discount + pulled).masked_fill(forgets, 0.0),
            values=torch.where(forgets, self._first_values(state.initial), values),
            latest=pulled.masked_fill(forgets, 0.0),
            reward_sum=(state.reward_sum + reward).masked_fill(forgets, 0.0),
            step=state.step + 1,
        )

    def perceive(self, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """The rewards as the learner sees them, reward units, float [M, B, 1].

        Args:
            rewards: rewards received, float [M, B, 1].
            uniforms: numbers in (0, 1) of the tosses, float [M, B, 1].
        """
        share = rewards / self.cap
        # The uniform number lies inside (0, 1), so the comparison clips as well.
        seen = torch.where(self.perception == Perception.TOSSED, (uniforms < share) * self.cap, 0.0)
        for perception, reward in (
            (Perception.EXACT, rewards),
            (Perception.CLIPPED, rewards.minimum(self.cap)),
            (Perception.SQUASHED, self.cap * share.tanh()),
        ):
            seen = torch.where(self.perception == perception, reward, seen)
        return seen

    def _first_values(self, initial: Tensor) -> Tensor:
        is_moving = (self.learning_rate > 0) & (self.learns_preferences == 0)
        return torch.where(is_moving, initial, 0.0)

    def _steps_so_far(self, step: int) -> Tensor:
        """Steps since the beginning, or since all was forgotten; float [M, 1, 1]."""
        forgets_at = self.forgets_at.floor()
        return step - 1 - torch.where(forgets_at < step, forgets_at, 0.0)

    def _remaining(self, step: int) -> Tensor:
        """Share of lapses and temperature that has not decayed, float [M, 1, 1]."""
        return 1.0 / (1.0 + self.decay * self._steps_so_far(step))


@dataclass
class AttentiveLearner(GeneratedLearner):
    """A `GeneratedLearner` that sees the bonus on offer, and counts on a part of it.

    ``attention * bonus`` is added to the value of the target arm before the choice; 1 is to count
    on all of it, as `BestResponse` does. Unlike that, it learns, and the bonuses that it was paid
    are part of the rewards that it learns from.

    Source: this project's, between bandits and the follower of Banerjee et al., "MERMAIDE", TMLR
    2023.

    Args:
        attention: share of the bonus that counts, at least 0.
    """

    sees_bonus: ClassVar[bool] = True

    attention: HyperParameter = hyper_parameter(1.0, low=0.0)

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> GeneratedState:
        """The initial memory, and the target."""
        is_target = torch.zeros_like(base_rewards).scatter_(1, target_arm.unsqueeze(1), 1.0)
        state = super().init(base_rewards, target_arm, num_episodes)
        return replace(state, is_target=is_target.unsqueeze(1))

    def drive(self, state: GeneratedState, bonus: Tensor) -> Tensor:
        """What draws the learner to each arm, the bonus included."""
        return super().drive(state, bonus) + self.attention * bonus.unsqueeze(-1) * state.is_target
