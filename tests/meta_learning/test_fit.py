import json
from dataclasses import replace
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch

from mermaide_pl import AgentFamily, Game, MermaideModule, Population, TaskDataModule
from mermaide_pl.agents import UCB
from mermaide_pl.config.serialization import describe
from mermaide_pl.experiments.paper.parameter_path import ParameterPath
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


def train_shortly(
    folder, num_epochs=1, seed=0, game_steps=6, callbacks=(), validates=True, **data
) -> Path:
    torch.manual_seed(seed)
    module = MermaideModule(Game(num_arms=3, num_steps=game_steps), Architecture(hidden_size=4))
    sizes = {"meta_batch_size": 2, "steps_per_epoch": 1, "num_val_tasks": 2, **data}
    agents = TaskDataModule(sizes.pop("train_population", POPULATION), **sizes, seed=seed)
    settings = {"num_epochs": num_epochs, "seed": seed, "callbacks": callbacks}
    return train(module, agents, folder=folder, **settings, validates=validates)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def weights(checkpoint: Path) -> list[list[float]]:
    module = MermaideModule.load_from_checkpoint(checkpoint)
    return [weight.flatten().tolist() for weight in module.parameters()]


@pytest.mark.parametrize("validates", [True, False])
def test_a_training_that_is_finished_is_not_repeated(tmp_path, validates, monkeypatch):
    kept = train_shortly(tmp_path, validates=validates)
    before = contents(tmp_path)
    monkeypatch.setattr(pl.Trainer, "fit", None)  # cannot train
    assert train_shortly(tmp_path, validates=validates) == kept
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "change",
    [
        {"num_epochs": 2},
        {"seed": 1},
        {"game_steps": 7},
        {"meta_batch_size": 3},
        {"num_val_tasks": 3},
        {"train_population": OTHER},
        {"val_population": OTHER},
        {"validates": False},
    ],
    ids=min,
)
@pytest.mark.parametrize("lost", ["last.ckpt", "training.json", "settings.json", "nothing"])
def test_a_training_of_other_settings_is_set_aside(tmp_path, change, lost, caplog):
    folder = tmp_path / "run"
    train_shortly(folder)
    for path in folder.rglob(lost):
        path.unlink()
    before = contents(folder)
    for earlier in (tmp_path / "run.1", tmp_path / "run.2"):
        caplog.clear()
        kept = train_shortly(folder, **change)
        assert contents(earlier) == before
        said = f"{folder}: a training with other settings was moved to {earlier}"
        assert caplog.messages.count(said) == 1
        before, change = contents(folder), {}
    assert kept.is_file()


def test_a_training_that_an_earlier_version_finished_is_not_repeated(tmp_path, monkeypatch):
    train_shortly(tmp_path, num_epochs=2, seed=3, val_population=OTHER)
    path = tmp_path / "settings.json"
    spec = json.loads(path.read_text())["mermaide_pl"]
    data = {"meta_batch_size": 2, "steps_per_epoch": 1, "num_val_tasks": 2, "seed": 3}
    written = {
        "TaskDataModule": {"train_population": describe(POPULATION)},
        "mermaide_pl": spec,
        "val_population": describe(OTHER),
        "data": data,
        "num_epochs": 2,
        "seed": 3,
    }
    path.write_text(json.dumps(written))
    with monkeypatch.context() as patch:
        patch.setattr(pl.Trainer, "fit", None)  # cannot train
        train_shortly(tmp_path, num_epochs=2, seed=3, val_population=OTHER)
    train_shortly(tmp_path, num_epochs=3, seed=3, val_population=OTHER)
    assert (tmp_path.parent / f"{tmp_path.name}.1" / "settings.json").is_file()


def stop(*_):
    raise KeyboardInterrupt


def test_a_training_that_was_stopped_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(training, "agent_steps", stop)  # asked for when all is trained
        with pytest.raises(KeyboardInterrupt):
            train_shortly(tmp_path)
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    train_shortly(tmp_path)
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before
    assert (tmp_path / "training.json").is_file()
    assert not tmp_path.with_name(f"{tmp_path.name}.1").exists()


def test_a_training_whose_checkpoint_is_damaged_begins_again(tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(training, "agent_steps", stop)
        with pytest.raises(KeyboardInterrupt):
            train_shortly(tmp_path / "run")
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.write_bytes(b"damaged")
    kept = train_shortly(tmp_path / "run")
    (said,) = [line for line in caplog.messages if "starts from the beginning" in line]
    assert said.startswith(f"checkpoint {last} cannot be read")
    assert last.with_name("last.ckpt.1").read_bytes() == b"damaged"
    assert weights(kept) == weights(train_shortly(tmp_path / "other"))


def test_a_folder_in_use_is_left_alone(tmp_path, used_by_another):
    train_shortly(tmp_path)
    kept = sorted(tmp_path.rglob("*"))
    with used_by_another(tmp_path), pytest.raises(ValueError, match="in use by another run"):
        train_shortly(tmp_path, seed=1)
    assert sorted(tmp_path.rglob("*")) == kept


def test_a_folder_is_locked_also_after_another_was_set_aside(tmp_path, monkeypatch):
    train_shortly(tmp_path / "run")
    seen = []
    agent_steps = training.agent_steps
    monkeypatch.setattr(
        training,
        "agent_steps",
        lambda *_: seen.append((tmp_path / "run" / LOCK).is_file()) or agent_steps(*_),
    )
    train_shortly(tmp_path / "run", seed=1)
    assert seen == [True]
    assert not list(tmp_path.rglob(LOCK))


def test_without_validation_the_last_principal_is_kept_and_nothing_said(tmp_path, caplog):
    caplog.set_level("INFO")
    path = ParameterPath(every_n_steps=2)
    kept = train_shortly(tmp_path, callbacks=[path], validates=False, steps_per_epoch=6)
    assert path.steps == [0, 2, 4, 6]
    assert [number for one in weights(kept) for number in one] == path.points[-1].tolist()
    files = {"settings.json", "training.json", "checkpoints/last.ckpt"}
    assert contents(tmp_path).keys() == files
    assert [record for record in caplog.records if record.name.startswith("mermaide_pl")] == []


def test_callbacks_of_a_finished_training_get_their_last_state(tmp_path):
    first, second = (ParameterPath(every_n_steps=3) for _ in range(2))
    for path in (first, second):
        train_shortly(tmp_path, callbacks=[path], validates=False, steps_per_epoch=6)
    assert second.steps == [0, 3, 6]
    assert [one.tolist() for one in second.points] == [one.tolist() for one in first.points]


def test_equal_seeds_train_equal_principals(tmp_path):
    one, two, other = (
        weights(train_shortly(tmp_path / name, seed=seed, validates=False))
        for name, seed in (("one", 5), ("two", 5), ("other", 6))
    )
    assert one == two != other
