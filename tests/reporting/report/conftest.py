from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

from mermaide_pl import AgentFamily, Game, MermaideModule, Population, TaskDataModule
from mermaide_pl.agents import UCB, EpsilonGreedy
from mermaide_pl.evaluation import protocol as evaluation
from mermaide_pl.principals import Architecture


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """Folder of a run of two epochs with two steps each, with curves and without results."""
    folder = tmp_path_factory.mktemp("runs") / "<tiny> & quick"  # a name to be escaped
    population = Population([AgentFamily(UCB), AgentFamily(EpsilonGreedy)], num_arms=3)
    torch.manual_seed(0)
    module = MermaideModule(Game(num_arms=3, num_steps=8), Architecture(hidden_size=4))
    data = TaskDataModule(population, meta_batch_size=2, steps_per_epoch=2, num_val_tasks=4)
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=TensorBoardLogger(folder, name="", version=""),
        callbacks=[ModelCheckpoint(filename="best", monitor="val/return", save_last=True)],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    return folder


@pytest.fixture
def few_tuning_agents(monkeypatch):
    monkeypatch.setattr(evaluation, "NUM_TUNING_AGENTS", 5)
