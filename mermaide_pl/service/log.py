"""What a transaction reads and writes: where learners stand, and their log."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    bindparam,
    delete,
    func,
    insert,
    select,
    tuple_,
    update,
)

from mermaide_pl.service.tables import ADAPTATIONS, EVENTS, LEARNERS, PROGRESS, SNAPSHOTS


@dataclass
class Standing:
    """Where a learner stands: its row in the table of learners."""

    key: int
    name: str
    principal: str  # checksum of its meta weights
    settings: dict[str, Any]  # of `LiveSettings`
    game: dict[str, Any]  # what follows from them, see `described_game`
    target: int  # target arm, agent label
    created: float  # seconds since 1970
    paused: bool
    episode: int  # number of episodes that have ended
    step: int  # observed in the running episode
    level: int | None  # answered, its outcome not yet observed
    adapted: int  # first episode that the last adaptation is for, 0 if there was none
    spent: int  # interventions of the running episode
    steps: int  # observed in all episodes
    aligned: int  # pulls of the target in all episodes
    interventions: int  # of all episodes


class Log:
    """What a transaction reads and writes.

    Args:
        connection: of the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def standings(self, names: Sequence[str], *, lock: bool = False) -> dict[str, Standing]:
        """Learners by name, those that there are; locked until the transaction ends.

        They are locked in one order, so that two transactions never wait for each other.
        """
        names = [name for name in names if "\0" not in name]  # refused by PostgreSQL
        query = select(LEARNERS).where(LEARNERS.c.name.in_(names)).order_by(LEARNERS.c.key)
        rows = self._connection.execute(query.with_for_update() if lock else query)
        return {row.name: Standing(**row._mapping) for row in rows}

    def page(self, after: str, limit: int) -> list[Standing]:
        """Learners in order of their names, from the first after a text on."""
        after = after.partition("\0")[0]  # refused by PostgreSQL
        query = select(LEARNERS).where(LEARNERS.c.name > after).order_by(LEARNERS.c.name)
        return [Standing(**row._mapping) for row in self._connection.execute(query.limit(limit))]

    def counts(self) -> tuple[int, int]:
        """Number of learners, and of those that are paused."""
        query = select(func.count(), func.count().filter(LEARNERS.c.paused))
        number, paused = self._connection.execute(query.select_from(LEARNERS)).one()
        return number, paused

    def create(self, given: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Add a learner.

        Args:
            given: its name, principal, settings, game and target.
            now: that part of `LiveFleet.describe` as its episodes begin.
        """
        added = self._connection.execute(insert(LEARNERS), {**given, "created": time.time()})
        assert added.inserted_primary_key is not None
        first = {
            "learner": added.inserted_primary_key.key,
            "episode": 0,
            "num_episodes": 0,
            "adapted": None,
            "now": now,
        }
        self._connection.execute(insert(ADAPTATIONS), first)

    def update(self, standings: Sequence[Standing]) -> None:
        """Write where learners stand now."""
        values: dict[str, Any] = {name: bindparam(name) for name in PROGRESS}
        query = update(LEARNERS).where(LEARNERS.c.key == bindparam("of")).values(values)
        rows = [
            {"of": each.key, **{name: getattr(each, name) for name in PROGRESS}}
            for each in standings
        ]
        if rows:
            self._connection.execute(query, rows)

    def add(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Add events to the log."""
        if events:
            now = time.time()
            self._connection.execute(insert(EVENTS), [{**each, "at": now} for each in events])

    def event(self, key: int, episode: int, step: int) -> Row[Any] | None:
        """An event of a learner, if it is in the log."""
        found = self._connection.execute(
            select(EVENTS).where(*_of(key, episode), EVENTS.c.step == step)
        )
        return found.one_or_none()

    def steps(
        self, key: int, episode: int, first: int = 0, limit: int | None = None
    ) -> list[tuple[int, int, float | None]]:
        """Observed steps of an episode, from the first on: arm, level, reward of each."""
        found = self._connection.execute(
            select(EVENTS.c.arm, EVENTS.c.level, EVENTS.c.agent_reward)
            .where(*_of(key, episode), EVENTS.c.step >= first, EVENTS.c.arm.is_not(None))
            .order_by(EVENTS.c.step)
            .limit(limit)
        )
        return [(arm, level, reward) for arm, level, reward in found]

    def history(self, key: int, episode: int, step: int, limit: int) -> Sequence[Row[Any]]:
        """Events of a learner, in order, from a step of an episode on."""
        place = tuple_(EVENTS.c.episode, EVENTS.c.step)
        return self._connection.execute(
            select(EVENTS)
            .where(EVENTS.c.learner == key, place >= tuple_(episode, step))
            .order_by(EVENTS.c.episode, EVENTS.c.step)
            .limit(limit)
        ).all()

    def curve(self, standing: Standing, last: int, num_points: int) -> Sequence[Row[Any]]:
        """The last observed steps of a learner, averaged over stretches of equal length.

        Returns:
            Of each stretch: the place of its first step among these steps, and its episode; the
            number of its steps; shares of pulls of the target, and of interventions.
        """
        newest = (
            select(EVENTS)
            .where(EVENTS.c.learner == standing.key, EVENTS.c.arm.is_not(None))
            .order_by(EVENTS.c.episode.desc(), EVENTS.c.step.desc())
            .limit(last)
            .subquery()
        )
        place = func.row_number().over(order_by=(newest.c.episode, newest.c.step)) - 1
        table = select(newest, place.label("place")).subquery()
        length = max(1, -(-min(last, standing.steps) // num_points))
        stretch, steps = table.c.place // length, func.count()
        return self._connection.execute(
            select(
                func.min(table.c.place).label("place"),
                func.min(table.c.episode).label("episode"),
                steps.label("steps"),
                (steps.filter(table.c.arm == standing.target) * 1.0 / steps).label("alignment"),
                (steps.filter(table.c.level > 0) * 1.0 / steps).label("intervention_rate"),
            )
            .group_by(stretch)
            .order_by(stretch)
        ).all()

    def adaptation(self, key: int, episode: int | None = None) -> Row[Any] | None:
        """The last adaptation of a learner, or that before an episode, if there is one."""
        query = select(ADAPTATIONS).where(ADAPTATIONS.c.learner == key)
        if episode is not None:
            query = query.where(ADAPTATIONS.c.episode == episode)
        query = query.order_by(ADAPTATIONS.c.episode.desc()).limit(1)
        return self._connection.execute(query).one_or_none()

    def adapt(self, key: int, episode: int, num_episodes: int, adapted: Any, now: Any) -> None:
        """Keep what a learner's principal adapted to, in place of what it adapted to before."""
        former = update(ADAPTATIONS).where(ADAPTATIONS.c.learner == key)
        self._connection.execute(former.values(adapted=None, now=None))
        values = {"learner": key, "episode": episode, "num_episodes": num_episodes}
        self._connection.execute(insert(ADAPTATIONS), {**values, "adapted": adapted, "now": now})

    def snapshot(self, key: int, episode: int) -> Row[Any] | None:
        """The last snapshot of an episode, if there is one."""
        found = self._connection.execute(
            select(SNAPSHOTS).where(SNAPSHOTS.c.learner == key, SNAPSHOTS.c.episode == episode)
        )
        return found.one_or_none()

    def take_snapshot(self, key: int, now: Mapping[str, Any]) -> None:
        """Keep a part ``now``, in place of the last one."""
        self._connection.execute(delete(SNAPSHOTS).where(SNAPSHOTS.c.learner == key))
        place = {name: now[name] for name in ("episode", "step")}
        self._connection.execute(insert(SNAPSHOTS), {"learner": key, **place, "now": now})


def _of(key: int, episode: int) -> tuple[ColumnElement[bool], ...]:
    return EVENTS.c.learner == key, EVENTS.c.episode == episode
