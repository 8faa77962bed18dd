"""Meta-batches of agent tasks, numbered globally so that no task depends on the devices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from mermaide_pl.config.validation import check_count, check_number, check_seed
from mermaide_pl.game import Game
from mermaide_pl.populations import Population, Split, TaskBatch


class TaskNumbers(Dataset[int]):
    """The numbers 0, 1, 2, ... of the tasks of an epoch.

    Args:
        size: tasks in an epoch.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, number: int) -> int:
        return number


class TaskSampler(DistributedSampler[int]):
    """Serves every epoch its own task numbers, dealt out to the processes in turn.

    Process r of W gets the numbers ``r, r + W, r + 2W, ...`` of the epoch, so W processes with M/W
    tasks each hold the same meta-batch as one process with M.

    Args:
        size: tasks in an epoch, over all processes.
        new_every_epoch: if True, epoch e continues where epoch e - 1 ended (training), else every
            epoch has the same tasks (validation).
        num_replicas: W.
        rank: r.
    """

    def __init__(self, size: int, new_every_epoch: bool, num_replicas: int, rank: int) -> None:
        super().__init__(TaskNumbers(size), num_replicas=num_replicas, rank=rank, shuffle=False)
        self._size = size
        self._new_every_epoch = new_every_epoch
        self._skipped = (-1, 0)  # epoch, and the count of its numbers left out

    def __len__(self) -> int:
        return len(range(self.rank, self._size, self.num_replicas))

    def __iter__(self) -> Iterator[int]:
        first = self.epoch * self._size if self._new_every_epoch else 0
        numbers = range(first + self.rank, first + self._size, self.num_replicas)
        epoch, count = self._skipped
        return iter(numbers[count if self.epoch == epoch else 0 :])

    def skip(self, epoch: int, count: int) -> None:
        """Leave out the first `count` numbers of this process in an epoch."""
        self._skipped = epoch, count


class TaskDataModule(pl.LightningDataModule):
    """Draws meta-batches from populations of agents; the defaults are the quickstart's.

    Args:
        train_population: agents to train on.
        val_population: agents to validate on; by default unseen ones of the training population.
        test_population: agents for `mermaide test`; by default unseen ones of the training
            population.
        meta_batch_size: M, tasks of a training step on each device.
        steps_per_epoch: training steps between validations.
        num_val_tasks: validation tasks.
        num_test_tasks: test tasks.
        seed: which agents are drawn, 0 <= seed < `NUM_SEEDS`.
    """

    def __init__(
        self,
        train_population: Population,
        val_population: Population | None = None,
        test_population: Population | None = None,
        meta_batch_size: int = 16,
        steps_per_epoch: int = 100,
        num_val_tasks: int = 120,
        num_test_tasks: int = 512,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("meta_batch_size", meta_batch_size),
            ("steps_per_epoch", steps_per_epoch),
            ("num_val_tasks", num_val_tasks),
            ("num_test_tasks", num_test_tasks),
        ):
            check_count(f"TaskDataModule.{name}", value)
        check_seed("TaskDataModule.seed", seed)
        self.train_population = train_population
        self.val_population = val_population or train_population
        self.test_population = test_population or train_population
        self.meta_batch_size = meta_batch_size
        self.steps_per_epoch = steps_per_epoch
        self.num_val_tasks = num_val_tasks
        self.num_test_tasks = num_test_tasks
        self.seed = seed

    def train_dataloader(self) -> DataLoader[int]:
        """New tasks every epoch."""
        world_size = self.trainer.world_size if self.trainer else 1
        size = self.meta_batch_size * self.steps_per_epoch * world_size
        return self._loader(self.train_population, "train", size, self.meta_batch_size)

    def val_dataloader(self) -> DataLoader[int]:
        """The same unseen tasks every time."""
        return self._loader(self.val_population, "val", self.num_val_tasks)

    def test_dataloader(self) -> DataLoader[int]:
        """The test tasks."""
        return self._loader(self.test_population, "test", self.num_test_tasks)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that determine a training run, as plain data."""
        return {
            "train_population": self.train_population.spec,
            "val_population": self.val_population.spec,
            "meta_batch_size": self.meta_batch_size,
            "steps_per_epoch": self.steps_per_epoch,
            "num_val_tasks": self.num_val_tasks,
            "seed": self.seed,
        }

    def state_dict(self) -> dict[str, Any]:
        """Training population, kept in checkpoints to tune schedules on it."""
        return {"train_population": self.train_population.spec}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore: the configuration decides which agents come next."""

    def _loader(
        self, population: Population, split: Split, size: int, batch_size: int = 128
    ) -> DataLoader[int]:
        world_size = self.trainer.world_size if self.trainer else 1
        # a process without tasks would leave the others waiting
        check_number(
            f"TaskDataModule.num_{split}_tasks on {world_size} devices", size, low=world_size
        )

        module = getattr(self.trainer, "lightning_module", None)
        game = getattr(module, "game", Game())
        if not getattr(getattr(module, "principal", None), "plays_any_game", True):
            population = population.in_game(game)
        together = self.meta_batch_size * world_size
        if population.games is not None:
            batch_size = self.meta_batch_size  # the tasks of a batch share the sizes of their games

        def collate(numbers: list[int]) -> TaskBatch:
            return population.sample(
                numbers,
                split=split,
                seed=self.seed,
                game=game,
                meta_batch=numbers[0] // together,
            )

        sampler = TaskSampler(
            size,
            new_every_epoch=split == "train",
            num_replicas=world_size,
            rank=self.trainer.global_rank if self.trainer else 0,
        )
        return DataLoader(
            sampler.dataset, batch_size=batch_size, sampler=sampler, collate_fn=collate
        )
