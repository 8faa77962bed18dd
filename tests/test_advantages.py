import math

import pytest
import torch

from mermaide_pl.advantages import CentredRewardsToGo, GeneralisedAdvantages


def test_advantages_are_normalised_and_carry_no_gradient():
    torch.manual_seed(0)
    rewards = torch.randn(3, 4, 6, dtype=torch.float64)
    values = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    advantages = GeneralisedAdvantages()(rewards, values)
    assert not advantages.requires_grad
    zeros, ones = torch.zeros(3).double(), torch.ones(3).double()
    torch.testing.assert_close(advantages.mean((1, 2)), zeros, rtol=0.0, atol=1e-9)
    torch.testing.assert_close(advantages.square().mean((1, 2)), ones, rtol=0.0, atol=1e-4)


def test_advantages_are_measured_by_their_noise_before_they_are_normalised():
    # without values and with lambda 1: rewards to go 3, 1, 2 over sqrt(3), sqrt(2), 1
    rewards = torch.tensor([[[2.0, -1.0, 2.0]]], dtype=torch.float64)
    advantages = GeneralisedAdvantages(1.0)(rewards, torch.zeros_like(rewards))
    raw = [math.sqrt(3.0), 1.0 / math.sqrt(2.0), 2.0]
    mean = sum(raw) / 3.0
    scale = math.sqrt(sum((number - mean) ** 2 for number in raw) / 3.0)
    expected = torch.tensor([[[(number - mean) / scale for number in raw]]], dtype=torch.float64)
    torch.testing.assert_close(advantages, expected, rtol=0.0, atol=1e-5)


def test_what_all_episodes_of_a_task_share_at_a_step_is_no_advantage():
    # rewards to go [1, 1], [3, -1] and [2, 3]: means 2 and 1
    rewards = torch.tensor([[[0.0, 1.0], [4.0, -1.0], [-1.0, 3.0]]], dtype=torch.float64)
    advantages = GeneralisedAdvantages(1.0)(rewards, torch.zeros_like(rewards))
    root = math.sqrt(2.0)
    raw = torch.tensor([[[-1.0 / root, 0.0], [1.0 / root, -2.0], [0.0, 2.0]]]).double()
    expected = raw / math.sqrt((0.5 + 0.5 + 4.0 + 4.0) / 6.0)
    torch.testing.assert_close(advantages, expected, rtol=0.0, atol=1e-5)


def test_values_count_as_shares_of_the_episode():
    # values that tell the rewards to go exactly leave no advantage to normalise
    rewards = torch.tensor([[[1.0, -0.5, 1.0, 0.5]]], dtype=torch.float64)
    values = torch.tensor([[[2.0, 1.0, 1.5, 0.5]]], dtype=torch.float64) / 4.0
    for gae_lambda in (0.0, 0.5, 1.0):
        advantages = GeneralisedAdvantages(gae_lambda)(rewards, values)
        torch.testing.assert_close(advantages, torch.zeros_like(rewards), rtol=0.0, atol=1e-9)


def test_centred_rewards_to_go_by_hand():
    # rewards to go [1, 1], [3, -1] and [2, 3]: means 2 and 1
    rewards = torch.tensor([[[0.0, 1.0], [4.0, -1.0], [-1.0, 3.0]]], dtype=torch.float64)
    values = torch.full_like(rewards, 7.0)
    expected = torch.tensor([[[-1.0, 0.0], [1.0, -2.0], [0.0, 2.0]]], dtype=torch.float64)
    torch.testing.assert_close(CentredRewardsToGo()(rewards, values), expected)
    alone = CentredRewardsToGo()(rewards[:, :1], values[:, :1])
    torch.testing.assert_close(alone, torch.tensor([[[1.0, 1.0]]], dtype=torch.float64))


@pytest.mark.parametrize("gae_lambda", [-0.5, 1.5])
def test_lambda_is_checked(gae_lambda):
    with pytest.raises(ValueError, match=r"gae_lambda must be .*at least 0 and at most 1, got"):
        GeneralisedAdvantages(gae_lambda)
