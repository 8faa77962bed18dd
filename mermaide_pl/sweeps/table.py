"""Results of a sweep: a table of the best, all trials as CSV, a picture, and the best command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mermaide_pl.config.trusted_imports import imports
from mermaide_pl.evaluation.records import Row, write_rows
from mermaide_pl.reporting.figures.style import save_png
from mermaide_pl.reporting.figures.sweep_trials import draw_sweep
from mermaide_pl.runtime.console import console, say
from mermaide_pl.sweeps.settings import Sweep, options
from mermaide_pl.sweeps.study import ERROR

_ROWS_SHOWN = 10
STATES = {
    TrialState.COMPLETE: "done",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "interrupted",
}
"""Names of the states of a trial in the results, by Optuna's state."""


def ranking(trials: Mapping[int, FrozenTrial], given: Sweep) -> list[int]:
    """Places of the trials that were trained to the end, the best first."""
    done = {
        place: trial.value
        for place, trial in trials.items()
        if trial.state == TrialState.COMPLETE and trial.value is not None
    }
    return sorted(done, key=lambda place: done[place], reverse=given.maximises)


def headings(names: Sequence[str]) -> list[str]:
    """Short names of parameters: their last part, where that tells them apart."""
    last = [name.rpartition(".")[2] for name in names]
    return [
        short if last.count(short) == 1 else name for short, name in zip(last, names, strict=True)
    ]


def shown(value: Any) -> str:
    """A value of a parameter, for people."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_results(given: Sweep, trials: Mapping[int, FrozenTrial], folder: Path) -> None:
    """Write ``sweep.csv`` and ``sweep.png``, print the best trials and the command for the best.

    Args:
        given: the sweep.
        trials: last attempt of each trial that has begun, by place.
        folder: folder of the sweep.
    """
    if not trials:
        say("no trial has begun")
        return
    ranked = ranking(trials, given)
    _print_table(given, trials, ranked)
    rows = [_row(place, trial, given) for place, trial in trials.items()]
    write_rows(folder / "sweep.csv", rows)
    logarithmic = {name for name, parameter in given.parameters.items() if parameter.log}
    figure = draw_sweep(
        rows,
        given.objective,
        dict(zip(given.parameters, headings(list(given.parameters)), strict=True)),
        logarithmic=logarithmic,
        maximises=given.maximises,
    )
    save_png(figure, folder / "sweep.png")
    say(f"results: {folder / 'sweep.csv'}, {folder / 'sweep.png'}")
    if ranked:
        logger = {
            "trainer.logger": "TensorBoardLogger",
            "trainer.logger.save_dir": str(folder),
            "trainer.logger.name": "best",
        }
        # the settings common to all trials, except the length of the training
        lasting = {
            name: value for name, value in given.settings.items() if name.startswith("model.")
        }
        best = [*imports(), *options(lasting | trials[ranked[0]].params | logger)]
        say(f"checkpoint of the best: {folder}/trial{ranked[0]}/checkpoints/best.ckpt")
        say("to train the best in full:")
        say(shlex.join(["mermaide", "fit", "--config", given.base, *best]))


def _row(place: int, trial: FrozenTrial, given: Sweep) -> Row:
    seconds = trial.duration.total_seconds() if trial.duration else ""
    return {
        "trial": place,
        "state": STATES[trial.state],
        given.objective: "" if trial.value is None else trial.value,
        "seconds": seconds,
        **{name: trial.params.get(name, "") for name in given.parameters},
        "error": trial.user_attrs.get(ERROR, "") if trial.state == TrialState.FAIL else "",
    }


def _print_table(given: Sweep, trials: Mapping[int, FrozenTrial], ranked: list[int]) -> None:
    others = sorted(
        (place for place in trials if place not in ranked),
        key=lambda place: (trials[place].value is None, place),
    )
    states = [STATES[trial.state] for trial in trials.values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    table = Table(
        title=f"trials: {counts}",
        box=SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title_justify="left",
    )
    for heading in ("trial", given.objective, "state", *headings(list(given.parameters))):
        table.add_column(heading, justify="left" if heading == "state" else "right")
    for place in [*ranked, *others][:_ROWS_SHOWN]:
        trial = trials[place]
        value = "" if trial.value is None else f"{trial.value:.4f}"
        values = [shown(trial.params.get(name, "")) for name in given.parameters]
        style = "bold" if ranked and place == ranked[0] else None
        table.add_row(str(place), value, STATES[trial.state], *values, style=style)
    console().print(table)
