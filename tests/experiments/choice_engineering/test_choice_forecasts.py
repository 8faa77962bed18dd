import math
from dataclasses import replace

import pytest
import torch

from mermaide_pl.experiments.choice_engineering import forecasts
from mermaide_pl.experiments.choice_engineering.models import FITTED, WITH_PUBLISHED
from mermaide_pl.experiments.choice_engineering.study import SPLITS, Effort, Study


def q_learning(arms, rewards, rate=0.4, inverse_temperature=257.0, epsilon=0.2):
    """Probability of each choice, by hand."""
    values, found = [None, None], []
    for arm, reward in zip(arms, rewards, strict=True):
        if None in values:
            found.append(0.5)
        else:
            gap = inverse_temperature * (values[arm] - values[1 - arm])
            found.append(epsilon + (1 - 2 * epsilon) / (1 + math.exp(min(-gap, 700.0))))
        old = values[arm]
        values[arm] = reward if old is None else old + rate * (reward - old)
    return found


def test_scores_of_published_q_learning_are_those_worked_out_by_hand(study):
    rows = forecasts._of_rule(study, WITH_PUBLISHED["ql_lab"], None, torch.tensor([0, 7]))
    for row, place in zip(rows, (0, 7), strict=True):
        arms = study.choices.arms[place, 0].tolist()
        expected = q_learning(arms, study.choices.rewards[place, 0].tolist())
        assert row["participant"] == place
        assert row["schedule"] == study.data.schedule[place]
        assert row["probability"] == pytest.approx(sum(expected) / 100)
        assert row["log_probability"] == pytest.approx(sum(map(math.log, expected)) / 100)


def test_a_rule_is_fitted_to_others_alone_and_everyone_is_forecast_once(study, monkeypatch):
    fitted_to, advanced = [], []

    def fit(likelihood, counted):
        fitted_to.append({int(agent) for agent in likelihood.choices.agents})
        return torch.full((likelihood.num_parameters,), 0.3, dtype=torch.float64)

    monkeypatch.setattr(forecasts, "fit_pooled", fit)
    monkeypatch.setattr(forecasts, "WITH_PUBLISHED", {})
    monkeypatch.setattr(forecasts, "FITTED", {"ql_fitted": FITTED["ql_fitted"]})
    rows = forecasts.compute(study, lambda: advanced.append(1))
    assert len(advanced) == forecasts.parts(study)
    assert [row["num_people"] for row in rows] == [12] * len(rows)
    folds = [study.folds(split) == fold for split in SPLITS for fold in study.folds(split).unique()]
    assert len(fitted_to) == len(folds)
    for people, held_out in zip(fitted_to, folds, strict=True):
        assert len(people) == study.effort.num_fitted
        assert not people & {*torch.nonzero(held_out).flatten().tolist()}
    assert {row["model"]: row for row in rows}["recurrent"]["log_probability_mean"] < 0.0


def test_of_each_schedule_the_first_people_are_kept(data, tmp_path):
    study = Study.of(data, Effort(num_people=2, num_folds=2), tmp_path, 0)
    assert study.data.schedule.tolist() == [2, 5, 9, 2, 5, 9]
    assert study.data.chose_target.equal(data.chose_target[:6])


def test_too_few_to_leave_some_out_are_refused(data, tmp_path):
    alone = replace(data, chose_target=data.chose_target[:3], schedule=data.schedule[:3])
    one = replace(
        data, schedule=torch.full_like(data.schedule, 2), schedules={2: data.schedules[2]}
    )
    for few, effort in ((alone, Effort(num_folds=2)), (one, Effort())):
        with pytest.raises(ValueError, match="are too few: people and schedules are left out"):
            Study.of(few, effort, tmp_path, 0)
