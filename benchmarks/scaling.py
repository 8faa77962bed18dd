"""Growth of time and memory with tasks, steps and chunks, and the overhead of `mermaide fit`.

For workload W1 (`conf/w1.yaml`), with the kernel that is chosen here:

- time per agent step from 4 to 256 tasks and from T = 100 to 800;
- peak memory above the start, against tasks x episodes x T, and with `accumulate_grad_batches`;
- a whole training step of `mermaide fit` (Lightning, logging, metrics) against the bare meta-step;
- import and first step of `mermaide fit`.

Each point runs in its own process, since memory is given back to the system late or never.

    python benchmarks/scaling.py --out benchmarks/results

writes scaling.csv and scaling.png there.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TASKS = (4, 8, 16, 32, 64, 128, 256)
STEPS = (100, 200, 400, 800)
CHUNKED = (64, 4)  # tasks of a step, and the chunks they are taken in


def measure_steps(num_tasks: int, num_steps: int, chunks: int, rounds: int) -> dict[str, float]:
    """Median seconds of a meta-step, taken in chunks, and peak memory above the start."""
    from peers.ours import OursNative
    from peers.workload import Workload

    workload = Workload(num_tasks=num_tasks // chunks, num_steps=num_steps)
    ours = OursNative(workload, workload.initial_weights(0), seed=0)
    before = _peak_mib()
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        for chunk in range(chunks):
            ours.accumulate(first=chunk == 0, last=chunk == chunks - 1)
        seconds.append(time.perf_counter() - started)
    median = statistics.median(seconds[1:])  # the first one warms up
    agent_steps = 2 * num_tasks * workload.num_episodes * num_steps
    return {
        "seconds": median,
        "ns_per_agent_step": median / agent_steps * 1e9,
        "mib_above_start": _peak_mib() - before,
    }


def measure_fit(rounds: int) -> dict[str, float]:
    """Seconds of a step of `mermaide fit` and of the bare meta-step, alternated."""
    from mermaide_pl.cli.main import main
    from mermaide_pl.meta_learning.module import MermaideModule

    times: list[float] = []
    began = time.perf_counter()
    MermaideModule.on_train_batch_end = lambda *_: times.append(time.perf_counter())
    given = ["--trainer.num_sanity_val_steps=0", f"--trainer.max_steps={rounds + 2}"]
    main(["fit", "--config", "conf/w1.yaml", *given, "--data.num_val_tasks=2"])
    between = [after - before for before, after in pairwise(times[1:])]
    return {"first_step": times[0] - began, "seconds": statistics.median(between)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_process(*given: object) -> dict[str, float]:
    command = [sys.executable, __file__, "--point", *map(str, given)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _cold_start() -> float:
    """Seconds from the command to the end of the first training step, everything included."""
    command = [sys.executable, "-m", "mermaide_pl", "fit", "--config", "conf/w1.yaml"]
    command += ["--trainer.fast_dev_run=1", "--data.num_val_tasks=2"]
    started = time.perf_counter()
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return time.perf_counter() - started


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Time per agent step and memory, each against the amount of work."""
    from matplotlib.figure import Figure

    from mermaide_pl.reporting.figures.style import save_png

    figure = Figure(figsize=(9.0, 3.0), dpi=150, layout="constrained")
    by_tasks, by_steps, by_memory = figure.subplots(1, 3)
    for axes, what, color in ((by_tasks, "tasks", "C0"), (by_steps, "steps", "C1")):
        chosen = [row for row in rows if row["experiment"] == what]
        amounts = [row["num_tasks" if what == "tasks" else "num_steps"] for row in chosen]
        costs = [row["ns_per_agent_step"] / 1e3 for row in chosen]
        axes.plot(amounts, costs, "o-", color=color)
        axes.set_xscale("log", base=2)
        axes.set_xticks(amounts, [str(amount) for amount in amounts])
        axes.set_ylim(0.0, 1.2 * max(costs))
        axes.set_xlabel("tasks M (T = 200)" if what == "tasks" else "steps T (M = 16)")
        axes.set_ylabel("µs per agent step")
    labels = {
        "tasks": (f"more tasks, up to {max(TASKS)}", "C0", (-12, -3), "right"),
        "steps": (f"more steps, up to {max(STEPS)}", "C1", (0, 8), "center"),
        "chunks": (f"{CHUNKED[0]} tasks in {CHUNKED[1]} chunks", "C2", (8, -3), "left"),
    }
    for what, (label, color, offset, side) in labels.items():
        chosen = [row for row in rows if row["experiment"] == what]
        amounts = [16 * row["num_tasks"] * row["num_steps"] / 1e6 for row in chosen]
        memory = [row["mib_above_start"] for row in chosen]
        by_memory.plot(amounts, memory, "s" if what == "chunks" else "o-", color=color)
        by_memory.annotate(
            label,
            (amounts[-1], memory[-1]),
            xytext=offset,
            textcoords="offset points",
            color=color,
            fontsize=8,
            horizontalalignment=side,
        )
    by_memory.set_ylim(bottom=0.0)
    by_memory.set_xlabel("million agent steps in a meta-step")
    by_memory.set_ylabel("MiB above the start")
    for axes in (by_tasks, by_steps, by_memory):
        axes.spines[["top", "right"]].set_visible(False)
    save_png(figure, path)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--point", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.point:
        kind, *numbers = given.point
        measure = {"steps": measure_steps, "fit": measure_fit}[kind]
        print(json.dumps(measure(*map(int, numbers))))
        return
    from rich.progress import track

    from mermaide_pl.evaluation.records import write_rows

    points = [("tasks", M, 200, 1) for M in TASKS] + [("steps", 16, T, 1) for T in STEPS]
    points += [("chunks", CHUNKED[0], 200, CHUNKED[1])]
    rows = []
    for what, num_tasks, num_steps, chunks in track(points, "points"):
        result = _in_a_process("steps", num_tasks, num_steps, chunks, given.rounds)
        row = {"experiment": what, "num_tasks": num_tasks, "num_steps": num_steps, **result}
        rows.append({**row, "chunks": chunks})
        print(", ".join(f"{key} {value}" for key, value in rows[-1].items()))
    fits, bare = [], []
    for _ in range(3):  # alternated, so that both see the same machine
        fits.append(_in_a_process("fit", 3 * given.rounds)["seconds"])
        bare.append(_in_a_process("steps", 16, 200, 1, 3 * given.rounds)["seconds"])
    ratio = statistics.median(fits) / statistics.median(bare)
    cold = statistics.median(_cold_start() for _ in range(3))
    rows.append({"experiment": "fit", "num_tasks": 16, "num_steps": 200})
    rows[-1] |= {"seconds": statistics.median(fits), "over_bare": ratio}
    rows.append({"experiment": "first step", "num_tasks": 16, "num_steps": 200, "seconds": cold})
    names = dict.fromkeys((name for row in rows for name in row), "")
    write_rows(given.out / "scaling.csv", [names | row for row in rows])
    draw(rows, given.out / "scaling.png")
    print(f"a step of mermaide fit over the bare meta-step: {ratio:.3f}")
    print(f"import and first step of mermaide fit: {cold:.1f} s")
    print(f"written: {given.out / 'scaling.csv'}, {given.out / 'scaling.png'}")


if __name__ == "__main__":
    main()
