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

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from mermaide_pl.config.input_paths import DEFAULT_PRINCIPAL
from mermaide_pl.config.validation import check_count, one_line
from mermaide_pl.deployment.fleet_adaptation import Played, adapted_to
from mermaide_pl.deployment.fleet_arguments import Arguments
from mermaide_pl.deployment.fleet_roster import Roster
from mermaide_pl.deployment.fleet_state import PARTS, LearnerFormat
from mermaide_pl.deployment.live_settings import LiveSettings
from mermaide_pl.engines.native.threads import one_thread_for_torch
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
    episode; in playing it counts on. A step takes 2 bytes of the record, 4 from 256 arms on, and
    with rewards as many as a weight more. A principal without adaptation keeps no record. Memory of
    learners that were removed is for those that come after.

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
        self._arguments = Arguments(self._roster)
        self._lock = RLock()

    @classmethod
    def load(
        cls,
        path: str | Path = DEFAULT_PRINCIPAL,
        *,
        max_episodes: int = 8,
        max_steps: int = 1000,
    ) -> Self:
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
        with self._held():
            return self._roster.learner(int(self._arguments.slots([id])[0])).game

    def add(self, id: Hashable, **settings: Any) -> None:
        """Add a learner.

        Args:
            id: its name, a text or a number.
            **settings: those of `LiveSettings`.

        Raises:
            ValueError: if there is one of that name, or for wrong settings.
        """
        with self._held():
            self._arguments.new_name(id)
            try:
                given = LiveSettings(**settings)
                game = given.game(self.module)
                target = given.target_in(game)
            except ValueError as error:
                raise ValueError(f"learner {id!r:.60}: {error}") from None
            self._roster.enter(id, given, game, target)

    def remove(self, ids: Iterable[Hashable]) -> None:
        """Remove learners; what they kept is forgotten."""
        with self._held():
            for slot in self._arguments.slots(ids).tolist():
                self._roster.leave(slot)

    def intervene(self, ids: Iterable[Hashable]) -> tuple[np.ndarray, np.ndarray]:
        """Levels for the next step of N learners.

        Called again before `observe`, it returns the same.

        Returns:
            Levels, 0 for "do not intervene", and the numbers of the steps, int64 [N] each.

        Raises:
            ValueError: if all steps of a learner's episode were played.
        """
        with self._held():
            slots, numbers = self._arguments.slots(ids), self._roster.numbers
            self._arguments.refuse_played("intervene", slots)
            self._roster.choose(slots[numbers["level"][slots] < 0])
            return numbers["level"][slots], numbers["step"][slots]

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
        with self._held():
            slots, numbers = self._arguments.slots(ids), self._roster.numbers
            if episodes is not None:
                self._arguments.check_numbers("observe", "episode", slots, episodes)
            self._arguments.check_numbers("observe", "step", slots, steps)
            for slot in slots[numbers["level"][slots] < 0]:
                self._arguments.refuse(slot, "observe: call intervene first, it chooses the level")
            positions = self._arguments.positions(slots, arms)
            rewards = self._arguments.rewards(slots, agent_rewards)
            self._roster.add(slots, numbers["level"][slots], positions, rewards)

    def forecast(self, ids: Iterable[Hashable]) -> list[Tensor]:
        """Forecasts of the next arm of N learners at every level.

        Returns:
            For each, ``p(a_t | history, u)``, float [L, A], arms in the user's order.

        Raises:
            ValueError: without a world model, or if all steps of an episode were played.
        """
        with self._held():
            slots, numbers = self._arguments.slots(ids), self._roster.numbers
            self._arguments.refuse_played("forecast", slots)
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
        with self._held():
            slots, numbers = self._arguments.slots(ids), self._roster.numbers
            if steps is not None:
                self._arguments.check_numbers("end_episode", "step", slots, steps)
            for slot in slots[numbers["step"][slots] == 0]:
                self._arguments.refuse(
                    slot, "end_episode: no step of this episode has been observed"
                )
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
        with self._held():
            slots, numbers = self._arguments.slots(ids), self._roster.numbers
            for slot in slots[(numbers["step"][slots] > 0) | (numbers["level"][slots] >= 0)]:
                self._arguments.refuse(slot, "adapt: an episode is running, call end_episode first")
            played = []
            for slot in slots.tolist():
                learner, target = self._roster.learner(slot), int(numbers["target"][slot])
                if not learner.ended:
                    self._arguments.refuse(slot, "adapt: no episode has ended yet")
                samples = learner.settings.sampling_seed is not None
                played.append(Played(learner.game, target, samples, [*learner.ended]))
            found = adapted_to(self.module, played)
            for slot, (initial, fast) in zip(slots, found, strict=True):
                if not all(bool(each.isfinite().all()) for each in (initial, *fast.values())):
                    self._arguments.refuse(slot, "adapt: the adapted weights are not finite")
            for slot, (initial, fast) in zip(slots.tolist(), found, strict=True):
                fresh = self._roster.fresh(self._roster.learner(slot).game, [*fast])
                self._roster.put(slot, fresh._replace(initial=initial, fast=fast))
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
        with self._held():
            return self._format.describe(int(self._arguments.slots([id])[0]), parts or PARTS)

    def restore(self, id: Hashable, described: Mapping[str, Any]) -> None:
        """Add a learner that continues exactly where another was described, in any process.

        Its next numbers are the same to the bit if the batches are; otherwise to rounding.

        Args:
            id: its name.
            described: all parts of `describe`, from a fleet of the same principal, whose
                `max_steps` were as many or more.

        Raises:
            ValueError: if there is one of that name, or if the data do not fit.
        """
        with self._held():
            self._arguments.new_name(id)
            try:
                described_learner = self._format.read(described)
            except (
                *(AttributeError, IndexError, KeyError, OverflowError),
                *(RuntimeError, TypeError, ValueError),
            ) as error:
                raise ValueError(
                    f"learner {id!r:.60}: restore: it does not fit: {one_line(error)}"
                ) from None
            self._format.enter(id, described_learner)

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
        with self._held():
            slots, numbers = self._arguments.slots(ids), self._roster.numbers
            given = self._arguments.of_each("played", played, slots)
            steps = [
                self._arguments.steps(slot, each)
                for slot, each in zip(slots.tolist(), given, strict=True)
            ]
            for number in range(max(map(len, steps), default=0)):
                going = [place for place, each in enumerate(steps) if number < len(each)]
                chosen = slots[going]
                self._roster.choose(chosen[numbers["level"][chosen] < 0])
                arms, levels, rewards = zip(*(steps[place][number] for place in going), strict=True)
                self._roster.add(chosen, np.array(levels), np.array(arms), np.array(rewards))

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the fleet for one call, whose many small operations run on one thread."""
        with self._lock, torch.no_grad(), one_thread_for_torch(0):
            yield
