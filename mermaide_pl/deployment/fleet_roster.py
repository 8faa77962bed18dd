"""The learners of a fleet: where each stands, and in which group it is computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mermaide_pl.config.validation import MAX_COUNT
from mermaide_pl.deployment.fleet_group import MOST_ROWS, LearnerGroup, State, sizes_of
from mermaide_pl.deployment.fleet_record import Record
from mermaide_pl.deployment.live_settings import LiveSettings
from mermaide_pl.engines import Stream
from mermaide_pl.engines.noise import Part, uniforms
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import relabel_target_first
from mermaide_pl.principals import Principal, UniversalPrincipal

_DRAWS = 64  # random numbers that a learner whose levels are sampled holds
_WHERE = [("group", np.int64), ("row", np.int64)]
_STANDS = [
    ("num_steps", np.int64),  # T
    ("target", np.int64),  # target arm, agent label
    ("episode", np.int64),  # number of episodes that have ended
    ("step", np.int64),  # steps of the running episode that were observed
    ("level", np.int64),  # chosen, outcome not yet observed; -1 for none
    ("sees_rewards", np.bool_),  # the agent's rewards are observed
    ("samples", np.bool_),  # levels are sampled
    ("drawn", np.int64),  # first step for which random numbers are held; -1 for none
]


@dataclass(slots=True)
class Learner:
    """What a learner has besides its numbers."""

    id: Hashable
    settings: LiveSettings
    game: Game  # the rules
    ended: deque[Record]  # the last episodes


class Roster:
    """The learners of a fleet, each with a number of its own, its *slot*.

    Slots that are given to its methods are different ones, int64 [N].

    Args:
        principal: the module.
        max_episodes: ended episodes that a learner keeps.
        max_steps: recorded steps of an episode, 0 for none.
    """

    def __init__(
        self, principal: Principal | UniversalPrincipal, max_episodes: int, max_steps: int
    ) -> None:
        self._principal = principal
        self._max_episodes, self.max_steps = max_episodes, max_steps
        self.slots: dict[Hashable, int] = {}
        """Slot of each learner, by its name."""
        self.numbers = np.zeros(0, np.dtype([*_WHERE, *_STANDS]))
        """Where each learner stands, by slot."""
        self._learners: list[Learner | None] = []  # by slot
        self._free: list[int] = []
        self._draws = np.zeros((0, _DRAWS), np.float32)  # by slot, where levels are sampled
        self._groups: list[LearnerGroup] = []
        self._places: dict[tuple[Game, tuple[str, ...]], int] = {}  # of the groups

    def learner(self, slot: int) -> Learner:
        """What a learner has besides its numbers."""
        learner = self._learners[slot]
        assert learner is not None
        return learner

    def enter(
        self,
        id: Hashable,
        settings: LiveSettings,
        game: Game,
        target: int,
        names: Sequence[str] = (),
    ) -> int:
        """Add a learner at the beginning of its first episode; its slot.

        Args:
            id: its name, a new one.
            settings: its settings.
            game: the rules, those of the settings.
            target: target arm, agent label.
            names: of the weights that it will have for itself, see `put`.
        """
        if not self._free:
            size = len(self._learners)
            grown = np.zeros(max(16, 2 * size), self.numbers.dtype)
            grown[:size] = self.numbers
            self._free = list(range(len(grown) - 1, size - 1, -1))
            self._learners += [None] * (len(grown) - size)
            self.numbers = grown
        slot = self._free.pop()
        self._learners[slot] = Learner(id, settings, game, deque(maxlen=self._max_episodes))
        samples = settings.sampling_seed is not None
        if samples and len(self._draws) < len(self.numbers):
            draws = np.zeros((len(self.numbers), _DRAWS), np.float32)
            draws[: len(self._draws)] = self._draws
            self._draws = draws
        place = self._place(game, names)
        row = self._groups[place].add(slot, game)
        self.numbers[slot] = (
            *(place, row, game.num_steps, target, 0, 0, -1),
            *(game.observation.sees_agent_rewards, samples, -1),
        )
        self.slots[id] = slot
        return slot

    def leave(self, slot: int) -> None:
        """Remove a learner."""
        self._leave_group(slot)
        del self.slots[self.learner(slot).id]
        self._learners[slot] = None
        self._free.append(slot)

    def state(self, slot: int) -> State:
        """A learner's state, see `LearnerGroup.state`."""
        return self._group(slot).state(int(self.numbers["row"][slot]))

    def put(self, slot: int, state: State) -> None:
        """Put a learner into another state, in the group of its weights."""
        game = self.learner(slot).game
        place = self._place(game, [*state.fast])
        if place != self.numbers["group"][slot]:
            running = self.record(slot)
            self._leave_group(slot)
            row = self._groups[place].add(slot, game)
            self.numbers["group"][slot], self.numbers["row"][slot] = place, row
            self.put_record(slot, running)
        self._group(slot).put(int(self.numbers["row"][slot]), state)

    def record(self, slot: int) -> Record:
        """The record of the running episode."""
        numbers = self.numbers[slot]
        return self._group(slot).record(int(numbers["row"]), int(numbers["step"]))

    def put_record(self, slot: int, record: Record) -> None:
        """Put in place the record of the running episode."""
        self._group(slot).put_record(int(self.numbers["row"][slot]), record)

    def fresh(self, game: Game, names: Sequence[str]) -> State:
        """The state of a new learner that has weights of these names for itself."""
        return self._groups[self._place(game, names)].fresh()

    def batches(self, slots: np.ndarray) -> Iterator[tuple[LearnerGroup, np.ndarray]]:
        """Learners that are computed together: places among the slots, in order of the rows."""
        groups, rows = self.numbers["group"][slots], self.numbers["row"][slots]
        order = np.lexsort((rows, groups))
        for part in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
            for first in range(0, len(part), MOST_ROWS):
                yield self._groups[groups[part[0]]], part[first : first + MOST_ROWS]

    def choose(self, slots: np.ndarray) -> None:
        """Choose the levels of the next step."""
        numbers, drawn = self.numbers, self._uniforms(slots)
        for group, places in self.batches(slots):
            chosen = slots[places]
            rows, steps = numbers["row"][chosen], numbers["step"][chosen]
            numbers["level"][chosen] = group.choose(rows, steps, drawn[places])

    def add(
        self, slots: np.ndarray, levels: np.ndarray, arms: np.ndarray, agent_rewards: np.ndarray
    ) -> None:
        """Add the outcome of a step: levels and arms (agent labels) int64 [N], rewards [N]."""
        numbers = self.numbers
        targets = torch.from_numpy(numbers["target"][slots])
        seen = relabel_target_first(torch.from_numpy(arms), targets).numpy()
        for group, places in self.batches(slots):
            chosen = slots[places]
            rows, steps = numbers["row"][chosen], numbers["step"][chosen]
            group.observe(
                *(rows, steps, levels[places], arms[places], seen[places], agent_rewards[places])
            )
        numbers["step"][slots] += 1
        numbers["level"][slots] = -1

    def begin(self, slots: np.ndarray) -> None:
        """Begin an episode."""
        for name, value in (("step", 0), ("level", -1), ("drawn", -1)):
            self.numbers[name][slots] = value
        for group, places in self.batches(slots):
            group.begin(self.numbers["row"][slots[places]])

    def _group(self, slot: int) -> LearnerGroup:
        return self._groups[self.numbers["group"][slot]]

    def _place(self, game: Game, names: Sequence[str]) -> int:
        sizes, key = sizes_of(game), tuple(sorted(names))
        if self._principal.plays_any_game:
            sizes = replace(sizes, num_steps=MAX_COUNT, endless=False)  # numbers of each learner
        if (sizes, key) not in self._places:
            self._places[sizes, key] = len(self._groups)
            self._groups.append(LearnerGroup(self._principal, sizes, key, self.max_steps))
        return self._places[sizes, key]

    def _leave_group(self, slot: int) -> None:
        group, row = self._group(slot), int(self.numbers["row"][slot])
        group.remove(row)
        if row < len(group):
            self.numbers["row"][group.slots[row]] = row

    def _uniforms(self, slots: np.ndarray) -> np.ndarray:
        """Random numbers of the next step, float [N], nan where levels are not sampled."""
        numbers, found = self.numbers, np.full(len(slots), np.nan)
        samples = numbers["samples"][slots]
        if not samples.any():
            return found
        sampled = slots[samples]
        steps = numbers["step"][sampled]
        first = steps - steps % _DRAWS
        for place in np.flatnonzero(numbers["drawn"][sampled] != first):
            slot, skipped = int(sampled[place]), int(first[place])
            seed, episode = self.learner(slot).settings.sampling_seed, numbers["episode"][slot]
            drawn = uniforms(
                *([seed or 0], Stream.LIVE, Part.PRINCIPAL, (1, _DRAWS), int(episode), skipped)
            )
            self._draws[slot], numbers["drawn"][slot] = drawn[0, 0].numpy(), skipped
        found[samples] = self._draws[sampled, steps - first]
        return found
