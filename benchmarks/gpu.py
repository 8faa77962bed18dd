"""Workload W1 on a GPU: time of a meta-step, and how it grows with the number of tasks.

Prints a table and writes it as CSV. Stops before the time is up, largest sizes last.

    python benchmarks/gpu.py --tasks 16 64 256 1024 4096 --out gpu.csv
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from peers.ours import OursCuda, OursTorch
from peers.workload import Workload

from mermaide_pl.evaluation.records import write_rows


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[16, 64, 256, 1024, 4096])
    parser.add_argument("--num_steps", type=int, default=200, help="T")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chunk", type=int, default=1024, help="tasks in one graph at most")
    parser.add_argument("--minutes", type=float, default=7.0, help="time for everything")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu.csv"))
    given = parser.parse_args()
    on_gpu = given.device == "cuda"
    if on_gpu and not torch.cuda.is_available():
        raise SystemExit("no CUDA device is visible to this PyTorch")
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    print(f"{name}, torch {torch.__version__}")
    started, rows = time.perf_counter(), []
    for num_tasks in sorted(given.tasks):
        chunks = -(-num_tasks // given.chunk)
        workload = Workload(num_tasks=num_tasks // chunks, num_steps=given.num_steps)
        maker = OursCuda if on_gpu else OursTorch
        ours = maker(workload, workload.initial_weights(0), seed=0)
        seconds: list[float] = []
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        for _ in range(given.rounds + 2):  # the first two compile and capture
            begun = time.perf_counter()
            for chunk in range(chunks):
                ours.accumulate(first=chunk == 0, last=chunk == chunks - 1)
            seconds.append(time.perf_counter() - begun)  # the loss was read: all is done
            if time.perf_counter() - started + seconds[-1] > 60 * given.minutes:
                break
        measured = seconds[2:]
        if not measured:
            print(f"{num_tasks} tasks: left out, the time is up")
            break
        median = statistics.median(measured)
        row = {
            "device": name,
            "num_tasks": num_tasks,
            "chunks": chunks,
            "median_s": median,
            "agent_steps_per_s": chunks * workload.agent_steps / median,
            "peak_mib": torch.cuda.max_memory_allocated() / 2**20 if on_gpu else float("nan"),
        }
        rows.append(row)
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        del ours
    if rows:
        write_rows(given.out, rows)
        print(f"written: {given.out}")


if __name__ == "__main__":
    main()
