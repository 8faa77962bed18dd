"""Progress display of a running sweep: a bar, and a line for each trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from optuna.study import Study
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mermaide_pl.runtime.console import console
from mermaide_pl.sweeps.settings import Sweep
from mermaide_pl.sweeps.study import attempts
from mermaide_pl.sweeps.table import headings, ranking, shown


class SweepProgress:
    """Progress bar that counts the trials of all workers, and shows the one of this worker.

    Args:
        study: the study.
        given: the sweep.
        num_trials: number of trials in all.
    """

    def __init__(self, study: Study, given: Sweep, num_trials: int) -> None:
        self._study, self._given, self._num_trials = study, given, num_trials
        self._parameters = self._now = ""
        self._bar = Progress(
            TextColumn("trials"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TextColumn("{task.fields[now]}"),
            TimeElapsedColumn(),
            console=console(),
            disable=not num_trials,
        )
        self._task = self._bar.add_task("", total=num_trials, best="", now="")

    def __enter__(self) -> Self:
        self.refresh()
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.update(self._task, now="")
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print one line above the bar."""
        self._bar.console.print(f"mermaide: {line}", highlight=False, soft_wrap=True)

    def begin(self, place: int, values: Mapping[str, Any]) -> None:
        """Show that a trial of this worker begins."""
        self._now = f"trial {place}"
        self._parameters = ", ".join(
            f"{heading} {shown(value)}"
            for heading, value in zip(headings(list(values)), values.values(), strict=True)
        )
        self.refresh(self._now)

    def validated(self, epoch: int, num_epochs: int | None) -> None:
        """Show that a trial of this worker was validated."""
        self.refresh(f"{self._now}: epoch {epoch}/{num_epochs}")

    def end(self, place: int, result: str) -> None:
        """Show that a trial of this worker has ended."""
        self.say(f"trial {place}: {result} ({self._parameters})")

    def refresh(self, now: str = "") -> None:
        """Update the count of trials and the current activity of this worker."""
        trials = attempts(self._study)
        done = sum(trial.state.is_finished() for trial in trials.values())
        ranked = ranking(trials, self._given)
        best = f"best {trials[ranked[0]].value:.4f} (trial {ranked[0]})" if ranked else ""
        self._bar.update(self._task, completed=min(done, self._num_trials), best=best, now=now)
