from dataclasses import dataclass
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import packaged
from mermaide_pl.principals import Architecture, UniversalArchitecture


@dataclass(frozen=True)
class Checkpoints:
    universal: str
    another: str  # universal, too
    specialised: str


def save(architecture: Architecture | UniversalArchitecture, path: Path, init_seed: int) -> str:
    """Save an untrained principal."""
    torch.manual_seed(init_seed)
    module = MermaideModule(architecture=architecture)
    with torch.no_grad():
        for weight in module.principal.parameters():
            weight.normal_(std=1.0)
    data = TaskDataModule(packaged("train_ucb"), meta_batch_size=2, steps_per_epoch=1)
    trainer = pl.Trainer(
        max_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=path.parent,
        limit_val_batches=0,
    )
    trainer.fit(module, data)
    trainer.save_checkpoint(path)
    return str(path)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory) -> Checkpoints:
    folder = tmp_path_factory.mktemp("checkpoints")
    small = UniversalArchitecture(hidden_size=8, policy_size=8, critic_size=8, forecast_size=4)
    return Checkpoints(
        *(
            save(architecture, folder / f"{name}.ckpt", init_seed)
            for name, architecture, init_seed in (
                ("universal", small, 21),  # both intervene at some steps and not at others
                ("another", small, 45),
                ("specialised", Architecture(hidden_size=8, policy_size=8), 0),
            )
        )
    )
