"""Probabilities worked by hand, one by one and batched."""

import math

import pytest
import torch

from mermaide_pl.agents import CATIE, RescorlaWagner
from mermaide_pl.experiments.learners.choices import Choices
from mermaide_pl.experiments.learners.fitted_rules import RULES, Bounds, FittedRule
from mermaide_pl.experiments.learners.likelihood import Likelihood

ARMS = [[[0, 1, 1, 0, 0, 1]], [[1, 1, 0, 1, 0, 0]]]
REWARDS = [[[1, 0, 1, 1, 0, 0]], [[0, 0, 1, 1, 1, 0]]]


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


def test_trials_of_error_driven_learning_worked_by_hand(choices_of):
    """Values 0.5; learning rate 0.5, temperature 0.5, perseveration 0.1.

    Arm 0 pays 1: values 0.75, 0.5. Arm 1 pays 0: 0.75, 0.25.
    """
    choices = choices_of([[[0, 1, 1]]], [[[1.0, 0.0, 1.0]]])
    likelihood = Likelihood(RULES["rescorla_wagner"], choices)
    logs = likelihood.logs(torch.tensor([[0.5, 0.5, 0.1]], dtype=torch.float64))
    expected = [0.5, sigmoid((0.5 - 0.75 - 0.1) / 0.5), sigmoid((0.25 + 0.1 - 0.75) / 0.5)]
    assert logs[0].exp().tolist() == pytest.approx(expected)


def test_unknown_values_have_the_mean_likelihood(choices_of):
    choices, values = choices_of(ARMS, REWARDS), torch.tensor([[0.3, 0.4, 0.5], [0.1, 0.6, 0.7]])
    mixed = Likelihood(RULES["catie"], choices).logs(values.double())
    each = [
        Likelihood(
            FittedRule(
                CATIE, RULES["catie"].free, {"tries_first": 0.0, "context": k, "threshold": 0.5}
            ),
            choices,
        )
        .logs(values.double())
        .sum(1)
        for k in range(3)
    ]
    means = torch.stack(each).exp().mean(0)
    assert mixed.sum(1).exp().tolist() == pytest.approx(means.tolist())
    # each agent's most probable one
    found = Likelihood(RULES["catie"], choices).unknown(values.double())
    assert found["context"].tolist() == torch.stack(each).argmax(0).tolist()


@pytest.mark.parametrize("name", RULES)
def test_agents_at_once_are_as_one_by_one(name, choices_of):
    choices, size = choices_of(ARMS, REWARDS), len(RULES[name].free)
    likelihood = Likelihood(RULES[name], choices)
    places = torch.rand(5, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values, agents = likelihood.values(places), torch.tensor([1, 0, 0, 1, 1])
    together = likelihood.probabilities(values, agents)
    torch.testing.assert_close(together.sum(-1), torch.ones(5, 6, dtype=torch.float64))
    for row, agent in enumerate(agents.tolist()):
        alone = Likelihood(RULES[name], choices.chosen([agent]), likelihood.scale)
        torch.testing.assert_close(
            alone.probabilities(values[row : row + 1])[0], together[row], rtol=1e-12, atol=1e-12
        )


@pytest.mark.parametrize("name", RULES)
def test_a_forecast_depends_on_nothing_that_follows(name, choices_of):
    choices = choices_of(ARMS, REWARDS)
    changed = choices_of(
        [[row[:3] + [1 - arm for arm in row[3:]] for row in agent] for agent in ARMS], REWARDS
    )
    values = torch.full((2, len(RULES[name].free)), 0.4, dtype=torch.float64)
    before, after = (Likelihood(RULES[name], each) for each in (choices, changed))
    values = before.values(values)
    assert before.probabilities(values)[:, :4].equal(after.probabilities(values)[:, :4])


def test_episodes_begin_anew_and_what_is_not_recorded_counts_for_nothing():
    arms = torch.tensor([[[0, 1, 1], [0, 1, 0]]])
    rewards = torch.tensor([[[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    recorded = torch.tensor([[[True, True, True], [True, True, False]]])
    likelihood = Likelihood(
        RULES["rescorla_wagner"], Choices(arms, rewards, recorded, 2, ("1",)), (0.0, 1.0)
    )
    logs = likelihood.logs(torch.tensor([[0.5, 0.5, 0.1]], dtype=torch.float64))[0].tolist()
    assert logs[3:] == [logs[0], logs[1], 0.0]


def test_bounds_are_in_the_units_of_the_rewards(choices_of):
    rewards = [[[-100.0, 300.0, 0.0]]]
    likelihood = Likelihood(RULES["rescorla_wagner"], choices_of([[[0, 1, 1]]], rewards))
    ends = likelihood.values(torch.tensor([[0.0] * 3, [1.0] * 3, [0.5] * 3], dtype=torch.float64))
    assert ends[0].tolist() == pytest.approx([0.001, 4.0, -2000.0])
    assert ends[1].tolist() == pytest.approx([0.999, 4000.0, 2000.0])
    assert ends[2].tolist() == pytest.approx([0.5, (4.0 * 4000.0) ** 0.5, 0.0])
    rule = likelihood.rule_of(ends[2:])
    assert isinstance(rule, RescorlaWagner)
    assert rule.initial_value.item() == 100.0  # the middle
    assert Bounds(1.0, 2.0, reward_units=-1).value(torch.tensor(0.5), 10.0) == pytest.approx(0.15)
