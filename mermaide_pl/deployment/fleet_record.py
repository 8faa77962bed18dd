"""What a fleet records of an episode, to adapt on, and the same as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mermaide_pl.config.validation import LARGEST_REWARD, check_number, whole_number
from mermaide_pl.game import Game


class Record(NamedTuple):
    """What was observed of an episode, or of its first steps."""

    arms: np.ndarray  # [t] whole numbers, arm pulled, agent labels
    levels: np.ndarray  # [t] whole numbers, intervention level
    agent_rewards: np.ndarray | None  # [t] float, reward units; None where they are hidden

    def until(self, step: int) -> Record:
        """The steps before `step`."""
        rewards = self.agent_rewards
        return Record(
            self.arms[:step], self.levels[:step], None if rewards is None else rewards[:step]
        )


def index_type(game: Game) -> np.dtype[Any]:
    """The smallest type that holds arms and levels."""
    return np.min_scalar_type(max(game.num_arms, game.num_levels))


def describe_record(record: Record) -> dict[str, Any]:
    """A record as plain data."""
    return {
        name: None if values is None else values.tolist()
        for name, values in record._asdict().items()
    }


def read_record(described: Mapping[str, Any], game: Game) -> Record:
    """The record that was described.

    Raises:
        ValueError: if it is impossible in this game.
    """
    arms, levels, rewards = (described[name] for name in Record._fields)
    sees_rewards = game.observation.sees_agent_rewards
    if (
        not len(arms) == len(levels) <= game.num_steps
        or (rewards is not None) != sees_rewards
        or len(arms) != len(arms if rewards is None else rewards)
    ):
        raise ValueError(
            f"arms and levels of an episode must have one length, at most {game.num_steps}, and"
            f" agent_rewards {'that length too' if sees_rewards else 'must be None'}"
        )
    for name, values, number in (
        ("arm", arms, game.num_arms),
        ("level", levels, game.num_levels),
    ):
        for value in values:
            whole_number(name, value, low=0, high=number - 1)
    for reward in rewards or []:
        check_number("agent_reward", reward, low=-LARGEST_REWARD, high=LARGEST_REWARD)
    return Record(
        np.array(arms, index_type(game)),
        np.array(levels, index_type(game)),
        None if rewards is None else np.array(rewards),
    )
