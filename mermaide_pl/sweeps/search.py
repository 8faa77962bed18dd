"""Search over configurations of `mermaide fit`: many trainings, ranked by their validations."""

from __future__ import annotations

import logging
import math
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from optuna.exceptions import StorageInternalError, TrialPruned, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from mermaide_pl.config.validation import check_number, one_line
from mermaide_pl.config.yaml_files import read_yaml
from mermaide_pl.meta_learning.fit import hushed
from mermaide_pl.runtime.resume import terminate
from mermaide_pl.sweeps.progress import SweepProgress
from mermaide_pl.sweeps.settings import Configure, Sweep, load_sweep
from mermaide_pl.sweeps.study import (
    ERROR,
    WORKER,
    attempts,
    open_study,
    places,
    take_over,
)
from mermaide_pl.sweeps.table import write_results
from mermaide_pl.sweeps.trial import TrainingError, train_trial

_MOST_FAILURES = 3  # of trials from the start, before the sweep stops


def sweep(
    config: str | Path,
    configure: Configure,
    *,
    minutes: float = math.inf,
    num_trials: int | None = None,
    storage: str | None = None,
) -> None:
    """Run trials until there are enough, and write the results.

    If it is called in several processes, these workers share the trials; if it is stopped, the
    same call resumes it. Everything is kept in ``logs/NAME``, where NAME is that of the file.

    Args:
        config: YAML file of a `Sweep`.
        configure: builds trainer, module and data from arguments of `mermaide fit`.
        minutes: budget; no trial begins after it.
        num_trials: overrides the file; 0 only rewrites the report.
        storage: overrides the file.

    Raises:
        ValueError: one line that says which input is wrong, or why no trial works.
    """
    check_number("--minutes", min(minutes, 1e9), low=0.0)
    given = load_sweep(config)
    given = replace(given, storage=storage or given.storage)
    stated = given.num_trials if num_trials is None else num_trials
    check_number("--trials", stated, low=0)
    folder = Path("logs") / Path(config).stem
    settings = {"base": read_yaml(given.base, "configuration")} | {
        key: value
        for key, value in read_yaml(config, "configuration").items()
        if key not in ("base", "num_trials", "storage", "heartbeat")
    }
    with _quiet():
        if stated:
            given.check(configure)
        study, kept_in = open_study(given, folder.name, folder, settings)
        try:
            _Worker(given, configure, folder, study, kept_in, stated).work(minutes)
        except StorageInternalError as error:
            reason = one_line(error.__cause__ or error)
            raise ValueError(f"the storage failed: {reason}; the same command resumes") from None
    write_results(given, attempts(study), folder)


class _Stopped(BaseException):
    """Raised when a trial ends for an external reason, its cause; Optuna does not catch it."""


class _Worker:
    """A worker of a sweep, which runs trials one after the other."""

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
        self._others: set[str] = set()

    def work(self, minutes: float) -> None:
        """Run trials until all have begun, or the budget is spent."""
        ends = time.monotonic() + 60.0 * minutes
        with SweepProgress(self._study, self._given, self._num_trials) as self._progress:
            while self._num_trials and self._is_any_left():
                if time.monotonic() >= ends:
                    self._progress.say("budget spent; the same command resumes")
                    return
                try:
                    self._study.optimize(self._objective, n_trials=1, catch=(TrainingError,))
                except _Stopped as stopped:
                    reason = stopped.__cause__
                    if isinstance(reason, KeyboardInterrupt | SystemExit):
                        self._progress.say("the same command resumes from the last checkpoint")
                    if reason is not None:
                        raise reason from None
                self._progress.refresh()
                self._check_failures()

    def _is_any_left(self) -> bool:
        self._await_killed()
        trials = self._study.get_trials(deepcopy=False)
        place = places(trials)
        num_begun = len(set(place.values()))
        waiting = [trial for trial in trials if trial.state == TrialState.WAITING]
        return num_begun < self._num_trials or any(
            place[trial.number] < self._num_trials for trial in waiting
        )

    def _await_killed(self) -> None:
        """Wait for killed trials of this host to be queued first, so that the order is kept."""
        grace, said = 4 * self._given.heartbeat, False
        ends = time.monotonic() + 1.5 * grace
        while gone := [
            trial
            for trial in take_over(self._study)
            if trial.user_attrs[WORKER] not in self._others
        ]:
            if not said:
                self._progress.say(
                    f"the worker of trial {self._place(gone[0])} was killed; the trial resumes"
                    f" {grace} s after its last sign of life"
                )
            said = True
            if time.monotonic() > ends:  # alive, in a container with the same host name
                self._others |= {trial.user_attrs[WORKER] for trial in gone}
            time.sleep(1.0)

    def _place(self, trial: FrozenTrial | Trial) -> int:
        return places(self._study.get_trials(deepcopy=False))[trial.number]

    def _objective(self, trial: Trial) -> float:
        """Train one configuration, and return its best validation."""
        place = self._place(trial)
        try:
            if place >= self._num_trials:  # another worker has begun the last one meanwhile
                self._put_back(trial)
                raise _Stopped
            value = train_trial(
                trial, place, self._given, self._configure, self._folder, self._progress
            )
        except TrialPruned:
            self._progress.end(place, "pruned")
            raise
        except (TrainingError, _Stopped):
            raise
        except UpdateFinishedTrialError:
            self._progress.say(f"trial {place} was taken over by another worker")
            raise _Stopped from None
        except BaseException as reason:  # an interruption or a user error
            self._put_back(trial)
            if isinstance(reason, SystemExit) and isinstance(reason.__context__, KeyboardInterrupt):
                reason = reason.__context__  # replaced by Lightning
            raise _Stopped from reason
        self._progress.end(place, f"{value:.4f}")
        return value

    def _put_back(self, trial: Trial) -> None:
        """Return a trial to the queue, for the next free worker."""
        with suppress(UpdateFinishedTrialError):  # taken over meanwhile
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)

    def _check_failures(self) -> None:
        """Stop the sweep if every trial so far has failed, and there were at least three.

        Raises:
            ValueError: one line with the reason of the last failure.
        """
        ended = [trial for trial in attempts(self._study).values() if trial.state.is_finished()]
        failed = [trial for trial in ended if trial.state == TrialState.FAIL]
        if len(failed) == len(ended) >= _MOST_FAILURES:
            raise ValueError(
                f"the first {len(failed)} trials failed, the last with"
                f" {failed[-1].user_attrs.get(ERROR)}; {self._folder} has an error.txt of each"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the trainings, and handle SIGTERM like Ctrl-C, with the trial put back."""
    # Lightning ignores SIGINT after the first
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, terminate)
    try:
        with hushed(logging.ERROR), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning|lightning_fabric")
            yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
