"""Error-driven learning with habits: a model of human choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mermaide_pl.agents.base import HyperParameter, LearningRule, hyper_parameter, random_argmax


@dataclass
class RescorlaWagner(LearningRule):
    r"""Values updated by prediction errors, softmax choice, and a habit of repeating the choice.

    After a pull of arm ``a`` with reward ``r``, ``Q_a <- Q_a + learning_rate * (r - Q_a)``. Arm
    ``a`` is chosen with probability proportional to ``exp((Q_a + perseveration * 1[a = last]) /
    temperature)``, drawn by Gumbel numbers as in `Softmax`.

    Source: Rescorla, Wagner, "A theory of Pavlovian conditioning", 1972; with choice kernel as in
    Lau, Glimcher, "Dynamic response-by-response models of matching behavior in rhesus monkeys",
    Journal of the Experimental Analysis of Behavior 84 (2005), of one step.

    Args:
        learning_rate: share of the prediction error that is learned, above 0, at most 1.
        temperature: in reward units, above 0.
        perseveration: added value of the latest arm, reward units; negative to alternate.
        initial_value: of every arm, reward units.
    """

    response_parameters: ClassVar[tuple[str, ...]] = ("temperature", "perseveration")

    learning_rate: HyperParameter = hyper_parameter(0.2, above=0.0, high=1.0)
    temperature: HyperParameter = hyper_parameter(0.1, above=0.0)
    perseveration: HyperParameter = hyper_parameter(0.0)
    initial_value: HyperParameter = hyper_parameter(0.5)

    def init(
        self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int
    ) -> tuple[Tensor, Tensor]:
        """Values [M, B, A] and the habit's share of the next choice, one-hot [M, B, A]."""
        values = self.initial_value.expand(base_rewards.shape[0], num_episodes, -1)
        values = values.expand(-1, -1, base_rewards.shape[1]).clone()
        return values, torch.zeros_like(values)

    def act(self, state: tuple[Tensor, Tensor], bonus: Tensor, uniforms: Tensor) -> Tensor:
        """An arm drawn from the choice probabilities."""
        values, latest = state
        neg_gumbel = uniforms.log().neg_().log_()
        preference = values + self.perseveration * latest - self.temperature * neg_gumbel
        return random_argmax(preference, uniforms)

    def decision_variables(self, state: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Values, and the latest arm, one-hot; float [M, B, A] each."""
        values, latest = state
        return values.clone(), latest.clone()

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Softmax of the values with the habit."""
        values, latest = variables
        return ((values + self.perseveration * latest) / self.temperature).softmax(-1)

    def update(
        self, state: tuple[Tensor, Tensor], arms: Tensor, rewards: Tensor, uniforms: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update the value of the pulled arm by its prediction error, and the habit."""
        values, latest = state
        index = arms.unsqueeze(-1)
        error = rewards.unsqueeze(-1) - values.gather(-1, index)
        values.scatter_add_(-1, index, self.learning_rate * error)
        return values, latest.zero_().scatter_(-1, index, 1.0)
