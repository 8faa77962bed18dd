"""A trained principal that steers many learners running elsewhere, in batches.

```python
fleet = LiveFleet.load("universal.ckpt")
fleet.add("ann", arms=["blue", "green", "red"], target="red", num_steps=200)
fleet.add("bob", arms=["left", "right"], cost=0.2)  # without a fixed end
levels, steps = fleet.intervene(["ann", "bob"])
fleet.observe(["ann", "bob"], ["green", "left"], steps=steps)
fleet.end_episode(["bob"])
fleet.adapt(["bob"])  # for its next episodes
```
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from mermaide_pl.config.validation import check_count, one_line, whole_number
from mermaide_pl.deployment.fleet_adaptation import Played, adapted_to
from mermaide_pl.deployment.fleet_group import State
from mermaide_pl.deployment.fleet_roster import Roster
from mermaide_pl.deployment.fleet_state import PARTS, LearnerFormat
from mermaide_pl.deployment.live_settings import LiveSettings, observed_reward
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import relabel_target_first
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.within_episode import InnerLoops
from mermaide_pl.runtime.checkpoints import read_checkpoint


class LiveFleet:
    """Steers many learners of different games with one principal, each as a `LivePrincipal` would.

    Levels and forecasts of a learner are those of `LivePrincipal`, to rounding, whatever the batch.
    Its calls take several learners at once, which must be different ones; the more, the less time
    for each (`benchmarks/fleet.py`). A wrong call raises a ValueError of one line, which names the
    learner if it is about one, and changes nothing for any.

    Messages: `intervene` gives the number of each step, counted from 0 in the episode, and
    `observe` takes it back. An outcome that comes twice, or after one that was lost, is refused.

    Threads: every call holds the lock of the fleet, so that calls of several threads take turns.
    They wait for an `adapt` too; adapt few learners at a time where that matters.

    Memory: a learner keeps its tallies, its recurrent states, its weights where they differ from
    the meta weights, and a record of episodes to adapt on: the last `max_episodes`, and of each,
    the running one too, the first `max_steps` steps. So memory, and time of `adapt`, are bounded
    however long a learner is steered. The first steps, since the principal's counts begin with the
    episode; in playing it counts on. A principal without adaptation keeps no record.

    Args:
        module: the trained principal; one with `AdaptationWithinEpisodes` is refused.
        max_episodes: episodes to adapt on, at least 1; by default as many as the most shots
            measured in ``results/shots``.
        max_steps: recorded steps of an episode, at least 1; by default those of the longest
            episodes in ``train_universal``.

    Raises:
        ValueError: if the principal learns within episodes.
    """

    def __init__(
        self, module: MermaideModule, *, max_episodes: int = 8, max_steps: int = 1000
    ) -> None:
        check_count("max_episodes", max_episodes, low=1)
        check_count("max_steps", max_steps, low=1)
        if isinstance(module.inner_loop, InnerLoops):
            raise ValueError(
                "LiveFleet takes no gradient steps within episodes, which this principal was"
                " trained for (AdaptationWithinEpisodes); LivePrincipal does"
            )
        self.module = module
        self._adapts = module.inner_loop.num_shots > 0
        self._roster = Roster(module.principal, max_episodes, max_steps if self._adapts else 0)
        self._format = LearnerFormat(module, self._roster)
        self._lock = RLock()

    @classmethod
    def load(cls, path: str | Path, *, max_episodes: int = 8, max_steps: int = 1000) -> Self:
        """A fleet of a trained principal.

        Args:
            path: a checkpoint, ``pretrained:NAME`` or NAME alone.
            max_episodes: see the class.
            max_steps: see the class.

        Raises:
            ValueError: one line that says what is wrong with the file.
        """
        module = MermaideModule.from_checkpoint(read_checkpoint(path), path).eval()
        return cls(module, max_episodes=max_episodes, max_steps=max_steps)

    def __len__(self) -> int:
        """Number of learners."""
        return len(self._roster.slots)

    def __contains__(self, id: Hashable) -> bool:
        """True if there is a learner of that name."""
        return id in self._roster.slots

    def game(self, id: Hashable) -> Game:
        """The rules by which a learner plays."""
        with self._lock:
            return self._roster.learner(int(self._slots([id])[0])).game

    def add(self, id: Hashable, **settings: Any) -> None:
        """Add a learner.

        Args:
            id: its name, a text or a number.
            **settings: those of `LiveSettings`.

        Raises:
            ValueError: if there is one of that name, or for wrong settings.
        """
        with self._lock:
            self._refuse_known(id)
            try:
                given = LiveSettings(**settings)
                game = given.game(self.module)
                target = given.target_in(game)
            except ValueError as error:
                raise ValueError(f"learner {id!r}: {error}") from None
            self._roster.enter(id, given, game, target)

    def remove(self, ids: Iterable[Hashable]) -> None:
        """Remove learners; what they kept is forgotten."""
        with self._lock:
            for slot in self._slots(ids).tolist():
                self._roster.leave(slot)

    @torch.no_grad()
    def intervene(self, ids: Iterable[Hashable]) -> tuple[np.ndarray, np.ndarray]:
        """Levels for the next step of N learners.

        Called again before `observe`, it returns the same.

        Returns:
            Levels, 0 for "do not intervene", and the numbers of the steps, int64 [N] each.

        Raises:
            ValueError: if all steps of a learner's episode were played.
        """
        with self._lock:
            slots, numbers = self._slots(ids), self._roster.numbers
            self._refuse_played("intervene", slots)
            self._roster.choose(slots[numbers["level"][slots] < 0])
            return numbers["level"][slots], numbers["step"][slots]

    @torch.no_grad()
    def observe(
        self,
        ids: Iterable[Hashable],
        arms: Sequence[str | int],
        agent_rewards: Sequence[float | None] | None = None,
        *,
        steps: Sequence[int],
        episodes: Sequence[int] | None = None,
    ) -> None:
        """Record the outcomes of a step of N learners.

        Args:
            ids: of the learners.
            arms: labels of the arms that they pulled.
            agent_rewards: rewards that they received, bonus included, in reward units; None, or
                None for a learner, where the principal has partial information.
            steps: numbers of the steps, as `intervene` gave them.
            episodes: numbers of the episodes, as `end_episode` gave them, at first 0; checked if
                given. They tell a message apart that is late by an episode.

        Raises:
            ValueError: before `intervene`, for another step than the next, or for an impossible
                observation.
        """
        with self._lock:
            slots, numbers = self._slots(ids), self._roster.numbers
            self._check_numbers("observe", "episode", slots, episodes)
            self._check_numbers("observe", "step", slots, steps)
            for slot in slots[numbers["level"][slots] < 0]:
                self._refuse(slot, "observe: call intervene first, it chooses the level")
            positions = [
                self._position(slot, arm)
                for slot, arm in zip(slots.tolist(), _of_each("arms", arms, slots), strict=True)
            ]
            rewards = np.zeros(len(slots))
            if agent_rewards is not None or numbers["sees_rewards"][slots].any():
                given = [None] * len(slots) if agent_rewards is None else agent_rewards
                for place, reward in enumerate(_of_each("agent_rewards", given, slots)):
                    rewards[place] = self._reward(int(slots[place]), reward)
            levels = numbers["level"][slots]
            self._roster.add(slots, levels, np.array(positions, np.int64), rewards)

    @torch.no_grad()
    def forecast(self, ids: Iterable[Hashable]) -> list[Tensor]:
        """Forecasts of the next arm of N learners at every level.

        Returns:
            For each, ``p(a_t | history, u)``, float [L, A], arms in the user's order.

        Raises:
            ValueError: without a world model, or if all steps of an episode were played.
        """
        with self._lock:
            slots, numbers = self._slots(ids), self._roster.numbers
            self._refuse_played("forecast", slots)
            found: dict[int, Tensor] = {}
            for group, places in self._roster.batches(slots):
                chosen = slots[places]
                _, _, logits = group.step(numbers["row"][chosen], numbers["step"][chosen])
                if logits is None:
                    raise ValueError("forecast: this principal has no world model (NoWorldModel)")
                _, _, num_levels, num_arms = logits.shape
                own = torch.arange(num_arms).expand(len(places), -1)
                order = relabel_target_first(own, torch.from_numpy(numbers["target"][chosen]))
                order = order.unsqueeze(1).expand(-1, num_levels, -1).to(logits.device)
                chances = logits[:, 0].softmax(-1).gather(-1, order)
                found.update(zip(places.tolist(), chances.unbind(), strict=True))
            return [found[place] for place in range(len(slots))]

    def end_episode(
        self, ids: Iterable[Hashable], *, steps: Sequence[int] | None = None
    ) -> np.ndarray:
        """End the episodes of N learners, early or not.

        A level without an observed outcome is dropped.

        Args:
            ids: of the learners.
            steps: numbers of steps that were observed; checked if given.

        Returns:
            Numbers of the episodes that begin, int64 [N]; the first was 0.

        Raises:
            ValueError: if no step of an episode was observed, or another number than given.
        """
        with self._lock:
            slots, numbers = self._slots(ids), self._roster.numbers
            self._check_numbers("end_episode", "step", slots, steps)
            for slot in slots[numbers["step"][slots] == 0]:
                self._refuse(slot, "end_episode: no step of this episode has been observed")
            if self._adapts:
                for slot in slots.tolist():
                    self._roster.learner(slot).ended.append(self._roster.record(slot))
            numbers["episode"][slots] += 1
            self._roster.begin(slots)
            return numbers["episode"][slots]

    def adapt(self, ids: Iterable[Hashable]) -> list[int]:
        """Adapt to N learners, for their following episodes, as `LivePrincipal.adapt` does.

        It adapts on the episodes that are kept, see the class. Where their states form chains, see
        `InnerLoop.chain_length`, the first chain begins with the first episode that is kept.

        Returns:
            For each learner, the number of episodes that it adapted on.

        Raises:
            ValueError: within an episode, before the first, or without an inner loop.
        """
        if not self._adapts:
            raise ValueError("adapt: this principal was trained without adaptation (NoAdaptation)")
        with self._lock:
            slots, numbers = self._slots(ids), self._roster.numbers
            for slot in slots[(numbers["step"][slots] > 0) | (numbers["level"][slots] >= 0)]:
                self._refuse(slot, "adapt: an episode is running, call end_episode first")
            played = []
            for slot in slots.tolist():
                learner, target = self._roster.learner(slot), int(numbers["target"][slot])
                if not learner.ended:
                    self._refuse(slot, "adapt: no episode has ended yet")
                samples = learner.settings.sampling_seed is not None
                played.append(Played(learner.game, target, samples, [*learner.ended]))
            found = adapted_to(self.module, played)
            for slot, (initial, fast) in zip(slots, found, strict=True):
                if not all(bool(each.isfinite().all()) for each in (initial, *fast.values())):
                    self._refuse(slot, "adapt: the adapted weights are not finite")
            for slot, (initial, fast) in zip(slots.tolist(), found, strict=True):
                state = self._roster.state(slot)
                self._roster.put(slot, State(state.seen, state.ahead, initial, fast))
            self._roster.begin(slots)
            return [len(each.episodes) for each in played]

    def describe(self, id: Hashable, *parts: str) -> dict[str, Any]:
        """All that `restore` needs of a learner, or some parts of it, as plain data for JSON.

        ``now`` changes with every call and has one size at any time; ``running`` repeats what was
        observed in the episode; ``ended`` changes with `end_episode`, ``adapted`` with `adapt`, and
        ``settings`` never. So a step is stored by ``now``, and its arm, level and reward.

        Args:
            id: of the learner.
            *parts: those of the five that are wanted; none for all.

        Returns:
            The parts by name: see `LearnerFormat`.

        Raises:
            ValueError: for an unknown part.
        """
        for part in parts:
            if part not in PARTS:
                raise ValueError(f"describe: parts are {', '.join(PARTS)}, got {part!r:.60}")
        with self._lock:
            return self._format.describe(int(self._slots([id])[0]), parts or PARTS)

    def restore(self, id: Hashable, described: Mapping[str, Any]) -> None:
        """Add a learner that goes on exactly where another was described, also in another process.

        Its next numbers are the same to the bit if the batches are; otherwise to rounding.

        Args:
            id: its name.
            described: all parts of `describe`, from a fleet of the same principal, whose
                `max_steps` were as many or more.

        Raises:
            ValueError: if there is one of that name, or if the data do not fit.
        """
        with self._lock:
            self._refuse_known(id)
            try:
                described_learner = self._format.read(described)
            except (
                *(AttributeError, IndexError, KeyError, OverflowError),
                *(RuntimeError, TypeError, ValueError),
            ) as error:
                reason = f"{type(error).__name__} {one_line(error)}"
                if isinstance(error, ValueError):
                    reason = one_line(error)
                raise ValueError(f"learner {id!r}: restore: it does not fit: {reason}") from None
            self._format.enter(id, described_learner)

    @torch.no_grad()
    def replay(
        self, ids: Iterable[Hashable], played: Sequence[Sequence[tuple[Any, int, float | None]]]
    ) -> None:
        """Take N learners through steps that were played before, at the levels chosen then.

        Args:
            ids: of the learners. If a level is waiting for its outcome, the first step has it.
            played: for each the next steps of its episode, ``(arm, level, reward)`` as observed,
                the reward None where it is hidden.

        Raises:
            ValueError: for an impossible step.
        """
        with self._lock:
            slots, numbers = self._slots(ids), self._roster.numbers
            steps = [
                self._replayed(slot, each)
                for slot, each in zip(
                    slots.tolist(), _of_each("played", played, slots), strict=True
                )
            ]
            for number in range(max(map(len, steps), default=0)):
                going = [place for place, each in enumerate(steps) if number < len(each)]
                chosen = slots[going]
                self._roster.choose(chosen[numbers["level"][chosen] < 0])
                arms, levels, rewards = zip(*(steps[place][number] for place in going), strict=True)
                self._roster.add(chosen, np.array(levels), np.array(arms), np.array(rewards))

    def _replayed(self, slot: int, played: Iterable[Any]) -> list[tuple[int, int, float]]:
        """Positions of arms, levels and rewards, checked."""
        numbers, found = self._roster.numbers[slot], []
        last = self._roster.learner(slot).game.num_levels - 1
        for arm, level, reward in played:
            try:
                level = whole_number("replay: level", level, low=0, high=last)
            except ValueError as error:
                self._refuse(slot, str(error))
            found.append((self._position(slot, arm), level, self._reward(slot, reward)))
        if found and numbers["level"] not in (-1, found[0][1]):
            self._refuse(slot, f"replay: level {numbers['level']} waits, not {found[0][1]}")
        if len(found) > numbers["num_steps"] - numbers["step"]:
            self._refuse(slot, f"replay: an episode has {numbers['num_steps']} steps")
        return found

    def _position(self, slot: int, arm: Any) -> int:
        """Position of an arm that was pulled."""
        learner = self._roster.learner(slot)
        try:
            return learner.settings.position("observe: arm", arm, learner.game)
        except ValueError as error:
            raise ValueError(f"learner {learner.id!r}: {error}") from None

    def _reward(self, slot: int, agent_reward: float | None) -> float:
        """The agent's reward as the principal observes it."""
        learner = self._roster.learner(slot)
        try:
            return observed_reward(agent_reward, learner.game)
        except ValueError as error:
            raise ValueError(f"learner {learner.id!r}: {error}") from None

    def _slots(self, ids: Iterable[Hashable]) -> np.ndarray:
        """Slots of learners, int64 [N], checked to be different ones."""
        if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
            raise ValueError(f"ids must be a list of learners, got {ids!r:.60}")
        known, found = self._roster.slots, dict[int, Hashable]()
        for number, id in enumerate(ids):
            try:
                found[known[id]] = id
            except (KeyError, TypeError):
                raise ValueError(f"there is no learner {id!r:.60}") from None
            if len(found) <= number:
                raise ValueError(f"learner {id!r} is named twice")
        return np.fromiter(found, np.int64, len(found))

    def _refuse_known(self, id: Hashable) -> None:
        if not isinstance(id, str | int):
            raise ValueError(f"the name of a learner must be a text or a number, got {id!r:.60}")
        if id in self._roster.slots:
            raise ValueError(f"there is a learner {id!r} already")

    def _refuse(self, slot: int, reason: str) -> None:
        raise ValueError(f"learner {self._roster.learner(slot).id!r}: {reason}")

    def _refuse_played(self, asked: str, slots: np.ndarray) -> None:
        numbers = self._roster.numbers
        for slot in slots[numbers["step"][slots] >= numbers["num_steps"][slots]]:
            self._refuse(
                slot,
                f"{asked}: all {numbers['num_steps'][slot]} steps of the episode were played,"
                " call end_episode",
            )

    def _check_numbers(self, asked: str, name: str, slots: np.ndarray, given: Any) -> None:
        """Refuse other steps or episodes than those at which the learners stand."""
        if given is None:
            return
        found = np.asarray(given)
        if found.shape != slots.shape or (found.size and found.dtype.kind not in "iu"):
            raise ValueError(f"{asked}: {name}s must be {len(slots)} whole numbers")
        expected = self._roster.numbers[name][slots]
        for place in np.flatnonzero(found != expected):
            late = found[place] < expected[place]
            what = "it came twice or too late" if late else "one before it was lost"
            self._refuse(
                slots[place],
                f"{asked}: {name} {expected[place]} is expected, got {found[place]}: {what}",
            )


def _of_each(name: str, values: Any, slots: np.ndarray) -> list[Any]:
    """The values, one for each learner."""
    if isinstance(values, str):
        raise ValueError(f"{name} must be a list, got {values!r:.60}")
    found = values.tolist() if hasattr(values, "tolist") else list(values)
    if len(found) != len(slots):
        raise ValueError(f"{name} must be {len(slots)}, one for each learner, got {len(found)}")
    return found
