"""The results as a page of Markdown, and in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mermaide_pl.deployment.choice_data import ChoiceData
from mermaide_pl.evaluation.methods import PRINCIPAL
from mermaide_pl.evaluation.records import Row
from mermaide_pl.experiments.choice_engineering.forecasts import NOTHING_FITTED
from mermaide_pl.experiments.choice_engineering.models import LABELS, PEOPLE, PUBLISHED, RECURRENT
from mermaide_pl.experiments.choice_engineering.principals import MODELS, SCHEDULE, SHOTS
from mermaide_pl.experiments.choice_engineering.study import (
    HELD_OUT_PEOPLE,
    HELD_OUT_SCHEDULES,
    Study,
)
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.reporting.figures.style import shots_label

_SPLITS = {
    NOTHING_FITTED: "all people, nothing was fitted",
    HELD_OUT_PEOPLE: "held-out people",
    HELD_OUT_SCHEDULES: "left-out schedules",
}


def summary_page(
    source: ChoiceData,
    study: Study,
    forecasts: Sequence[Row],
    biases: Sequence[Row],
    agreements: Sequence[Row],
    principals: Sequence[Row],
) -> str:
    """All results.

    Args:
        source: the choices as they were read.
        study: those of them that were used.
        forecasts: rows of `forecasts.compute`.
        biases: rows of `biases.compute`.
        agreements: rows of `biases.agreement`.
        principals: rows of `principals.compute`.
    """
    return "\n".join(
        [
            "# Choice engineering",
            "",
            f"Choices: {source}; used: {len(study.data.schedule)} people. Intervals: 95%, bootstrap"
            " over people or agents.",
            "",
            "## Forecasts of the next choice",
            "",
            f"Held-out people: {study.effort.num_folds} folds. Left-out schedules: the person's"
            " whole schedule was not fitted to. Contexts of CATIE are weighted by the likelihood of"
            " the choices before, which forecasts better than one drawn for each person."
            " Published: Dan, Plonsky, Loewenstein, Nature Communications 16:4109 (2025).",
            "",
            *_table(["model", "forecasts of", "people", "E[p]", "E[log p], nats"], "llrrr"),
            *(_forecast_line(row) for row in forecasts),
            *(
                f"| {each.label} | *published* | | {each.probability:.3f} |"
                f" {each.log_probability:.3f} |"
                for each in PUBLISHED
            ),
            "",
            "## Bias under each schedule, %",
            "",
            f"Agents simulated: {study.effort.num_agents}. As published, people and agents who"
            " chose the target in less than 5 or more than 95% of the trials are left out. The"
            " recurrent model has not seen the schedule, nor the people under it.",
            "",
            *_bias_lines(biases),
            "",
            *_table(["model", "correlation with people's", "mean error, points"], "lrr"),
            *(
                f"| {LABELS[row['model']]} | {row['correlation']:.2f} |"
                f" {100 * row['mean_error']:.1f} |"
                for row in agreements
            ),
            "",
            "## Bias of principals that see the choices, %",
            "",
            "All agents count here. The recurrent model is that of all people; the principals were"
            " trained on learning rules, not on it.",
            "",
            *_principal_lines(principals),
            "",
        ]
    )


def sentence(forecasts: Sequence[Row], agreements: Sequence[Row], principals: Sequence[Row]) -> str:
    """The results of the recurrent model, and of principals on it, in one sentence."""
    logs = {(row["model"], row["split"]): row["log_probability_mean"] for row in forecasts}
    ours = next(row for row in agreements if row["model"] == RECURRENT)
    best = max(
        (row for row in principals if (row["model"], row["method"]) == (RECURRENT, SCHEDULE)),
        key=lambda row: row["bias_mean"],
    )
    played = {shots: _mean_over_trainings(principals, RECURRENT, shots) for shots in SHOTS}
    said = "".join(
        f", a principal {100 * mean:.1f}% at {shots_label(shots)}"
        for shots, mean in played.items()
        if mean is not None
    )
    return (
        f"choice_engineering: E[log p] of the recurrent model"
        f" {logs[RECURRENT, HELD_OUT_PEOPLE]:.3f} on held-out people,"
        f" {logs[RECURRENT, HELD_OUT_SCHEDULES]:.3f} on left-out schedules, of CATIE"
        f" {logs['catie', NOTHING_FITTED]:.3f}; its simulated biases err by"
        f" {100 * ours['mean_error']:.1f} points, correlation {ours['correlation']:.2f}; on the"
        f" recurrent model of all, schedule {best['number']} reaches"
        f" {100 * best['bias_mean']:.1f}%{said}."
    )


def _forecast_line(row: Row) -> str:
    cells = [_told(row, quantity, 1.0, ".3f") for quantity in ("probability", "log_probability")]
    return (
        f"| {LABELS[row['model']]} | {_SPLITS[row['split']]} | {row['num_people']} |"
        f" {' | '.join(cells)} |"
    )


def _bias_lines(rows: Sequence[Row]) -> list[str]:
    models = list(dict.fromkeys(row["model"] for row in rows))
    found = {(row["model"], row["schedule"]): row for row in rows}
    people = [row for row in rows if row["model"] == PEOPLE]
    return [
        *_table(
            ["schedule", "people counted", *(LABELS[model] for model in models)],
            "rr" + "r" * len(models),
        ),
        *(
            f"| {row['schedule']} | {row['num_counted']} | "
            + " | ".join(
                _told(found[model, row["schedule"]], "bias", 100.0, ".1f") for model in models
            )
            + " |"
            for row in people
        ),
    ]


def _principal_lines(rows: Sequence[Row]) -> list[str]:
    found = {(row["model"], row["method"], row["number"], row["shots"]): row for row in rows}
    whose = list(dict.fromkeys(key[1:] for key in found))
    return [
        *_table(["", *(LABELS[model] for model in MODELS)], "l" + "r" * len(MODELS)),
        *(
            f"| {_name(*key)} | "
            + " | ".join(_told(found[model, *key], "bias", 100.0, ".1f") for model in MODELS)
            + " |"
            for key in whose
        ),
    ]


def _name(method: str, number: int, shots: int) -> str:
    if method == SCHEDULE:
        return f"schedule {number}"
    return f"principal of training {number}, {shots_label(shots)}"


def _mean_over_trainings(rows: Sequence[Row], model: str, shots: int) -> float | None:
    found = [
        row["bias_mean"]
        for row in rows
        if (row["model"], row["method"], row["shots"]) == (model, PRINCIPAL, shots)
    ]
    return sum(found) / len(found) if found else None


def _told(row: Row, quantity: str, unit: float, digits: str) -> str:
    mean, low, high = (unit * each for each in Estimate.of_row(row, quantity))
    return f"{mean:{digits}} ({low:{digits}} to {high:{digits}})"


def _table(headings: Sequence[Any], places: str) -> list[str]:
    """Heading of a table; `places` has l or r for each column."""
    rule = "|".join("---:" if place == "r" else "---" for place in places)
    return [f"| {' | '.join(headings)} |", f"|{rule}|"]
