"""Learners in worker processes, for learners that are slow."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import signal
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from mermaide_pl.agents.learners import PASSED_ON, Learners, LearnerSpec
from mermaide_pl.config.validation import one_line
from mermaide_pl.runtime.console import let_streams_replace

_NUMBERS = itertools.count()
_PATIENCE = 5.0  # seconds
_UNGUARDED = 78  # exit code


def in_workers(
    num_workers: int, specs: Sequence[LearnerSpec], num_arms: int, seeds: Sequence[int]
) -> Learners:
    """Make learners in `num_workers` processes, or in this process if that is 0.

    Arguments as of `Learners`; the results do not depend on the number of processes.
    """
    if num_workers == 0:
        return Learners(specs, num_arms, seeds)
    return _RemoteLearners(_workers(num_workers, os.getpid()), specs, num_arms, seeds)


class _DiedError(Exception):
    """Raised when worker number `worker` has died; the message says how."""

    def __init__(self, worker: int, ending: str) -> None:
        super().__init__(ending)
        self.worker = worker


def _ending(process: BaseProcess) -> str:
    """Describe how a process ended, as the end of a sentence."""
    process.join(_PATIENCE)
    code = process.exitcode
    if code is None:
        return "no longer answers"
    if code == _UNGUARDED:
        return 'cannot run a script that starts without `if __name__ == "__main__":`'
    if code >= 0:
        return f"ended with exit code {code}"
    name = next((one.name for one in signal.Signals if one == -code), f"signal {-code}")
    why = " (by a user, or by the system when memory ran out)" if name == "SIGKILL" else ""
    return f"was ended by {name}{why}"


class _Workers:
    """Worker processes, started once; they end with this process, or when one of them fails."""

    def __init__(self, number: int) -> None:
        # not forked: the parent's compute threads do not survive a fork
        context = multiprocessing.get_context("spawn")
        self.forgotten: list[int] = []  # garbage-collected, workers not yet told
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            try:
                process.start()
            except RuntimeError:
                if not getattr(multiprocessing.current_process(), "_inheriting", False):
                    raise
                sys.exit(_UNGUARDED)  # a worker that is itself still being started
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)
        atexit.register(self.close)

    def __len__(self) -> int:
        return len(self._connections)

    def ask(self, method: str, number: int, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Ask one worker for each of the arguments, all at once, then wait for them.

        Raises:
            ValueError: what a learner raised.
            _DiedError: if a worker has died.
        """
        forgotten = self.forgotten.copy()
        asked = [*arguments, *[None] * (len(self) - len(arguments))]
        worker, answers = 0, list[Any]()
        try:
            for worker, given in enumerate(asked):
                self._connections[worker].send((forgotten, method, number, given))
            for worker in range(len(self)):
                answers.append(self._connections[worker].recv())
        except BaseException as error:  # an answer left in a pipe would be taken for the next one
            has_died = isinstance(error, (EOFError, OSError))
            ending = _ending(self._processes[worker]) if has_died else ""
            self.close()
            if not has_died:
                raise
            raise _DiedError(worker, ending) from None
        del self.forgotten[: len(forgotten)]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers[: len(arguments)]

    def close(self) -> None:
        """End the processes; the next rollout starts others."""
        _workers.cache_clear()
        atexit.unregister(self.close)
        for connection, process in zip(self._connections, self._processes, strict=True):
            connection.close()
            process.terminate()


@cache
def _workers(number: int, parent: int) -> _Workers:
    """The workers of this process; a fork must not share its parent's pipes."""
    return _Workers(number)


class _RemoteLearners(Learners):
    """Proxy of `Learners` held by the workers, each with an equal block of consecutive ones."""

    def __init__(
        self, workers: _Workers, specs: Sequence[LearnerSpec], num_arms: int, seeds: Sequence[int]
    ) -> None:
        size = -(-len(specs) // len(workers))
        self._slices = [slice(at, at + size) for at in range(0, len(specs), size)]
        self._workers, self._number = workers, next(_NUMBERS)
        self._specs, self._step = specs, 0
        weakref.finalize(self, workers.forgotten.append, self._number)
        self._ask("make", [(list(specs[part]), num_arms, seeds[part]) for part in self._slices])

    def act(self) -> list[int]:
        """See the base class."""
        return list(itertools.chain(*self._ask("act", [() for _ in self._slices])))

    def learn(self, arms: Sequence[int], rewards: Sequence[float]) -> None:
        """See the base class."""
        self._ask("learn", [(arms[part], rewards[part]) for part in self._slices])
        self._step += 1

    def _ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        try:
            return self._workers.ask(method, self._number, arguments)
        except _DiedError as died:
            # a worker may have none of them
            mine = self._specs[self._slices[died.worker]] if died.worker < len(arguments) else []
            labels = list(dict.fromkeys(spec.label for spec in mine or self._specs))
            others = f" or one of {len(labels) - 1} beside it" if len(labels) > 1 else ""
            raise ValueError(
                f"{labels[0]}{others}, step {self._step}: the worker process {died} in {method}();"
                " num_workers = 0 shows more"
            ) from None


def _serve(connection: Connection) -> None:
    """Run a worker: answer requests until the other side closes the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent process
    let_streams_replace()
    held: dict[int, Learners] = {}
    while True:
        try:
            asked = connection.recv_bytes()
        except (EOFError, OSError):
            return
        answer = _answer(held, asked)
        with suppress(OSError):  # the other side may have closed
            connection.send(answer)


def _answer(held: dict[int, Learners], asked: bytes) -> Any:
    """The result of a request to the learners, or the exception that they raise."""
    try:
        forgotten, method, number, given = ForkingPickler.loads(asked)  # as `connection.recv` does
    except BaseException as error:  # this process cannot import the learners
        return ValueError(
            f"a worker process cannot make the learners: {type(error).__name__}:"
            f" {one_line(error)}; define them in a module, or set num_workers = 0"
        )
    for gone in forgotten:
        held.pop(gone, None)
    try:
        if given is not None and method == "make":
            held[number] = Learners(*given)
        elif given is not None:
            return getattr(held[number], method)(*given)
    except ValueError as error:
        return ValueError(str(error))
    except PASSED_ON as error:
        return type(error)()
    return None
