import pytest
import pytorch_lightning as pl
import torch

from mermaide_pl.experiments.paper.brief_training import train_briefly
from mermaide_pl.experiments.paper.followers import NUM_ARMS, followers
from mermaide_pl.experiments.paper.parameter_path import ParameterPath
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import NoAdaptation
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.principals import Architecture


def untrained(seed: int = 0, cost: float = 0.5) -> MermaideModule:
    torch.manual_seed(seed)
    return MermaideModule(
        game=Game(num_arms=NUM_ARMS, num_steps=2, cost=cost),
        architecture=Architecture(hidden_size=4, policy_size=4),
        adaptation=NoAdaptation(),
    )


def agents(largest_delta: float = 1.0) -> TaskDataModule:
    return TaskDataModule(followers(largest_delta), meta_batch_size=4, steps_per_epoch=6)


def weights(module: MermaideModule) -> list[list[float]]:
    return [weight.flatten().tolist() for weight in module.principal.parameters()]


def test_takes_the_steps_of_the_data_and_keeps_the_last_weights(tmp_path):
    path = ParameterPath(every_n_steps=2)
    module = train_briefly(untrained(), agents(), path=tmp_path / "a.ckpt", callbacks=[path])
    assert path.steps == [0, 2, 4, 6]
    assert weights(module) != weights(untrained())
    kept = MermaideModule.load_from_checkpoint(tmp_path / "a.ckpt")
    assert weights(kept) == weights(module)


def test_what_was_trained_is_not_trained_again(tmp_path, monkeypatch):
    path = ParameterPath(every_n_steps=3)
    first = train_briefly(untrained(), agents(), path=tmp_path / "a.ckpt", callbacks=[path])
    monkeypatch.setattr(pl, "Trainer", None)  # cannot train
    kept = ParameterPath(every_n_steps=3)
    second = train_briefly(untrained(1), agents(), path=tmp_path / "a.ckpt", callbacks=[kept])
    assert weights(second) == weights(first)
    assert kept.steps == [0, 3, 6]
    assert [point.tolist() for point in kept.points] == [point.tolist() for point in path.points]


@pytest.mark.parametrize(("cost", "largest_delta"), [(0.25, 1.0), (0.5, 2.0)])
def test_a_training_with_other_settings_is_replaced(tmp_path, cost, largest_delta):
    first = train_briefly(untrained(), agents(), path=tmp_path / "a.ckpt")
    data = agents(largest_delta)
    second = train_briefly(untrained(cost=cost), data, path=tmp_path / "a.ckpt")
    assert second.game.cost == cost
    assert weights(second) != weights(first)
    assert weights(MermaideModule.load_from_checkpoint(tmp_path / "a.ckpt")) == weights(second)


def test_equal_seeds_train_equal_principals(tmp_path):
    one = train_briefly(untrained(5), agents(), path=tmp_path / "1.ckpt")
    two = train_briefly(untrained(5), agents(), path=tmp_path / "2.ckpt")
    other = train_briefly(untrained(6), agents(), path=tmp_path / "3.ckpt")
    assert weights(one) == weights(two)
    assert weights(one) != weights(other)


def test_many_trainings_do_not_say_each_time_what_computes(tmp_path, caplog):
    caplog.set_level("INFO")
    train_briefly(untrained(), agents(), path=tmp_path / "a.ckpt")
    assert [record for record in caplog.records if record.name.startswith("mermaide_pl")] == []


def test_an_interrupted_training_leaves_nothing_that_looks_finished(tmp_path):
    class PowerFailureError(Exception):
        pass

    class Interrupt(pl.Callback):
        def on_train_batch_end(self, *_) -> None:
            raise PowerFailureError

    with pytest.raises(PowerFailureError):
        train_briefly(untrained(), agents(), path=tmp_path / "a.ckpt", callbacks=[Interrupt()])
    assert list(tmp_path.iterdir()) == []
