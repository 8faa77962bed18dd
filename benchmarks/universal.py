"""Cost of playing every game: the meta-step of a universal principal beside a specialised one.

Both have 64 hidden units and play the same agents with 10 arms, measured in turn, round by round,
in one process on one thread, in seconds of processor time. Prints a table and writes it as CSV.

    python benchmarks/universal.py --out benchmarks/results/universal.csv
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from mermaide_pl.evaluation.records import write_rows
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import MermaideModule
from mermaide_pl.populations import packaged
from mermaide_pl.principals import Architecture, SharedForecast, UniversalArchitecture

ARCHITECTURES = {
    "specialised": Architecture(hidden_size=64, world_model=SharedForecast(16)),
    "universal": UniversalArchitecture(hidden_size=64, forecast_size=16),
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/universal.csv"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = packaged("train_broad").sample(range(16), split="train")
    modules = {name: MermaideModule(Game(), each) for name, each in ARCHITECTURES.items()}
    measured: dict[str, list[float]] = {name: [] for name in modules}
    for number in range(given.rounds + 1):
        for name, module in modules.items():
            started = time.process_time()
            module.take_step(tasks, progress=0.5).loss.backward()
            if number:  # the first builds the library and fills caches
                measured[name].append(time.process_time() - started)
    least = min(map(statistics.median, measured.values()))
    rows = [
        {
            "architecture": name,
            "parameters": sum(p.numel() for p in modules[name].principal.parameters()),
            "meta_step_s": round(statistics.median(times), 4),
            "to_the_fastest": round(statistics.median(times) / least, 3),
            "rounds": given.rounds,
        }
        for name, times in measured.items()
    ]
    table = Table(*rows[0], title="Meta-step of 16 tasks, 10 arms, 200 steps, one thread")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console().print(table)
    write_rows(given.out, rows)
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
