"""Replay a skipped training step task by task, to find the task that is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import torch
from torch import Tensor

from mermaide_pl.agents import LearningRule
from mermaide_pl.config.input_paths import existing_skipped_step
from mermaide_pl.engines import EngineName
from mermaide_pl.evaluation.loading import check_arms, training_population
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import TaskBatch
from mermaide_pl.runtime.checkpoints import read_checkpoint
from mermaide_pl.runtime.nonfinite_steps import REPLAY_KEY


@dataclass(frozen=True)
class Replayed:
    """Result of one task in the replayed step."""

    seed: int  # seed of the task
    agent: str  # learning rule and hyper-parameters
    loss: float
    gradient_norm: float  # of its loss, with respect to the meta weights and inner rates
    not_finite: tuple[str, ...]  # names of the parameters whose gradient is not finite
    num_parameters: int  # parameters that have a gradient

    @property
    def is_finite(self) -> bool:
        """True if loss and gradient of this task alone are finite."""
        return math.isfinite(self.loss) and not self.not_finite


@dataclass(frozen=True)
class SkippedStep:
    """A skipped training step, as `NonFiniteSteps` kept it.

    Args:
        number: number of the training step, from one.
        module: the module with the weights before the step.
        tasks: tasks of all devices, one batch for each task.
        progress: share of training done before the step, in [0, 1].
        precision: precision of the trainer.
    """

    number: int
    module: MermaideModule
    tasks: tuple[TaskBatch, ...]
    progress: float
    precision: str

    @classmethod
    def load(cls, path: str | Path, engine: EngineName | None = None) -> SkippedStep:
        """Read the file of a skipped step; no code from it is run.

        Args:
            path: file of the step, ``skipped/stepN.pt`` in the folder of a run.
            engine: computes the rollouts and forward passes; by default that of the run.

        Raises:
            ValueError: one line that names the file and the problem.
        """
        checkpoint = read_checkpoint(existing_skipped_step(path))
        if REPLAY_KEY not in checkpoint:
            raise ValueError(f"{path} is not a skipped step, which a run keeps as skipped/stepN.pt")
        kept = checkpoint[REPLAY_KEY]
        chosen = engine or kept.get("engine", kept.get("kernel"))  # its name in earlier versions
        module = MermaideModule.from_checkpoint(checkpoint, path, engine=chosen)
        population = training_population(checkpoint, path)
        check_arms("of the step", population, module.game)
        try:
            sizes = kept.get("sizes_seeds", [0] * len(kept["seeds"]))  # none in earlier versions
            tasks = tuple(
                population.from_seeds([int(seed)], game=module.game, sizes_seed=int(of_sizes))
                for seed, of_sizes in zip(kept["seeds"], sizes, strict=True)
            )
            return cls(
                int(kept["step"]), module, tasks, float(kept["progress"]), str(kept["precision"])
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path} is not a skipped step: {error!r}") from None

    def play(self) -> Iterator[Replayed]:
        """Take the step for each task alone; a meta-gradient is the mean over its tasks."""
        module = self.module
        autocast = torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16-mixed")
        for tasks in self.tasks:
            module.zero_grad(set_to_none=True)
            with autocast:
                loss = module.take_step(tasks, self.progress).loss
            torch.autograd.backward(loss)
            gradients = {
                name: weight.grad
                for name, weight in module.named_parameters()
                if weight.grad is not None
            }
            norm = torch.stack([value.double().norm() for value in gradients.values()]).norm()
            yield Replayed(
                tasks.seeds[0],
                _in_words(tasks.families[0].rule),
                loss.item(),
                norm.item(),
                tuple(name for name, value in gradients.items() if not value.isfinite().all()),
                len(gradients),
            )


def _in_words(rule: LearningRule) -> str:
    """Text for the learning rule of one task, such as ``UCB, beta 0.3``."""
    if not is_dataclass(rule):
        return str(rule)  # a learner of the user
    values = ((item.name, getattr(rule, item.name)) for item in fields(rule))
    drawn = [f"{name} {value.item():g}" for name, value in values if isinstance(value, Tensor)]
    return ", ".join([type(rule).__name__, *drawn])
