import csv
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger

from mermaide_pl.agents import UCB
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import Architecture
from mermaide_pl.runtime.curves import forget_curves, keep_curves

AGENTS = Population([AgentFamily(UCB)], num_arms=3)
STEPS = 4  # of an epoch


class Late(pl.Callback):
    """Logs a quantity that is not there in the beginning."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step > 2 * STEPS:
            pl_module.log("late", float(trainer.global_step))


class PowerCut(pl.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise RuntimeError("power cut")


def trained(folder: Path, *callbacks: pl.Callback, stage: str = "fit", **settings: Any) -> None:
    pl.seed_everything(0)
    module = MermaideModule(Game(3, 8), Architecture(8, 8), num_query_episodes=2)
    data = TaskDataModule(AGENTS, meta_batch_size=4, steps_per_epoch=STEPS, num_val_tasks=4)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=CSVLogger(folder, name="", version="", flush_logs_every_n_steps=1),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            LearningRateMonitor(),
            Late(),
            ModelCheckpoint(folder / "checkpoints", "last", enable_version_counter=False),
            *callbacks,
        ],
    )
    getattr(trainer, stage)(module, data, **settings)


def metrics(folder: Path) -> str:
    return (folder / "metrics.csv").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    trained(folder)
    return folder


@pytest.mark.parametrize("step", [STEPS + 2, 2 * STEPS, 2 * STEPS + 2, 3 * STEPS - 1])
def test_a_resumed_run_has_the_rows_of_the_run_that_was_not_interrupted(step, whole, tmp_path):
    with pytest.raises(RuntimeError, match="power cut"):
        trained(tmp_path, PowerCut(step))
    text = metrics(tmp_path)
    assert len(text.splitlines()) > 1 + step
    (tmp_path / "metrics.csv").write_text(text[:-7])  # killed while it was written
    for _ in range(2):  # interrupted again before anything was logged
        with pytest.raises(RuntimeError, match="power cut"):
            trained(tmp_path, PowerCut(step), ckpt_path="last")
    trained(tmp_path, ckpt_path="last")
    assert metrics(tmp_path) == metrics(whole)
    assert "late" in metrics(whole).splitlines()[0].split(",")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in whole.iterdir()}


def test_a_new_run_begins_a_new_file_and_a_test_adds_to_it(whole, tmp_path):
    trained(tmp_path, PowerCut(100))
    trained(tmp_path)
    assert metrics(tmp_path) == metrics(whole)
    trained(tmp_path, stage="test")
    with (tmp_path / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row["test/return"]] == ["0"]
    assert sum(bool(row["train/loss"]) for row in rows) == 3 * STEPS


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("step,a\r\n1,0.1\r\n2,0.2\r\n12,0.3\r\n1", "step,a\r\n1,0.1\r\n"),
        ("step,a\r\n1,0.1\r\n\0\0,\0\r\n", "step,a\r\n1,0.1\r\n"),  # by a crash of the system
        ("step,a\n1.0,0.1\n3.0,0.2\n", "step,a\r\n1.0,0.1\r\n"),  # by a spreadsheet
        ("step,a\r\n3,0.1\r\n", None),
        ("st", None),
        ("", None),
        ("not\r\nours\r\n", None),
    ],
)
def test_rows_kept_of_a_file(before, after, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_bytes(before.encode())
    logger = CSVLogger(tmp_path, name="", version="")
    keep_curves(logger)
    forget_curves(logger, 2)
    found = path.read_bytes().decode() if path.exists() else None
    assert found == after
    logger.log_metrics({"b": 1.0}, step=2)
    logger.save()
    with path.open(newline="") as file:
        assert [row["b"] for row in csv.DictReader(file)] == [*[""] * (after is not None), "1.0"]
