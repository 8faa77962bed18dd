"""Learners in worker processes, for learners that are slow."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import os
import signal
import weakref
from collections.abc import Sequence
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from mermaide_pl.agents.learners import Learners, Maker
from mermaide_pl.checks import one_line

_NUMBERS = itertools.count()


def in_workers(
    num_workers: int, makers: Sequence[Maker], num_arms: int, seeds: Sequence[int]
) -> Learners:
    """Learners, shared among `num_workers` processes; with none of them, in this process.

    Arguments as of `Learners`; what they do does not depend on the number of processes.
    """
    if num_workers == 0:
        return Learners(makers, num_arms, seeds)
    return _RemoteLearners(_workers(num_workers, os.getpid()), makers, num_arms, seeds)


class _Workers:
    """Processes that are started once, and end with this one, or when one of them fails."""

    def __init__(self, number: int) -> None:
        # not forked: the threads of a parent's mathematics do not survive that
        context = multiprocessing.get_context("spawn")
        self.forgotten: list[int] = []  # collected as garbage, and not yet told to the workers
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for _ in range(number):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)
        atexit.register(self.close)

    def __len__(self) -> int:
        return len(self._connections)

    def ask(self, method: str, number: int, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Ask one worker for each of the arguments, all at once, then wait for them.

        Raises:
            ValueError: what a learner raised, or that a worker has died.
        """
        forgotten = self.forgotten.copy()
        asked = [*arguments, *[None] * (len(self) - len(arguments))]
        try:
            for worker, given in zip(self._connections, asked, strict=True):
                worker.send((forgotten, method, number, given))
            answers = [worker.recv() for worker in self._connections]
        except BaseException as error:  # an answer left in a pipe would be taken for the next one
            self.close()
            if not isinstance(error, (EOFError, OSError)):
                raise
            raise ValueError(
                "a worker process of the learners has died: out of memory, killed, crashed, or made"
                ' by a script without `if __name__ == "__main__":`; num_workers = 0 shows more'
            ) from None
        del self.forgotten[: len(forgotten)]
        for answer in answers:
            if isinstance(answer, ValueError):
                raise ValueError(str(answer))
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
    """Those of this process; a fork must not share its parent's pipes."""
    return _Workers(number)


class _RemoteLearners(Learners):
    """As `Learners`, which the workers hold: each the same share of neighbours."""

    def __init__(
        self, workers: _Workers, makers: Sequence[Maker], num_arms: int, seeds: Sequence[int]
    ) -> None:
        size = -(-len(makers) // len(workers))
        self._slices = [slice(at, at + size) for at in range(0, len(makers), size)]
        self._workers, self._number = workers, next(_NUMBERS)
        weakref.finalize(self, workers.forgotten.append, self._number)
        self._ask("make", [(list(makers[part]), num_arms, seeds[part]) for part in self._slices])

    def act(self) -> list[int]:
        """See the base class."""
        return list(itertools.chain(*self._ask("act", [() for _ in self._slices])))

    def learn(self, arms: Sequence[int], rewards: Sequence[float]) -> None:
        """See the base class."""
        self._ask("learn", [(arms[part], rewards[part]) for part in self._slices])

    def _ask(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        return self._workers.ask(method, self._number, arguments)


def _serve(connection: Connection) -> None:
    """Answer until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that we serve
    held: dict[int, Learners] = {}
    while True:
        answer: Any = None
        try:
            forgotten, method, number, given = connection.recv()
            for gone in forgotten:
                held.pop(gone, None)
            if given is not None and method == "make":
                held[number] = Learners(*given)
            elif given is not None:
                answer = getattr(held[number], method)(*given)
        except (EOFError, OSError):
            return
        except ValueError as error:
            answer = error
        except Exception as error:  # while unpickling: this process cannot import the learners
            answer = ValueError(
                f"a worker process cannot make the learners: {type(error).__name__}:"
                f" {one_line(error)}; define them in a module, or set num_workers = 0"
            )
        connection.send(answer)
