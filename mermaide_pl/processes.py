"""Processes that share work, on one or several machines, and all have its outcome."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mermaide_pl.checks import check_number, one_line


@dataclass(frozen=True)
class Share:
    """What one process does of some jobs, which are dealt out in turn.

    Args:
        rank: number of the process.
        num_processes: how many there are.
    """

    rank: int = 0
    num_processes: int = 1

    def of(self, num_jobs: int) -> range:
        """The numbers of its jobs."""
        return range(self.rank, num_jobs, self.num_processes)

    def total(self, parts: Tensor) -> Tensor:
        """The sum of `parts` over all processes, in place; exact where all but one hold zero."""
        if self.num_processes > 1:
            torch.distributed.all_reduce(parts)
        return parts


@contextmanager
def processes(devices: int, num_nodes: int) -> Iterator[Share]:
    """Run what follows in several processes, each with its share.

    Lightning Fabric starts them, which runs the script again in each; under torchrun and SLURM they
    are there already.

    Args:
        devices: processes on each machine, on its CPU.
        num_nodes: machines.

    Raises:
        ValueError: if torchrun or SLURM has started another number.
    """
    check_number("--devices", devices, low=1)
    check_number("--num_nodes", num_nodes, low=1)
    if devices * num_nodes == 1:
        yield Share()
        return
    fabric = Fabric(accelerator="cpu", devices=devices, num_nodes=num_nodes, strategy="ddp")
    try:
        fabric.launch()
    except ValueError as error:
        raise ValueError(f"--devices, --num_nodes: {one_line(error)}") from None
    try:
        yield Share(fabric.global_rank, fabric.world_size)
    except BaseException:
        stop_children(fabric.strategy.launcher)
        raise


def stop_children(launcher: object) -> None:
    """End the processes that Lightning's launcher has started: alone they would wait for ever."""
    for process in getattr(launcher, "procs", ()):
        process.kill()
