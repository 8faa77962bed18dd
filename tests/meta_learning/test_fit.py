from dataclasses import replace

import pytest
import torch

from mermaide_pl import AgentFamily, Game, MermaideModule, Population, TaskDataModule
from mermaide_pl.agents import UCB
from mermaide_pl.meta_learning import fit as training
from mermaide_pl.meta_learning.fit import train
from mermaide_pl.principals import Architecture
from mermaide_pl.runtime.run_folders import LOCK


def test_the_last_checkpoint_is_the_last_even_if_the_first_was_the_best(tmp_path, monkeypatch):
    def log_less_and_less(self, stage):
        self.metrics.compute()
        self.log(f"{stage}/return", -float(self.current_epoch))

    monkeypatch.setattr(MermaideModule, "_log_evaluation", log_less_and_less)
    module = MermaideModule(Game(num_arms=3, num_steps=6), Architecture(hidden_size=4))
    population = Population([AgentFamily(UCB)], num_arms=3)
    data = TaskDataModule(population, meta_batch_size=2, steps_per_epoch=1, num_val_tasks=2)
    best = train(module, data, folder=tmp_path, num_epochs=3, seed=0)
    epochs = [
        torch.load(path, weights_only=True)["epoch"] for path in (best, best.with_name("last.ckpt"))
    ]
    assert epochs == [0, 2]
    assert len(list(best.parent.iterdir())) == 2


POPULATION = Population([AgentFamily(UCB)], num_arms=3)
OTHER = replace(POPULATION, families=[AgentFamily(UCB, {"beta": 0.9})])


def train_shortly(folder, num_epochs=1, seed=0, game_steps=6, **data):
    torch.manual_seed(seed)
    module = MermaideModule(Game(num_arms=3, num_steps=game_steps), Architecture(hidden_size=4))
    sizes = {"meta_batch_size": 2, "steps_per_epoch": 1, "num_val_tasks": 2, **data}
    agents = TaskDataModule(POPULATION, **sizes, seed=seed)
    return train(module, agents, folder=folder, num_epochs=num_epochs, seed=seed)


def when_written(path):
    return path.stat().st_mtime_ns


def test_a_training_that_is_finished_is_not_repeated(tmp_path):
    before = when_written(train_shortly(tmp_path))
    assert when_written(train_shortly(tmp_path)) == before


@pytest.mark.parametrize(
    "change",
    [
        {"num_epochs": 2},
        {"seed": 1},
        {"game_steps": 7},
        {"meta_batch_size": 3},
        {"num_val_tasks": 3},
        {"val_population": OTHER},
    ],
    ids=min,
)
@pytest.mark.parametrize("lost", ["last.ckpt", "training.json", "nothing"])
def test_a_training_of_other_settings_is_deleted(tmp_path, change, lost, caplog):
    folder = tmp_path / "run"
    train_shortly(folder)
    for path in folder.rglob(lost):
        path.unlink()
    mark = folder / "mark"
    mark.touch()
    train_shortly(folder, **change)
    assert not mark.exists()
    assert f"{folder}: a training of other settings is deleted" in caplog.text


def test_a_training_that_was_stopped_goes_on(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "agent_steps", stop)  # asked for when all is trained
        with pytest.raises(KeyboardInterrupt):
            train_shortly(tmp_path)
    mark = tmp_path / "mark"
    mark.touch()
    train_shortly(tmp_path)
    assert mark.exists()
    assert (tmp_path / "training.json").is_file()


def test_a_training_of_other_settings_is_not_deleted_while_it_runs(tmp_path, used_by_another):
    train_shortly(tmp_path)
    kept = sorted(tmp_path.rglob("*"))
    with used_by_another(tmp_path), pytest.raises(ValueError, match="in use by another run"):
        train_shortly(tmp_path, seed=1)
    assert sorted(tmp_path.rglob("*")) == kept


def test_the_lock_outlives_what_is_deleted(tmp_path, monkeypatch):
    train_shortly(tmp_path)
    seen = []
    agent_steps = training.agent_steps
    monkeypatch.setattr(
        training,
        "agent_steps",
        lambda *_: seen.append((tmp_path / LOCK).is_file()) or agent_steps(*_),
    )
    train_shortly(tmp_path, seed=1)
    assert seen == [True]
