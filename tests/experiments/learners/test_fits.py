"""Criteria by hand, held-out choices that nothing was fitted to, and the files."""

import csv
import io
import json
import math

import pytest
import torch

from mermaide_pl.experiments.learners.choices import folds_of
from mermaide_pl.experiments.learners.fits import (
    aic,
    bic,
    fit_models,
    model_names,
    rank_correlation,
    work,
)
from mermaide_pl.experiments.learners.fitted_rules import RULES
from mermaide_pl.experiments.learners.likelihood import Likelihood
from mermaide_pl.experiments.learners.maximum_likelihood import fit_pooled
from mermaide_pl.experiments.learners.results import (
    bound_lines,
    print_summary,
    recovery_lines,
    write_fits,
)
from mermaide_pl.runtime.console import console


@pytest.fixture
def choices(played):
    return played("epsilon_greedy", torch.linspace(0.1, 0.9, 6, dtype=torch.float64).view(-1, 1))


def test_criteria_by_hand(choices_of):
    """Four choices of chance 1/2 each: ln L = -4 ln 2 whatever epsilon is; one parameter."""
    choices = choices_of([[[0, 1, 0, 1]]], [[[1.0, 1.0, 1.0, 1.0]]])
    choices.recorded[..., 1] = choices.recorded[..., 3] = False  # the second is a first pull
    log_likelihood = -2.0 * math.log(2.0)
    fits = fit_models(choices, ["epsilon_greedy"], num_recovered=0)
    (row,), (summary,) = fits.agents, fits.summary
    assert row["choices"] == 2
    for found in (row, summary["pooled"], summary["each"]):
        assert found["log_likelihood"] == pytest.approx(log_likelihood)
        assert found["aic"] == pytest.approx(2.0 + 4.0 * math.log(2.0))
        assert found["bic"] == pytest.approx(math.log(2.0) + 4.0 * math.log(2.0))
    assert (aic(-10.0, 3), bic(-10.0, 3, 100)) == (26.0, pytest.approx(33.81551))


def test_estimates_at_a_bound_are_told(choices_of):
    """One agent always takes the better arm, and epsilon is lowest; the other does at times."""
    rewards = [[float(step % 4 == 0 or step == 1) for step in range(12)]]
    choices = choices_of([[[0, 1] + [0] * 10], [[0, 1] + [0, 1] * 5]], [rewards, rewards])
    fits = fit_models(choices, ["epsilon_greedy"], num_recovered=0)
    assert [row["at_bound"] for row in fits.agents] == ["epsilon", ""]
    assert bound_lines(fits) == ["epsilon_greedy: epsilon 1"]


def test_nothing_is_fitted_to_what_is_held_out(choices):
    folds, earlier = folds_of(len(choices), 3, 0), choices.earlier(0.8).flatten(1)
    fits = fit_models(choices, ["epsilon_greedy"], num_folds=3, num_recovered=0)
    assert [row["held_out_choices"] for row in fits.agents] == [20] * 6
    # other later choices change no forecast of the first of them
    changed = choices.chosen(range(6))
    changed.arms[:] = torch.where(earlier.view(choices.arms.shape), choices.arms, 1 - choices.arms)
    again = fit_models(changed, ["epsilon_greedy"], num_folds=7, num_recovered=0)
    before = fit_models(choices, ["epsilon_greedy"], num_folds=7, num_recovered=0)
    first_later = again.forecasts["epsilon_greedy"][:, 80]
    assert first_later.equal(before.forecasts["epsilon_greedy"][:, 80])
    likelihood = Likelihood(RULES["epsilon_greedy"], choices)
    for fold in range(3):
        others = (folds != fold).view(-1, 1, 1) & choices.recorded
        alone = Likelihood(
            RULES["epsilon_greedy"], choices.chosen(torch.nonzero(folds != fold).flatten())
        )
        expected = fit_pooled(alone, alone.choices.recorded)
        torch.testing.assert_close(fit_pooled(likelihood, others), expected, atol=1e-4, rtol=0)
        forecast = likelihood.probabilities(expected.expand(6, -1))[folds == fold]
        found = fits.forecasts["epsilon_greedy"][folds == fold]
        torch.testing.assert_close(found, forecast, atol=1e-3, rtol=0)


def test_results_are_written_and_shown(choices, tmp_path):
    told = []
    fits = fit_models(
        choices,
        ["epsilon_greedy", "softmax"],
        num_folds=3,
        num_recovered=4,
        advance=lambda name, number: told.append((name, number)),
    )
    for name in ("epsilon_greedy", "softmax"):
        done = sum(number for whose, number in told if whose == name)
        assert done == work(choices, name, 3, 4)
    write_fits(fits, choices, tmp_path, "arm 0")
    assert {path.name for path in tmp_path.iterdir()} == {
        "fits.csv",
        "summary.json",
        "recovery.csv",
        "forecasts.png",
    }
    rows = list(csv.DictReader((tmp_path / "fits.csv").open()))
    assert [(row["agent"], row["model"]) for row in rows] == [
        (agent, model) for model in ("epsilon_greedy", "softmax") for agent in choices.agents
    ]
    assert rows[0]["parameters"].startswith("epsilon=")
    greedy, softmax = json.loads((tmp_path / "summary.json").read_text())
    total = sum(float(row["log_likelihood"]) for row in rows[:6])
    assert greedy["each"]["log_likelihood"] == pytest.approx(total, rel=1e-5)
    assert set(softmax["pooled"]["parameters"]) == {"temperature", "lapse_rate"}
    recovery = list(csv.DictReader((tmp_path / "recovery.csv").open()))
    assert len(recovery) == 4 * (1 + 2)
    assert recovery_lines(fits)[0].startswith("epsilon_greedy: epsilon ")
    out = io.StringIO()
    print_summary(fits, 2, console(file=out, width=80))
    lines = out.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    (chance,) = (line.split() for line in lines if line.strip().startswith("chance"))
    assert chance[1:3] == ["-0.6931", "0.500"]
    assert {line.split()[0] for line in lines if "-0." in line} == {
        "epsilon_greedy",
        "softmax",
        "chance",
    }


def test_with_few_agents_the_recurrent_model_is_refused(choices):
    assert model_names(4, 5) == [*RULES]
    assert model_names(5, 5) == [*RULES, "recurrent"]
    with pytest.raises(ValueError, match="needs an agent for each of 7 folds, the history has 6"):
        fit_models(choices, ["recurrent"], num_folds=7)


def test_rank_correlation():
    one = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert rank_correlation(one, one.exp()) == pytest.approx(1.0)
    assert rank_correlation(one, torch.ones(4)) is None
