"""Bias of trained principals, which see the choices, beside the schedules on the same agents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from mermaide_pl.evaluation.loading import read_principals
from mermaide_pl.evaluation.methods import PRINCIPAL
from mermaide_pl.evaluation.paired_evaluation import (
    PairedEvaluation,
    PlayerFor,
    fixed_players,
    learned_players,
)
from mermaide_pl.evaluation.records import Row
from mermaide_pl.experiments.choice_engineering.models import (
    POPULATIONS,
    RECURRENT,
    agents_of,
    population_of,
)
from mermaide_pl.experiments.choice_engineering.study import Study
from mermaide_pl.game import CHOICE_ENGINEERING
from mermaide_pl.metrics.intervals import bootstrap_mean
from mermaide_pl.populations import Population

SCHEDULE = "schedule"
SHOTS = (0, 1)
MODELS = (*POPULATIONS, RECURRENT)


def parts(paths: Sequence[str]) -> int:
    """How often `compute` advances."""
    return len(MODELS) * (1 + len(paths))


def compute(study: Study, paths: Sequence[str], advance: Callable[[], None]) -> list[Row]:
    """The bias of each schedule and each training, in shares of the trials; all agents count.

    The recurrent model is that of all people; no principal was trained on it.

    Args:
        study: the choices.
        paths: checkpoints of the trainings.
        advance: called after each part.

    Returns:
        A row for each model and schedule, or training and number of shots, with 95% bootstrap
        intervals over agents.
    """
    modules, _ = (
        read_principals(
            {str(number): path for number, path in enumerate(paths)}, "auto", CHOICE_ENGINEERING
        )
        if paths
        else ({}, None)
    )
    schedules = fixed_players(
        {str(number): schedule for number, schedule in study.data.schedules.items()}
    )
    rows: list[Row] = []
    for model in MODELS:
        agents = (
            agents_of(str(study.recurrent_of_all())) if model == RECURRENT else population_of(model)
        )
        rows += study.part(
            f"principals/{model}_schedules",
            partial(_rows, study, model, agents, SCHEDULE, schedules),
        )
        advance()
        for number, module in modules.items():
            players = learned_players({number: module}, SHOTS)
            rows += study.part(
                f"principals/{model}_{number}",
                partial(_rows, study, model, agents, PRINCIPAL, players),
            )
            advance()
    return rows


def _rows(
    study: Study,
    model: str,
    agents: Population,
    method: str,
    players: dict[tuple[str, int], PlayerFor],
) -> list[Row]:
    evaluation = PairedEvaluation(CHOICE_ENGINEERING, study.effort.num_agents, seed=study.seed)
    return [
        {
            "model": model,
            "method": method,
            "number": int(number),
            "shots": shots,
            "num_agents": len(scores.alignment),
            **bootstrap_mean(scores.alignment).columns("bias"),
        }
        for (number, shots), scores in evaluation.scores(players, agents).items()
    ]
