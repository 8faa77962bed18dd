"""What the service is asked about a learner, and how it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mermaide_pl.config.validation import one_line


@dataclass(frozen=True)
class Request:
    """A request about one learner.

    Args:
        name: of the learner.
    """

    name: str


@dataclass(frozen=True)
class Create(Request):
    """Add the learner; if there is one with the same settings, nothing happens.

    Args:
        settings: those of `LiveSettings` that are given.
    """

    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Intervene(Request):
    """The level of a step, chosen once and for all.

    Args:
        step: its number in the episode.
        episode: number of the episode, None for the running one.
    """

    step: int
    episode: int | None = None


@dataclass(frozen=True)
class Observe(Request):
    """The outcome of a step.

    Args:
        step: its number in the episode.
        arm: label of the arm that was pulled.
        agent_reward: bonus included, in reward units; None where it is hidden.
        episode: number of the episode, None for the running one.
    """

    step: int
    arm: str | int
    agent_reward: float | None = None
    episode: int | None = None


@dataclass(frozen=True)
class EndEpisode(Request):
    """The end of an episode.

    Args:
        episode: its number.
    """

    episode: int


@dataclass(frozen=True)
class Adapt(Request):
    """Adapt the principal to the learner, on its episodes before another begins.

    Args:
        episode: number of the one that begins.
    """

    episode: int


@dataclass(frozen=True)
class Pause(Request):
    """Choose level 0 at every step, until it is resumed.

    Args:
        paused: False to resume.
    """

    paused: bool


@dataclass(frozen=True)
class Forecast(Request):
    """The forecast of the next arm at every level."""


class RefusedError(Exception):
    """A request that changes nothing.

    Args:
        status: of HTTP.
        detail: one line that says what is wrong, where, and what is allowed.
        expected: number of the episode and the step that are expected, where others were given.
    """

    def __init__(self, status: int, detail: str, expected: Mapping[str, int] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.expected = status, detail, expected


def no_database(error: BaseException) -> RefusedError:
    """That the database failed, and why."""
    return RefusedError(
        503, f"the database failed, try again: {one_line(error.__cause__ or error)}"
    )


def no_learner(name: str) -> RefusedError:
    """That there is no such learner."""
    return RefusedError(404, f"there is no learner {name!r:.60}")
