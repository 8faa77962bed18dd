"""State of a live principal, complete enough to resume exactly where it was saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mermaide_pl.config.validation import LARGEST_REWARD, check_number, whole_number
from mermaide_pl.deployment.logged_episode import Episode
from mermaide_pl.game import Game
from mermaide_pl.principals import HistoryState


@dataclass
class LiveState:
    """A live principal between two calls."""

    weights: dict[str, Tensor]  # in which episodes begin: meta weights, or adapted ones [1, ...]
    running: dict[str, Tensor]  # of the running episode: the same, or learned within it [1, ...]
    ended: list[Episode]  # since the principal was new
    steps: Episode  # of the running episode
    past: HistoryState  # the same, as the principal sees it, axes [1, 1]
    hidden: Tensor  # [1, 1, H]
    level: int | None  # chosen, outcome not yet observed

    def describe(self) -> dict[str, Any]:
        """The state as plain data and tensors."""
        return {
            "weights": self.weights,
            "running": self.running,
            "episodes": [vars(episode) for episode in self.ended],
            "steps": vars(self.steps),
            "past": _tallies(self.past),
            "hidden": self.hidden,
            "level": self.level,
        }

    def like_this(self, saved: Mapping[str, Any], game: Game) -> LiveState:
        """The state that was described, checked to fit this principal.

        Raises:
            ValueError: if it does not fit; for data that no `describe` made also IndexError,
                KeyError, OverflowError, RuntimeError or TypeError.
        """
        level, last = saved["level"], game.num_levels - 1
        steps = _episode(saved["steps"], game)
        spent = sum(played > 0 for played in steps.levels)  # earlier versions did not save it
        past = {"interventions": torch.full_like(self.past.interventions, spent), **saved["past"]}
        return LiveState(
            weights=_alike("weights", self.weights, saved["weights"]),
            running=_alike("weights", self.running, saved["running"]),
            ended=[_episode(episode, game) for episode in saved["episodes"]],
            steps=steps,
            past=HistoryState(game, **_alike("past", _tallies(self.past), past)),
            hidden=_alike("state", {"hidden": self.hidden}, saved)["hidden"],
            level=None if level is None else whole_number("level", level, low=0, high=last),
        )


def _tallies(past: HistoryState) -> dict[str, Any]:
    """What the principal observed, without the rules."""
    return {name: value for name, value in vars(past).items() if name != "game"}


def _episode(saved: Mapping[str, Any], game: Game) -> Episode:
    """The episode that was described.

    Raises:
        ValueError: if it is impossible in this game.
    """
    episode = Episode(**saved)
    rewards = episode.agent_rewards or []
    if not len(episode.arms) == len(episode.levels) == len(rewards) <= game.num_steps:
        raise ValueError(
            "arms, levels and agent_rewards of an episode must have one length, at most T"
        )
    for arm, level, reward in zip(episode.arms, episode.levels, rewards, strict=True):
        whole_number("arm", arm, low=0, high=game.num_arms - 1)
        whole_number("level", level, low=0, high=game.num_levels - 1)
        check_number("agent_reward", reward, low=-LARGEST_REWARD, high=LARGEST_REWARD)
    return episode


def _alike(what: str, own: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """The saved values of the same names.

    Raises:
        ValueError: if one differs from ours in type, shape or dtype, or is not finite.
    """
    for name, value in own.items():
        same = type(saved[name]) is type(value)
        if same and isinstance(value, Tensor):
            other = saved[name]
            # adapted weights have the axis of tasks in front
            same = other.shape in (value.shape, (1, *value.shape)) and other.dtype == value.dtype
            same = same and bool(other.isfinite().all())
        if not same:
            raise ValueError(
                f"{what}: {name} must be finite and as in this principal in type, shape and dtype"
            )
    return {name: saved[name] for name in own}
