"""Cost of the recurrence: time of the meta-step of workload W1, and of its rollouts alone.

All contestants are measured in turn, round by round, in one process on one thread, in seconds of
processor time: they see the same machine, and other jobs on it count little. Prints a table and
writes it as CSV.

    python benchmarks/recurrence.py --out results/recurrence/w1.csv
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peers.ours import OursNative, OursTorch
from peers.workload import Workload
from rich.console import Console
from rich.table import Table

from mermaide_pl.evaluation.records import write_rows
from mermaide_pl.principals import MinGRU


class OursMinGRU(OursTorch):
    """In PyTorch, with a recurrence without a loop over time, which the native engine lacks."""

    recurrence = MinGRU()


CONTESTANTS = {"GRU, native": OursNative, "GRU, torch": OursTorch, "MinGRU, torch": OursMinGRU}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("results/recurrence/w1.csv"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(Workload(), given.rounds)
    table = Table(*rows[0], title="Meta-step of W1, one thread")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    write_rows(given.out, rows)
    print(f"written: {given.out}")


def measure(workload: Workload, rounds: int) -> list[dict[str, Any]]:
    """Medians over the rounds, a row per contestant; *rest* is the time outside the rollouts."""
    weights = workload.initial_weights(0)
    ours = {name: kind(workload, weights, seed=0) for name, kind in CONTESTANTS.items()}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in ours}
    for number in range(rounds + 1):
        for name, one in ours.items():
            seconds = _seconds(one.meta_step), _seconds(one.rollout)
            if number:  # the first builds the library and fills caches
                measured[name].append(seconds)
    rows = []
    for name, of_rounds in measured.items():
        step, rollouts = (statistics.median(part) for part in zip(*of_rounds, strict=True))
        row = {"step_s": step, "rollouts_s": rollouts, "rest_s": step - rollouts}
        rows.append({"recurrence": name, **row, "rounds": rounds})
    return rows


def _seconds(act: Callable[[], object]) -> float:
    started = time.process_time()
    act()
    return time.process_time() - started


if __name__ == "__main__":
    main()
