"""A training run of seconds, many of which make an experiment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from mermaide_pl.checkpoints import read_checkpoint
from mermaide_pl.datamodule import TaskDataModule
from mermaide_pl.module import MermaideModule


def train_briefly(
    module: MermaideModule,
    data: TaskDataModule,
    *,
    path: Path,
    callbacks: Sequence[pl.Callback] = (),
) -> MermaideModule:
    """Train for one epoch in silence, without validation, and keep the last weights.

    A training that has its checkpoint is not repeated, unless that is of another game, principal,
    objective or population.

    Args:
        module: as built after `torch.manual_seed`.
        data: agents, and the number of training steps.
        path: of the checkpoint.
        callbacks: with whatever state they keep in the checkpoint.

    Returns:
        The trained principal.
    """
    checkpoint = read_checkpoint(path) if path.is_file() else {}
    settings = _settings(module, data)
    if checkpoint and settings == {name: checkpoint.get(name) for name in settings}:
        for callback in callbacks:
            callback.load_state_dict(checkpoint["callbacks"][callback.state_key])
        return MermaideModule.from_checkpoint(checkpoint, path)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=1.0,
        limit_val_batches=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=list(callbacks),
    )
    speaker = logging.getLogger("mermaide_pl.module")
    level = speaker.level
    speaker.setLevel(logging.WARNING)  # what computes is the same for all of the many
    try:
        trainer.fit(module, data)
    finally:
        speaker.setLevel(level)
    trainer.save_checkpoint(path)
    return module


def _settings(module: MermaideModule, data: TaskDataModule) -> dict[str, Any]:
    """What a checkpoint says of how it came to be."""
    settings: dict[str, Any] = {type(data).__name__: data.state_dict()}
    module.on_save_checkpoint(settings)
    return settings
