"""Load trained principals with their game and training population."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mermaide_pl.config.serialization import describe, rebuild
from mermaide_pl.config.validation import one_line
from mermaide_pl.engines import EngineName
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population
from mermaide_pl.runtime.checkpoints import (
    CHECKPOINT_KEY,
    check_same_shape,
    plays_any_game,
    prices_differ,
    read_checkpoint,
)

_LOGGER = logging.getLogger(__name__)


def read_principals(
    paths: Mapping[str, str | Path], engine: EngineName, game: Game | None = None
) -> tuple[dict[str, MermaideModule], Population]:
    """Load principals for one game, and the training population of the last one.

    Args:
        paths: name to checkpoint file, or to ``pretrained:NAME``.
        engine: computes the rollouts and forward passes.
        game: the game; by default that of the last principal.

    Raises:
        ValueError: one line that names the file and the problem.
    """
    checkpoints = {name: read_checkpoint(path) for name, path in paths.items()}
    last = [*paths][-1]
    if game is None:
        game = game_of(checkpoints[last], paths[last])
    modules = {
        name: principal_in(checkpoint, paths[name], game, engine)
        for name, checkpoint in checkpoints.items()
    }
    return modules, training_population(checkpoints[last], paths[last])


def principal_in(
    checkpoint: dict[str, Any], path: str | Path, game: Game, engine: EngineName = "auto"
) -> MermaideModule:
    """The principal of a checkpoint, ready to play a game.

    Args:
        checkpoint: as `read_checkpoint` has read it.
        path: of the file, for messages.
        game: of the sizes of its training, unless the principal is a universal one.
        engine: computes the rollouts and forward passes.

    Raises:
        ValueError: one line that says what is wrong with the file, or which size differs.
    """
    game_of(checkpoint, path)  # refuses settings without a game
    theirs, ours = checkpoint[CHECKPOINT_KEY], {"game": describe(game)}
    if not plays_any_game(theirs):
        try:
            check_same_shape({"game": theirs["game"]}, ours)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        if difference := prices_differ(theirs, ours):
            _LOGGER.warning("%s %s", path, difference)
    elif game.is_allocation:
        raise ValueError(
            f"{path}: a universal principal plays games that pay the target alone, without a"
            f" budget that must be spent, not {game}: leave --game.other_bonuses,"
            " --game.target_budget and --game.other_budget out"
        )
    module = MermaideModule.from_checkpoint(checkpoint, path, engine=engine, game=game)
    # agents are drawn in float32, whatever the precision of the training
    return module.float().eval()


def game_of(checkpoint: Mapping[str, Any], path: str | Path) -> Game:
    """The game by which the principal of a checkpoint was trained.

    Raises:
        ValueError: one line, if the checkpoint does not name it.
    """
    try:
        game = rebuild(checkpoint[CHECKPOINT_KEY]["game"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not a checkpoint of this version: {one_line(error)}") from None
    if not isinstance(game, Game):
        raise ValueError(f"{path} is not a checkpoint of this version: it names no game")
    return game


def data_settings(checkpoint: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings of the data module in a checkpoint, by its class, perhaps a subclass of ours."""
    return {
        name: part
        for name, part in checkpoint.items()
        if isinstance(part, dict) and "train_population" in part
    }


def training_population(checkpoint: Mapping[str, Any], path: str | Path) -> Population:
    """The training population of a checkpoint that `read_checkpoint` has read from `path`.

    Raises:
        ValueError: one line, if the checkpoint does not name it.
    """
    try:
        named = [part["train_population"] for part in data_settings(checkpoint).values()]
        population = rebuild(named[0]) if named else None
    except (AttributeError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}, its training population: {one_line(error)}") from None
    if not isinstance(population, Population):
        raise ValueError(f"{path} does not name its training population")
    return population


def check_arms(name: str, population: Population, game: Game) -> None:
    """Refuse agents with another number of arms than the game has.

    Raises:
        ValueError: naming the population.
    """
    num_arms = population.arms_in(game)
    if num_arms != game.num_arms:
        raise ValueError(
            f"population {name} has agents with {num_arms} arms, but this is a game of {game}; a"
            f" universal principal plays them with --game.num_arms {num_arms}"
        )
