"""The shared record of a sweep's workers: an Optuna study that loses no trial of a dead worker."""

from __future__ import annotations

import json
import os
import random
import socket
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from mermaide_pl.config.serialization import current_paths
from mermaide_pl.config.validation import one_line
from mermaide_pl.game.randomness import mix
from mermaide_pl.runtime.processes import is_alive
from mermaide_pl.sweeps.settings import Sweep

WORKER, SETTINGS, ERROR = "worker", "settings", "error"
"""Keys of attributes of trials and studies: the worker, the search settings, and the failure."""
_RETRIED = "failed_trial"  # Optuna's note of which trial this one tries again
_ATTEMPTS = 5


def places(trials: list[FrozenTrial]) -> dict[int, int]:
    """Map the number of each trial to its place, which a repetition shares with its original."""
    found: dict[int, int] = {}
    for trial in trials:
        original = trial.system_attrs.get(_RETRIED)
        place = len(set(found.values())) if original is None else found[original]
        found[trial.number] = place
    return found


def attempts(study: Study) -> dict[int, FrozenTrial]:
    """Map the place of each trial that has begun to its last attempt, in order."""
    trials = study.get_trials(deepcopy=False)
    latest = {place: trials[number] for number, place in places(trials).items()}
    return {
        place: latest[place]
        for place in sorted(latest)
        if WORKER in latest[place].user_attrs or latest[place].state.is_finished()
    }


class SeededTPE(BaseSampler):
    """TPE whose random numbers depend on the trial's place alone, not on worker or time.

    Args:
        seed: seed of the search.
        num_random_trials: number of trials drawn evenly at the start.
    """

    def __init__(self, seed: int, num_random_trials: int) -> None:
        self._seed, self._num_random_trials = seed, num_random_trials
        self._number, self._sampler = -1, TPESampler()

    def _of(self, study: Study, trial: FrozenTrial) -> TPESampler:
        if trial.number != self._number:
            place = places(study.get_trials(deepcopy=False))[trial.number]
            self._number = trial.number
            self._sampler = TPESampler(
                seed=mix(mix(self._seed) ^ place) >> 32,  # 32 bits
                n_startup_trials=self._num_random_trials,
                constant_liar=True,  # keeps away from what other workers try now
            )
        return self._sampler

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As TPE does."""
        return self._of(study, trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As TPE does."""
        return self._of(study, trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """As TPE does."""
        sampler = self._of(study, trial)
        return sampler.sample_independent(study, trial, param_name, param_distribution)


def open_study(
    given: Sweep, name: str, folder: Path, settings: Mapping[str, Any]
) -> tuple[Study, RDBStorage]:
    """Open the study of a sweep, new or existing, with its storage.

    Args:
        given: the sweep.
        name: name of the study.
        folder: folder of the sweep, where SQLite's file is kept by default.
        settings: settings that must not change during the search, as plain data.

    Raises:
        ValueError: one line, if the storage cannot be used or holds another sweep of this name.
    """
    url = given.storage
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{folder / 'study.db'}"
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for attempt in range(_ATTEMPTS):
        try:
            storage = _open_storage(url, given.heartbeat)
            study = optuna.create_study(
                study_name=name,
                storage=storage,
                sampler=SeededTPE(given.seed, given.num_random_trials),
                pruner=given.pruner,
                direction=given.direction,
                load_if_exists=True,
            )
            break
        except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError, RuntimeError) as error:
            # two workers may make its tables at once
            passes = isinstance(error, DBAPIError | optuna.exceptions.StorageInternalError)
            if not passes or attempt + 1 == _ATTEMPTS:
                reason = one_line(error.__cause__ or error)
                raise ValueError(f"storage {_shown(url)} cannot be used: {reason}") from None
            time.sleep(0.2 + random.random())
    known = current_paths(study.user_attrs.get(SETTINGS))
    settings = current_paths(json.loads(json.dumps(settings, default=str)))
    if known is None or not attempts(study):
        study.set_user_attr(SETTINGS, settings)
    elif known != settings:
        changed = min(key for key in {*known, *settings} if known.get(key) != settings.get(key))
        raise ValueError(
            f"the study {name} in {_shown(url)} is of another sweep, {changed} differs: rename the"
            " configuration, after which a sweep is named, or undo the change"
        )
    return study, storage


def _open_storage(url: str, heartbeat: int) -> RDBStorage:
    waits = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RDBStorage(
            url,
            engine_kwargs=waits,
            heartbeat_interval=heartbeat,
            grace_period=4 * heartbeat,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(
                inherit_intermediate_values=True
            ),
        )


def _shown(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return url


def this_worker() -> str:
    """Host and process number of this worker, as ``HOST:PID``."""
    return f"{socket.gethostname()}:{os.getpid()}"


def take_over(study: Study) -> list[FrozenTrial]:
    """Queue again the trials of dead workers, and return those of this host that will follow.

    A trial is taken from a worker that gave no sign of life for too long, whatever its host. The
    trials returned have a worker whose process has ended already, but not for that long.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        optuna.storages.fail_stale_trials(study)
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return [trial for trial in running if _is_gone(trial.user_attrs.get(WORKER, ""))]


def _is_gone(worker: str) -> bool:
    host, _, process = worker.rpartition(":")
    if host != socket.gethostname():
        return False
    # a worker has one trial at a time
    return int(process) == os.getpid() or not is_alive(int(process))
