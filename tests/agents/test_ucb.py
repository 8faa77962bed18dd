import torch

from mermaide_pl.agents import UCB, NoiseFreeReward
from mermaide_pl.agents.base import PullTally


def test_bound_worked_by_hand():
    # Means 0.9 (9 pulls) and 0.3 (1 pull) at t = 11: the bounds 0.9 + 0.5162 beta and
    # 0.3 + 1.5485 beta meet at beta = 0.5812 (at t = 10: 0.5931, at t = 12: 0.5709).
    rule = UCB(beta=[0.579, 0.584])
    counts, sums = torch.tensor([9.0, 1.0]), torch.tensor([8.1, 0.3])
    tally = PullTally(counts.expand(2, 1, 2), sums.expand(2, 1, 2), step=11)
    arms = rule.act(tally, torch.zeros(2, 1), torch.full((2, 1, 2), 0.5))
    assert arms.tolist() == [[0], [1]]


def test_run_worked_by_hand(play):
    # Noise-free rewards 1 and 0, beta = 1. With n = t - 2 pulls of arm 0 and one of arm 1, arm 1 is
    # due when sqrt(ln t) > 1 + sqrt(ln t / n): not yet at t = 10 (1.5174 < 1.5365), but at t = 11
    # (1.5485 > 1.5162); at t = 12, with two pulls, it is not (1.1147 < 1.5254).
    arms, _ = play(
        UCB(beta=1.0), torch.tensor([[1.0, 0.0]]), num_steps=12, reward_model=NoiseFreeReward()
    )
    first, rest = arms[0, 0, :2], arms[0, 0, 2:]
    assert sorted(first.tolist()) == [0, 1]
    assert rest.tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0]


def test_every_arm_once_first_in_random_order(play):
    arms, _ = play(UCB(beta=0.0), torch.zeros(1, 3), num_steps=3, num_episodes=6000)
    assert (arms.sort(-1).values == torch.arange(3)).all()
    shares = torch.stack([(arms == arm).float().mean((0, 1)) for arm in range(3)])
    # Standard error 0.006; four of them.
    torch.testing.assert_close(shares, torch.full((3, 3), 1 / 3), atol=0.025, rtol=0.0)
