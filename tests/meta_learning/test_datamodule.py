import json
from dataclasses import replace
from itertools import chain

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from mermaide_pl.agents import UCB, BestResponse, EpsilonGreedy
from mermaide_pl.config.serialization import rebuild
from mermaide_pl.meta_learning.datamodule import TaskDataModule, TaskNumbers, TaskSampler
from mermaide_pl.populations import (
    AgentFamily,
    GameRanges,
    Interval,
    Population,
    TaskBatch,
    task_seed,
)

POPULATION = Population(
    [AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}), AgentFamily(EpsilonGreedy)], num_arms=3
)
UNSEEN = Population([AgentFamily(BestResponse)], num_arms=3)


def data(population=POPULATION, **settings) -> TaskDataModule:
    sizes = {"meta_batch_size": 4, "steps_per_epoch": 3, "num_val_tasks": 5, "num_test_tasks": 6}
    return TaskDataModule(population, **sizes | settings)


def batches(loader: DataLoader, epoch: int = 0) -> list[TaskBatch]:
    loader.sampler.set_epoch(epoch)
    return list(loader)


def seeds(tasks: list[TaskBatch]) -> list[int]:
    return list(chain.from_iterable(batch.seeds for batch in tasks))


def numbered(split: str, numbers, seed: int = 0) -> list[int]:
    return [task_seed(number, split, seed) for number in numbers]


def served(sampler: TaskSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    return list(sampler)


def test_task_numbers_are_their_own_contents():
    numbers = TaskNumbers(4)
    assert len(numbers) == 4
    assert [numbers[index] for index in range(4)] == [0, 1, 2, 3]


def test_task_numbers_by_hand():
    sampler = TaskSampler(6, new_every_epoch=True, num_replicas=2, rank=1)
    assert served(sampler, 0) == [1, 3, 5]
    assert served(sampler, 3) == [19, 21, 23]
    same = TaskSampler(6, new_every_epoch=False, num_replicas=2, rank=1)
    assert served(same, 3) == [1, 3, 5]


@pytest.mark.parametrize("new_every_epoch", [True, False])
@pytest.mark.parametrize("world_size", [2, 4])
def test_several_processes_hold_the_meta_batch_of_one(world_size, new_every_epoch):
    meta_batch_size, steps = 8, 3
    size, share = meta_batch_size * steps, meta_batch_size // world_size
    for epoch in (0, 1, 7):
        one = served(TaskSampler(size, new_every_epoch, 1, 0), epoch)
        ranks = [
            served(TaskSampler(size, new_every_epoch, world_size, rank), epoch)
            for rank in range(world_size)
        ]
        for step in range(steps):
            together = [number for rank in ranks for number in rank[step * share :][:share]]
            assert sorted(together) == one[step * meta_batch_size :][:meta_batch_size]


@pytest.mark.parametrize("size", [1, 5, 6])
def test_no_task_is_scored_twice_or_left_out(size):
    ranks = [TaskSampler(size, False, 4, rank) for rank in range(4)]
    assert sorted(chain.from_iterable(ranks)) == list(range(size))


@pytest.mark.parametrize("size", [1, 5, 6])
@pytest.mark.parametrize("rank", range(4))
def test_a_sampler_knows_its_length(size, rank):
    sampler = TaskSampler(size, False, 4, rank)
    assert len(sampler) == len(list(sampler))


def test_each_loader_draws_from_its_split():
    module = data(seed=3)
    assert seeds(batches(module.train_dataloader())) == numbered("train", range(12), seed=3)
    assert seeds(batches(module.val_dataloader())) == numbered("val", range(5), seed=3)
    assert seeds(batches(module.test_dataloader())) == numbered("test", range(6), seed=3)


def test_each_loader_draws_from_its_population():
    module = data(val_population=UNSEEN)
    families = {
        name: {type(family.rule) for batch in batches(loader) for family in batch.families}
        for name, loader in (
            ("train", module.train_dataloader()),
            ("val", module.val_dataloader()),
            ("test", module.test_dataloader()),
        )
    }
    assert families == {
        "train": {UCB, EpsilonGreedy},
        "val": {BestResponse},
        "test": {UCB, EpsilonGreedy},
    }
    module = data(test_population=UNSEEN)
    assert all(batch.sees_bonus.all() for batch in batches(module.test_dataloader()))
    assert not any(batch.sees_bonus.any() for batch in batches(module.val_dataloader()))


def test_a_batch_is_what_the_population_says():
    first, second, third = batches(data().train_dataloader(), epoch=2)
    assert [len(batch) for batch in (first, second, third)] == [4, 4, 4]
    expected = POPULATION.sample(range(28, 32), split="train")
    assert second.seeds == expected.seeds
    assert torch.equal(second.base_rewards, expected.base_rewards)
    assert torch.equal(second.target_arm, expected.target_arm)


def test_training_never_repeats_a_task_and_scoring_always_does():
    module = data()
    train = [seeds(batches(module.train_dataloader(), epoch)) for epoch in range(4)]
    assert len(set(chain.from_iterable(train))) == 4 * 12
    for loader in (module.val_dataloader, module.test_dataloader):
        assert seeds(batches(loader(), 0)) == seeds(batches(loader(), 5))


def test_many_tasks_are_scored_in_several_batches():
    tasks = batches(data(num_val_tasks=300).val_dataloader())
    assert len(tasks) > 1
    assert seeds(tasks) == numbered("val", range(300))


class Listener(pl.LightningModule):
    """Learns nothing and notes which tasks it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.heard: list[tuple[str, int, list[int]]] = []

    def training_step(self, tasks: TaskBatch, batch_index: int) -> torch.Tensor:
        self.heard.append(("train", self.current_epoch, tasks.seeds))
        return self.weight.square()

    def validation_step(self, tasks: TaskBatch, batch_index: int) -> None:
        self.heard.append(("val", self.current_epoch, tasks.seeds))

    def test_step(self, tasks: TaskBatch, batch_index: int) -> None:
        self.heard.append(("test", self.current_epoch, tasks.seeds))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def listen(tmp_path, **settings) -> Listener:
    listener, module = Listener(), data(num_val_tasks=2, num_test_tasks=3, **settings)
    trainer = pl.Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        max_epochs=2,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(listener, module)
    trainer.test(listener, module, verbose=False)
    return listener


def test_the_trainer_gets_new_tasks_each_epoch_and_the_same_ones_to_validate(tmp_path):
    expected = [
        *(("train", 0, numbered("train", range(first, first + 4))) for first in (0, 4, 8)),
        ("val", 0, numbered("val", range(2))),
        *(("train", 1, numbered("train", range(first, first + 4))) for first in (12, 16, 20)),
        ("val", 1, numbered("val", range(2))),
    ]
    heard = listen(tmp_path).heard
    assert heard[:-1] == expected
    assert heard[-1][0] == "test"
    assert heard[-1][2] == numbered("test", range(3))


class TwoProcesses:
    """Stands in for the trainer of one of two processes."""

    world_size = 2

    def __init__(self, rank: int) -> None:
        self.global_rank = rank


def test_the_loaders_of_two_processes_hold_the_batches_of_one():
    one = data(meta_batch_size=8)
    two = [data(meta_batch_size=4) for _ in range(2)]
    for rank, module in enumerate(two):
        module.trainer = TwoProcesses(rank)
    for epoch in (0, 2):
        whole = batches(one.train_dataloader(), epoch)
        halves = [batches(module.train_dataloader(), epoch) for module in two]
        assert [len(half) for half in halves] == [len(whole)] * 2
        for step, batch in enumerate(whole):
            assert sorted(halves[0][step].seeds + halves[1][step].seeds) == sorted(batch.seeds)
    scored = [seeds(batches(module.val_dataloader())) for module in two]
    assert sorted(scored[0] + scored[1]) == sorted(numbered("val", range(5)))
    assert [len(half) for half in scored] == [3, 2]


def test_two_processes_draw_the_games_of_one():
    drawn = replace(POPULATION, num_arms=None, games=GameRanges([2, 3, 5], [4, 5, 6], cost=[0.1]))
    one = data(drawn, meta_batch_size=4)
    two = [data(drawn, meta_batch_size=2) for _ in range(2)]
    for rank, module in enumerate(two):
        module.trainer = TwoProcesses(rank)
    seen = set()
    for epoch in range(6):
        whole = batches(one.train_dataloader(), epoch)
        halves = [batches(module.train_dataloader(), epoch) for module in two]
        for together in zip(whole, *halves, strict=True):
            sizes = {(batch.games.num_arms, batch.games.num_steps) for batch in together}
            assert len(sizes) == 1
            seen |= sizes
    assert len(seen) > 3


def test_the_checkpoint_remembers_the_training_population():
    state = data(val_population=UNSEEN).state_dict()
    assert json.loads(json.dumps(state)) == state
    assert rebuild(state["train_population"]) == replace(POPULATION, num_arms=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"meta_batch_size": 0}, r"TaskDataModule\.meta_batch_size .*at least 1, got 0"),
        ({"steps_per_epoch": 0}, r"TaskDataModule\.steps_per_epoch .*at least 1, got 0"),
        ({"num_val_tasks": 0}, r"TaskDataModule\.num_val_tasks .*at least 1, got 0"),
        ({"num_test_tasks": -1}, r"TaskDataModule\.num_test_tasks .*at least 1, got -1"),
        ({"seed": -1}, r"TaskDataModule\.seed .*from 0 to 4194303, got -1"),
        ({"seed": 2**22}, r"TaskDataModule\.seed .*from 0 to 4194303, got 4194304"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        data(**settings)
