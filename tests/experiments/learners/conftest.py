from collections.abc import Callable

import pytest
import torch

from mermaide_pl.experiments.learners.choices import Choices
from mermaide_pl.experiments.learners.fitted_rules import RULES
from mermaide_pl.experiments.learners.likelihood import Likelihood
from mermaide_pl.experiments.learners.recovery import simulated


def recorded(arms, rewards, num_arms=2) -> Choices:
    """Choices of agents, nested lists [M, B, T]."""
    arms = torch.tensor(arms)
    return Choices(
        arms,
        torch.tensor(rewards, dtype=torch.float64),
        torch.ones_like(arms, dtype=torch.bool),
        num_arms,
        tuple(f"agent {number}" for number in range(len(arms))),
    )


@pytest.fixture
def choices_of() -> Callable[..., Choices]:
    return recorded


@pytest.fixture
def played() -> Callable[..., Choices]:
    """Choices of agents of a fitted rule with known hyper-parameters, on arms of 0.3 and 0.7."""

    def play(name: str, values: torch.Tensor, num_steps: int = 100, seed: int = 0) -> Choices:
        shape = len(values), 1, num_steps
        generator = torch.Generator().manual_seed(seed)
        arms = torch.randint(2, shape, generator=generator)
        paid = torch.rand(shape, generator=generator) < 0.3 + 0.4 * arms
        design = recorded(arms.tolist(), paid.double().tolist())
        return simulated(Likelihood(RULES[name], design, (0.0, 1.0)), values, seed)

    return play
