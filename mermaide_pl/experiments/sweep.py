"""Searches configurations of `mermaide fit`: many trainings, judged by their validations."""

from __future__ import annotations

import logging
import math
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytorch_lightning as pl
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from optuna.exceptions import OptunaError, TrialPruned, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, ModelSummary, ProgressBar

from mermaide_pl.checkpoints import read_checkpoint
from mermaide_pl.checks import check_number, one_line, raised_by_us
from mermaide_pl.experiments.sweep_progress import SweepProgress
from mermaide_pl.experiments.sweep_settings import Configure, Sweep, load_sweep, options
from mermaide_pl.experiments.sweep_study import (
    ERROR,
    WORKER,
    attempts,
    open_study,
    places,
    take_over,
    this_worker,
)
from mermaide_pl.experiments.sweep_table import write_results
from mermaide_pl.experiments.training import best_and_last

_MOST_FAILURES = 3  # if no trial has come to an end before


def sweep(
    config: str | Path,
    configure: Configure,
    *,
    minutes: float = math.inf,
    num_trials: int | None = None,
    storage: str | None = None,
) -> None:
    """Try configurations until enough are tried, and write what came out.

    Start it several times, and the workers share the trials; stop it at any time, and it goes on
    with the same call. Everything is kept in ``logs/NAME``, by the name of the file.

    Args:
        config: YAML file of a `Sweep`.
        configure: makes of arguments what `mermaide fit` would run.
        minutes: budget; no trial begins after it.
        num_trials: in place of the file's; with 0 what there is is written again.
        storage: in place of the file's.

    Raises:
        ValueError: one line that says which input is wrong, or why no trial works.
    """
    check_number("--minutes", min(minutes, 1e9), low=0.0)
    given = load_sweep(config)
    given = replace(given, storage=storage or given.storage)
    stated = given.num_trials if num_trials is None else num_trials
    check_number("--trials", stated, low=0)
    folder = Path("logs") / Path(config).stem
    settings = {"base": yaml.safe_load(Path(given.base).read_text())} | {
        key: value
        for key, value in yaml.safe_load(Path(config).read_text()).items()
        if key not in ("base", "num_trials", "storage", "heartbeat")
    }
    with _quiet():
        if stated:
            given.check(configure)
        study, kept_in = open_study(given, folder.name, folder, settings)
        _Worker(given, configure, folder, study, kept_in, stated).work(minutes)
    write_results(given, attempts(study), folder)


class _TrainingError(Exception):
    """A training broke down, which may be the fault of its parameters."""


class _Stopped(BaseException):
    """A trial ended through no fault of its own; the cause says why. Optuna lets it through."""


class _Worker:
    """Runs trials, one after the other."""

    def __init__(
        self,
        given: Sweep,
        configure: Configure,
        folder: Path,
        study: Study,
        storage: RDBStorage,
        num_trials: int,
    ) -> None:
        self._given, self._configure, self._folder = given, configure, folder
        self._study, self._storage, self._num_trials = study, storage, num_trials

    def work(self, minutes: float) -> None:
        """Until all trials are begun, or the budget is spent."""
        ends = time.monotonic() + 60.0 * minutes
        with SweepProgress(self._study, self._given, self._num_trials) as self._progress:
            while self._num_trials and self._is_any_left():
                if time.monotonic() >= ends:
                    self._progress.say("budget spent; the same command goes on")
                    return
                try:
                    self._study.optimize(self._objective, n_trials=1, catch=(_TrainingError,))
                except _Stopped as stopped:
                    reason = stopped.__cause__
                    if isinstance(reason, KeyboardInterrupt | SystemExit):
                        self._progress.say("the same command goes on from the last checkpoint")
                    if reason is not None:
                        raise reason from None
                self._progress.refresh()
                self._check_failures()

    def _is_any_left(self) -> bool:
        said = False
        while gone := take_over(self._study):
            if not said:
                self._progress.say(
                    f"a worker was killed in trial {self._place(gone[0])}; it goes on when the"
                    f" storage has not heard of it for {4 * self._given.heartbeat} s"
                )
            said = True
            time.sleep(1.0)
        trials = self._study.get_trials(deepcopy=False)
        place = places(trials)
        num_begun = len(set(place.values()))
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        return num_begun < self._num_trials or any(
            place[trial.number] < self._num_trials for trial in waiting
        )

    def _place(self, trial: FrozenTrial | Trial) -> int:
        return places(self._study.get_trials(deepcopy=False))[trial.number]

    def _objective(self, trial: Trial) -> float:
        """Train one configuration, and return its best validation."""
        place = self._place(trial)
        try:
            if place >= self._num_trials:  # another worker has begun the last one meanwhile
                self._put_back(trial)
                raise _Stopped
            value = self._train(trial, place)
        except TrialPruned:
            self._progress.end(place, "pruned")
            raise
        except (_TrainingError, _Stopped):
            raise
        except UpdateFinishedTrialError:
            self._progress.say(f"trial {place} was taken over by another worker")
            raise _Stopped from None
        except BaseException as reason:  # an interruption, or a mistake of the user's
            self._put_back(trial)
            if isinstance(reason, SystemExit) and isinstance(reason.__context__, KeyboardInterrupt):
                reason = reason.__context__  # which Lightning had replaced
            raise _Stopped from reason
        self._progress.end(place, f"{value:.4f}")
        return value

    def _put_back(self, trial: Trial) -> None:
        """Into the queue, for whoever is next."""
        self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _train(self, trial: Trial, place: int) -> float:
        given, folder = self._given, self._folder / f"trial{place}"
        if WORKER not in trial.user_attrs and folder.exists():
            raise ValueError(f"{folder} is of another sweep: delete or rename {self._folder}")
        trial.set_user_attr(WORKER, this_worker())
        values = {name: _suggested(trial, name, given) for name in given.parameters}
        self._progress.begin(place, values)
        logger = {
            "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
            "init_args": {"save_dir": str(self._folder), "name": folder.name, "version": ""},
        }
        arguments = [*given.arguments(values), *options({"trainer.logger": logger})]
        try:
            trainer, module, data = self._configure(arguments)
        except ValueError as error:
            raise ValueError(f"trial {place}, {' '.join(options(values))}: {error}") from None
        recorded = self._study.get_trials(deepcopy=False)[trial.number].intermediate_values
        watcher = _Validations(trial, given.objective, dict(recorded), self._progress)
        checkpoints = best_and_last(
            folder / "checkpoints",
            monitor=given.objective,
            mode="max" if given.maximises else "min",
        )
        replaced = (ProgressBar, ModelSummary, ModelCheckpoint)
        callbacks = vars(trainer)["callbacks"]  # which has no type
        kept = [one for one in callbacks if not isinstance(one, replaced)]
        callbacks[:] = [*kept, watcher, *checkpoints]
        if watcher.values and trial.should_prune():  # interrupted just then
            raise TrialPruned
        try:
            trainer.fit(module, data, ckpt_path=_last_checkpoint(folder))
        except (MisconfigurationException, OptunaError):
            raise
        except Exception as error:
            if isinstance(error, ValueError) and raised_by_us(error):
                raise
            reason = one_line(f"{type(error).__name__}: {error}")
            (folder / "error.txt").write_text(traceback.format_exc())
            trial.set_user_attr(ERROR, reason)
            self._progress.say(f"trial {place} failed: {reason} ({folder / 'error.txt'})")
            raise _TrainingError(reason) from None
        if watcher.pruned:
            raise TrialPruned
        if not watcher.values:
            raise ValueError(f"objective {given.objective}: {given.base} never validates")
        return max(watcher.values.values()) if given.maximises else min(watcher.values.values())

    def _check_failures(self) -> None:
        """Stop if nothing works.

        Raises:
            ValueError: with the last reason.
        """
        ended = [trial for trial in attempts(self._study).values() if trial.state.is_finished()]
        failed = [trial for trial in ended if ERROR in trial.user_attrs]
        if len(failed) == len(ended) >= _MOST_FAILURES:
            raise ValueError(
                f"the first {len(failed)} trials failed, the last with"
                f" {failed[-1].user_attrs[ERROR]}; {self._folder} has an error.txt of each"
            )


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
        for name in (self._objective, "train/loss"):
            if not math.isfinite(metrics.get(name, 0.0)):
                raise FloatingPointError(f"{name} is {metrics[name]} at step {trainer.global_step}")
        if trainer.global_step not in self.values:  # else it goes on from before this validation
            self._trial.report(metrics[self._objective], trainer.global_step)
            self.values[trainer.global_step] = metrics[self._objective]
        self._progress.validated(trainer.current_epoch + 1, trainer.max_epochs)
        if self._trial.should_prune():
            trainer.should_stop = self.pruned = True


def _suggested(trial: Trial, name: str, given: Sweep) -> Any:
    parameter = given.parameters[name]
    if parameter.choices is not None:
        return trial.suggest_categorical(name, parameter.choices)
    assert parameter.low is not None and parameter.high is not None
    if isinstance(parameter.distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(name, int(parameter.low), int(parameter.high), log=parameter.log)
    return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)


def _last_checkpoint(folder: Path) -> Path | None:
    """Where an interrupted training goes on; without a sound checkpoint it begins again."""
    path = folder / "checkpoints" / "last.ckpt"
    try:
        read_checkpoint(path)
    except ValueError:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Trainings say nothing, and a SIGTERM ends as Ctrl-C does, with the trial put back."""
    module = logging.getLogger("mermaide_pl.module")
    level, handlers = module.level, {}
    module.setLevel(logging.WARNING)
    for number in (signal.SIGTERM, signal.SIGINT):  # Lightning ignores SIGINT after the first
        handlers[number] = signal.getsignal(number)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
            yield
    finally:
        module.setLevel(level)
        for number, handler in handlers.items():
            signal.signal(number, handler)
