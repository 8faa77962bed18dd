"""One trial of a sweep: a run of `mermaide fit` that reports its validations."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from optuna.distributions import IntDistribution
from optuna.exceptions import OptunaError, TrialPruned
from optuna.trial import Trial
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, ModelSummary, ProgressBar

from mermaide_pl.config.validation import one_line, raised_by_us
from mermaide_pl.meta_learning.fit import best_and_last
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.checkpoints import read_checkpoint
from mermaide_pl.runtime.nonfinite_steps import DivergedError
from mermaide_pl.runtime.run_folders import occupied
from mermaide_pl.sweeps.progress import SweepProgress
from mermaide_pl.sweeps.settings import Configure, Sweep, options
from mermaide_pl.sweeps.study import ERROR, WORKER, this_worker


class TrainingError(Exception):
    """A training broke down, which may be the fault of its parameters."""


def train_trial(
    trial: Trial,
    place: int,
    given: Sweep,
    configure: Configure,
    folder: Path,
    progress: SweepProgress,
) -> float:
    """Train one configuration, from where it was interrupted if it was.

    Args:
        trial: with the parameters, or to draw them for.
        place: of the trial among all, by which its folder is named.
        given: the sweep.
        configure: makes of arguments what `mermaide fit` would run.
        folder: of the sweep.
        progress: is told.

    Returns:
        The objective in the best validation.

    Raises:
        TrialPruned: if the pruner ended it.
        TrainingError: if it broke down, which is noted.
        ValueError: one line about a mistake of the user's.
    """
    sweep_folder, folder = folder, folder / f"trial{place}"
    if WORKER not in trial.user_attrs and folder.exists():
        raise ValueError(f"{folder} is of another sweep: delete or rename {sweep_folder}")
    trial.set_user_attr(WORKER, this_worker())
    values = {name: _suggested(trial, name, given) for name in given.parameters}
    progress.begin(place, values)
    logger = {
        "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
        "init_args": {"save_dir": str(sweep_folder), "name": folder.name, "version": ""},
    }
    arguments = [*given.arguments(values), *options({"trainer.logger": logger})]
    try:
        trainer, module, data = configure(arguments)
    except ValueError as error:
        raise ValueError(f"trial {place}, {' '.join(options(values))}: {error}") from None
    recorded = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    watcher = _Validations(trial, given.objective, dict(recorded), progress)
    if watcher.values and trial.should_prune():  # interrupted just then
        raise TrialPruned
    checkpoints = best_and_last(
        folder / "checkpoints",
        monitor=given.objective,
        mode="max" if given.maximises else "min",
    )
    replaced = (ProgressBar, ModelSummary, ModelCheckpoint)
    callbacks = vars(trainer)["callbacks"]  # which has no type
    kept = [one for one in callbacks if not isinstance(one, replaced)]
    callbacks[:] = [*kept, watcher, *checkpoints]
    with occupied(folder), _failures_noted(trial, place, folder, progress):
        trainer.fit(module, data, ckpt_path=_last_checkpoint(folder))
    if watcher.pruned:
        raise TrialPruned
    if not watcher.values:
        raise ValueError(f"objective {given.objective}: {given.base} never validates")
    return max(watcher.values.values()) if given.maximises else min(watcher.values.values())


@contextmanager
def _failures_noted(
    trial: Trial, place: int, folder: Path, progress: SweepProgress
) -> Iterator[None]:
    """A training that breaks down is a failed trial, unless it says what the user did wrong."""
    try:
        yield
    except (MisconfigurationException, OptunaError):
        raise
    except Exception as error:
        ours = isinstance(error, ValueError) and raised_by_us(error)
        if ours and not isinstance(error, DivergedError):
            raise
        reason = one_line(f"{type(error).__name__}: {error}")
        trial.set_user_attr(ERROR, reason)
        write_whole(folder / "error.txt", traceback.format_exc())
        progress.say(f"trial {place} failed: {reason} ({folder / 'error.txt'})")
        raise TrainingError(reason) from None


class _Validations(Callback):
    """Reports each validation, and ends the training if the pruner says so."""

    def __init__(
        self, trial: Trial, objective: str, values: dict[int, float], progress: SweepProgress
    ) -> None:
        self._trial, self._objective, self._progress = trial, objective, progress
        self.values, self.pruned = values, False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Training steps and objective go to the study."""
        if trainer.sanity_checking:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self._objective not in metrics:
            names = ", ".join(sorted(name for name in metrics if name.startswith("val/")))
            raise ValueError(f"objective {self._objective} is not logged, allowed: {names}")
        value, step = metrics[self._objective], trainer.global_step
        if not math.isfinite(value):
            raise FloatingPointError(f"{self._objective} is {value} after step {step}")
        if step not in self.values:  # else it goes on from before this validation
            self._trial.report(value, step)
            self.values[step] = value
        self._progress.validated(trainer.current_epoch + 1, trainer.max_epochs)
        if self._trial.should_prune():
            trainer.should_stop = self.pruned = True


def _suggested(trial: Trial, name: str, given: Sweep) -> Any:
    parameter = given.parameters[name]
    if parameter.choices is not None:
        return trial.suggest_categorical(name, parameter.choices)
    low, high = parameter.ends
    if isinstance(parameter.distribution, IntDistribution):
        return trial.suggest_int(name, int(low), int(high), log=parameter.log)
    return trial.suggest_float(name, low, high, log=parameter.log)


def _last_checkpoint(folder: Path) -> Path | None:
    """Where an interrupted training goes on; without a sound checkpoint it begins again."""
    path = folder / "checkpoints" / "last.ckpt"
    try:
        read_checkpoint(path)
    except ValueError:
        return None
    return path
