import math

import pytest
import torch

from mermaide_pl.agents import BetaThompson
from mermaide_pl.agents.beta_thompson import NUM_TRIES, sample_beta, sample_gamma

NUM_DRAWS = 400_000


def uniforms_of(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator).clamp_(2.0**-25, 1.0 - 2.0**-24)


def learn(rule, rewards, coins, arm=0):
    """The parameters of two arms after one task saw `rewards` of `arm` with those coin tosses."""
    state = rule.init(torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), 1)
    for reward, coin in zip(rewards, coins, strict=True):
        uniforms = torch.full((1, 1, rule.num_uniforms(2)), 0.5)
        uniforms[..., -1] = coin
        state = rule.update(state, torch.tensor([[arm]]), torch.tensor([[reward]]), uniforms)
    return state[0, 0].tolist()


def test_binary_rewards_are_counted_whatever_the_coin():
    rule = BetaThompson(prior_alpha=2.0, prior_beta=3.0)
    for coin in (2.0**-25, 0.5, 1.0 - 2.0**-24):
        posterior = learn(rule, [1.0, 0.0, 1.0, 1.0], [coin] * 4, arm=1)
        assert posterior == [[2.0, 3.0], [5.0, 4.0]]


@pytest.mark.parametrize(
    ("reward", "coin", "posterior"),
    [
        (0.5, 0.37, [2.0, 1.0]),  # (0.5 + 1) / 4 = 0.375
        (0.5, 0.38, [1.0, 2.0]),
        (-7.0, 2.0**-25, [1.0, 2.0]),  # below the range: a sure failure
        (9.0, 1.0 - 2.0**-24, [2.0, 1.0]),  # above it: a sure success
    ],
)
def test_other_rewards_are_rescaled_clipped_and_tossed(reward, coin, posterior):
    rule = BetaThompson(reward_low=-1.0, reward_high=3.0)
    assert learn(rule, [reward], [coin]) == [posterior, [1.0, 1.0]]


def test_first_gamma_try_worked_by_hand():
    # A median normal gives v = 1, accepted with probability 1: the sample is d = shape - 1/3.
    uniforms = torch.tensor([0.999, 0.5, 0.9, 0.9, 0.9])
    torch.testing.assert_close(sample_gamma(torch.tensor(2.0), uniforms), torch.tensor(5 / 3))


def test_failed_gamma_tries_are_skipped_and_the_last_is_taken():
    # shape = 1: 1 + x / sqrt(6) < 0 at x = -3 must fail; x = 1 gives 2/3 (1 + 1/sqrt(6))^3.
    low, high = torch.special.ndtr(torch.tensor([-3.0, 1.0])).tolist()
    accepted = torch.tensor(2 / 3 * (1.0 + 6.0**-0.5) ** 3)
    shape = torch.tensor(1.0)
    for num_failed in range(NUM_TRIES):
        tries = [low] * num_failed + [high] + [0.5] * (NUM_TRIES - 1 - num_failed)
        sample = sample_gamma(shape, torch.tensor([0.5, *tries]))
        torch.testing.assert_close(sample, accepted, rtol=1e-5, atol=0.0)
    assert sample_gamma(shape, torch.tensor([0.5] + [low] * NUM_TRIES)).item() > 0.0


def test_gamma_acceptance_worked_by_hand():
    # shape = 1, x = 2: v = (1 + 2 / sqrt(6))^3 = 5.99376, and the probability of acceptance is
    # exp(2 + 2/3 (1 - v + ln v)) = 0.87339. The second try, x = 0, would give 2/3.
    two = torch.special.ndtr(torch.tensor(2.0)).item()
    for uniform, sample in ((0.1262, 2 / 3), (0.1270, 2 / 3 * 5.99376)):
        uniforms = torch.tensor([uniform, two, 0.5, 0.5, 0.5])
        assert sample_gamma(torch.tensor(1.0), uniforms).item() == pytest.approx(sample, rel=1e-4)


@pytest.mark.parametrize("shape", [1.0, 1.5, 4.0, 60.0])
def test_gamma_moments(shape):
    samples = sample_gamma(torch.tensor(shape), uniforms_of(NUM_DRAWS, NUM_TRIES + 1)).double()
    assert samples.mean().item() == pytest.approx(shape, abs=4 * math.sqrt(shape / NUM_DRAWS))
    # Fourth central moment 3 shape^2 + 6 shape, so the variance has variance (2 s^2 + 6 s) / n.
    error = math.sqrt((2.0 * shape**2 + 6.0 * shape) / NUM_DRAWS)
    assert samples.var().item() == pytest.approx(shape, abs=4 * error)


@pytest.mark.parametrize(
    ("alpha", "beta", "distribution_function"),
    [
        (1.0, 1.0, lambda x: x),
        (2.0, 1.0, lambda x: x**2),
        (1.0, 30.0, lambda x: 1.0 - (1.0 - x) ** 30),
        (2.0, 2.0, lambda x: 3.0 * x**2 - 2.0 * x**3),
        (1.0, 1.5, lambda x: 1.0 - (1.0 - x) ** 1.5),
    ],
)
def test_beta_samples_follow_the_distribution_function(alpha, beta, distribution_function):
    uniforms = uniforms_of(NUM_DRAWS, 2, NUM_TRIES + 1)
    samples = sample_beta(torch.tensor([alpha, beta]), uniforms).double().sort().values
    ranks = (torch.arange(NUM_DRAWS, dtype=torch.float64) + 0.5) / NUM_DRAWS
    distance = (distribution_function(samples) - ranks).abs().max().item()
    # Kolmogorov-Smirnov: above 1.95 / sqrt(n) with probability 0.001.
    assert distance < 1.95 / math.sqrt(NUM_DRAWS)


def test_probability_of_an_arm_matches_the_closed_form():
    # P(Beta(3, 1) > Beta(1, 1)) = E[Beta(3, 1)] = 3/4.
    rule, num_draws = BetaThompson(), 100_000
    state = torch.tensor([[3.0, 1.0], [1.0, 1.0]]).expand(1, num_draws, 2, 2)
    uniforms = uniforms_of(1, num_draws, rule.num_uniforms(2))
    share = (rule.act(state, torch.empty(0), uniforms) == 0).float().mean().item()
    assert share == pytest.approx(0.75, abs=0.0055)  # four standard errors
