"""Finish the runs of a comparison as tasks of Ray, on the cores of one machine or of a cluster."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import ray
import torch
from pytorch_lightning.utilities.exceptions import SIGTERMException
from ray import cloudpickle
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from mermaide_pl.config.output_paths import make_folder
from mermaide_pl.config.trusted_imports import import_on_purpose, imported_modules
from mermaide_pl.config.validation import one_line, raised_by_us
from mermaide_pl.experiments.comparison.runs import BUDGET_SPENT, Run, Runs
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.run_folders import occupied

_LOGGER = logging.getLogger(__name__)
_MAX_RETRIES = 20  # of a run whose worker was lost; one that always crashes must not go on forever
# seconds until a network drive frees the locks of a lost machine, shows a file that another machine
# has written in place of none, and one that nobody has looked for before
_FREES_LOCKS, _SHOWS_FILES, _SHOWS_MARKS = 180.0, 120.0, 10.0
_ANSWERS = 20.0  # seconds until a cluster has to accept a connection
_SMALL_STORE = 100 * 2**20  # bytes; the results are files


def finish_on_ray(address: str, runs: Runs, minutes: float) -> None:
    """Finish the runs that are left as tasks of Ray, one on each free core.

    A task computes on one thread, so the results are those of `finish_in_turn` on one thread, byte
    for byte. A run whose worker or node is lost is tried again, and resumes from its last
    checkpoint. All nodes must share the current folder, in which they work.

    Args:
        address: of a cluster, or ``local`` for the cores of this machine.
        runs: of the comparison.
        minutes: time budget; no run begins after it.

    Raises:
        ValueError: one line that says what is wrong with the cluster, or with a run.
    """
    started, left = time.monotonic(), runs.left()
    if not left:
        return
    if minutes <= 0.0:
        _LOGGER.info(BUDGET_SPENT)
        return
    make_folder(runs.out, runs.out)
    with _connected(address), _marked(runs.out, runs.logs) as place:
        _check_nodes(place)
        task = ray.remote(num_cpus=1, max_retries=_MAX_RETRIES)(finish_one)
        finish, until = ray.put(cloudpickle.dumps(runs.finish)), time.time() + 60.0 * minutes
        waiting = {task.remote(place, finish, run, until): run for run in left}
        num_done, is_late = 0, False
        while waiting:
            (ready,), _ = ray.wait(list(waiting))
            run = waiting.pop(ready)
            outcome = _outcome(ready, run)
            for warning in outcome.warnings:
                _LOGGER.warning("%s: %s", run.title, warning)
            if outcome.is_late:
                is_late = True
                continue
            if not _becomes_true(partial(runs.is_done, run), _SHOWS_FILES):
                raise ValueError(f"{run.title}: {outcome.node} has written no scores to {runs.out}")
            num_done += 1
            spent = (time.monotonic() - started) / 60.0
            line = "[%d/%d] %s, done by %s after %.0f minutes"
            _LOGGER.info(line, num_done, len(left), run.title, outcome.node, spent)
            runs.keep()
        if is_late:
            _LOGGER.info(BUDGET_SPENT)


@dataclass
class Outcome:
    """What became of a run on a worker.

    Args:
        node: name of the machine.
        mistake: one line, if the run cannot be finished.
        is_late: True if the run was not begun, since the time budget was spent.
        warnings: messages of the package.
    """

    node: str = field(default_factory=socket.gethostname)
    mistake: str | None = None
    is_late: bool = False
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """The folder in which a comparison was started, the same on all nodes.

    Args:
        folder: absolute path.
        marks: files in the folders of the comparison, which show that a drive is shared.
        modules: imported on purpose there, which files may name.
    """

    folder: str
    marks: tuple[Path, ...]
    modules: tuple[str, ...] = ()

    def enter(self) -> None:
        """Make it the current folder of this process, and import the modules.

        Raises:
            ValueError: one line, if this machine does not see the same files there.
        """
        try:
            os.chdir(self.folder)
            unseen = (mark for mark in self.marks if not _becomes_true(mark.is_file, _SHOWS_MARKS))
            absent = next(unseen, None)
        except OSError:
            absent = self.marks[0]
        if absent is not None:
            raise ValueError(
                f"node {socket.gethostname()} does not see the files in"
                f" {Path(self.folder, absent).parent}: start the comparison in a folder of a drive"
                " that all nodes share, at the same path"
            )
        for module in self.modules:
            import_on_purpose(module)


def finish_one(place: Place, finish: bytes, run: Run, until: float) -> Outcome:
    """Finish one run in a worker, on one thread.

    Args:
        place: where to work.
        finish: `Runs.finish`, pickled; unpickling imports modules of the user from there.
        run: to finish.
        until: Unix time in seconds; the run does not begin after it.
    """
    torch.set_num_threads(1)
    outcome = Outcome()
    with _collected(outcome.warnings):
        try:
            place.enter()
            # a worker that is about to die, or of a machine just lost, may still hold it
            with occupied(run.folder, patience=_FREES_LOCKS):
                outcome.is_late = time.time() >= until
                if not outcome.is_late:
                    cloudpickle.loads(finish)(run)
        except ValueError as error:
            if not raised_by_us(error):
                raise
            outcome.mistake = str(error)
    return outcome


def _outcome(ready: ray.ObjectRef[Outcome], run: Run) -> Outcome:
    """The outcome of a run, if no error has ended it."""
    try:
        outcome = ray.get(ready)
    except RayTaskError as error:
        raise error.cause from error
    except RayError as error:  # its worker was lost again and again
        raise ValueError(f"{run.title}: {one_line(error)}") from None
    if outcome.mistake:
        raise ValueError(outcome.mistake)
    return outcome


def _check_nodes(place: Place) -> None:
    """Refuse a node that cannot import this package, or does not share the drive."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    check = ray.remote(num_cpus=0)(_mistake_at)
    checks = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        checks[node["NodeManagerHostname"]] = check.options(scheduling_strategy=there).remote(place)
    num_cores = sum(int(node["Resources"]["CPU"]) for node in nodes)
    for name, found in checks.items():
        try:
            mistake = ray.get(found)
        except RayError as error:
            raise ValueError(f"node {name} cannot compute: {one_line(error)}") from None
        if mistake:
            raise ValueError(mistake)
    _LOGGER.info("Ray: %d cores on %d nodes", num_cores, len(nodes))


def _mistake_at(place: Place) -> str | None:
    """What is wrong with a place on the machine of this process."""
    try:
        place.enter()
    except ValueError as error:
        return str(error)
    return None


@contextmanager
def _connected(address: str) -> Iterator[None]:
    """A connection to a cluster, or a cluster of this machine; its tasks end with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a notice is printed
    options: dict[str, Any] = {}
    if address == "local":
        options["num_cpus"] = len(os.sched_getaffinity(0))
        options["object_store_memory"] = _SMALL_STORE
        options["include_dashboard"] = False
    in_main = threading.current_thread() is threading.main_thread()
    before, ended = signal.getsignal(signal.SIGTERM), threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ended.set()
        raise KeyboardInterrupt  # Ray passes this one on

    try:
        host, _, port = address.rpartition(":")
        try:
            if port.isdecimal() and "://" not in address:  # Ray would wait for minutes
                socket.create_connection((host, int(port)), timeout=_ANSWERS).close()
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"--ray {address}: {one_line(error)}") from None
        if in_main:
            signal.signal(signal.SIGTERM, end)
        yield
    except KeyboardInterrupt:
        if ended.is_set():
            raise SIGTERMException from None  # as Lightning does in a training
        raise
    finally:
        ray.shutdown()
        if in_main:
            signal.signal(signal.SIGTERM, before)  # which Ray has replaced


@contextmanager
def _marked(*folders: Path) -> Iterator[Place]:
    """Files in the folders, for workers to find."""
    name = f".mermaide.{secrets.token_hex(8)}.shared"
    marks = tuple(folder / name for folder in folders)
    try:
        for mark in marks:
            for earlier in mark.parent.glob(".mermaide.*.shared"):  # of a process that was killed
                earlier.unlink()
            write_whole(mark, "")
        yield Place(os.getcwd(), marks, tuple(imported_modules()))
    finally:
        for mark in marks:
            mark.unlink(missing_ok=True)


@contextmanager
def _collected(messages: list[str]) -> Iterator[None]:
    """Append warnings of the package to a list; nobody reads the output of a worker."""

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

    ours, handler = logging.getLogger("mermaide_pl"), Collector(logging.WARNING)
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)


def _becomes_true(condition: Callable[[], bool], patience: float) -> bool:
    """Wait until a condition is true, for `patience` seconds at most; whether it is."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() >= until:
            return False
        time.sleep(1.0)
    return True
