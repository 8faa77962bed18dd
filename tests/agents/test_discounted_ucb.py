import math

import pytest
import torch

from mermaide_pl.agents import UCB, DiscountedUCB, NoiseFreeReward
from mermaide_pl.agents.base import PullTally


def test_without_discounting_it_is_ucb(play):
    rewards = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
    plain, _ = play(UCB(beta=0.4), rewards, num_steps=60)
    discounted, _ = play(DiscountedUCB(beta=0.4, discount=1.0), rewards, num_steps=60)
    assert (plain == discounted).all()


@pytest.mark.parametrize(("beta", "arm"), [(0.43, 0), (0.45, 1)])
def test_bound_worked_by_hand(beta, arm):
    # Discounted pulls 3 and 0.5, sums 2.4 and 0.2: means 0.8 and 0.4, ln(1 + 3.5) = 1.5041, widths
    # 0.7081 and 1.7344; the bounds meet at beta = 0.4 / 1.0263 = 0.3898 ...
    counts, sums = torch.tensor([[[3.0, 0.5]]]), torch.tensor([[[2.4, 0.2]]])
    widths = [math.sqrt(math.log(4.5) / pulls) for pulls in (3.0, 0.5)]
    meet = 0.4 / (widths[1] - widths[0])
    assert meet == pytest.approx(0.3898, abs=1e-4)
    # ... and with the second mean at 0.35, at 0.4385
    sums[..., 1] = 0.175
    rule = DiscountedUCB(beta=beta)
    state = PullTally(counts, sums, step=9)
    assert rule.act(state, torch.zeros(1, 1), torch.full((1, 1, 2), 0.5)).item() == arm


def test_old_pulls_shrink():
    rule = DiscountedUCB(discount=[0.5, 0.9])
    state = PullTally(torch.ones(2, 1, 2), torch.full((2, 1, 2), 0.4), step=3)
    state = rule.update(state, torch.tensor([[0], [1]]), torch.ones(2, 1), torch.empty(0))
    torch.testing.assert_close(state.counts, torch.tensor([[[1.5, 0.5]], [[0.9, 1.9]]]))
    torch.testing.assert_close(state.sums, torch.tensor([[[1.2, 0.2]], [[0.36, 1.36]]]))


def test_it_comes_back_to_arms_it_has_forgotten(play):
    """Of two arms 0.3 apart the worse one is pulled for ever, at the same rate."""
    arms, _ = play(
        DiscountedUCB(beta=0.3, discount=0.9),
        torch.tensor([[0.8, 0.5]]),
        num_steps=400,
        reward_model=NoiseFreeReward(),
    )
    worse = (arms[0, 0, 200:] == 1).nonzero().flatten().diff()
    assert len(worse) > 10
    assert worse.max() - worse.min() <= 1
