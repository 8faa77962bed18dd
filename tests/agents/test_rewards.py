import pytest
import torch

from mermaide_pl.agents import BernoulliReward, GaussianReward, NoiseFreeReward


def test_gaussian_reward_adds_scaled_noise():
    uniforms = torch.special.ndtr(torch.tensor([[-1.5, 0.0, 2.0]], dtype=torch.float64))
    rewards = GaussianReward(scale=0.2).sample(torch.full((1, 3), 0.5).double(), uniforms)
    expected = torch.tensor([[0.2, 0.5, 0.9]], dtype=torch.float64)
    torch.testing.assert_close(rewards, expected)


def test_bernoulli_reward_succeeds_with_the_mean_as_probability():
    means = torch.tensor([[0.0, 0.3, 0.3, 1.0]])
    uniforms = torch.tensor([[2.0**-25, 0.29, 0.31, 1.0 - 2.0**-24]])
    rewards = BernoulliReward().sample(means, uniforms)
    assert rewards.tolist() == [[0.0, 1.0, 0.0, 1.0]]
    assert rewards.dtype == means.dtype


def test_noise_free_reward_is_the_mean():
    means = torch.tensor([[0.1, 7.0]])
    assert NoiseFreeReward().sample(means, torch.full_like(means, 0.9)).tolist() == means.tolist()


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_gaussian_scale_out_of_range_is_refused(scale):
    with pytest.raises(ValueError, match=r"GaussianReward\.scale"):
        GaussianReward(scale=scale)


@pytest.mark.parametrize("bad", [-0.01, 1.01])
def test_only_bernoulli_refuses_base_rewards_that_are_no_probabilities(bad):
    base_rewards = torch.tensor([[0.5, bad]])
    with pytest.raises(ValueError, match=r"BernoulliReward.*\[0, 1\].*"):
        BernoulliReward().check(base_rewards)
    BernoulliReward().check(base_rewards.clamp(0.0, 1.0))
    GaussianReward().check(base_rewards)
