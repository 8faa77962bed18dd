"""Answers to requests about learners: decided by a fleet, durable when they are given."""

from __future__ import annotations

from collections.abc import Sequence

from mermaide_pl.config.validation import raised_by_us
from mermaide_pl.service.held_fleet import HeldFleet
from mermaide_pl.service.metrics import Metrics
from mermaide_pl.service.requests import RefusedError, Request
from mermaide_pl.service.store import Store
from mermaide_pl.service.turn import Answer, Turn


class Steering:
    """Answers requests, each batch in one transaction.

    The log decides: whoever holds the lock of a learner first brings its state in memory up to
    date, so that several processes over one database answer as one.

    Args:
        held: the fleet in memory.
        store: the database.
        metrics: counts.
    """

    def __init__(self, held: HeldFleet, store: Store, metrics: Metrics) -> None:
        self._held, self._store, self._metrics = held, store, metrics

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answers to requests about different learners.

        Raises:
            SQLAlchemyError: if the database fails; nothing has changed then.
        """
        names = [request.name for request in requests]
        try:
            with self._store.writing() as log:
                turn = Turn(self._held, log, log.standings(names, lock=True))
                answers = turn.answer(requests)
                turn.write()
        except Exception as error:
            self._held.forget(names)
            if len(requests) == 1 and isinstance(error, ValueError) and raised_by_us(error):
                return [RefusedError(409, str(error))]
            raise
        for event in turn.events:
            if event["arm"] is not None:
                self._metrics.steps.labels("yes" if event["level"] else "no").inc()
        return answers
