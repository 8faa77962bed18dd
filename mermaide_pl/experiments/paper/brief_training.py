"""A training run of seconds, many of which make an experiment."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl

from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.fit import hushed, is_made_by
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.runtime.checkpoints import read_checkpoint


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
    if checkpoint and is_made_by(checkpoint, module, data):
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
    with hushed(logging.WARNING):  # what they say is the same for all of the many
        trainer.fit(module, data)
    trainer.save_checkpoint(path)
    return module
