"""Load trained principals with their game and training population."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mermaide_pl.config.serialization import rebuild
from mermaide_pl.config.validation import one_line
from mermaide_pl.engines import EngineName
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population
from mermaide_pl.runtime.checkpoints import (
    CHECKPOINT_KEY,
    check_same_shape,
    prices_differ,
    read_checkpoint,
)

_LOGGER = logging.getLogger(__name__)


def read_principals(
    paths: Mapping[str, str | Path], engine: EngineName
) -> tuple[dict[str, MermaideModule], Population]:
    """Load principals for the game of the last one, and the training population of the last one.

    Args:
        paths: name to checkpoint file, or to ``pretrained:NAME``.
        engine: computes the rollouts and forward passes.

    Raises:
        ValueError: one line that names the file and the problem.
    """
    checkpoints = {name: read_checkpoint(path) for name, path in paths.items()}

    def load(name: str, **other: Any) -> MermaideModule:
        module = MermaideModule.from_checkpoint(
            checkpoints[name], paths[name], engine=engine, **other
        )
        # agents are drawn in float32, whatever the precision of the training
        return module.float().eval()

    *earlier, last = paths
    modules, ours = {last: load(last)}, checkpoints[last][CHECKPOINT_KEY]
    for name in earlier:
        theirs = checkpoints[name].get(CHECKPOINT_KEY)
        if isinstance(theirs, dict) and "game" in theirs:
            check_same_shape({"game": theirs["game"]}, {"game": ours["game"]})
        modules[name] = load(name, game=modules[last].game)  # refuses settings without a game
        if difference := prices_differ(checkpoints[name][CHECKPOINT_KEY], ours):
            _LOGGER.warning("%s %s", paths[name], difference)
    modules = {name: modules[name] for name in paths}
    return modules, training_population(checkpoints[last], paths[last])


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
            f"population {name} has agents with {num_arms} arms, but this is a game of {game}"
        )
