"""The learners that a process holds in memory, brought up to date from the log."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mermaide_pl.deployment.fleet import LiveFleet
from mermaide_pl.deployment.fleet_state import checksum
from mermaide_pl.deployment.live_settings import LiveSettings
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.service.log import Log, Standing

MAX_EPISODES, MAX_STEPS = 8, 1000
"""What the principal adapts on at most, see `LiveFleet`."""
SNAPSHOT_STEPS = 256
"""Steps after which a learner's state is stored, so that few are computed again."""
_MOST_HELD = 20_000  # learners


@dataclass
class Held:
    """A learner in memory: its game, and how much of its log it has seen."""

    settings: LiveSettings
    game: Game  # the rules
    episode: int
    step: int
    adapted: int


class HeldFleet:
    """A fleet that follows the log; what it holds may be forgotten at any time.

    It computes in float64, where rounding, which depends on the batch, decides nothing.

    Args:
        module: the principal.
        most_held: learners in memory; beyond them, those not asked for are forgotten.
    """

    def __init__(self, module: MermaideModule, most_held: int = _MOST_HELD) -> None:
        self.module = module.double().eval()
        self.adapts = module.inner_loop.num_shots > 0
        self.fleet = LiveFleet(self.module, max_episodes=MAX_EPISODES, max_steps=MAX_STEPS)
        self.checksum = checksum(self.module.principal.weights())
        self._held: dict[str, Held] = {}  # the one asked for last is the last
        self._most_held = most_held

    def __getitem__(self, name: str) -> Held:
        return self._held[name]

    def add(self, name: str, settings: LiveSettings, game: Game) -> None:
        """Hold a new learner."""
        self.forget([name])
        self.fleet.add(name, **settings.plain())
        self._held[name] = Held(settings, game, 0, 0, 0)

    def follow(self, log: Log, standings: Sequence[Standing]) -> None:
        """Hold these learners, as the log has them."""
        behind = []
        for each in standings:
            held = self._held.pop(each.name, None)
            if held is not None and (held.episode, held.adapted) == (each.episode, each.adapted):
                self._held[each.name] = held
            else:
                self.fleet.remove({each.name} if each.name in self.fleet else ())
                self._held[each.name] = self._restored(log, each)
            if self._held[each.name].step < each.step:
                behind.append(each)
        self._replay(log, behind)
        excess = max(0, len(self._held) - max(self._most_held, len(standings)))
        self.forget([*itertools.islice(self._held, excess)])

    def forget(self, names: Iterable[str]) -> None:
        """Hold these learners no more."""
        names = [*names]
        for name in names:
            self._held.pop(name, None)
        self.fleet.remove([name for name in names if name in self.fleet])

    def _replay(self, log: Log, standings: Sequence[Standing]) -> None:
        names = [each.name for each in standings]
        missing = [
            log.steps(each.key, each.episode, self._held[each.name].step) for each in standings
        ]
        played = [
            [(self._label(name, arm), level, reward) for arm, level, reward in steps]
            for name, steps in zip(names, missing, strict=True)
        ]
        self.fleet.replay(names, played)
        for each in standings:
            self._held[each.name].step = each.step

    def _label(self, name: str, arm: int) -> str | int:
        arms = self._held[name].settings.arms
        return arm if arms is None else arms[arm]

    def _restored(self, log: Log, standing: Standing) -> Held:
        """A learner at the last snapshot of its episode, or at the beginning."""
        key, episode = standing.key, standing.episode
        settings = LiveSettings(**standing.settings)
        game = settings.game(self.module)
        adaptation, snapshot = log.adaptation(key), log.snapshot(key, episode)
        assert adaptation is not None
        now = snapshot.now if snapshot else {**adaptation.now, "episode": episode}
        sees_rewards = game.observation.sees_agent_rewards

        def record(number: int, num_steps: int) -> dict[str, Any]:
            most = min(num_steps, MAX_STEPS) if self.adapts else 0
            steps = log.steps(key, number, limit=most)
            arms, levels, rewards = ([step[part] for step in steps] for part in range(3))
            return {
                "arms": arms,
                "levels": levels,
                "agent_rewards": rewards if sees_rewards else None,
            }

        first = max(0, episode - MAX_EPISODES) if self.adapts else episode
        described = {
            "settings": {**standing.settings, "principal": self.checksum},
            "adapted": adaptation.adapted,
            "ended": [record(number, MAX_STEPS) for number in range(first, episode)],
            "running": record(episode, now["step"]),
            "now": now,
        }
        self.fleet.restore(standing.name, described)
        return Held(settings, game, episode, now["step"], standing.adapted)
