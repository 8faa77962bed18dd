"""Settings of a live principal: labels of the arms, the game, and how levels are chosen."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from typing import Any

from mermaide_pl.config.validation import (
    LARGEST_REWARD,
    MAX_COUNT,
    check_number,
    finite_numbers,
    flag,
    whole_number,
)
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.meta_learning.module import MermaideModule

_ENDLESS_STEPS = MAX_COUNT  # as many as a game may have


@dataclass(frozen=True)
class LiveSettings:
    """Settings of a live principal; what is not given is as in the training of the principal.

    A universal principal plays any game, told by `arms`, `num_steps`, `bonuses`, `cost` and
    `full_information`. Any other plays the game that it was trained for, and refuses other numbers.

    Args:
        arms: labels of the agent's arms, texts or integers, no two the same; None for 0 to A - 1.
        target: label of the arm that the principal prefers, in place of `target_arm`.
        target_arm: position of that arm among all, 0 to A - 1.
        num_steps: T. None for as many as the principal was trained for; a universal principal then
            plays without a fixed end, and an episode lasts until `LivePrincipal.end_episode`.
        bonuses: bonus of each level, reward units, the first 0, in rising order.
        cost: what the principal pays for one unit of bonus.
        full_information: True if the agent's rewards are observed.
        max_interventions: most interventions (levels above 0) of an episode, in place of the
            game's; None for those of the game. When they are used up, every further level is 0.
        sampling_seed: levels are sampled from the policy, as in training, with random numbers that
            depend on this seed, the episode and the step alone; None plays the most probable level,
            as the principal is scored.
    """

    arms: Sequence[str | int] | None = None
    target: str | int | None = None
    target_arm: int = 0
    num_steps: int | None = None
    bonuses: Sequence[float] | None = None
    cost: float | None = None
    full_information: bool | None = None
    max_interventions: int | None = None
    sampling_seed: int | None = None

    def __post_init__(self) -> None:
        for name in _CONVERTED:
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, _CONVERTED[name](name, given))

    def __str__(self) -> str:
        """The settings that were given, for people."""
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)

    def plain(self) -> dict[str, Any]:
        """The settings as plain data."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def game(self, module: MermaideModule) -> Game:
        """The game that the principal of `module` is to play.

        Raises:
            ValueError: if it cannot play that game.
        """
        trained = module.game
        numbers = {name: getattr(self, name) for name in ("num_steps", "bonuses", "cost")}
        given: dict[str, Any] = {
            name: number for name, number in numbers.items() if number is not None
        }
        if self.arms is not None:
            given["num_arms"] = len(self.arms)
        if self.full_information not in (None, trained.observation.sees_agent_rewards):
            given["observation"] = (
                FullInformation() if self.full_information else PartialInformation()
            )
        plays_any_game = module.principal.plays_any_game
        if plays_any_game:
            given["endless"] = self.num_steps is None
            given.setdefault("num_steps", _ENDLESS_STEPS)
        game = replace(trained, **given)
        if game != trained and not plays_any_game:
            raise ValueError(
                f"this principal is for games of {trained}, not of {game}; a universal principal"
                " plays any"
            )
        if self.max_interventions is not None:
            game = replace(game, max_interventions=self.max_interventions)
        return game

    def target_in(self, game: Game) -> int:
        """Position of the target among the arms.

        Raises:
            ValueError: if there is no such arm.
        """
        if self.target is not None:
            return self.position("target", self.target, game)
        try:
            return whole_number("target_arm", self.target_arm, low=0, high=game.num_arms - 1)
        except ValueError as error:
            raise ValueError(f"{error}: this principal is for games of {game}") from None

    def position(self, name: str, label: Any, game: Game) -> int:
        """Position of an arm among all.

        Args:
            name: of the argument, for messages.
            label: of the arm.
            game: gives A.

        Raises:
            ValueError: if no arm has this label.
        """
        if self.arms is None:
            return whole_number(name, label, low=0, high=game.num_arms - 1)
        plain = _label(label)
        if plain is None or plain not in self._positions:
            allowed = ", ".join(map(str, self.arms))
            raise ValueError(f"{name} must be one of {allowed:.200}, got {label!r:.60}")
        return self._positions[plain]

    @cached_property
    def _positions(self) -> dict[str | int, int]:
        return {label: place for place, label in enumerate(self.arms or ())}


def _label(given: Any) -> str | int | None:
    """A label as plain data; None if it is neither a text nor an integer."""
    if isinstance(given, str):
        return str(given)
    try:
        return None if isinstance(given, bool) else operator.index(given)
    except TypeError:
        return None


def _labels(name: str, given: Any) -> tuple[str | int, ...]:
    try:
        found = [] if isinstance(given, str) else [_label(each) for each in given]
    except TypeError:
        found = []
    labels = [label for label in found if label is not None]
    if len(labels) < len(found) or len({*labels}) < max(2, len(labels)):
        raise ValueError(
            f"{name} must be two or more different texts or integers, got {given!r:.60}"
        )
    return tuple(labels)


def _price(name: str, given: Any) -> float:
    check_number(name, given, low=0.0, high=LARGEST_REWARD)
    return float(given)


def _arm(name: str, given: Any) -> Any:
    """An arm as plain data; what cannot be one is refused when the game is known."""
    label = _label(given)
    return given if label is None else label


_CONVERTED: dict[str, Callable[[str, Any], Any]] = {
    "arms": _labels,
    "target": _arm,
    "target_arm": _arm,
    "num_steps": partial(whole_number, low=1, high=MAX_COUNT),
    "bonuses": finite_numbers,
    "cost": _price,
    "full_information": flag,
    "max_interventions": partial(whole_number, low=0),
    "sampling_seed": partial(whole_number, low=0, high=2**64 - 1),
}
"""How settings become plain data, which is saved; NumPy's and PyTorch's numbers are taken too."""


def observed_reward(agent_reward: float | None, game: Game) -> float:
    """The agent's reward of a step as the principal of a game observes it, reward units.

    Args:
        agent_reward: None where the principal sees arms only; the reward is then 0.
        game: the rules.

    Raises:
        ValueError: if it is missing, superfluous or no reward.
    """
    if not game.observation.sees_agent_rewards:
        if agent_reward is not None:
            raise ValueError(
                "observe: this principal has partial information, it sees arms only:"
                " leave agent_reward out"
            )
        return 0.0
    if agent_reward is None:
        raise ValueError("observe: this principal has full information, give agent_reward too")
    try:
        reward = float(agent_reward)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"observe: agent_reward must be a number, got {agent_reward!r}") from None
    check_number("observe: agent_reward", reward, low=-LARGEST_REWARD, high=LARGEST_REWARD)
    return reward
