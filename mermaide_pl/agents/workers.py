"""Learners in worker processes, for learners that are slow."""

from __future__ import annotations

import atexit
import itertools
import multiprocessing
import signal
import weakref
from collections.abc import Sequence
from functools import cache
from multiprocessing.connection import Connection
from typing import Any

from mermaide_pl.agents.learners import Learners, Maker

_NUMBERS = itertools.count()
_FORGOTTEN: list[int] = []  # collected by the garbage collector, told to the workers later


def in_workers(
    num_workers: int, makers: Sequence[Maker], num_arms: int, seeds: Sequence[int]
) -> Learners:
    """Learners, shared among `num_workers` processes; with none of them, in this process.

    Arguments as of `Learners`; what they do does not depend on the number of processes.
    """
    if num_workers == 0:
        return Learners(makers, num_arms, seeds)
    return _RemoteLearners(_workers(num_workers), makers, num_arms, seeds)


class _RemoteLearners(Learners):
    """As `Learners`, which the workers hold: each the same share of neighbours."""

    def __init__(
        self,
        workers: Sequence[Connection],
        makers: Sequence[Maker],
        num_arms: int,
        seeds: Sequence[int],
    ) -> None:
        number, size = next(_NUMBERS), -(-len(makers) // len(workers))
        self._slices = [slice(at, at + size) for at in range(0, len(makers), size)]
        self._workers = workers[: len(self._slices)]
        self._number = number
        forgotten = _FORGOTTEN.copy()
        self._call(
            "make",
            [(forgotten, list(makers[part]), num_arms, seeds[part]) for part in self._slices],
        )
        weakref.finalize(self, _FORGOTTEN.append, number)

    def act(self) -> list[int]:
        """See the base class."""
        return list(itertools.chain(*self._call("act", [() for _ in self._slices])))

    def learn(self, arms: Sequence[int], rewards: Sequence[float]) -> None:
        """See the base class."""
        self._call("learn", [(arms[part], rewards[part]) for part in self._slices])

    def _call(self, method: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Ask all workers at once, then wait for all."""
        try:
            for worker, given in zip(self._workers, arguments, strict=True):
                worker.send((method, self._number, given))
            answers = [worker.recv() for worker in self._workers]
        except (EOFError, OSError):
            _workers.cache_clear()  # the next rollout starts others
            raise ValueError(
                "a worker process of the learners has died: out of memory, killed, crashed, or made"
                ' by a script without `if __name__ == "__main__":`; num_workers = 0 shows more'
            ) from None
        for answer in answers:
            if isinstance(answer, ValueError):
                raise ValueError(str(answer))
        return answers


@cache
def _workers(number: int) -> list[Connection]:
    """Processes that are started once, and end with this one."""
    # not forked: the threads of a parent's mathematics do not survive that
    context, mine = multiprocessing.get_context("spawn"), []
    for _ in range(number):
        ours, theirs = context.Pipe()
        context.Process(target=_serve, args=(theirs,), daemon=True).start()
        theirs.close()
        mine.append(ours)
        atexit.register(ours.close)
    return mine


def _serve(connection: Connection) -> None:
    """Answer until the other side closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that we serve
    held: dict[int, Learners] = {}
    while True:
        try:
            method, number, given = connection.recv()
        except (EOFError, OSError):  # whom we serve has ended
            return
        answer: Any = None
        try:
            if method == "make":
                forgotten, *arguments = given
                held = {kept: held[kept] for kept in held.keys() - set(forgotten)}
                held[number] = Learners(*arguments)
            else:
                answer = getattr(held[number], method)(*given)
        except ValueError as error:
            answer = ValueError(str(error))
        connection.send(answer)
