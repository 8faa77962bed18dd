import math

import pytest
import torch

from mermaide_pl.agents import Softmax
from mermaide_pl.agents.base import PullTally


def tally_of(counts, sums, num_episodes=1):
    return PullTally(
        *(torch.tensor(row).expand(1, num_episodes, len(row)) for row in (counts, sums))
    )


@pytest.mark.parametrize(("gumbel_of_second_arm", "arm"), [(0.99, 0), (1.01, 1)])
def test_draw_worked_by_hand(gumbel_of_second_arm, arm):
    # Means 0.7 and 0.5 at temperature 0.2: 0.7 + 0.2 * 0 meets 0.5 + 0.2 g at g = 1.
    gumbels = torch.tensor([[[0.0, gumbel_of_second_arm]]])
    uniforms = torch.exp(-torch.exp(-gumbels))
    tally = tally_of([2.0, 1.0], [1.4, 0.5])
    assert Softmax(temperature=0.2).act(tally, torch.zeros(1, 1), uniforms).item() == arm


def test_arms_follow_the_boltzmann_distribution():
    # Means tau ln 1, tau ln 2, tau ln 5 have probabilities 1/8, 2/8, 5/8.
    num_draws = 100_000
    tally = tally_of([1.0] * 3, [0.3 * math.log(weight) for weight in (1, 2, 5)], num_draws)
    uniforms = torch.rand(1, num_draws, 3, generator=torch.Generator().manual_seed(0))
    arms = Softmax(temperature=0.3).act(tally, torch.empty(0), uniforms.clamp_(min=2.0**-25))
    shares = torch.bincount(arms.flatten(), minlength=3) / num_draws
    # Standard error 0.0015 at most; four of them.
    torch.testing.assert_close(shares, torch.tensor([1, 2, 5]) / 8, atol=0.006, rtol=0.0)


def test_unpulled_arms_come_first_in_random_order():
    tally = tally_of([1.0, 0.0, 0.0], [9.0, 0.0, 0.0])
    for uniforms, arm in (([0.9, 0.2, 0.3], 2), ([0.9, 0.3, 0.2], 1)):
        assert Softmax().act(tally, torch.zeros(1, 1), torch.tensor([[uniforms]])).item() == arm
