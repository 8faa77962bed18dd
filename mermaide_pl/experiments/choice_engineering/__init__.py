"""The choice engineering competition: forecasts of people, biases of schedules and principals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.progress import Progress

from mermaide_pl.deployment.choice_data import ChoiceData
from mermaide_pl.evaluation.records import write_rows
from mermaide_pl.experiments.choice_engineering import biases, forecasts, principals
from mermaide_pl.experiments.choice_engineering.models import LABELS, PUBLISHED
from mermaide_pl.experiments.choice_engineering.study import QUICK, Effort, Study
from mermaide_pl.experiments.choice_engineering.summary import sentence, summary_page
from mermaide_pl.experiments.kept_settings import SETTINGS, keep_settings
from mermaide_pl.reporting.figures.choice_engineering import draw_choice_engineering
from mermaide_pl.reporting.figures.style import save_png
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.console import console

__all__ = ["run"]


def run(data: ChoiceData, ckpt_paths: Sequence[str], out: Path, quick: bool, seed: int) -> str:
    """Compute what is left, then write the rows, the summary and the figure.

    Each part has a file of its own, and is not computed again once it is there: a run may be
    stopped at any time, and the same command resumes it.

    Args:
        data: choices of people.
        ckpt_paths: checkpoints of principals for the choice engineering game, each of another
            training; none for the schedules alone.
        out: folder of the results.
        quick: with few people and agents, and short trainings.
        seed: of folds, trainings and agents.

    Returns:
        The result, in one sentence.

    Raises:
        ValueError: one line, if the results in `out` are of other choices, principals or sizes, or
            if there are too few people or schedules.
    """
    effort = QUICK if quick else Effort()
    study = Study.of(data, effort, out, seed)
    settings = {**asdict(effort), "seed": seed, "choices": data.checksum}
    keep_settings(out / SETTINGS, settings, ckpt_paths)
    with Progress(console=console(), transient=True) as progress:
        bars = {
            name: progress.add_task(name, total=total)
            for name, total in (
                ("forecasts", forecasts.parts(study)),
                ("biases", biases.parts(study)),
                ("principals", principals.parts(ckpt_paths)),
            )
        }
        forecast = forecasts.compute(study, lambda: progress.advance(bars["forecasts"]))
        biased = biases.compute(study, lambda: progress.advance(bars["biases"]))
        steered = principals.compute(
            study, ckpt_paths, lambda: progress.advance(bars["principals"])
        )
    agreements = biases.agreement(biased)
    for name, rows in (
        ("forecasts", forecast),
        ("biases", biased),
        ("agreement", agreements),
        ("principals", steered),
    ):
        write_rows(out / f"{name}.csv", rows)
    page = summary_page(data, study, forecast, biased, agreements, steered)
    write_whole(out / "summary.md", page)
    published = {
        each.label: (LABELS.get(each.model, ""), each.log_probability) for each in PUBLISHED
    }
    figure = draw_choice_engineering(forecast, published, biased, steered, LABELS)
    save_png(figure, out / "choice_engineering.png")
    return sentence(forecast, agreements, steered)
