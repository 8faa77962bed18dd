"""Arguments of the calls of a fleet, read and checked."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from mermaide_pl.config.validation import whole_number
from mermaide_pl.deployment.fleet_roster import Roster
from mermaide_pl.deployment.live_settings import observed_reward


class Arguments:
    """Reads arguments about the learners of a roster.

    Its methods raise a ValueError of one line, which names the learner if it is about one.

    Args:
        roster: the learners.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster

    def slots(self, ids: Iterable[Hashable]) -> np.ndarray:
        """Slots of N different learners, int64 [N]."""
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise ValueError(f"ids must be a list of learners, got {ids!r:.60}")
        known, found = self._roster.slots, dict[int, Hashable]()
        for number, id in enumerate(ids):
            try:
                found[known[id]] = id
            except (KeyError, TypeError):
                raise ValueError(f"there is no learner {id!r:.60}") from None
            if len(found) <= number:
                raise ValueError(f"learner {id!r:.60} is named twice")
        return np.fromiter(found, np.int64, len(found))

    def new_name(self, id: Hashable) -> None:
        """Refuse a name that a learner has, or that is none."""
        if isinstance(id, bool) or not isinstance(id, str | int):
            raise ValueError(f"the name of a learner must be a text or an integer, got {id!r:.60}")
        if id in self._roster.slots:
            raise ValueError(f"there is a learner {id!r:.60} already")

    def refuse(self, slot: int, reason: object) -> NoReturn:
        """Raise the error."""
        raise ValueError(f"learner {self._roster.learner(slot).id!r:.60}: {reason}") from None

    def refuse_played(self, asked: str, slots: np.ndarray) -> None:
        """Refuse learners whose episodes have no further step."""
        numbers = self._roster.numbers
        for slot in slots[numbers["step"][slots] >= numbers["num_steps"][slots]]:
            self.refuse(
                slot,
                f"{asked}: all {numbers['num_steps'][slot]} steps of the episode were played,"
                " call end_episode",
            )

    def check_numbers(self, asked: str, name: str, slots: np.ndarray, given: Any) -> None:
        """Refuse other numbers of steps or episodes than those at which the learners stand.

        Args:
            asked: the call.
            name: ``step`` or ``episode``.
            slots: the learners.
            given: whole numbers [N].
        """
        found = np.asarray(given)
        if found.shape != slots.shape or (found.size and found.dtype.kind not in "iu"):
            raise ValueError(f"{asked}: {name}s must be {len(slots)} whole numbers")
        expected = self._roster.numbers[name][slots]
        for place in np.flatnonzero(found != expected):
            early = found[place] > expected[place]
            what = "a message before it is missing" if early else "it came twice or too late"
            self.refuse(
                slots[place],
                f"{asked}: {name} {expected[place]} is expected, got {found[place]}, {what}",
            )

    def of_each(self, name: str, values: Any, slots: np.ndarray) -> list[Any]:
        """The values, one for each learner."""
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ValueError(f"{name} must be a list, got {values!r:.60}")
        found = values.tolist() if hasattr(values, "tolist") else [*values]
        if len(found) != len(slots):
            raise ValueError(f"{name} must be {len(slots)}, as many as learners, got {len(found)}")
        return found

    def positions(self, slots: np.ndarray, arms: Any) -> np.ndarray:
        """Positions of the arms that were pulled, one of each learner, int64 [N]."""
        labels = self.of_each("arms", arms, slots)
        found = [
            self._position(slot, label) for slot, label in zip(slots.tolist(), labels, strict=True)
        ]
        return np.array(found, np.int64)

    def rewards(self, slots: np.ndarray, agent_rewards: Any) -> np.ndarray:
        """The agents' rewards as the principal observes them, float64 [N]."""
        found = np.zeros(len(slots))
        if agent_rewards is None:
            if not self._roster.numbers["sees_rewards"][slots].any():
                return found
            agent_rewards = [None] * len(slots)
        for place, reward in enumerate(self.of_each("agent_rewards", agent_rewards, slots)):
            found[place] = self._reward(int(slots[place]), reward)
        return found

    def steps(self, slot: int, played: Sequence[Any]) -> list[tuple[int, int, float]]:
        """Positions of arms, levels and rewards of a learner's next steps."""
        numbers, found = self._roster.numbers[slot], []
        last = self._roster.learner(slot).game.num_levels - 1
        for number, step in enumerate(played):
            try:
                arm, level, reward = step
                level = whole_number("level", level, low=0, high=last)
            except (TypeError, ValueError) as error:
                self.refuse(slot, f"replay: step {number} must be (arm, level, reward): {error}")
            found.append((self._position(slot, arm), level, self._reward(slot, reward)))
        if found and numbers["level"] not in (-1, found[0][1]):
            self.refuse(
                slot,
                f"replay: level {numbers['level']} awaits its outcome, got that of {found[0][1]}",
            )
        if len(found) > numbers["num_steps"] - numbers["step"]:
            self.refuse(
                slot,
                f"replay: the episode has {numbers['num_steps']} steps, got"
                f" {len(found)} after {numbers['step']}",
            )
        return found

    def _position(self, slot: int, arm: Any) -> int:
        learner = self._roster.learner(slot)
        try:
            return learner.settings.position("observe: arm", arm, learner.game)
        except ValueError as error:
            self.refuse(slot, error)

    def _reward(self, slot: int, agent_reward: float | None) -> float:
        try:
            return observed_reward(agent_reward, self._roster.learner(slot).game)
        except ValueError as error:
            self.refuse(slot, error)
