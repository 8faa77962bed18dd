"""Options by which a command takes the game: ``--game.num_arms 4 --game.cost 0.2``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mermaide_pl.cli.parser import PlainParser

if TYPE_CHECKING:
    from mermaide_pl.game import Game

_OPTIONS: dict[str, dict[str, Any]] = {
    "num_arms": {"type": int | None, "help": "arms of the agent"},
    "num_steps": {"type": int | None, "help": "steps of an episode"},
    "bonuses": {
        "type": float,
        "nargs": "+",
        "help": "bonus of each level on the target arm, the first 0, in rising order unless"
        " the other arms are paid too",
    },
    "cost": {
        "type": float | None,
        "help": "price of one unit of bonus, paid whether or not the target is pulled",
    },
    "max_interventions": {"type": int | None, "help": "most steps of an episode with a bonus"},
    "endless": {
        "type": bool | None,
        "help": "true: the principal is not told when an episode ends",
    },
    "other_bonuses": {
        "type": float,
        "nargs": "+",
        "help": "bonus of each level on the other arms, the first 0",
    },
    **{
        f"{name}_budget": {
            "type": int,
            "nargs": 2,
            "metavar": ("AT_LEAST", "AT_MOST"),
            "help": f"steps of an episode with a bonus on the {arms}",
        }
        for name, arms in (("target", "target arm"), ("other", "other arms"))
    },
    "observation": {
        "choices": ("partial", "full"),
        "help": "the principal sees the arms pulled (partial), or the agent's rewards too (full)",
    },
}


def add_game_options(parser: PlainParser) -> None:
    """Add an option for each number of a game; what is not given is as the principal has it."""
    for name, options in _OPTIONS.items():
        parser.add_argument(f"--game.{name}", default=None, **options)


def chosen_game(given: Any, otherwise: Game) -> Game:
    """The game of the options, and of `otherwise` where an option is not given.

    Args:
        given: the parsed arguments.
        otherwise: the game of the principal or configuration.

    Raises:
        ValueError: one line that says what is wrong with a number.
    """
    from mermaide_pl.game import Budget, FullInformation, PartialInformation

    chosen = {name: value for name, value in vars(given.game).items() if value is not None}
    if "observation" in chosen:
        sees_all = chosen["observation"] == "full"
        chosen["observation"] = FullInformation() if sees_all else PartialInformation()
    for name in {"bonuses", "other_bonuses"} & chosen.keys():
        chosen[name] = tuple(chosen[name])
    for name in {"target_budget", "other_budget"} & chosen.keys():
        chosen[name] = Budget(*chosen[name])
    return replace(otherwise, **chosen)
