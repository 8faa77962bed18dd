"""Time of a step of `LivePrincipal`: `intervene` and `observe`, one agent, one core.

Prints microseconds of a step, before adaptation and after, and of the calls between episodes, and
writes them as JSON.

    python benchmarks/live.py --out benchmarks/results/live.json
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from w1 import machine

from mermaide_pl import LivePrincipal
from mermaide_pl.runtime.atomic_files import write_whole


def microseconds(act: Callable[[], object]) -> float:
    """Time of a call."""
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1e6


def measure(principal: LivePrincipal, episodes: int) -> dict[str, list[float]]:
    """Microseconds of everything that a user calls."""
    rng, step_of = np.random.default_rng(0), {False: "step", True: "step, adapted"}
    spent: dict[str, list[float]] = {name: [] for name in (*step_of.values(), "adapt", "save")}
    with tempfile.TemporaryDirectory() as folder:
        for episode in range(2 * episodes):
            arms = rng.integers(principal.game.num_arms, size=principal.game.num_steps).tolist()
            for arm in arms:

                def step(arm: int = arm) -> None:
                    principal.intervene()
                    principal.observe(arm)

                spent[step_of[episode >= episodes]].append(microseconds(step))
            principal.end_episode()
            if episode >= episodes - 1:
                spent["adapt"].append(microseconds(principal.adapt))
            spent["save"].append(microseconds(lambda: principal.save(Path(folder) / "agent.live")))
    return spent


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--principal", default="pretrained:mixed-partial")
    parser.add_argument("--episodes", type=int, default=10, help="before adaptation, and after")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/live.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    measure(LivePrincipal.load(given.principal), 1)  # fills caches
    spent = measure(LivePrincipal.load(given.principal), given.episodes)
    table, rows = Table("", "median µs", "99th percentile µs", "calls"), {}
    for name, times in spent.items():
        median, tail = np.percentile(times, [50, 99]).tolist()
        rows[name] = {"median_us": median, "p99_us": tail, "calls": len(times)}
        table.add_row(name, f"{median:.0f}", f"{tail:.0f}", str(len(times)))
    Console().print(table)
    written = {
        "machine": {**machine(threads=1), "load_average": os.getloadavg()[0]},
        "command": shlex.join(["python", "benchmarks/live.py", *sys.argv[1:]]),
        "principal": given.principal,
        "calls": rows,
    }
    write_whole(given.out, json.dumps(written, indent=2) + "\n")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
