import math

import pytest
import torch

from mermaide_pl.objectives import (
    advantage_noise_scale,
    entropy,
    factual_arm_logits,
    forecast_log_likelihood,
    generalised_advantages,
    log_probabilities,
    normalise_per_task,
    rewards_to_go,
)

REWARDS = torch.tensor([[1.0, -0.5, 2.0], [0.0, 4.0, -1.0]], dtype=torch.float64)
VALUES = torch.tensor([[0.5, 1.0, -2.0], [3.0, 0.0, 1.0]], dtype=torch.float64)


def close(actual: torch.Tensor, expected: object, atol: float = 1e-12) -> None:
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=atol)


def test_rewards_to_go_sums_this_and_all_later_rewards():
    close(rewards_to_go(REWARDS), [[2.5, 1.5, 2.0], [3.0, 3.0, -1.0]])


def test_rewards_to_go_of_one_step_is_the_reward():
    close(rewards_to_go(torch.tensor([[7.0]])), [[7.0]])


@pytest.mark.parametrize(
    ("gae_lambda", "expected"),
    [
        # d_t = r_t + V_{t+1} - V_t: [1.5, -3.5, 4.0] and [-3.0, 5.0, -2.0]
        (0.0, [[1.5, -3.5, 4.0], [-3.0, 5.0, -2.0]]),
        # A_3 = 4; A_2 = -3.5 + 4/2 = -1.5; A_1 = 1.5 - 1.5/2 = 0.75, and likewise below
        (0.5, [[0.75, -1.5, 4.0], [-1.0, 4.0, -2.0]]),
        # rewards to go less the value
        (1.0, [[2.0, 0.5, 4.0], [0.0, 3.0, -2.0]]),
    ],
)
def test_generalised_advantages_by_hand(gae_lambda, expected):
    close(generalised_advantages(REWARDS, VALUES, gae_lambda), expected)


def test_generalised_advantages_keep_leading_axes_apart():
    stacked = generalised_advantages(
        torch.stack([REWARDS, -REWARDS]), torch.stack([VALUES, -VALUES]), 0.9
    )
    alone = generalised_advantages(REWARDS, VALUES, 0.9)
    close(stacked[0], alone)
    close(stacked[1], -alone)


def test_generalised_advantages_equal_the_double_sum():
    torch.manual_seed(0)
    rewards, values = torch.randn(2, 2, 3, 7, dtype=torch.float64)
    following = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)
    residuals = rewards + following - values
    expected = torch.stack(
        [
            sum(0.97 ** (later - step) * residuals[..., later] for later in range(step, 7))
            for step in range(7)
        ],
        dim=-1,
    )
    close(generalised_advantages(rewards, values, 0.97), expected)


@pytest.mark.parametrize("shape", [(2, 4), (3,), (1, 3), (2, 1)])
def test_generalised_advantages_refuse_other_shapes(shape):
    with pytest.raises(ValueError, match=r"rewards \(2, 3\) and values"):
        generalised_advantages(REWARDS, torch.zeros(shape), 0.5)


@pytest.mark.parametrize(
    ("gae_lambda", "variances"),
    [(0.0, [1.0, 1.0, 1.0]), (0.5, [1.3125, 1.25, 1.0]), (1.0, [3.0, 2.0, 1.0])],
)
def test_advantage_noise_scale_by_hand(gae_lambda, variances):
    close(advantage_noise_scale(REWARDS, gae_lambda).square(), variances)


def test_advantage_noise_scale_is_the_noise_of_the_advantages():
    # the advantages are linear in the rewards: one unit reward at a time gives the coefficients
    unit = torch.eye(20, dtype=torch.float64)
    advantages = generalised_advantages(unit, torch.zeros_like(unit), 0.9)
    scale = advantage_noise_scale(advantages, 0.9)
    close(advantages.square().sum(0).sqrt(), scale)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_advantage_noise_scale_works_in_the_type_of_its_input(dtype, tolerance):
    scale = advantage_noise_scale(torch.zeros(3, 2, 200, dtype=dtype), 0.97)
    variances = [sum(0.97 ** (2 * k) for k in range(200 - step)) for step in range(200)]
    expected = torch.tensor(variances, dtype=torch.float64).sqrt()
    assert scale.dtype == dtype
    torch.testing.assert_close(scale.double(), expected, rtol=tolerance, atol=0.0)


def test_normalise_per_task_by_hand():
    # mean 3, variance 5 over the four numbers of the task
    advantages = torch.tensor([[[0.0, 2.0], [4.0, 6.0]]], dtype=torch.float64)
    root = math.sqrt(5.0)
    expected = [[[-3.0 / root, -1.0 / root], [1.0 / root, 3.0 / root]]]
    close(normalise_per_task(advantages), expected, atol=1e-5)


def test_normalise_per_task_treats_each_task_alone():
    torch.manual_seed(1)
    advantages = torch.randn(3, 2, 5, dtype=torch.float64)
    scaled = advantages * torch.tensor([1.0, 50.0, 0.3]).view(3, 1, 1) + 4.0
    normalised = normalise_per_task(scaled)
    close(normalised.mean((1, 2)), [0.0, 0.0, 0.0])
    close(normalised.square().mean((1, 2)), [1.0, 1.0, 1.0], atol=1e-4)
    for task in range(3):
        close(normalised[task : task + 1], normalise_per_task(scaled[task : task + 1]))
        close(normalised[task], normalise_per_task(advantages)[task], atol=1e-4)


def test_normalise_per_task_of_equal_advantages_is_zero():
    close(normalise_per_task(torch.full((1, 2, 3), 0.7)), torch.zeros(1, 2, 3), atol=1e-6)


def test_log_probabilities_of_the_levels_played():
    logits = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], dtype=torch.float64).log() + 3.0
    close(log_probabilities(logits, torch.tensor([2, 0])), [math.log(0.5), math.log(0.1)])


def test_entropy_in_nats():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)], [0.0, 40.0]], dtype=torch.float64)
    quarter = 0.25 * math.log(4.0) + 0.75 * math.log(4.0 / 3.0)
    close(entropy(logits), [math.log(2.0), quarter, 0.0])


def test_factual_arm_logits_takes_the_level_played():
    arm_logits = torch.arange(12.0).view(1, 1, 2, 2, 3)  # [M, B, T, L, A]
    factual = factual_arm_logits(arm_logits, torch.tensor([[[1, 0]]]))
    close(factual, [[[[3.0, 4.0, 5.0], [6.0, 7.0, 8.0]]]])


def test_forecast_log_likelihood_by_hand():
    forecast = torch.tensor(
        [
            # two tasks, one episode, two steps, two levels, two arms
            [[[[0.5, 0.5], [0.25, 0.75]], [[0.9, 0.1], [0.4, 0.6]]]],
            [[[[0.8, 0.2], [0.5, 0.5]], [[1.0 / 3.0, 2.0 / 3.0], [0.5, 0.5]]]],
        ],
        dtype=torch.float64,
    )
    levels = torch.tensor([[[1, 0]], [[0, 0]]])
    arms = torch.tensor([[[0, 1]], [[0, 1]]])
    expected = [[[math.log(0.25), math.log(0.1)]], [[math.log(0.8), math.log(2.0 / 3.0)]]]
    close(forecast_log_likelihood(forecast.log() + 1.7, levels, arms), expected)


def test_forecast_log_likelihood_teaches_only_the_level_played():
    arm_logits = torch.zeros(1, 1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    loss = -forecast_log_likelihood(arm_logits, torch.tensor([[[1]]]), torch.tensor([[[0]]]))
    loss.sum().backward()
    close(arm_logits.grad, [[[[[0.0, 0.0], [-0.5, 0.5]]]]])


def test_generalised_advantages_keep_their_digits_under_autocast():
    rewards = torch.randn(2, 3, 200)
    expected = generalised_advantages(rewards, torch.zeros_like(rewards), 0.97)
    with torch.autocast("cpu", torch.bfloat16):
        actual = generalised_advantages(rewards, torch.zeros_like(rewards), 0.97)
    assert torch.equal(actual, expected)
