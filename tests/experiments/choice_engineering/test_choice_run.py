"""The whole figure: its files, its resumption, and what it refuses."""

import json

import pytest
import pytorch_lightning as pl
import torch

from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.experiments import choice_engineering
from mermaide_pl.experiments.choice_engineering import forecasts, study
from mermaide_pl.game import CHOICE_ENGINEERING
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import packaged
from mermaide_pl.principals import Architecture


@pytest.fixture
def checkpoint(tmp_path_factory) -> str:
    """An untrained principal of the game."""
    folder = tmp_path_factory.mktemp("principal")
    torch.manual_seed(0)
    module = MermaideModule(CHOICE_ENGINEERING, Architecture(hidden_size=4, policy_size=4))
    population = packaged("train_choice_engineering")
    data = TaskDataModule(population, meta_batch_size=2, steps_per_epoch=1)
    trainer = pl.Trainer(
        max_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        limit_val_batches=0,
    )
    trainer.fit(module, data)
    trainer.save_checkpoint(folder / "principal.ckpt")
    return str(folder / "principal.ckpt")


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_repeats_no_part(data, tiny, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(choice_engineering, "QUICK", tiny)
    monkeypatch.setattr(
        forecasts,
        "fit_pooled",
        lambda likelihood, _: torch.full((likelihood.num_parameters,), 0.4, dtype=torch.float64),
    )
    without = choice_engineering.run(data, [], tmp_path, True, 3)
    assert "on the recurrent model of all, schedule" in without
    assert "a principal" not in without
    trained = len([*(tmp_path / "models").iterdir()])
    assert trained == 2 + 3 + 1  # folds, schedules, all

    def again(*_):
        raise AssertionError("a finished part is computed again")

    monkeypatch.setattr(study, "train", again)
    monkeypatch.setattr(forecasts, "fit_pooled", again)
    said = choice_engineering.run(data, [checkpoint], tmp_path, True, 3)
    assert "at 0 shots, a principal" in said
    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    tables = {f"{name}.csv" for name in ("forecasts", "biases", "agreement", "principals")}
    assert names == tables | {"summary.md", "choice_engineering.png", "settings.json"}
    rows = read_rows(tmp_path / "principals.csv")
    assert len(rows) == 4 * (3 + 2)
    page = (tmp_path / "summary.md").read_text()
    assert "| QL HET lab | *published* | | 0.603 | -0.569 |" in page
    assert "principal of training 0, 1 shot |" in page
    (tmp_path / "biases" / "catie_5.csv").unlink()
    assert choice_engineering.run(data, [checkpoint], tmp_path, True, 3) == said
    assert (tmp_path / "summary.md").read_text() == page


def test_a_folder_of_other_choices_is_refused(data, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(choice_engineering, "QUICK", tiny)
    (tmp_path / "settings.json").write_text(json.dumps({"choices": "checksum of others"}))
    with pytest.raises(ValueError, match="results there are of another choices: choose another"):
        choice_engineering.run(data, [], tmp_path, True, 3)
