"""Settings that a training depends on, and their differences between a checkpoint and a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl

from mermaide_pl.runtime.run_summary import setting_rows

RUN_KEY = "mermaide_pl.run"
"""Key of the settings of data and trainer in a checkpoint."""
_LONGEST = 60  # characters of a value in a message
_OF_THE_TRAINER = (
    *("max_epochs", "max_steps", "precision", "gradient_clip_val", "gradient_clip_algorithm"),
    *("limit_train_batches", "limit_val_batches", "overfit_batches"),
    *("val_check_interval", "check_val_every_n_epoch", "accumulate_grad_batches"),
)


def run_settings(trainer: pl.Trainer) -> dict[str, Any]:
    """Settings of data and trainer, as plain data; equal for runs that train alike.

    Devices and accumulated batches count only through the whole meta-batch, and steps are those of
    the optimizer; the number of accumulated batches itself matters only within an epoch.

    Args:
        trainer: about to train, or training.
    """
    data = dict(getattr(getattr(trainer, "datamodule", None), "settings", {}))
    accumulated = trainer.accumulate_grad_batches
    tasks = data.pop("meta_batch_size", 1) * trainer.world_size * accumulated
    data["meta_batch_size x devices x accumulate_grad_batches"] = tasks
    if "steps_per_epoch" in data:
        steps = data.pop("steps_per_epoch")
        outer = steps // accumulated if steps % accumulated == 0 else steps / accumulated
        data["steps_per_epoch / accumulate_grad_batches"] = outer
    return {"data": data, "trainer": trainer_settings(trainer)}


def trainer_settings(trainer: pl.Trainer) -> dict[str, int | float | str]:
    """Trainer settings that a training depends on, as plain data; unset ones are left out."""
    values = {name: getattr(trainer, name, None) for name in _OF_THE_TRAINER}
    return {
        name: value if isinstance(value, int | float) else str(value)
        for name, value in values.items()
        if value is not None
    }


def settings_in(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of data and trainer in a checkpoint; old ones hold the training population alone."""
    if RUN_KEY not in checkpoint:
        return {"data": checkpoint.get("TaskDataModule", {})}
    trainer = dict(checkpoint[RUN_KEY]["trainer"])
    if batches_done(checkpoint) is None:
        del trainer["accumulate_grad_batches"]
    return {"data": checkpoint[RUN_KEY]["data"], "trainer": trainer}


def batches_done(checkpoint: Mapping[str, Any]) -> tuple[int, int] | None:
    """Epoch during which a checkpoint was made, and its batches so far; None between epochs."""
    loops = checkpoint["loops"]["fit_loop"]
    epoch, batch = (
        loops[name]["current"] for name in ("epoch_progress", "epoch_loop.batch_progress")
    )
    within = epoch["started"] > epoch["processed"]
    return (epoch["processed"], batch["processed"]) if within else None


def differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, str]:
    """Map the dotted name of each setting that differs to a description of the difference.

    Args:
        theirs: settings in a checkpoint; settings that an old one lacks are ignored.
        ours: the same of the configuration.
    """
    there, here = setting_rows(theirs), setting_rows(ours)
    return {
        name: _said(name, here[name], there[name])
        for name in here
        if name in there and here[name] != there[name]
    }


def _said(name: str, here: object, there: object) -> str:
    if max(len(str(here)), len(str(there))) > _LONGEST:
        return f"{name} differs"
    return f"{name} = {here} (there {there})"
