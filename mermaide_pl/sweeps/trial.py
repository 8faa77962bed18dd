"""One trial of a sweep: a run of `mermaide fit` that reports its validations."""

from __future__ import annotations

import math
import os
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
from mermaide_pl.meta_learning.fit import best_and_last, train_once
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.nonfinite_steps import DivergedError
from mermaide_pl.sweeps.progress import SweepProgress
from mermaide_pl.sweeps.settings import Configure, Sweep, options
from mermaide_pl.sweeps.study import ERROR, WORKER, this_worker


class TrainingError(Exception):
    """Raised when a training breaks down, which its parameters may have caused."""


def train_trial(
    trial: Trial,
    place: int,
    given: Sweep,
    configure: Configure,
    folder: Path,
    progress: SweepProgress,
) -> float:
    """Train one configuration, resumed from its last checkpoint if it was interrupted.

    Args:
        trial: trial of Optuna, whose parameters are known or will be drawn.
        place: number of the trial among all, by which its folder is named.
        given: the sweep.
        configure: builds trainer, module and data from arguments of `mermaide fit`.
        folder: folder of the sweep.
        progress: display to update.

    Returns:
        The best value of the objective over all validations.

    Raises:
        TrialPruned: if the pruner ended it.
        TrainingError: if it broke down; the reason is recorded.
        ValueError: one line about a mistake of the user.
    """
    folder = folder / f"trial{place}"
    trial.set_user_attr(WORKER, this_worker())
    values = {name: _suggested(trial, name, given) for name in given.parameters}
    progress.begin(place, values)
    logger = {
        "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
        "init_args": {"save_dir": str(folder.parent), "name": folder.name, "version": ""},
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
    seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))  # as `configure` has set it
    with _failures_noted(trial, place, folder, progress):
        train_once(trainer, module, data, folder=folder, seed=seed, say=progress.say)
    if watcher.pruned:
        raise TrialPruned
    if not watcher.values:
        raise ValueError(f"objective {given.objective}: {given.base} never validates")
    return max(watcher.values.values()) if given.maximises else min(watcher.values.values())


@contextmanager
def _failures_noted(
    trial: Trial, place: int, folder: Path, progress: SweepProgress
) -> Iterator[None]:
    """Record an exception in the block as a failed trial, unless it names a user's mistake."""
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
    """Callback that reports each validation, and ends the training if the pruner says so."""

    def __init__(
        self, trial: Trial, objective: str, values: dict[int, float], progress: SweepProgress
    ) -> None:
        self._trial, self._objective, self._progress = trial, objective, progress
        self.values, self.pruned = values, False

    def state_dict(self) -> dict[str, Any]:
        """The objective by training step, and the flag of a training ended by the pruner."""
        return {"values": self.values, "pruned": self.pruned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Report again the validations that the study has lost."""
        self.pruned = state_dict["pruned"]
        for step, value in state_dict["values"].items():
            self._note(step, value)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report training step and objective to the study."""
        if trainer.sanity_checking:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if self._objective not in metrics:
            names = ", ".join(sorted(name for name in metrics if name.startswith("val/")))
            raise ValueError(f"objective {self._objective} is not logged, allowed: {names}")
        value, step = metrics[self._objective], trainer.global_step
        if not math.isfinite(value):
            raise FloatingPointError(f"{self._objective} is {value} after step {step}")
        self._note(step, value)
        self._progress.validated(trainer.current_epoch + 1, trainer.max_epochs)
        if self._trial.should_prune():
            trainer.should_stop = self.pruned = True

    def _note(self, step: int, value: float) -> None:
        if step not in self.values:  # else the run resumed from before this validation
            self._trial.report(value, step)
            self.values[step] = value


def _suggested(trial: Trial, name: str, given: Sweep) -> Any:
    parameter = given.parameters[name]
    if parameter.choices is not None:
        return trial.suggest_categorical(name, parameter.choices)
    low, high = parameter.ends
    if isinstance(parameter.distribution, IntDistribution):
        return trial.suggest_int(name, int(low), int(high), log=parameter.log)
    return trial.suggest_float(name, low, high, log=parameter.log)
