import torch

from mermaide_pl.experiments.learners.fitted_rules import RULES
from mermaide_pl.experiments.learners.likelihood import Likelihood
from mermaide_pl.experiments.learners.recovery import recover, simulated


def test_arms_pay_what_was_recorded_for_them(choices_of):
    choices = choices_of([[[0, 1, 0, 1]], [[0, 0, 0, 1]]], [[[1.0, 5.0, 2.0, 5.0]], [[2.0] * 4]], 3)
    choices.recorded[1, 0, 3] = False
    likelihood = Likelihood(RULES["epsilon_greedy"], choices)
    values = torch.ones(2, 1, dtype=torch.float64)
    seen = {arm: set() for arm in range(3)}
    for seed in range(40):
        again = simulated(likelihood, values, seed)
        assert again.recorded.equal(choices.recorded)
        for arm, reward in zip(
            again.arms[again.recorded].tolist(), again.rewards[again.recorded].tolist(), strict=True
        ):
            seen[arm].add(reward)
    assert seen[0] == {1.0, 2.0}
    assert seen[1] == {5.0}  # what was not recorded is not paid
    assert seen[2] == {1.0, 2.0, 5.0}  # of any arm: this one was never chosen
    assert again.arms.equal(simulated(likelihood, values, 39).arms)


def test_agents_that_differ_are_told_apart(played):
    values = torch.linspace(0.1, 0.9, 9, dtype=torch.float64).view(-1, 1)
    choices = played("epsilon_greedy", values, num_steps=400)
    likelihood = Likelihood(RULES["epsilon_greedy"], choices)
    found = recover(likelihood, values, seed=0)
    # epsilon is twice a share of 400: standard errors 2 (g (1 - g) / 400)^(1/2), four of them
    shares = values / 2.0
    errors = 2.0 * (shares * (1.0 - shares) / 400.0).sqrt()
    assert ((found - values).abs() < 4.0 * errors).all()
