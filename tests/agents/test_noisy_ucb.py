import math

import pytest
import torch

from mermaide_pl.agents import UCB, NoisyUCB
from mermaide_pl.agents.base import PullTally


def tally_of(counts, sums, num_draws):
    return PullTally(*(torch.tensor(row).expand(1, num_draws, -1) for row in (counts, sums)), 11)


def test_without_noise_the_arms_are_those_of_ucb():
    """The means and widths of UCB's own test, on either side of where the bounds meet."""
    for beta, arm in ((0.579, 0), (0.584, 1)):
        rule = NoisyUCB(beta=beta, lapse_rate=0.0, temperature=0.0)
        tally = tally_of([9.0, 1.0], [8.1, 0.3], 1)
        arms = rule.act(tally, torch.zeros(1, 1), torch.full((1, 1, 3), 0.5))
        assert arms.item() == arm == UCB(beta).act(tally, None, torch.full((1, 1, 2), 0.5)).item()


@pytest.mark.parametrize(("lapse_rate", "share"), [(0.0, 0.8), (0.25, 0.25 / 3 + 0.75 * 0.8)])
def test_arms_follow_the_bounds_and_the_lapses(lapse_rate, share):
    # bounds tau ln 1, tau ln 1 and tau ln 8: without lapses the last arm has 8 of 10 parts
    num_draws, tau = 100_000, 0.2
    uniforms = torch.rand(1, num_draws, 4, generator=torch.Generator().manual_seed(0))
    tally = tally_of([1.0] * 3, [0.0, 0.0, tau * math.log(8.0)], num_draws)
    rule = NoisyUCB(beta=0.0, lapse_rate=lapse_rate, temperature=tau)
    arms = rule.act(tally, torch.empty(0), uniforms.clamp_(min=2.0**-25))
    # Standard error 0.0015; four of them.
    assert (arms == 2).float().mean().item() == pytest.approx(share, abs=0.006)


def test_unpulled_arms_come_first():
    rule = NoisyUCB(beta=1.0, lapse_rate=0.0, temperature=1.0)
    tally = tally_of([5.0, 0.0, 3.0], [5.0, 0.0, 3.0], 1000)
    uniforms = torch.rand(1, 1000, 4, generator=torch.Generator().manual_seed(0))
    assert (rule.act(tally, torch.empty(0), uniforms) == 1).all()


@pytest.mark.parametrize(("beta", "arm"), [(0.98, 1), (1.0, 0)])
def test_prior_worked_by_hand(beta, arm):
    # 1 and 5 pulls, sums 0.6 and 4.5, and 3 of the prior: means 2.1 / 4 and 6 / 8 at t = 11; widths
    # 0.7743 and 0.5475: the bounds meet at beta = 0.225 / 0.2268 = 0.992; no arm need be first
    rule = NoisyUCB(beta=beta, lapse_rate=0.0, temperature=0.0, prior_pulls=3.0)
    tally = tally_of([1.0, 5.0], [0.6, 4.5], 1)
    assert rule.act(tally, torch.zeros(1, 1), torch.full((1, 1, 3), 0.5)).item() == arm
    unpulled = tally_of([0.0, 5.0], [0.0, 4.5], 1)
    greedy = NoisyUCB(beta=0.0, lapse_rate=0.0, temperature=0.0, prior_pulls=3.0)
    assert greedy.act(unpulled, torch.zeros(1, 1), torch.full((1, 1, 3), 0.5)).item() == 1
