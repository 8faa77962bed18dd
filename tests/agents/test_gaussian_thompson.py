import math

import pytest
import torch

from mermaide_pl.agents import GaussianThompson
from mermaide_pl.agents.base import PullTally


def test_posterior_worked_by_hand():
    # Prior N(1, 1), noise 1/2: the prior is worth 1/4 pull. Two pulls summing to 3.5 give mean
    # (1/4 + 3.5) / 2.25 = 5/3 and standard deviation 0.5 / sqrt(2.25) = 1/3; no pulls, the prior.
    rule = GaussianThompson(prior_mean=1.0, prior_scale=1.0, noise_scale=0.5)
    tally = PullTally(torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[3.5, 0.0]]]))
    mean, scale = rule.to(tally.counts).posterior(tally)
    torch.testing.assert_close(mean, torch.tensor([[[5 / 3, 1.0]]]))
    torch.testing.assert_close(scale, torch.tensor([[[1 / 3, 1.0]]]))
    assert tally.counts.tolist() == [[[2.0, 0.0]]]


@pytest.mark.parametrize(("z_of_second_arm", "arm"), [(0.66, 0), (0.67, 1)])
def test_draws_worked_by_hand(z_of_second_arm, arm):
    # The posteriors above: 5/3 + 1/3 * 0 meets 1 + z at z = 2/3.
    rule = GaussianThompson(prior_mean=1.0, prior_scale=1.0, noise_scale=0.5)
    tally = PullTally(torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[3.5, 0.0]]]))
    uniforms = torch.special.ndtr(torch.tensor([[[0.0, z_of_second_arm]]]))
    assert rule.act(tally, torch.zeros(1, 1), uniforms).item() == arm


def test_probability_of_an_arm_matches_the_closed_form():
    # P(first > second) = Phi((m_1 - m_2) / sqrt(s_1^2 + s_2^2)) with the posteriors above.
    expected = 0.5 * (1.0 + math.erf((5 / 3 - 1) / math.sqrt(1 / 9 + 1) / math.sqrt(2.0)))
    num_draws = 200_000
    rule = GaussianThompson(prior_mean=1.0, prior_scale=1.0, noise_scale=0.5)
    counts, sums = torch.tensor([2.0, 0.0]), torch.tensor([3.5, 0.0])
    tally = PullTally(counts.expand(1, num_draws, 2), sums.expand(1, num_draws, 2))
    uniforms = torch.rand(1, num_draws, 2, generator=torch.Generator().manual_seed(0))
    share = (rule.act(tally, torch.empty(0), uniforms) == 0).float().mean().item()
    assert share == pytest.approx(expected, abs=0.0044)  # four standard errors
