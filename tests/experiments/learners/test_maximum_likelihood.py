"""Maxima in closed form, and hyper-parameters that are known are found again."""

import pytest
import torch

from mermaide_pl.experiments.learners.fitted_rules import RULES
from mermaide_pl.experiments.learners.likelihood import Likelihood
from mermaide_pl.experiments.learners.maximum_likelihood import fit_each, fit_pooled


def test_exploration_is_twice_the_share_of_worse_arms(choices_of):
    """Of two arms, the worse one is chosen with probability epsilon / 2."""
    # after two steps arm 0 is better; of the 8 that follow, agent 0 chooses the worse arm twice
    arms = [[[0, 1, 0, 1, 0, 0, 1, 0, 0, 0]], [[0, 1, 0, 1, 0, 1, 1, 0, 0, 0]]]
    rewards = [[[1.0, 0.0] + [1 - arm for arm in row[2:]] for row in agent] for agent in arms]
    choices = choices_of(arms, rewards)
    likelihood = Likelihood(RULES["epsilon_greedy"], choices)
    counted = choices.recorded.clone()
    counted[..., :2] = False  # the second step is a first pull, which epsilon also makes
    _, each = fit_each(likelihood, counted)
    assert each.flatten().tolist() == pytest.approx([2 * 2 / 8, 2 * 3 / 8], abs=1e-4)
    pooled = fit_pooled(likelihood, counted)
    assert pooled.tolist() == pytest.approx([2 * 5 / 16], abs=1e-4)
    only = counted & torch.tensor([False, True]).view(-1, 1, 1)
    assert fit_pooled(likelihood, only).tolist() == pytest.approx([2 * 3 / 8], abs=1e-4)


TRUE = {
    "rescorla_wagner": [0.3, 0.4, 0.2],
    "epsilon_softmax_q": [0.4, 4.0, 0.1],
    "catie": [0.3, 0.4, 0.6],
}


@pytest.mark.parametrize("name", TRUE)
def test_known_hyper_parameters_are_recovered_within_their_standard_errors(name, played):
    """The covariance of an estimate is the inverse of minus the Hessian (Fisher's information)."""
    true = torch.tensor(TRUE[name], dtype=torch.float64)
    choices = played(name, true.expand(60, -1))
    likelihood = Likelihood(RULES[name], choices, (0.0, 1.0))
    found = fit_pooled(likelihood, choices.recorded)

    def total(values):
        return likelihood.logs(values.expand(len(choices), -1)).sum()

    assert total(found) >= total(true)
    steps = 1e-3 * torch.diag(found)
    hessian = torch.stack(
        [
            torch.stack(
                [
                    (
                        total(found + one + other)
                        - total(found + one - other)
                        - total(found - one + other)
                        + total(found - one - other)
                    )
                    / (4.0 * one.sum() * other.sum())
                    for other in steps
                ]
            )
            for one in steps
        ]
    )
    errors = torch.linalg.inv(-hessian).diagonal().sqrt()
    assert (errors < 0.5 * true).all()  # else the test could not fail
    assert ((found - true).abs() < 4.0 * errors).all()


def test_each_agent_reaches_the_maximum_that_it_reaches_alone(played):
    values = torch.tensor([[0.2, 0.2, 0.1], [0.7, 0.5, -0.3], [0.5, 1.0, 0.5]], dtype=torch.float64)
    choices = played("rescorla_wagner", values)
    likelihood = Likelihood(RULES["rescorla_wagner"], choices, (0.0, 1.0))
    places, together = fit_each(likelihood, choices.recorded)
    reached = likelihood.logs(together).sum(1)
    for agent in range(3):
        alone = Likelihood(RULES["rescorla_wagner"], choices.chosen([agent]), (0.0, 1.0))
        found = fit_pooled(alone, alone.choices.recorded)
        assert alone.logs(found[None]).sum().item() == pytest.approx(
            reached[agent].item(), abs=0.01
        )
        # nowhere near is it higher
        nearby = (places[agent] + 0.01 * torch.randn(50, 3, dtype=torch.float64)).clamp(0.0, 1.0)
        others = alone.logs(alone.values(nearby), torch.zeros(50, dtype=torch.long)).sum(1)
        assert others.max().item() <= reached[agent].item() + 0.01
