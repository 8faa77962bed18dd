"""Speed of a meta-iteration: this package against the same mathematics in other libraries.

Runs workload W1 (`benchmarks/peers/workload.py`: 16 UCB agents x 8 episodes x 200 steps, support
and query, one exact second-order inner step, float32) with every contestant in a process of its
own, in turn, round by round, so that all see the same machine. Compares rollouts alone with a
NumPy simulator, and the meta-iteration with a floor: its matrix products at the rate of a large
one. Prints tables and writes them as JSON.

    python benchmarks/w1.py --rounds 7 --out benchmarks/results/w1.json

JAX and TorchOpt come with the extra `bench`; who is not installed is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import statistics
import sys
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from peers.floor import flops, product_rate
from peers.worker import READY, Contestant, Worker, serve
from peers.workload import Workload
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

SLOW = 3.0  # seconds per step above which a contestant gets fewer rounds
# eight episodes are too little work to share: the loops over tasks are faster on one thread
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
KEEP_MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=1073741824"
    ":glibc.malloc.trim_threshold=4294967296"
}


def contestants(threads: int) -> dict[str, Contestant]:
    """All contestants by name, `threads` cores each."""
    devices = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={threads}"}
    return {
        "ours_native": Contestant("ours:OursNative"),
        "ours_torch": Contestant("ours:OursTorch"),
        "higher_per_task": Contestant("higher_per_task:HigherPerTask", ONE_THREAD),
        "learn2learn_style": Contestant("learn2learn_style:Learn2LearnStyle", ONE_THREAD),
        "torchopt_per_task": Contestant("torchopt_per_task:TorchOptPerTask", ONE_THREAD),
        "jax": Contestant("jax_vmap:JaxVmap"),
        "jax_tuned": Contestant("jax_tuned:JaxTuned", KEEP_MEMORY | devices),
        "numpy_simulator": Contestant("numpy_simulator:NumpySimulator", ONE_THREAD),
    }


SIMULATORS = ("ours_native", "numpy_simulator")
RATIOS = {  # name in the results: numerator, denominator
    "per_task_higher_over_ours": ("higher_per_task", "ours_native"),
    "learn2learn_over_ours": ("learn2learn_style", "ours_native"),
    "torchopt_over_ours": ("torchopt_per_task", "ours_native"),
    "jax_over_ours": ("jax", "ours_native"),
    "jax_tuned_over_ours": ("jax_tuned", "ours_native"),
    "ours_torch_over_ours": ("ours_torch", "ours_native"),
    "per_task_higher_over_ours_torch": ("higher_per_task", "ours_torch"),
}


def start(names: list[str], given: argparse.Namespace, console: Console) -> dict[str, Worker]:
    """Start the workers that can run here."""
    threads = str(given.threads)
    environment = {name: threads for name in ONE_THREAD}
    workers = {}
    for name in names:
        command = [sys.executable, __file__, "--worker", name, "--threads", threads]
        command += ["--seed", str(given.seed)]
        own = contestants(given.threads)[name].environment
        worker = Worker(command, environment | own)
        if worker.status == READY:
            workers[name] = worker
        else:
            console.print(f"left out: {name} ({worker.status})", highlight=False)
            worker.close()
    return workers


def measure(
    workers: dict[str, Worker], command: str, given: argparse.Namespace, progress: Progress
) -> dict[str, list[float]]:
    """Seconds of every contestant, one run each per round, after two unmeasured ones."""
    bar = progress.add_task(f"{command}: warm-up", total=len(workers) * (given.rounds + 1))
    rounds = {}
    for name, worker in workers.items():
        worker.ask(command)  # compiles
        is_slow = worker.ask(command) > SLOW
        rounds[name] = min(given.rounds, given.slow_rounds) if is_slow else given.rounds
        progress.advance(bar)
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for number in range(given.rounds):
        for name, worker in workers.items():
            progress.update(bar, description=f"{command}: {name}, round {number + 1}", advance=1)
            if number < rounds[name]:
                worker.ask(command)  # the system may have taken caches and memory of one that idles
                seconds[name].append(worker.ask(command))
    progress.remove_task(bar)
    return seconds


def summary(seconds: list[float], peak_mib: float) -> dict[str, Any]:
    """One contestant's entry in the results."""
    return {
        "median_s": statistics.median(seconds),
        "min_s": min(seconds),
        "max_s": max(seconds),
        "peak_mib": peak_mib,
        "seconds": seconds,
    }


def table(title: str, entries: dict[str, dict[str, Any]]) -> Table:
    """Contestants, fastest first."""
    shown = Table(title=title)
    shown.add_column("", no_wrap=True)
    for column in ("median s", "min s", "max s", "ratio to ours", "peak MiB", "rounds"):
        shown.add_column(column, justify="right")
    ours = entries.get("ours_native", {}).get("median_s")
    for name, entry in sorted(entries.items(), key=lambda item: item[1]["median_s"]):
        ratio = f"{entry['median_s'] / ours:.2f}" if ours else "-"
        numbers = [f"{entry[key]:.3f}" for key in ("median_s", "min_s", "max_s")]
        memory, rounds = f"{entry['peak_mib']:.0f}", str(len(entry["seconds"]))
        shown.add_row(name, *numbers, ratio, memory, rounds)
    return shown


def ratios(
    steps: dict[str, dict[str, Any]], rollouts: dict[str, dict[str, Any]], floor_s: float
) -> dict[str, float | None]:
    """Ratios of medians; None where a contestant is missing."""

    def ratio(entries: dict[str, dict[str, Any]], over: str, under: str) -> float | None:
        if over not in entries or under not in entries:
            return None
        return entries[over]["median_s"] / entries[under]["median_s"]

    named = {name: ratio(steps, *pair) for name, pair in RATIOS.items()}
    ours = steps.get("ours_native")
    named["ours_over_floor"] = ours["median_s"] / floor_s if ours else None
    named["rollout_numpy_over_ours"] = ratio(rollouts, "numpy_simulator", "ours_native")
    return named


def machine(threads: int) -> dict[str, Any]:
    """Hardware and software that the numbers were measured on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        model = found[1] if found else model
    facts: dict[str, Any] = {"cpu": model, "cores": os.cpu_count(), "cores_used": threads}
    for package in ("torch", "jax", "higher", "torchopt", "numpy"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = None
    return facts


def main() -> None:
    """Run the benchmark."""
    names = list(contestants(1))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="measured steps of a contestant")
    parser.add_argument(
        "--slow_rounds", type=int, default=3, help=f"of those slower than {SLOW:g} s a step"
    )
    parser.add_argument("--threads", type=int, default=2, help="cores for each contestant")
    parser.add_argument("--seed", type=int, default=0, help="of weights and random numbers")
    parser.add_argument(
        "--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names)
    )
    default_out = Path(__file__).parent / "results" / "w1.json"
    parser.add_argument("--out", type=Path, default=default_out, help="JSON file to write")
    parser.add_argument("--worker", choices=names, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        serve(contestants(given.threads)[given.worker], given.threads, given.seed)
    else:
        compare(given)


def compare(given: argparse.Namespace) -> None:
    """Measure all contestants, print the tables and write the results."""
    console, workload = Console(), Workload()
    results: dict[str, dict[str, dict[str, Any]]] = {}
    rate = product_rate(given.threads)
    for command in ("step", "rollout"):
        takes_part = {"step": set(given.only) - {"numpy_simulator"}, "rollout": set(SIMULATORS)}
        chosen = [name for name in given.only if name in takes_part[command]]
        with ExitStack() as stack, Progress(console=console, transient=True) as progress:
            workers = start(chosen, given, console)
            for worker in workers.values():
                stack.callback(worker.close)
            seconds = measure(workers, command, given, progress)
            results[command] = {
                name: summary(seconds[name], worker.ask("memory"))
                for name, worker in workers.items()
            }
        rate = max(rate, product_rate(given.threads))
    steps, rollouts = results["step"], results["rollout"]
    counted = flops(workload)
    floor_s = sum(counted.values()) / rate
    console.print(table(f"Meta-iteration, {workload.agent_steps:,} agent steps", steps))
    console.print(table(f"Its rollouts alone, {workload.agent_steps:,} agent steps", rollouts))
    console.print(
        f"floor: {sum(counted.values()) / 1e9:.1f} GFLOP at {rate / 1e9:.0f} GFLOP/s"
        f" = {floor_s:.3f} s",
        highlight=False,
    )
    written = {
        "machine": machine(given.threads),
        "command": shlex.join(["python", "benchmarks/w1.py", *sys.argv[1:]]),
        "rounds": given.rounds,
        "contestants": steps,
        "rollouts": rollouts,
        "ratios": ratios(steps, rollouts, floor_s),
        "floor": {"flops": counted, "flops_per_s": rate, "seconds": floor_s},
    }
    from mermaide_pl.runtime.atomic_files import (
        write_whole,  # brings torch, which workers do without
    )

    write_whole(given.out, json.dumps(written, indent=2) + "\n")
    console.print(f"written: {given.out}", highlight=False)


if __name__ == "__main__":
    main()
