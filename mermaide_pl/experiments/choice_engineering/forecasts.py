"""How well models forecast the next choice of people they were not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mermaide_pl.evaluation.records import Row
from mermaide_pl.experiments.choice_engineering.models import FITTED, RECURRENT, WITH_PUBLISHED
from mermaide_pl.experiments.choice_engineering.study import SPLITS, Study
from mermaide_pl.experiments.learners.choices import Choices
from mermaide_pl.experiments.learners.fitted_rules import FittedRule
from mermaide_pl.experiments.learners.likelihood import Likelihood
from mermaide_pl.experiments.learners.maximum_likelihood import fit_pooled
from mermaide_pl.experiments.learners.recurrent import forecasts
from mermaide_pl.metrics.intervals import bootstrap_mean
from mermaide_pl.principals.arm_forecast import ArmForecast

NOTHING_FITTED = "none"
"""Split of models that were not fitted here."""
_SCALE = (0.0, 1.0)  # lowest and highest reward
Advance = Callable[[], None]


def parts(study: Study) -> int:
    """How often `compute` advances."""
    folds = sum(len(study.fold_numbers(split)) for split in SPLITS)
    return len(WITH_PUBLISHED) + (len(FITTED) + 1) * folds


def compute(study: Study, advance: Advance) -> list[Row]:
    """Scores of every model.

    Args:
        study: the choices.
        advance: called after each part.

    Returns:
        A row for each model and split, with the means over people of the probability and the
        log-probability (nats) of their choices, and 95% bootstrap intervals over people.
    """
    rows = []
    for name, rule in WITH_PUBLISHED.items():
        of_people = study.part(
            f"forecasts/{name}",
            partial(_of_rule, study, rule, None, torch.arange(len(study.choices))),
        )
        rows.append(_row(name, NOTHING_FITTED, of_people))
        advance()
    for name in (*FITTED, RECURRENT):
        for split in SPLITS:
            of_people = [row for each in _of_folds(study, name, split, advance) for row in each]
            rows.append(_row(name, split, of_people))
    return rows


def _of_folds(study: Study, name: str, split: str, advance: Advance) -> Iterator[list[Row]]:
    folds = study.folds(split)
    for fold in study.fold_numbers(split):
        held_out = torch.nonzero(folds == fold).flatten()

        def rows(fold: int = fold, held_out: Tensor = held_out) -> list[Row]:
            if name != RECURRENT:
                others = torch.nonzero(folds != fold).flatten()
                return _of_rule(study, FITTED[name], others, held_out)
            model = ArmForecast.load(study.recurrent(split, fold))
            chosen = study.choices.chosen(held_out)
            return _scores(study, held_out, chosen, forecasts(model, chosen))

        yield study.part(f"forecasts/{name}_{split}_{fold}", rows)
        advance()


def _of_rule(study: Study, rule: FittedRule, others: Tensor | None, held_out: Tensor) -> list[Row]:
    """Scores of a rule, fitted to some of the people `others`, unless its values are given."""
    values = torch.empty(0, dtype=torch.float64)
    if others is not None:
        generator = torch.Generator().manual_seed(study.seed)
        order = torch.randperm(len(others), generator=generator)[: study.effort.num_fitted]
        people = study.choices.chosen(others[order])
        values = fit_pooled(Likelihood(rule, people, _SCALE), people.recorded)
    found = []
    for places in torch.split(held_out, 512):
        chosen = study.choices.chosen(places)
        likelihood = Likelihood(rule, chosen, _SCALE)
        chances = likelihood.probabilities(values.expand(len(places), -1))
        found += _scores(study, places, chosen, chances)
    return found


def _scores(study: Study, places: Tensor, chosen: Choices, chances: Tensor) -> list[Row]:
    """A row for each person, means over trials; `chances` are float64 [m, T, A]."""
    found = chances.gather(2, chosen.arms.flatten(1).unsqueeze(2)).squeeze(2)
    logs = found.clamp(min=torch.finfo(found.dtype).tiny).log()
    return [
        {
            "participant": place,
            "schedule": int(study.data.schedule[place]),
            "probability": probability,
            "log_probability": log_probability,
        }
        for place, probability, log_probability in zip(
            places.tolist(), found.mean(1).tolist(), logs.mean(1).tolist(), strict=True
        )
    ]


def _row(model: str, split: str, of_people: list[Row]) -> Row:
    columns: Row = {}
    for quantity in ("probability", "log_probability"):
        values = np.array([row[quantity] for row in of_people])
        columns |= bootstrap_mean(values).columns(quantity)
    return {"model": model, "split": split, "num_people": len(of_people), **columns}
