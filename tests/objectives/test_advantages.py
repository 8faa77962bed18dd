import math
from itertools import product

import pytest
import torch

from mermaide_pl.objectives.advantages import (
    CentredRewardsToGo,
    GeneralisedAdvantages,
    HindsightAdvantages,
    Outcome,
)

BLIND, SEEING = torch.tensor([False]), torch.tensor([True])


def outcome_of(rewards, values=None) -> Outcome:
    """Rewards made of pulls alone: the costs are zero."""
    rewards = torch.as_tensor(rewards, dtype=torch.float64)
    nothing = torch.zeros_like(rewards)
    return Outcome(rewards, nothing, nothing, nothing if values is None else values, BLIND)


def test_advantages_are_normalised():
    torch.manual_seed(0)
    values = torch.randn(3, 4, 6, dtype=torch.float64)
    advantages = GeneralisedAdvantages()(outcome_of(torch.randn(3, 4, 6), values))
    zeros, ones = torch.zeros(3).double(), torch.ones(3).double()
    torch.testing.assert_close(advantages.mean((1, 2)), zeros, rtol=0.0, atol=1e-9)
    torch.testing.assert_close(advantages.square().mean((1, 2)), ones, rtol=0.0, atol=1e-4)


def test_advantages_are_measured_by_their_noise_before_they_are_normalised():
    # without values and with lambda 1: rewards to go 3, 1, 2 over sqrt(3), sqrt(2), 1
    advantages = GeneralisedAdvantages(1.0)(outcome_of([[[2.0, -1.0, 2.0]]]))
    raw = [math.sqrt(3.0), 1.0 / math.sqrt(2.0), 2.0]
    mean = sum(raw) / 3.0
    scale = math.sqrt(sum((number - mean) ** 2 for number in raw) / 3.0)
    expected = torch.tensor([[[(number - mean) / scale for number in raw]]], dtype=torch.float64)
    torch.testing.assert_close(advantages, expected, rtol=0.0, atol=1e-5)


def test_what_all_episodes_of_a_task_share_at_a_step_is_no_advantage():
    # rewards to go [1, 1], [3, -1] and [2, 3]: means 2 and 1
    advantages = GeneralisedAdvantages(1.0)(outcome_of([[[0.0, 1.0], [4.0, -1.0], [-1.0, 3.0]]]))
    root = math.sqrt(2.0)
    raw = torch.tensor([[[-1.0 / root, 0.0], [1.0 / root, -2.0], [0.0, 2.0]]]).double()
    expected = raw / math.sqrt((0.5 + 0.5 + 4.0 + 4.0) / 6.0)
    torch.testing.assert_close(advantages, expected, rtol=0.0, atol=1e-5)


def test_values_count_as_shares_of_the_episode():
    # values that tell the rewards to go exactly leave no advantage to normalise
    values = torch.tensor([[[2.0, 1.0, 1.5, 0.5]]], dtype=torch.float64) / 4.0
    outcome = outcome_of([[[1.0, -0.5, 1.0, 0.5]]], values)
    for gae_lambda in (0.0, 0.5, 1.0):
        advantages = GeneralisedAdvantages(gae_lambda)(outcome)
        torch.testing.assert_close(advantages, torch.zeros_like(values), rtol=0.0, atol=1e-9)


def test_costs_are_taken_from_the_rewards():
    pulls, costs = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, 0.25]]])
    outcome = Outcome(pulls, costs, torch.full_like(costs, 9.0), torch.zeros_like(costs), BLIND)
    torch.testing.assert_close(outcome.rewards, torch.tensor([[[0.5, -0.25]]]))
    torch.testing.assert_close(CentredRewardsToGo()(outcome), torch.tensor([[[0.25, -0.25]]]))


def test_centred_rewards_to_go_by_hand():
    # rewards to go [1, 1], [3, -1] and [2, 3]: means 2 and 1
    rewards = torch.tensor([[[0.0, 1.0], [4.0, -1.0], [-1.0, 3.0]]], dtype=torch.float64)
    values = torch.full_like(rewards, 7.0)
    expected = torch.tensor([[[-1.0, 0.0], [1.0, -2.0], [0.0, 2.0]]], dtype=torch.float64)
    torch.testing.assert_close(CentredRewardsToGo()(outcome_of(rewards, values)), expected)
    alone = CentredRewardsToGo()(outcome_of(rewards[:, :1], values[:, :1]))
    torch.testing.assert_close(alone, torch.tensor([[[1.0, 1.0]]], dtype=torch.float64))


def test_hindsight_advantages_by_hand():
    # Three episodes of two steps, lambda 1, cost 0.5, no values. Rewards to go in the first step:
    # 0.5 + 1, 1 + 0 and -0.5 + 1 (not pulled); in the second step 1, 0 (not pulled) and 1.
    pulls = torch.tensor([[[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    costs = torch.tensor([[[0.5, 0.0], [0.0, 0.0], [0.5, 0.0]]], dtype=torch.float64)
    mean_costs = torch.full_like(costs, 0.2)
    advantages = HindsightAdvantages(1.0, unit=2.0)(
        Outcome(pulls, costs, mean_costs, torch.zeros_like(costs), BLIND)
    )
    root = math.sqrt(2.0)
    expected = [
        [(1.5 - 1.0) / root, 1.0 - 1.0],
        [(1.0 - 1.5) / root, 0.2 - 0.0],
        [(0.2 - 0.5) / root, 1.0 - 1.0],
    ]
    torch.testing.assert_close(advantages, torch.tensor([expected]).double() / 2.0)


def test_hindsight_compares_like_with_like_where_the_level_counts_though_nobody_pulled():
    # the rewards to go of above: in each step two episodes that pulled, and one that did not
    pulls = torch.tensor([[[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]], dtype=torch.float64)
    costs = torch.tensor([[[0.5, 0.0], [0.0, 0.0], [0.5, 0.0], [0.0, 1.0]]], dtype=torch.float64)
    advantages = HindsightAdvantages(1.0, unit=2.0)(
        Outcome(
            pulls,
            costs,
            torch.full_like(costs, 0.2),
            torch.zeros_like(costs),
            BLIND,
            counts_unpulled=True,
        )
    )
    root = math.sqrt(2.0)
    expected = [
        [(1.5 - 1.0) / root, 1.0 - 1.0],
        [(1.0 - 1.5) / root, 0.0 - -1.0],
        [(0.5 - -1.0) / root, 1.0 - 1.0],
        [(-1.0 - 0.5) / root, -1.0 - 0.0],
    ]
    torch.testing.assert_close(advantages, torch.tensor([expected]).double() / 2.0)


def test_hindsight_keeps_the_policy_gradient_unbiased():
    """All games of two steps, one by one: an agent that pulls the target more after a paid pull."""
    theta = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    cost, habits = 0.5, (0.3, 0.8)
    chance = theta.sigmoid()  # of an intervention in each step

    def games():
        for number in range(16):
            levels, pulls = (number & 1, number >> 1 & 1), (number >> 2 & 1, number >> 3 & 1)
            weight, now = 1.0, habits[0]
            for step in range(2):
                weight = weight * (chance[step] if levels[step] else 1.0 - chance[step])
                weight = weight * (now if pulls[step] else 1.0 - now)
                now = habits[levels[step] * pulls[step]]
            yield levels, pulls, weight

    value = sum(weight * (sum(pulls) - cost * sum(levels)) for levels, pulls, weight in games())
    (exact,) = torch.autograd.grad(value, theta)
    estimated = torch.zeros(2, dtype=torch.float64)
    mean_costs = (cost * chance.detach()).view(1, 1, 2)
    estimator = HindsightAdvantages(1.0, unit=1.0)
    scale = torch.tensor([math.sqrt(2.0), 1.0], dtype=torch.float64)  # of the noise of each step
    for levels, pulls, weight in games():
        level = torch.tensor(levels, dtype=torch.float64)
        outcome = Outcome(
            torch.tensor(pulls, dtype=torch.float64).view(1, 1, 2),
            cost * level.view(1, 1, 2),
            mean_costs,
            torch.zeros(1, 1, 2, dtype=torch.float64),
            BLIND,
        )
        score = level - chance.detach()
        estimated += weight.detach() * score * estimator(outcome).flatten() * scale
    torch.testing.assert_close(estimated, exact, rtol=1e-10, atol=1e-12)


def test_hindsight_takes_no_advantage_of_the_arm_where_the_agent_may_see_the_bonus():
    # one step, one episode: a follower that pulls the target only when it is paid to
    pulls = torch.tensor([[[1.0], [0.0]]], dtype=torch.float64)
    costs = torch.tensor([[[0.5], [0.0]]], dtype=torch.float64)
    zeros = torch.zeros_like(costs)
    outcome = Outcome(pulls, costs, torch.full_like(costs, 0.25), zeros, SEEING)
    advantages = HindsightAdvantages(1.0, unit=1.0)(outcome)
    # 1 - 0.5 against 0: paying is better, by 0.5; a blind agent's would say 0.5 and +0.25
    torch.testing.assert_close(advantages, torch.tensor([[[0.5], [-0.5]]]).double())


@pytest.mark.parametrize("num_episodes", [1, 2])
@pytest.mark.parametrize("attention", [1.0, 0.6])
def test_the_expected_gradient_is_right_where_the_bonus_is_seen(attention, num_episodes):
    """All games of two steps with an agent that is won over by a bonus it sees, one by one.

    With a bonus it pulls the target with chance `attention`, else with chance 0.2, and in the
    second step more often if a bonus was paid before. The principal's chance to pay in the second
    step depends on whether the target was pulled in the first.
    """
    cost = 0.3
    theta = torch.tensor([0.3, -0.4, 0.2], dtype=torch.float64, requires_grad=True)

    def games(chances):
        """Levels, pulls, the numbers of the parameters used, and the chance of the game."""
        for levels, pulls in product(product((0, 1), repeat=2), product((0, 1), repeat=2)):
            places, weight, habit = (0, 1 + pulls[0]), 1.0, 0.2
            for level, pull, place in zip(levels, pulls, places, strict=True):
                now = max(habit, attention) if level else habit
                weight = weight * (chances[place] if level else 1.0 - chances[place])
                weight = weight * (now if pull else 1.0 - now)
                habit += 0.3 * level * pull
            yield levels, pulls, places, weight

    chance = theta.sigmoid()
    value = sum(
        weight * (sum(pulls) - cost * sum(levels)) for levels, pulls, _, weight in games(chance)
    )
    (exact,) = torch.autograd.grad(value, theta)
    fixed = chance.detach()
    estimator = HindsightAdvantages(1.0, unit=1.0)
    scale = torch.tensor([math.sqrt(2.0), 1.0], dtype=torch.float64)
    estimated = torch.zeros(3, dtype=torch.float64)
    for episodes in product(list(games(fixed)), repeat=num_episodes):
        levels = torch.tensor([[one[0] for one in episodes]], dtype=torch.float64)
        pulls = torch.tensor([[one[1] for one in episodes]], dtype=torch.float64)
        places = torch.tensor([[one[2] for one in episodes]])
        values = torch.full_like(pulls, 0.1)  # of a critic that knows little
        outcome = Outcome(pulls, cost * levels, cost * fixed[places], values, SEEING)
        each = (levels - fixed[places]) * estimator(outcome) * scale / num_episodes
        weight = math.prod(float(one[3]) for one in episodes)
        estimated.index_add_(0, places.flatten(), weight * each.flatten())
    torch.testing.assert_close(estimated, exact, rtol=1e-10, atol=1e-12)
    assert exact[0] > 0.03  # there is something to be had


@pytest.mark.parametrize("estimator", [GeneralisedAdvantages, HindsightAdvantages])
@pytest.mark.parametrize("gae_lambda", [-0.5, 1.5])
def test_lambda_is_checked(estimator, gae_lambda):
    with pytest.raises(ValueError, match=r"gae_lambda must be .*at least 0 and at most 1, got"):
        estimator(gae_lambda)


def test_unit_is_checked():
    with pytest.raises(ValueError, match=r"HindsightAdvantages\.unit .*above 0, got 0"):
        HindsightAdvantages(unit=0.0)
