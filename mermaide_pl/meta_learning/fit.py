"""One training run of an experiment: kept on disk, resumed if interrupted, never repeated."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger

from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.runtime.atomic_files import set_aside, write_whole
from mermaide_pl.runtime.checkpoints import CHECKPOINT_KEY, read_checkpoint, upgraded
from mermaide_pl.runtime.run_folders import LOCK, occupied
from mermaide_pl.runtime.run_settings import trainer_settings

_LOGGER = logging.getLogger(__name__)
_BEGUN, _DONE = "settings.json", "training.json"


def train(
    module: MermaideModule,
    data: TaskDataModule,
    *,
    folder: Path,
    num_epochs: int,
    seed: int,
    callbacks: Sequence[pl.Callback] = (),
    validates: bool = True,
) -> Path:
    """Train a principal on one processor, unless `train_once` finds a finished training.

    Args:
        module: as built after its random numbers were seeded.
        data: agents.
        folder: see `train_once`.
        num_epochs: of ``data.steps_per_epoch`` training steps.
        seed: of the run.
        callbacks: further ones; after a finished training they get the state of its end.
        validates: if True, the principal is validated, with curves for TensorBoard and a progress
            bar; else, for a training of seconds, nothing is logged and only the last checkpoint
            is kept.

    Returns:
        The checkpoint with the best ``val/return``, or the last one without validation.

    Raises:
        ValueError: one line, if another run is training there.
    """
    checkpoints = best_and_last(folder / "checkpoints")
    trainer = pl.Trainer(
        max_epochs=num_epochs,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=1.0,
        log_every_n_steps=min(10, data.steps_per_epoch),
        num_sanity_val_steps=0,
        limit_val_batches=None if validates else 0,
        enable_progress_bar=validates,
        enable_model_summary=False,
        logger=TensorBoardLogger(folder, name="", version="") if validates else False,
        callbacks=[
            *callbacks,
            *([RichProgressBar(leave=False), *checkpoints] if validates else checkpoints[1:]),
        ],
    )
    with nullcontext() if validates else hushed(logging.WARNING):
        train_once(trainer, module, data, folder=folder, seed=seed)
    best, last = _files(folder)
    return best if validates else last


def train_once(
    trainer: pl.Trainer,
    module: MermaideModule,
    data: TaskDataModule,
    *,
    folder: Path,
    seed: int,
    say: Callable[[str], object] = _LOGGER.warning,
) -> None:
    """Train in a folder, unless it holds a finished training with the same settings.

    A finished training with the same settings is not repeated, an interrupted one resumes after its
    last complete epoch, and one with other settings is set aside: its folder is renamed to
    ``NAME.1`` and so on.

    Args:
        trainer: with both callbacks of `best_and_last`, or the second alone.
        module: as built after its random numbers were seeded.
        data: agents.
        folder: has ``checkpoints``, ``settings.json``, and in the end ``training.json`` with the
            seed, the agent steps and the seconds it took.
        seed: of the run.
        say: called with a message if training in the folder is set aside or damaged.

    Raises:
        ValueError: one line, if another run is training there.
    """
    settings = {
        CHECKPOINT_KEY: module.spec,
        "init_from": module.init_from,
        "data": data.settings,
        "trainer": trainer_settings(trainer),
        "seed": seed,
    }
    best, last = _files(folder)
    if earlier := _set_aside_another(folder, settings):
        say(f"{folder}: a training with other settings was moved to {earlier}")
    with occupied(folder):
        if (folder / _DONE).is_file() and (best.is_file() or last.is_file()):
            _restore(trainer, last)
            return
        write_whole(folder / _BEGUN, json.dumps(settings))
        started = time.perf_counter()
        trainer.fit(module, data, ckpt_path=_sound(last, say))
        record = {
            "seed": seed,
            "agent_steps": agent_steps(module, data, trainer.current_epoch),
            "seconds": round(time.perf_counter() - started, 1),
        }
        write_whole(folder / _DONE, json.dumps(record) + "\n")


def _files(folder: Path) -> tuple[Path, Path]:
    """Paths of the best and the last checkpoint of a run, as `best_and_last` writes them."""
    return folder / "checkpoints" / "best.ckpt", folder / "checkpoints" / "last.ckpt"


def _set_aside_another(folder: Path, settings: Mapping[str, Any]) -> Path | None:
    """Rename the folder if it holds a training with other settings; its new path, or None."""
    with occupied(folder):
        is_there = any(file.is_file() for file in (folder / _DONE, *_files(folder)))
        if not is_there or _kept_settings(folder, settings) == settings:
            return None
        earlier = set_aside(folder)
        (earlier / LOCK).unlink(missing_ok=True)  # which was moved too
        return earlier


def _kept_settings(folder: Path, ours: Mapping[str, Any]) -> Any:
    """Settings of the training in a folder, as this version would write them."""
    try:
        text = (folder / _BEGUN).read_text(encoding="utf-8")
        kept = {name: upgraded(part) for name, part in json.loads(text).items()}
        if "trainer" in kept:
            return kept
        # of an earlier version, which trained as `train` does
        populations = {**kept["TaskDataModule"], "val_population": kept["val_population"]}
        return {
            CHECKPOINT_KEY: kept[CHECKPOINT_KEY],
            "init_from": None,
            "data": {**populations, **kept["data"]},
            "trainer": {**ours["trainer"], "max_epochs": kept["num_epochs"]},
            "seed": kept["seed"],
        }
    except (AttributeError, KeyError, OSError, TypeError, ValueError):  # damaged, or missing
        return None


def _sound(last: Path, say: Callable[[str], object]) -> Path | None:
    """The checkpoint to resume from, or None to start from the beginning."""
    try:
        read_checkpoint(last)
    except ValueError as error:
        if last.is_file():
            say(f"{error}; training starts from the beginning")
        return None
    return last


def _restore(trainer: pl.Trainer, last: Path) -> None:
    """Give the callbacks of a trainer the state that they had at the end of a training."""
    states = read_checkpoint(last)["callbacks"] if last.is_file() else {}
    for callback in vars(trainer)["callbacks"]:  # which has no type
        if callback.state_key in states and not isinstance(callback, ModelCheckpoint):
            callback.load_state_dict(states[callback.state_key])


@contextmanager
def hushed(level: int) -> Iterator[None]:
    """Restrict the package's log messages to this level and above."""
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
    """Callbacks that keep the best and the last checkpoint, ``best.ckpt`` and ``last.ckpt``."""
    return [
        ModelCheckpoint(folder, "best", monitor, mode=mode, enable_version_counter=False),
        # Lightning's `save_last` would only follow the best one
        ModelCheckpoint(folder, "last", enable_version_counter=False),
    ]


def agent_steps(module: MermaideModule, data: TaskDataModule, num_epochs: int) -> int:
    """Steps that agents play in a training, support and query."""
    tasks = num_epochs * data.steps_per_epoch * data.meta_batch_size
    return tasks * module.num_episodes * module.game.num_steps
