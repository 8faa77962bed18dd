"""How long a command takes to answer, and `mermaide fit` to take its first step, in seconds.

Each line is a process of its own, timed by the wall clock, in turn with the others. The kernel is
built before. Prints a table and writes it as JSON.

    python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mermaide_pl.runtime.atomic_files import write_whole

OUT = Path(__file__).parent / "results" / "startup.json"
COMMANDS = {
    "--help": ["--help"],
    "--version": ["--version"],
    "help of a command": ["evaluate", "--help"],
    "a misspelt command": ["evalute"],
    "a missing file": ["evaluate", "--ckpt_path", "none.ckpt", "--population", "softmax"],
    "an unknown key in a configuration": ["fit", "--config", "typo.yaml"],
}
FIRST_STEP = "the first step of fit"
_FIT = """
import sys, time
import pytorch_lightning as pl
from mermaide_pl.cli.main import main

class Stop(pl.Callback):
    def on_train_batch_end(self, *_):
        sys.exit(0)

def with_stop(self, *args, **options):
    options["callbacks"] = [*(options.get("callbacks") or []), Stop()]
    return begin(self, *args, **options)

begin, pl.Trainer.__init__ = pl.Trainer.__init__, with_stop
main(["fit", "--config", "quickstart"])
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    lines = {name: ["-m", "mermaide_pl", *words] for name, words in COMMANDS.items()}
    lines[FIRST_STEP] = ["-c", _FIT]
    taken: dict[str, list[float]] = {name: [] for name in lines}
    for number in range(given.rounds + 1):
        for name, line in lines.items():
            with tempfile.TemporaryDirectory() as folder:
                write_whole(Path(folder, "typo.yaml"), "model: {gmae: {}}\n")
                started = time.perf_counter()
                subprocess.run(
                    [sys.executable, *line], cwd=folder, capture_output=True, check=False
                )
                if number:  # the first fills caches
                    taken[name].append(time.perf_counter() - started)
    table = Table("until it has answered", "median s", "min - max", title="Starting up")
    for name, times in taken.items():
        table.add_row(
            name, f"{statistics.median(times):.2f}", f"{min(times):.2f} - {max(times):.2f}"
        )
    Console().print(table)
    found = {name: [round(each, 3) for each in times] for name, times in taken.items()}
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    write_whole(given.out, json.dumps({**machine, "seconds": found}, indent=1) + "\n")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
