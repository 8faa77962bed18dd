"""Distribute work over processes on one or several machines; all of them get the result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mermaide_pl.config.validation import check_number, one_line


@dataclass(frozen=True)
class Shard:
    """The part of a set of jobs that one process does; jobs are dealt out in turn.

    Args:
        rank: number of the process, from 0.
        num_processes: number of processes.
    """

    rank: int = 0
    num_processes: int = 1

    def of(self, num_jobs: int) -> range:
        """The numbers of the jobs of this process, out of `num_jobs`."""
        return range(self.rank, num_jobs, self.num_processes)

    def total(self, parts: Tensor) -> Tensor:
        """The sum of `parts`, of any shape, over all processes, in place.

        Exact where all but one hold zero.
        """
        if self.num_processes > 1:
            torch.distributed.all_reduce(parts)
        return parts


@contextmanager
def processes(devices: int, num_nodes: int) -> Iterator[Shard]:
    """Run the block of this context in several processes, each with its part of the jobs.

    Lightning Fabric starts them, which runs the script again in each; torchrun and SLURM have
    started them already.

    Args:
        devices: processes on each machine, on its CPU.
        num_nodes: machines.

    Raises:
        ValueError: if torchrun or SLURM has started another number of processes.
    """
    check_number("--devices", devices, low=1)
    check_number("--num_nodes", num_nodes, low=1)
    if devices * num_nodes == 1:
        yield Shard()
        return
    fabric = Fabric(accelerator="cpu", devices=devices, num_nodes=num_nodes, strategy="ddp")
    check_world(fabric.strategy, devices, num_nodes)
    with one_fate(fabric.strategy):
        fabric.launch()
        yield Shard(fabric.global_rank, fabric.world_size)


def check_world(strategy: Any, devices: int, num_nodes: int) -> None:
    """Check that torchrun or SLURM, if in use, has started the number of processes asked for.

    Args:
        strategy: Lightning's.
        devices: processes on each machine.
        num_nodes: machines.

    Raises:
        ValueError: one line with both numbers.
    """
    environment = getattr(strategy, "cluster_environment", None)
    try:
        if environment is not None:
            environment.validate_settings(num_devices=devices, num_nodes=num_nodes)
    except ValueError as error:
        raise ValueError(f"devices and num_nodes: {one_line(error)}") from None


@contextmanager
def one_fate(strategy: Any) -> Iterator[None]:
    """Kill the processes that Lightning's strategy has started if this one fails in the block."""
    try:
        yield
    except BaseException:
        for process in getattr(strategy.launcher, "procs", ()):
            process.kill()  # blocked in a collective operation, it ignores other signals
        raise


def leave_group() -> None:
    """Close the connections to the other processes of a run that is over, if there are any.

    Threads of PyTorch's that still wait on them when Python ends may abort the process, which then
    counts as failed, and ends the others.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def lost_another(error: Exception) -> bool:
    """True if the error says that another process was lost, not that none was ever connected."""
    unconnected = (torch.distributed.DistNetworkError, torch.distributed.DistStoreError)
    is_ours = isinstance(error, torch.distributed.DistError) or "gloo" in str(error)
    return is_ours and not isinstance(error, unconnected)
