"""Bias to the target under each schedule: of people, and of simulated agents of each model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.records import Row
from mermaide_pl.experiments.choice_engineering.models import (
    PEOPLE,
    POPULATIONS,
    RECURRENT,
    agents_of,
    population_of,
)
from mermaide_pl.experiments.choice_engineering.study import HELD_OUT_SCHEDULES, Study
from mermaide_pl.game import CHOICE_ENGINEERING
from mermaide_pl.metrics.intervals import Estimate, bootstrap_mean
from mermaide_pl.populations import Population

MODELS = (*POPULATIONS, RECURRENT)
LOW, HIGH = 0.05, 0.95
"""Shares of the target between which people, and agents, are counted, as it was published."""
_NONE = Estimate(float("nan"), float("nan"), float("nan"))


def parts(study: Study) -> int:
    """How often `compute` advances."""
    return 1 + len(MODELS) * len(study.data.schedules)


def compute(study: Study, advance: Callable[[], None]) -> list[Row]:
    """The bias under each schedule, in shares of the trials.

    The recurrent model has not seen the schedule, nor the people under it.

    Args:
        study: the choices.
        advance: called after each part.

    Returns:
        A row for each schedule of people and of each model, with 95% bootstrap intervals over
        people or agents.
    """
    shares = study.data.chose_target.double().mean(1).numpy()
    schedule = study.data.schedule.numpy()
    rows = study.part(
        f"biases/{PEOPLE}",
        lambda: [_row(PEOPLE, each, shares[schedule == each]) for each in study.data.schedules],
    )
    advance()
    for model in MODELS:
        for number in study.data.schedules:
            rows += study.part(
                f"biases/{model}_{number}", partial(_simulated, study, model, number)
            )
            advance()
    return rows


def agreement(rows: list[Row]) -> list[Row]:
    """How far the biases of each model agree with the people's, over the schedules.

    Args:
        rows: of `compute`.

    Returns:
        A row for each model: Pearson's correlation, and the mean absolute difference in shares of
        the trials.
    """
    found = {(row["model"], row["schedule"]): row["bias_mean"] for row in rows}
    numbers = [number for model, number in found if model == PEOPLE]
    people = np.array([found[PEOPLE, number] for number in numbers])
    agreements = []
    for model in MODELS:
        ours = np.array([found[model, number] for number in numbers])
        known = ~np.isnan(ours) & ~np.isnan(people)
        varies = known.sum() > 1 and min(ours[known].std(), people[known].std()) > 0
        agreements.append(
            {
                "model": model,
                "num_schedules": int(known.sum()),
                "correlation": float(np.corrcoef(ours[known], people[known])[0, 1])
                if varies
                else float("nan"),
                "mean_error": float(np.abs(ours - people)[known].mean())
                if known.any()
                else float("nan"),
            }
        )
    return agreements


def _simulated(study: Study, model: str, number: int) -> list[Row]:
    agents = (
        agents_of(str(study.recurrent(HELD_OUT_SCHEDULES, number)))
        if model == RECURRENT
        else population_of(model)
    )
    return [_row(model, number, _shares(study, agents, number))]


def _shares(study: Study, agents: Population, number: int) -> np.ndarray:
    """Share of the target of each agent, float64 [num_agents]."""
    tasks = agents.sample(
        range(study.effort.num_agents), split="test", seed=study.seed, game=CHOICE_ENGINEERING
    )
    played = rollout(
        tasks,
        study.data.schedules[number],
        CHOICE_ENGINEERING,
        stream=Stream.SCORE,
        num_episodes=1,
    )
    found: np.ndarray = played.alignment.double().squeeze(1).numpy()
    return found


def _row(model: str, schedule: int, shares: np.ndarray) -> Row:
    # alignments are float32
    counted = shares[(shares >= LOW - 1e-6) & (shares <= HIGH + 1e-6)]
    return {
        "model": model,
        "schedule": schedule,
        "num_counted": len(counted),
        "num_all": len(shares),
        **(bootstrap_mean(counted) if len(counted) else _NONE).columns("bias"),
    }
