"""One training run of an experiment: kept, resumed where it stopped, never repeated."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger

from mermaide_pl.config.serialization import describe
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.checkpoints import upgraded
from mermaide_pl.runtime.run_folders import LOCK, occupied

_LOGGER = logging.getLogger(__name__)
_BEGUN, _DONE = "settings.json", "training.json"


def train(
    module: MermaideModule, data: TaskDataModule, *, folder: Path, num_epochs: int, seed: int
) -> Path:
    """Train a principal and keep the checkpoint with the best `val/return`.

    A training that was finished in `folder` is not repeated, one that was interrupted goes on after
    its last whole epoch; one of other settings is deleted.

    Args:
        module: as built after `pytorch_lightning.seed_everything`.
        data: agents.
        folder: gets ``checkpoints/best.ckpt`` and ``last.ckpt``, curves for TensorBoard,
            ``settings.json``, and in the end ``training.json`` with the seed, the agent steps and
            the seconds it took.
        num_epochs: of ``data.steps_per_epoch`` training steps.
        seed: of the run, recorded.

    Returns:
        Path of the best checkpoint.

    Raises:
        ValueError: one line, if another run is training there.
    """
    with occupied(folder):
        return _train(module, data, folder, num_epochs, seed)


def _train(
    module: MermaideModule, data: TaskDataModule, folder: Path, num_epochs: int, seed: int
) -> Path:
    checkpoints = folder / "checkpoints"
    best, last = checkpoints / "best.ckpt", checkpoints / "last.ckpt"
    begun, settings = folder / _BEGUN, _settings(module, data, num_epochs, seed)
    is_there = last.is_file() or (folder / _DONE).is_file()
    if is_there and not (begun.is_file() and _kept_settings(begun) == settings):
        _LOGGER.warning("%s: a training of other settings is deleted", folder)
        _empty(folder)
    if (folder / _DONE).is_file() and best.is_file():
        return best
    write_whole(begun, json.dumps(settings))
    started = time.perf_counter()
    trainer = pl.Trainer(
        max_epochs=num_epochs,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=1.0,
        log_every_n_steps=min(10, data.steps_per_epoch),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        logger=TensorBoardLogger(folder, name="", version=""),
        callbacks=[
            RichProgressBar(leave=False),
            *best_and_last(checkpoints),
        ],
    )
    trainer.fit(module, data, ckpt_path=last if last.is_file() else None)
    record = {
        "seed": seed,
        "agent_steps": agent_steps(module, data, num_epochs),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_whole(folder / _DONE, json.dumps(record) + "\n")
    return best


def _empty(folder: Path) -> None:
    """Delete what is in a folder, but not the lock on it."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


@contextmanager
def hushed(level: int) -> Iterator[None]:
    """Of what the package says, let only what is of this level or above be said."""
    speaker = logging.getLogger("mermaide_pl")
    before = speaker.level
    speaker.setLevel(level)
    try:
        yield
    finally:
        speaker.setLevel(before)


def best_and_last(
    folder: Path, *, monitor: str = "val/return", mode: Literal["max", "min"] = "max"
) -> list[ModelCheckpoint]:
    """What keeps the best checkpoint in ``best.ckpt`` of a folder, and that of the last epoch."""
    return [
        ModelCheckpoint(folder, "best", monitor, mode=mode, enable_version_counter=False),
        # Lightning's `save_last` would only follow the best one
        ModelCheckpoint(folder, "last", enable_version_counter=False),
    ]


def agent_steps(module: MermaideModule, data: TaskDataModule, num_epochs: int) -> int:
    """Steps that agents play in a training, support and query."""
    tasks = num_epochs * data.steps_per_epoch * data.meta_batch_size
    return tasks * module.num_episodes * module.game.num_steps


def is_made_by(checkpoint: dict[str, Any], module: MermaideModule, data: TaskDataModule) -> bool:
    """Whether a checkpoint is of this game, principal, objective and training population."""
    settings = _made_by(module, data)
    return settings == {name: checkpoint.get(name) for name in settings}


def _made_by(module: MermaideModule, data: TaskDataModule) -> dict[str, Any]:
    settings: dict[str, Any] = {type(data).__name__: data.state_dict()}
    module.on_save_checkpoint(settings)
    return settings


def _kept_settings(path: Path) -> Any:
    try:
        return {
            name: upgraded(part)
            for name, part in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (AttributeError, ValueError):  # damaged
        return None


def _settings(
    module: MermaideModule, data: TaskDataModule, num_epochs: int, seed: int
) -> dict[str, Any]:
    """All that a training depends on."""
    sizes = ("meta_batch_size", "steps_per_epoch", "num_val_tasks", "seed")
    return {
        **_made_by(module, data),
        "val_population": describe(data.val_population),
        "data": {name: getattr(data, name) for name in sizes},
        "num_epochs": num_epochs,
        "seed": seed,
    }
