"""Trains methods of the table, briefly, and writes what each process ends with.

usage: python tests/distributed/train_methods.py OUT DEVICES META_BATCH_SIZE ACCUMULATE
    METHOD:PRECISION ...
"""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from mermaide_pl.config.serialization import rebuild
from mermaide_pl.experiments.comparison.settings import load_comparison
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import packaged

CONF = Path(__file__).parents[2] / "conf"
NUM_EPOCHS, STEPS_PER_EPOCH = 2, 12  # outer steps


class Record(pl.Callback):
    """Keeps what was logged in each outer step and each validation."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.validations: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step > len(self.steps):
            self.steps.append(logged(trainer, "train/"))

    def on_validation_end(self, trainer: pl.Trainer, *_: Any) -> None:
        self.validations.append(logged(trainer, "val/"))


def logged(trainer: pl.Trainer, stage: str) -> dict[str, float]:
    values = trainer.callback_metrics.items()
    return {name: value.item() for name, value in values if name.startswith(stage)}


def train(name: str, out: Path, devices: int, batch: int, accumulate: int, precision: Any) -> None:
    comparison = load_comparison(CONF / "experiment" / "table.yaml")
    spec = comparison.methods[name](comparison.game).spec
    given = {key: rebuild(value) for key, value in spec.items()}
    given["game"] = replace(given["game"], num_steps=30)
    given["architecture"] = replace(given["architecture"], hidden_size=8, policy_size=8)
    given["num_query_episodes"] = 2
    given["num_zero_shot_episodes"] = min(2, given["num_zero_shot_episodes"])
    pl.seed_everything(0, verbose=False)
    module = MermaideModule(**given)
    data = TaskDataModule(
        packaged("train_mixed"),
        packaged("val_mixed"),
        meta_batch_size=batch,
        steps_per_epoch=STEPS_PER_EPOCH * accumulate,
        num_val_tasks=5,
    )
    record, folder = Record(), out / f"{name}:{precision}"
    trainer = pl.Trainer(
        max_epochs=NUM_EPOCHS,
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        accumulate_grad_batches=accumulate,
        precision=precision,
        gradient_clip_val=1.0,
        log_every_n_steps=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            record,
            ModelCheckpoint(folder, "best", monitor="val/return", mode="max"),
            ModelCheckpoint(folder, "last"),
        ],
    )
    trainer.fit(module, data)
    kept = {
        "weights": module.state_dict(),
        "optimizer": trainer.optimizers[0].state_dict(),
        "train": record.steps,
        "val": record.validations,
        "yardsticks": module.val_yardsticks,
    }
    torch.save(kept, folder / f"rank{trainer.global_rank}.pt")


if __name__ == "__main__":
    out, *numbers = sys.argv[1:5]
    for each in sys.argv[5:]:
        name, _, precision = each.partition(":")
        train(name, Path(out), *map(int, numbers), precision)
    if "LOCAL_RANK" in os.environ:
        torch.distributed.destroy_process_group()
