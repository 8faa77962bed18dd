"""Checkpoints of one universal principal, each of another training."""

from __future__ import annotations

from collections.abc import Sequence

from mermaide_pl.config.input_paths import checkpoint_path
from mermaide_pl.evaluation.loading import game_of, read_principals
from mermaide_pl.evaluation.methods import PRINCIPAL
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population
from mermaide_pl.runtime.checkpoints import (
    CHECKPOINT_KEY,
    plays_any_game,
    read_checkpoint,
)

TEST_POPULATIONS = (
    "train_ucb",
    "unseen_ucb",
    "unseen_rewards",
    "epsilon_greedy",
    "softmax",
    "thompson",
    "best_response",
)
"""Packaged populations of unseen agents; on ``exp3`` the oracle gains next to nothing."""


def check_universal(paths: Sequence[str]) -> None:
    """Refuse checkpoints of anything but a universal principal, each of another training.

    Args:
        paths: checkpoint files, or ``pretrained:NAME``.

    Raises:
        ValueError: one line that names the file and the problem.
    """
    check_different(paths)
    for path in paths:
        checkpoint = read_checkpoint(path)
        game = game_of(checkpoint, path)
        if not plays_any_game(checkpoint[CHECKPOINT_KEY]):
            raise ValueError(
                f"{path} plays one game alone ({game}): this figure needs a principal for every"
                " game, as conf/universal.yaml trains it"
            )


def check_different(paths: Sequence[str]) -> None:
    """Refuse checkpoints of which one is given twice.

    Raises:
        ValueError: one line that names it.
    """
    for number, path in enumerate(paths):
        if checkpoint_path(path) in map(checkpoint_path, paths[:number]):
            raise ValueError(f"--ckpt_path: {path} is given twice")


def read_trainings(
    paths: Sequence[str], game: Game
) -> tuple[dict[str, MermaideModule], Population]:
    """The principals by ``principal NUMBER`` of their trainings, and their training population.

    Args:
        paths: checkpoints, in the order of their numbers.
        game: the game they play.
    """
    named = {f"{PRINCIPAL} {number}": path for number, path in enumerate(paths)}
    return read_principals(named, "auto", game)
