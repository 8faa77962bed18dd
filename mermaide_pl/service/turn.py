"""A transaction: requests about learners, decided by a fleet, and what they change."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from mermaide_pl.deployment.live_settings import LiveSettings, observed_reward
from mermaide_pl.service.held_fleet import SNAPSHOT_STEPS, HeldFleet
from mermaide_pl.service.log import Log, Standing
from mermaide_pl.service.requests import (
    Adapt,
    Create,
    EndEpisode,
    Forecast,
    Intervene,
    Observe,
    Pause,
    RefusedError,
    Request,
    no_learner,
)
from mermaide_pl.service.summary import described_game, summary

Answer = dict[str, Any] | RefusedError
"""Plain data, or why there is none."""


class _Asked(NamedTuple):
    place: int
    request: Any
    standing: Standing


class Turn:
    """The requests of a transaction.

    Args:
        held: the fleet in memory.
        log: of the transaction.
        standings: the learners that there are, by name, locked.
    """

    def __init__(self, held: HeldFleet, log: Log, standings: dict[str, Standing]) -> None:
        self._held, self._log, self._standings = held, log, standings
        self._answers: dict[int, Answer] = {}
        self.events: list[dict[str, Any]] = []
        self._changed: dict[str, Standing] = {}

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer all, and keep what is to be written."""
        asked: dict[type[Request], list[_Asked]] = defaultdict(list)
        for place, request in enumerate(requests):
            standing = self._standings.get(request.name)
            if isinstance(request, Create):
                self._each(place, partial(self._create, request, standing))
            elif standing is None:
                self._answers[place] = no_learner(request.name)
            elif isinstance(request, Pause):
                standing.paused = request.paused
                self._changed[standing.name] = standing
                self._answers[place] = {"name": standing.name, "paused": standing.paused}
            elif standing.principal != self._held.checksum:
                self._answers[place] = _other_principal(request.name)
            else:
                asked[type(request)].append(_Asked(place, request, standing))
        self._held.follow(self._log, [each.standing for group in asked.values() for each in group])
        handlers: dict[type[Request], Callable[[list[_Asked]], None]] = {
            Intervene: self._intervene,
            Observe: self._observe,
            EndEpisode: self._end_episode,
            Adapt: self._adapt,
            Forecast: self._forecast,
        }
        for kind, group in asked.items():
            handlers[kind](group)
        return [self._answers[place] for place in range(len(requests))]

    def write(self) -> None:
        """Write to the log what has changed."""
        self._log.add(self.events)
        self._log.update([*self._changed.values()])

    def _each(self, place: int, answer: Callable[[], dict[str, Any] | None]) -> bool:
        """Note an answer, or why there is none; False for neither."""
        try:
            found = answer()
        except RefusedError as refused:
            self._answers[place] = refused
            return True
        if found is not None:
            self._answers[place] = found
        return found is not None

    def _pending(
        self, asked: list[_Asked], answer: Callable[[Any, Standing], dict[str, Any] | None]
    ) -> tuple[list[_Asked], list[str]]:
        """The requests that are not answered by what has been recorded, and their learners."""
        pending = [
            each
            for each in asked
            if not self._each(each.place, partial(answer, each.request, each.standing))
        ]
        return pending, [each.request.name for each in pending]

    def _create(self, request: Create, standing: Standing | None) -> dict[str, Any]:
        held = self._held
        try:
            settings = LiveSettings(**request.settings)
            game = settings.game(held.module)
            target = settings.target_in(game)
        except ValueError as error:
            raise RefusedError(422, str(error)) from None
        plain = json.loads(json.dumps(settings.plain()))
        if standing is None:
            held.add(request.name, settings, game)
            self._log.create(
                {
                    **{"name": request.name, "principal": held.checksum, "target": target},
                    **{"settings": plain, "game": described_game(settings, game)},
                },
                held.fleet.describe(request.name, "now")["now"],
            )
            standing = self._log.standings([request.name])[request.name]
            return {"new": True, **summary(standing)}
        if standing.principal != held.checksum:
            raise _other_principal(request.name)
        if plain != standing.settings:
            known = standing.settings
            differ = ", ".join(
                f"{name} {known.get(name)!r:.60}, not {plain.get(name)!r:.60}"
                for name in {**known, **plain}
                if known.get(name) != plain.get(name)
            )
            raise RefusedError(409, f"there is a learner {request.name!r:.60} with {differ}")
        return {"new": False, **summary(standing)}

    def _intervene(self, asked: list[_Asked]) -> None:
        def recorded(request: Intervene, at: Standing) -> dict[str, Any] | None:
            level = at.level
            if not _is_next(request, at):
                level = self._event(request, at).level
            elif level is None:
                _refuse_played(at)
                if not at.paused:
                    return None
                level = at.level = 0
                self._changed[at.name] = at
            return self._decision(request, at, level)

        pending, names = self._pending(asked, recorded)
        levels, _ = self._held.fleet.intervene(names)
        for each, level in zip(pending, levels.tolist(), strict=True):
            each.standing.level = level
            self._changed[each.standing.name] = each.standing
            self._answers[each.place] = self._decision(each.request, each.standing, level)

    def _decision(self, request: Any, at: Standing, level: Any) -> dict[str, Any]:
        episode = at.episode if request.episode is None else request.episode
        bonus = at.game["bonuses"][level]
        return {"episode": episode, "step": request.step, "level": level, "bonus": bonus}

    def _observe(self, asked: list[_Asked]) -> None:
        found: dict[str, tuple[int, float | None]] = {}

        def recorded(request: Observe, at: Standing) -> dict[str, Any] | None:
            held = self._held[at.name]
            try:
                arm = held.settings.position("arm", request.arm, held.game)
                reward = observed_reward(request.agent_reward, held.game)
            except ValueError as error:
                raise RefusedError(422, str(error)) from None
            outcome = arm, reward if held.game.observation.sees_agent_rewards else None
            if not _is_next(request, at):
                event = self._event(request, at)
                if event.arm is None:
                    raise _unexpected(at, f"episode {event.episode} ended before step {event.step}")
                if (event.arm, event.agent_reward) != outcome:
                    known = at.game["arms"][event.arm]
                    raise _unexpected(at, f"step {event.step} was observed, of arm {known!r:.60}")
                return self._outcome(request, at, event.level)
            if at.level is None:
                raise _unexpected(at, f"step {at.step} has no level yet, ask for it (intervene)")
            found[at.name] = outcome
            return None

        pending, names = self._pending(asked, recorded)
        played: list[list[tuple[Any, Any, float | None]]] = [
            [(each.request.arm, each.standing.level, found[each.standing.name][1])]
            for each in pending
        ]
        self._held.fleet.replay(names, played)
        for each in pending:
            at, (arm, reward) = each.standing, found[each.standing.name]
            self._changed[at.name] = at
            self._answers[each.place] = self._outcome(each.request, at, at.level)
            self._note(at, arm, reward)
            at.spent += bool(at.level)
            at.interventions += bool(at.level)
            at.steps += 1
            at.aligned += arm == at.target
            at.step, at.level = at.step + 1, None
            self._held[at.name].step = at.step
            if at.step % SNAPSHOT_STEPS == 0:
                self._log.take_snapshot(at.key, self._held.fleet.describe(at.name, "now")["now"])

    def _outcome(self, request: Observe, at: Standing, level: Any) -> dict[str, Any]:
        decision = self._decision(request, at, level)
        return {**decision, "arm": request.arm, "agent_reward": request.agent_reward}

    def _note(self, at: Standing, arm: int | None, reward: float | None) -> None:
        self.events.append(
            {
                **{"learner": at.key, "episode": at.episode, "step": at.step},
                **{"level": at.level, "arm": arm, "agent_reward": reward},
            }
        )

    def _end_episode(self, asked: list[_Asked]) -> None:
        def recorded(request: EndEpisode, at: Standing) -> dict[str, Any] | None:
            if request.episode > at.episode:
                raise _unexpected(at, f"episode {request.episode} has not begun")
            if request.episode == at.episode and at.step == 0:
                raise _unexpected(at, f"no step of episode {at.episode} has been observed")
            return None if request.episode == at.episode else {"episode": request.episode + 1}

        pending, names = self._pending(asked, recorded)
        self._held.fleet.end_episode(names)
        for each in pending:
            at = each.standing
            self._changed[at.name] = at
            if at.level is not None:
                self._note(at, None, None)
            at.episode, at.step, at.level, at.spent = at.episode + 1, 0, None, 0
            held = self._held[at.name]
            held.episode, held.step = at.episode, 0
            self._answers[each.place] = {"episode": at.episode}

    def _adapt(self, asked: list[_Asked]) -> None:
        def recorded(request: Adapt, at: Standing) -> dict[str, Any] | None:
            known = self._log.adaptation(at.key, request.episode)
            if known is not None and known.num_episodes:
                return {"episode": known.episode, "num_episodes": known.num_episodes}
            if not self._held.adapts:
                raise RefusedError(409, "this principal was trained without adaptation")
            if request.episode != at.episode:
                raise _unexpected(at, f"it was not adapted to before episode {request.episode}")
            if at.step or at.level is not None:
                raise _unexpected(at, f"episode {at.episode} is running, end it first")
            if at.episode == 0:
                raise _unexpected(at, "no episode has ended yet")
            return None

        pending, names = self._pending(asked, recorded)
        counts = self._held.fleet.adapt(names) if names else []
        for each, count in zip(pending, counts, strict=True):
            at = each.standing
            self._changed[at.name] = at
            parts = self._held.fleet.describe(at.name, "adapted", "now")
            self._log.adapt(at.key, at.episode, count, parts["adapted"], parts["now"])
            at.adapted = self._held[at.name].adapted = at.episode
            self._answers[each.place] = {"episode": at.episode, "num_episodes": count}

    def _forecast(self, asked: list[_Asked]) -> None:
        def recorded(_: Forecast, at: Standing) -> None:
            _refuse_played(at)

        pending, names = self._pending(asked, recorded)
        for each, chances in zip(pending, self._held.fleet.forecast(names), strict=True):
            at = each.standing
            self._answers[each.place] = {
                **{"episode": at.episode, "step": at.step, "arms": at.game["arms"]},
                "chances": chances.tolist(),
            }

    def _event(self, request: Any, at: Standing) -> Any:
        """The event of an earlier step."""
        episode = at.episode if request.episode is None else request.episode
        event = self._log.event(at.key, episode, request.step)
        if event is None:
            raise _unexpected(at, f"got step {request.step} of episode {episode}")
        return event


def _is_next(request: Any, at: Standing) -> bool:
    return request.step == at.step and request.episode in (None, at.episode)


def _refuse_played(at: Standing) -> None:
    if at.step == at.game["num_steps"]:
        raise _unexpected(at, f"all {at.step} steps of episode {at.episode} were played, end it")


def _other_principal(name: str) -> RefusedError:
    return RefusedError(409, f"learner {name!r:.60} is steered by another principal")


def _unexpected(at: Standing, reason: str) -> RefusedError:
    where = f"learner {at.name!r:.60}: {reason}; expected is step {at.step} of episode {at.episode}"
    return RefusedError(409, where, {"episode": at.episode, "step": at.step})
