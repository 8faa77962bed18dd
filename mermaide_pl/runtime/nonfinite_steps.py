"""Training steps whose loss or gradient is not finite: skipped, counted, kept for replay."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mermaide_pl.runtime.checkpoints import write_checkpoint

REPLAY_KEY = "replay"  # in a checkpoint: the step that was skipped
_LOGGER = logging.getLogger(__name__)


class DivergedError(ValueError):
    """Raised when more steps were not finite than `max_skipped_steps` allows."""


class NonFiniteSteps(pl.Callback):
    """Callback that skips, on all devices, a step whose loss or gradient is infinite or NaN.

    Neither weights nor optimizer moments change; the schedule advances. Each skipped step
    leaves ``skipped/stepN.pt`` in the folder of the run: weights, settings, and the seeds of its
    tasks, over all devices, for `mermaide replay`. ``train/skipped_steps`` is their number so far.

    Args:
        max_skipped_steps: the run stops when more are skipped.
    """

    def __init__(self, max_skipped_steps: int) -> None:
        self._max_skipped_steps, self._count = max_skipped_steps, 0
        self._seeds: list[int] = []  # of the tasks since the last step
        self._sizes_seeds: list[int] = []  # of the sizes of their games
        self._losses: list[Tensor] = []

    def state_dict(self) -> dict[str, Any]:
        """The number of steps that were skipped."""
        return {"count": self._count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of skipped steps."""
        self._count = state_dict["count"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Record the seeds of the tasks in a batch."""
        self._seeds += batch.seeds
        self._sizes_seeds += [batch.sizes_seed] * len(batch)

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Record the loss."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Skip the step if its loss or a gradient is not finite.

        Raises:
            DivergedError: if too many were skipped.
        """
        gradients = [weight.grad for weight in pl_module.parameters() if weight.grad is not None]
        finite = torch.stack([torch.isfinite(each).all() for each in self._losses + gradients])
        bad = trainer.strategy.reduce((~finite.all()).float(), reduce_op="sum")
        if bad:
            self._skip(trainer, pl_module, optimizer)
        pl_module.log("train/skipped_steps", float(self._count))
        self._seeds, self._sizes_seeds, self._losses = [], [], []

    def _skip(self, trainer: pl.Trainer, module: Any, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad(set_to_none=True)  # Adam ignores weights without a gradient
        self._count += 1
        step = trainer.global_step + 1
        path = Path(trainer.log_dir or trainer.default_root_dir) / "skipped" / f"step{step}.pt"
        seeds = _from_all_devices(trainer, self._seeds)
        sizes_seeds = _from_all_devices(trainer, self._sizes_seeds)
        if trainer.is_global_zero:
            checkpoint: dict[str, Any] = {
                "state_dict": module.state_dict(),
                REPLAY_KEY: {
                    "step": step,
                    "seeds": seeds,
                    "sizes_seeds": sizes_seeds,
                    "progress": module.progress,
                    "precision": str(trainer.precision),
                    "engine": module.engine_name,
                },
            }
            module.on_save_checkpoint(checkpoint)
            data: Any = getattr(trainer, "datamodule", None)
            if data is not None:
                checkpoint[type(data).__name__] = data.state_dict()
            write_checkpoint(checkpoint, path)
        found = f"the loss or gradient of step {step} is not finite"
        advice = f"`mermaide replay {path}` shows which tasks cause it"
        if self._count > self._max_skipped_steps:
            raise DivergedError(
                f"{found}, and max_skipped_steps = {self._max_skipped_steps} were skipped; {advice}"
            )
        if trainer.is_global_zero:
            _LOGGER.warning("%s: skipped, %d so far; %s", found, self._count, advice)


def _from_all_devices(trainer: pl.Trainer, seeds: list[int]) -> list[int]:
    """Gather the 64-bit seeds of all devices, sent as signed int64."""
    signed = torch.tensor([seed - (seed >> 63 << 64) for seed in seeds])
    gathered: Any = trainer.strategy.all_gather(signed.to(trainer.strategy.root_device))
    return [seed % 2**64 for seed in gathered.flatten().tolist()]
