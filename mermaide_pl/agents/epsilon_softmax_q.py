"""Q-learning with softmax choice and lapses: a model of human choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mermaide_pl.agents.base import HyperParameter, LearningRule, hyper_parameter, random_argmax


@dataclass
class EpsilonSoftmaxQ(LearningRule):
    r"""Values updated by prediction errors, softmax choice, and random arms now and then.

    After a pull of arm ``a`` with reward ``r``, ``q_a <- q_a + learning_rate * (r - q_a)``; the
    first reward of an arm is its first value. With probability ``2 epsilon`` the arm is random,
    else ``a`` is chosen with probability proportional to ``exp(inverse_temperature * q_a)``, drawn
    by Gumbel numbers as in `Softmax`. Until every arm has a value, all arms are random. With two
    arms, ``p_1 = epsilon + (1 - 2 epsilon) sigmoid(inverse_temperature * (q_1 - q_2))``.

    Source: Dan, Plonsky, Loewenstein, "Behavior engineering using quantitative reinforcement
    learning models", Nature Communications 16:4109 (2025), whose parameters of people in a
    laboratory are the default; for two arms. More arms are this project's.

    Args:
        learning_rate: share of the prediction error that is learned, above 0, at most 1.
        inverse_temperature: per reward unit, at least 0.
        epsilon: half of the probability of a random arm, 0 to 0.5.
    """

    response_parameters: ClassVar[tuple[str, ...]] = ("inverse_temperature", "epsilon")

    learning_rate: HyperParameter = hyper_parameter(0.4, above=0.0, high=1.0)
    inverse_temperature: HyperParameter = hyper_parameter(257.0, low=0.0)
    epsilon: HyperParameter = hyper_parameter(0.2, low=0.0, high=0.5)

    def num_uniforms(self, num_arms: int) -> int:
        """One for the random arms, and one per arm."""
        return 1 + num_arms

    def init(
        self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int
    ) -> tuple[Tensor, Tensor]:
        """Values, zeros at first, and whether each arm has one, 0 or 1; float [M, B, A]."""
        values = base_rewards.new_zeros(len(base_rewards), num_episodes, base_rewards.shape[1])
        return values, torch.zeros_like(values)

    def act(self, state: tuple[Tensor, Tensor], bonus: Tensor, uniforms: Tensor) -> Tensor:
        """An arm drawn from the choice probabilities."""
        (values, known), per_arm = state, uniforms[..., 1:]
        is_random = (uniforms[..., :1] < 2.0 * self.epsilon) | ~known.all(-1, keepdim=True)
        preference = self.inverse_temperature * values - per_arm.log().neg_().log_()
        return random_argmax(preference.masked_fill(is_random, 0.0), per_arm)

    def decision_variables(self, state: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Values of the arms, float [M, B, A], and whether each has one, bool [M, B, 1]."""
        values, known = state
        return values.clone(), known.all(-1, keepdim=True)

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Softmax of the values, mixed with equal chances."""
        values, all_known = variables
        share, num_arms = 2.0 * self.epsilon, values.shape[-1]
        softmax = (self.inverse_temperature * values).softmax(-1)
        mixed = share / num_arms + (1.0 - share) * softmax
        return torch.where(all_known, mixed, 1.0 / num_arms)

    def update(
        self, state: tuple[Tensor, Tensor], arms: Tensor, rewards: Tensor, uniforms: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Move the value of the pulled arm towards the reward, at first all the way."""
        (values, known), index = state, arms.unsqueeze(-1)
        rate = torch.where(known.gather(-1, index) > 0, self.learning_rate, 1.0)
        error = rewards.unsqueeze(-1) - values.gather(-1, index)
        values.scatter_add_(-1, index, rate * error)
        return values, known.scatter_(-1, index, 1.0)
