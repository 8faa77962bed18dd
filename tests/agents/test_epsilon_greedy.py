import pytest
import torch

from mermaide_pl.agents import EpsilonGreedy
from mermaide_pl.agents.base import PullTally


def act(rule, counts, sums, uniforms, step=1):
    tally = PullTally(torch.tensor([[counts]]), torch.tensor([[sums]]), step)
    return rule.act(tally, torch.zeros(1, 1), torch.tensor([[uniforms]])).item()


@pytest.mark.parametrize(
    ("step", "coin", "arm"),
    [
        (1, 0.39, 2),  # explore: the arm with the largest uniform number
        (1, 0.41, 1),  # exploit: the best mean, 0.6
        (3, 0.19, 2),  # 0.4 / (1 + 0.5 * 2) = 0.2
        (3, 0.21, 1),
        (7, 0.09, 2),  # 0.4 / (1 + 0.5 * 6) = 0.1
        (7, 0.11, 1),
    ],
)
def test_explores_with_the_decayed_probability(step, coin, arm):
    rule = EpsilonGreedy(epsilon=0.4, decay=0.5)
    assert act(rule, [2.0, 1.0, 4.0], [1.0, 0.6, 1.0], [coin, 0.3, 0.1, 0.8], step) == arm


def test_greedy_step_takes_an_unpulled_arm_at_random_before_the_best():
    rule = EpsilonGreedy(epsilon=0.1)
    assert act(rule, [1.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.5, 0.9, 0.2, 0.3]) == 2
    assert act(rule, [1.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.5, 0.9, 0.3, 0.2]) == 1


def test_random_steps_spread_over_all_arms_pulled_or_not():
    uniforms = torch.rand(1, 40_000, 5, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([0.0, 1.0, 5.0, 0.0]).expand(1, 40_000, 4)
    arms = EpsilonGreedy(epsilon=1.0).act(PullTally(counts, counts), torch.empty(0), uniforms)
    shares = torch.bincount(arms.flatten(), minlength=4) / 40_000
    # Standard error 0.0022; four of them.
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.009, rtol=0.0)
