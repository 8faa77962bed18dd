import pytest
import torch

from mermaide_pl.agents import BestResponse, NoiseFreeReward
from mermaide_pl.game import TIE_TOLERANCE


def reply(base_rewards, target_arm, bonus, dtype=torch.float32):
    rule = BestResponse()
    state = rule.init(torch.tensor([base_rewards], dtype=dtype), torch.tensor([target_arm]), 1)
    return rule.act(state, torch.tensor([[bonus]], dtype=dtype), torch.empty(1, 1, 0)).item()


@pytest.mark.parametrize(
    ("target_arm", "bonus", "arm"),
    [
        (2, 0.0, 1),
        (2, 0.249, 1),  # delta = 0.75 - 0.5 = 0.25
        (2, 0.25, 2),  # a tie goes to the principal
        (2, 0.251, 2),
        (0, 0.25, 1),  # delta = 0.625
        (0, 0.625, 0),
        (1, 0.0, 1),
    ],
)
def test_best_reply_worked_by_hand(target_arm, bonus, arm):
    assert reply([0.125, 0.75, 0.5], target_arm, bonus) == arm


def test_tie_without_the_target_goes_to_the_first_arm_and_with_it_to_the_target():
    assert reply([0.1, 0.5, 0.5], 0, 0.0) == 1
    assert reply([0.5, 0.5, 0.5], 2, 0.0) == 2


@pytest.mark.parametrize(
    ("bonus", "arm"),
    [(0.25 - 2.0 * TIE_TOLERANCE, 1), (0.25 - 0.5 * TIE_TOLERANCE, 2), (0.25, 2)],
)
def test_values_within_the_tolerance_tie(bonus, arm):
    assert reply([0.125, 0.75, 0.5], 2, bonus, torch.float64) == arm


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_does_not_decide_who_wins_a_tie(dtype):
    for best in range(1, 11):
        for target in range(best):
            base_rewards, gap = [best / 10, target / 10], best - target
            assert reply(base_rewards, 1, gap / 10, dtype) == 1
            assert reply(base_rewards, 1, (gap - 1) / 10, dtype) == 0


def test_replies_at_once_and_never_learns(play):
    bonuses = torch.tensor([[0.0, 1.0, 1.0, 0.0, 0.0, 1.0]])
    arms, rewards = play(
        BestResponse(),
        torch.tensor([[0.75, 0.5]]),
        num_steps=6,
        num_episodes=2,
        target_arm=torch.tensor([1]),
        bonuses=bonuses,
        reward_model=NoiseFreeReward(),
    )
    assert arms.tolist() == [[[0, 1, 1, 0, 0, 1]] * 2]
    assert rewards.tolist() == [[[0.75, 1.5, 1.5, 0.75, 0.75, 1.5]] * 2]
