import math

import pytest
import torch

from mermaide_pl.agents import EpsilonSoftmaxQ


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x))


@pytest.mark.parametrize(
    ("history", "share"),
    [
        ([], 0.5),
        ([(1, 1.0), (1, 0.0)], 0.5),  # arm 0 has no value yet
        # each arm's first reward is its value; then 1 + 0.5 (0 - 1) = 0.5, 0 + 0.5 (1 - 0) = 0.5
        ([(0, 1.0), (1, 0.0)], 0.1 + 0.8 * sigmoid(2.0)),
        ([(0, 1.0), (1, 0.0), (0, 0.0)], 0.1 + 0.8 * sigmoid(1.0)),
        ([(0, 1.0), (1, 0.0), (0, 0.0), (1, 1.0)], 0.5),
    ],
)
def test_trials_worked_by_hand(history, share):
    base_rewards = torch.zeros(1, 2, dtype=torch.float64)
    rule = EpsilonSoftmaxQ(learning_rate=0.5, inverse_temperature=2.0, epsilon=0.1).to(base_rewards)
    state = rule.init(base_rewards, torch.zeros(1, dtype=torch.long), 1)
    for arm, reward in history:
        rewards = torch.tensor([[reward]], dtype=torch.float64)
        state = rule.update(state, torch.tensor([[arm]]), rewards, torch.empty(0))
    chances = rule.choice_probabilities(*rule.decision_variables(state))
    assert chances.flatten().tolist() == pytest.approx([share, 1.0 - share])


def test_random_arms_have_equal_chances_whatever_their_number():
    values = torch.tensor([[[0.0, 0.0, 1.0, 0.0]]])
    rule = EpsilonSoftmaxQ(inverse_temperature=1000.0, epsilon=0.2).to(values[0])
    chances = rule.choice_probabilities(values, torch.ones(1, 1, 1, dtype=torch.bool))
    assert chances.flatten().tolist() == pytest.approx([0.1, 0.1, 0.7, 0.1])
