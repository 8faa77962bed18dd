"""Requests that arrive at about the same time are answered as one batch."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from mermaide_pl.service.metrics import Metrics
from mermaide_pl.service.requests import Adapt, RefusedError, Request, no_database
from mermaide_pl.service.steering import Steering
from mermaide_pl.service.turn import Answer

_GATHER = 0.001  # seconds in which a batch is gathered
_MOST = 512  # requests of a batch
_MOST_ADAPTATIONS = 8  # of them, since one may take a hundred times as long as a step
_ATTEMPTS = 4  # of the transaction
_LOG = logging.getLogger(__name__)


class _Waiting(NamedTuple):
    request: Request
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Batches:
    """A thread that answers requests in batches; of one learner, in the order of arrival.

    One call of the fleet, one transaction and one write to the disk serve a whole batch.

    Args:
        steering: answers.
        metrics: counts.
    """

    def __init__(self, steering: Steering, metrics: Metrics) -> None:
        self._steering, self._metrics = steering, metrics
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="batches", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what is waiting, and end."""
        self._queue.put(None)
        self._thread.join()

    @property
    def runs(self) -> bool:
        """True while requests are answered."""
        return self._thread.is_alive()

    async def submit(self, request: Request) -> dict[str, Any]:
        """The answer to a request, which is durable.

        Raises:
            RefusedError: if there is none.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._queue.put(_Waiting(request, answer, loop))
        found = await answer
        if isinstance(found, RefusedError):
            raise found
        return found

    def _run(self) -> None:
        waiting: list[_Waiting] = []
        goes_on = True
        while goes_on or waiting:
            if not waiting:
                goes_on = self._take(waiting, block=True)
                time.sleep(_GATHER)
            while goes_on and not self._queue.empty():
                goes_on = self._take(waiting, block=False)
            batch, waiting = _next_batch(waiting)
            if batch:
                began = time.perf_counter()
                answers = self._answers([each.request for each in batch])
                self._metrics.batch_size.observe(len(batch))
                self._metrics.batch_seconds.observe(time.perf_counter() - began)
                batch[0].loop.call_soon_threadsafe(_deliver, batch, answers)

    def _take(self, waiting: list[_Waiting], block: bool) -> bool:
        """Take the next request; False at the end."""
        try:
            found = self._queue.get(block)
        except Empty:
            return True
        if found is not None:
            waiting.append(found)
        return found is not None

    def _answers(self, requests: Sequence[Request]) -> list[Answer]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._steering.answer(requests)
            except SQLAlchemyError as error:  # a lost connection, or another was first
                refused = no_database(error)
                _LOG.warning("attempt %d to answer a batch: %s", attempt, refused)
                if attempt < _ATTEMPTS:
                    time.sleep(0.005 * 4**attempt)
            except Exception:
                if len(requests) > 1:  # let one that fails not fail the others
                    return [answer for each in requests for answer in self._answers([each])]
                _LOG.exception("a request failed: %s", requests[0])
                return [RefusedError(500, "an error of the service, see its output")]
        return [refused] * len(requests)


def _next_batch(waiting: Sequence[_Waiting]) -> tuple[list[_Waiting], list[_Waiting]]:
    """The next batch, a request of each learner, and those left."""
    batch: list[_Waiting] = []
    left: list[_Waiting] = []
    names: set[str] = set()
    num_adaptations = 0
    for each in waiting:
        adapts = isinstance(each.request, Adapt)
        is_full = len(batch) == _MOST or (adapts and num_adaptations == _MOST_ADAPTATIONS)
        if is_full or each.request.name in names:
            left.append(each)
        else:
            batch.append(each)
            num_adaptations += adapts
        names.add(each.request.name)
    return batch, left


def _deliver(batch: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
    for each, answer in zip(batch, answers, strict=True):
        if not each.answer.done():  # as when its client is gone
            each.answer.set_result(answer)
