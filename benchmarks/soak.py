"""Soak test for growing memory or open files: training and evaluation for twenty minutes.

Each round trains an epoch more from the last checkpoint, with a new trainer, curves and figures,
scores the principal on unseen agents, and plays an episode live. After each the memory and the open
files of the process are read. The slope of the memory is a least-squares line through the rounds
after the warm-up. Writes a row a round as CSV, draws them, and writes the slope as JSON.

    python benchmarks/soak.py --minutes 20 --out benchmarks/results
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from w1 import machine

from mermaide_pl import LivePrincipal
from mermaide_pl.cli.main import main as mermaide
from mermaide_pl.evaluation.records import Row, write_rows
from mermaide_pl.reporting.figures.style import label_axes, new_figure, save_png, series_style
from mermaide_pl.runtime.atomic_files import write_whole

CONFIG, POPULATION = Path("conf/quickstart.yaml"), "unseen_ucb"


def resident() -> float:
    """Memory of this process that is not swapped out, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2.0**20


def open_files() -> int:
    """Open file handles of this process: files, pipes, sockets."""
    return len(os.listdir("/proc/self/fd"))


def run(command: str) -> None:
    """A `mermaide` command, in this process."""
    mermaide(shlex.split(command))


def play_round(folder: Path, number: int, steps: int, agents: int) -> None:
    """Train an epoch more, evaluate, and play live."""
    best, results = folder / "run" / "checkpoints" / "best.ckpt", folder / "results.json"
    run(
        f"fit --config {CONFIG} --trainer.logger.save_dir {folder} --trainer.logger.name run"
        f" --trainer.max_epochs {number + 1} --ckpt_path last"
        f" --data.steps_per_epoch {steps} --data.num_val_tasks 32"
    )
    run(
        f"evaluate --ckpt_path {best} --population {POPULATION} --out {results}"
        f" --num_agents {agents} --num_tuning_agents {agents}"
    )
    live = LivePrincipal.load(best)
    for _ in range(live.game.num_steps):
        live.intervene()
        live.observe(0)
    live.end_episode()
    live.adapt()


def soak(minutes: float, steps: int, agents: int) -> list[Row]:
    """Rounds until the time is over, at least two."""
    rows: list[Row] = []
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=Console(stderr=True)) as progress,
    ):
        task = progress.add_task("soaking", total=minutes)
        while len(rows) < 2 or rows[-1]["minutes"] < minutes:
            with contextlib.redirect_stdout(io.StringIO()):
                play_round(Path(folder), len(rows), steps, agents)
            spent = (time.monotonic() - started) / 60.0
            rows.append({"minutes": spent, "resident_mib": resident(), "open_files": open_files()})
            progress.update(task, completed=spent)
    return rows


def after(rows: list[Row], warm_up: float) -> list[Row]:
    """The rows after `warm_up` minutes; all of them if the run was shorter."""
    return [row for row in rows if row["minutes"] >= warm_up] or rows


def slope(rows: list[Row], warm_up: float) -> float:
    """Growth of the memory after `warm_up` minutes, MiB a minute."""
    late = after(rows, warm_up)
    minutes, memory = ([row[name] for row in late] for name in ("minutes", "resident_mib"))
    return float(np.polyfit(minutes, memory, 1)[0])


def draw(rows: list[Row], path: Path) -> None:
    """Memory and open files against time."""
    figure, panels = new_figure(2.4, (2.0, 1.0))
    minutes = [row["minutes"] for row in rows]
    for axes, name in zip(panels, ("resident_mib", "open_files"), strict=True):
        axes.plot(minutes, [row[name] for row in rows], **series_style(0))
        axes.set_ylim(bottom=0.0)
    label_axes(panels[0], y="resident\nmemory (MiB)")
    label_axes(panels[1], x="time (minutes)", y="open\nfiles")
    save_png(figure, path)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--warm_up", type=float, default=4.0, help="minutes left out of the slope")
    parser.add_argument("--steps", type=int, default=20, help="training steps of a round")
    parser.add_argument("--agents", type=int, default=50, help="scored and tuned on in a round")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    given = parser.parse_args()
    command = shlex.join(["python", "benchmarks/soak.py", *sys.argv[1:]])  # `fit` sets sys.argv
    torch.set_num_threads(1)
    rows = soak(given.minutes, given.steps, given.agents)
    write_rows(given.out / "soak.csv", rows)
    draw(rows, given.out / "soak.png")
    files = [row["open_files"] for row in after(rows, given.warm_up)]
    written = {
        "machine": machine(threads=1),
        "command": command,
        "rounds": len(rows),
        "resident_mib": [round(rows[number]["resident_mib"], 1) for number in (0, -1)],
        "slope_mib_per_minute": round(slope(rows, given.warm_up), 3),
        "open_files": [min(files), max(files)],
    }
    write_whole(given.out / "soak.json", json.dumps(written, indent=2) + "\n")
    print(json.dumps(written, indent=2))


if __name__ == "__main__":
    main()
