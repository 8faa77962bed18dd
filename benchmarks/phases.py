"""Time of a meta-step by phase, on workload W1 with the native engine.

Times the calls of the kernel by name; the rest is PyTorch (losses, the inner update, Adam) and
Python. Prints a table and writes it as CSV.

    python benchmarks/phases.py --out benchmarks/results/phases.csv
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from peers.ours import OursNative
from peers.workload import Workload
from rich.console import Console
from rich.table import Table

from mermaide_pl.engines import noise
from mermaide_pl.engines.native import autograd, rollout
from mermaide_pl.evaluation.records import write_rows

PHASES = {
    "play": "both rollouts",
    "encode": "features of the recorded episodes",
    "forward": "network, forward",
    "backward": "its gradients: inner, outer, and the loss's share of the second derivative",
    "double_backward": "Hessian-vector product",
    "random numbers": "random numbers of the agents",
    "rest": "PyTorch and Python: losses, inner update, Adam",
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/phases.csv"))
    given = parser.parse_args()
    workload = Workload()
    ours = OursNative(workload, workload.initial_weights(0), seed=0)
    spent: dict[str, float] = defaultdict(float)

    def timed(function: Any, name: str | None = None) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = function(*args, **kwargs)
            spent[name or args[0]] += time.perf_counter() - started
            return result

        return call

    autograd.run = rollout.run = timed(autograd.run)
    noise.task_uniforms = timed(noise.task_uniforms, "random numbers")
    rounds: list[dict[str, float]] = []
    for _ in range(given.rounds + 1):
        spent.clear()
        started = time.perf_counter()
        ours.meta_step()
        total = time.perf_counter() - started
        rounds.append({**spent, "rest": total - sum(spent.values())})
    medians = {name: statistics.median(one[name] for one in rounds[1:]) for name in PHASES}
    total = sum(medians.values())
    table = Table("phase", "ms", "share")
    for name, seconds in medians.items():
        table.add_row(PHASES[name], f"{seconds * 1e3:.1f}", f"{seconds / total:.0%}")
    Console().print(table)
    rows = [
        {
            "phase": PHASES[name],
            "milliseconds": round(seconds * 1e3, 2),
            "share": round(seconds / total, 3),
        }
        for name, seconds in medians.items()
    ]
    write_rows(given.out, rows)
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
