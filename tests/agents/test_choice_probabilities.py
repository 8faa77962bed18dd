"""Choice probabilities of every rule are the shares of the arms that it picks."""

import pytest
import torch

from mermaide_pl.agents import (
    CATIE,
    EXP3,
    UCB,
    AttentiveLearner,
    BetaThompson,
    DiscountedUCB,
    EpsilonGreedy,
    EpsilonSoftmaxQ,
    GaussianThompson,
    NoisyUCB,
    RescorlaWagner,
    Softmax,
)
from mermaide_pl.agents.catie import chances_of_largest

NUM_DRAWS = 4_000
RULES = [
    UCB(0.4),
    DiscountedUCB(0.4, 0.9),
    NoisyUCB(0.3, 0.1, 0.1, 0.0),
    NoisyUCB(0.3, 0.1, 0.0, 0.5),
    EpsilonGreedy(0.3, 0.1),
    Softmax(0.2),
    RescorlaWagner(0.3, 0.3, 0.2),
    EXP3(0.3),
    EpsilonSoftmaxQ(0.3, 2.0, 0.1),
    CATIE(context=0.0),
    CATIE(context=1.0),
    CATIE(context=2.0, tau=0.6, epsilon=0.5, phi=0.2),
    CATIE(context=2.0, tries_first=0.0, phi=0.3),
]


def copies(state, index):
    """The same memory for many agents."""
    if isinstance(state, torch.Tensor):
        return state[:, index : index + 1].expand(-1, NUM_DRAWS, *state.shape[2:])
    if isinstance(state, tuple):
        return tuple(copies(one, index) for one in state)
    changed = {
        name: copies(value, index)
        for name, value in vars(state).items()
        if isinstance(value, torch.Tensor)
    }
    return type(state)(**{**vars(state), **changed})


@pytest.mark.parametrize("num_arms", [2, 3])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_they_are_the_shares_of_the_arms_picked(rule, num_arms):
    generator = torch.Generator().manual_seed(0)

    def uniforms(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    base_rewards = torch.zeros(1, num_arms, dtype=torch.float64)
    rule, num_steps = rule.to(base_rewards), 12
    state = rule.init(base_rewards, torch.zeros(1, dtype=torch.long), 3)
    none = torch.zeros(1, 1, dtype=torch.float64)
    recorded, shares, episodes = [], [], []
    for step in range(num_steps):
        recorded.append(rule.decision_variables(state))
        episodes.append(rule.choice_probabilities(*recorded[-1]))
        draws = uniforms(1, NUM_DRAWS, rule.num_uniforms(num_arms))
        arms = rule.act(copies(state, step % 3), none, draws)
        shares.append(torch.bincount(arms[0], minlength=num_arms) / NUM_DRAWS)
        draws = uniforms(1, 3, rule.num_uniforms(num_arms))
        arms = rule.act(state, none, draws)
        rewards = (uniforms(1, 3) < 0.3 + 0.4 * arms / num_arms).double()
        state = rule.update(state, arms, rewards, draws)
    chances = torch.stack(episodes)
    torch.testing.assert_close(chances.sum(-1), torch.ones(num_steps, 1, 3, dtype=torch.float64))
    expected = torch.stack([chances[step, 0, step % 3] for step in range(num_steps)])
    # five standard errors
    error = 5.0 * (expected * (1.0 - expected) / NUM_DRAWS).sqrt() + 1e-9
    assert ((torch.stack(shares) - expected).abs() < error).all()
    # later updates have not changed the variables, and steps may lie along the axis of episodes
    joined = (torch.cat(parts, dim=1) for parts in zip(*recorded, strict=True))
    again = rule.choice_probabilities(*joined).unflatten(1, (num_steps, 3))[0]
    torch.testing.assert_close(again, chances[:, 0])


def test_the_largest_of_random_numbers():
    # 1 with chance 1/2 or 0, against 1 with chance 1/4 or 0, against 0.5:
    # the first wins with 1 if the second has 0, and every second time if not: 1/2 (3/4 + 1/8)
    values = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    weights = torch.tensor([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]], dtype=torch.float64)
    chances = chances_of_largest(values, weights)
    assert chances.tolist() == pytest.approx([0.4375, 0.1875, 0.375])
    # all equal
    same = chances_of_largest(torch.ones(5, 2), torch.full((5, 2), 0.5))
    assert same.tolist() == pytest.approx([0.2] * 5)


@pytest.mark.parametrize("rule", [GaussianThompson(), BetaThompson(), AttentiveLearner()], ids=str)
def test_a_rule_without_a_closed_form_says_so(rule):
    with pytest.raises(
        ValueError, match=rf"{type(rule).__name__} has no choice probabilities in c"
    ):
        rule.decision_variables(None)
    with pytest.raises(ValueError, match="closed form"):
        rule.choice_probabilities()
