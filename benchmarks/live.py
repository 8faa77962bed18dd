"""Time of a step of `LivePrincipal`: `intervene` and `observe`, one agent, one core.

Prints microseconds of a step, before adaptation and after, and of the calls between episodes; and
the mean processor time of a step with gradient steps within the episode, as a multiple of that
without.
Writes all as JSON.

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
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from w1 import machine

from mermaide_pl import LivePrincipal
from mermaide_pl.meta_learning import AdaptationWithinEpisodes
from mermaide_pl.meta_learning.within_episode import InnerLoops
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


def step_times(principals: Sequence[LivePrincipal], episodes: int) -> list[float]:
    """Mean processor time of a step in the fastest episode of each, microseconds.

    They play in turn, so that other load on the machine slows none more than another.
    """
    rng, spent = np.random.default_rng(0), [list[float]() for _ in principals]
    for _ in range(episodes):
        for principal, times in zip(principals, spent, strict=True):
            game = principal.game
            arms = rng.integers(game.num_arms, size=game.num_steps).tolist()
            started = time.process_time()
            for arm in arms:
                principal.intervene()
                principal.observe(arm)
            times.append((time.process_time() - started) / game.num_steps * 1e6)
            principal.end_episode()
    return [min(times) for times in spent]


def learning_within(principal: LivePrincipal) -> LivePrincipal:
    """The same with a gradient step on the forecast every 50 steps of an episode."""
    module = principal.module
    own, adaptation = module.inner_loop, AdaptationWithinEpisodes(every=50)
    within = adaptation.within.build(module.principal.weights())
    module.inner_loop = InnerLoops(adaptation.every, within, own)
    return principal


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
    alone, within = LivePrincipal.load(given.principal), LivePrincipal.load(given.principal)
    without_steps, with_steps = step_times([alone, learning_within(within)], given.episodes)
    ratio = with_steps / without_steps
    table, rows = Table("", "median µs", "99th percentile µs", "calls"), {}
    for name, times in spent.items():
        median, tail = np.percentile(times, [50, 99]).tolist()
        rows[name] = {"median_us": median, "p99_us": tail, "calls": len(times)}
        table.add_row(name, f"{median:.0f}", f"{tail:.0f}", str(len(times)))
    Console().print(table)
    print(f"a step with gradient steps within the episode takes {ratio:.2f} times as long")
    written = {
        "machine": {**machine(threads=1), "load_average": os.getloadavg()[0]},
        "command": shlex.join(["python", "benchmarks/live.py", *sys.argv[1:]]),
        "principal": given.principal,
        "calls": rows,
        "mean_step_learning_within": ratio,
    }
    write_whole(given.out, json.dumps(written, indent=2) + "\n")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
