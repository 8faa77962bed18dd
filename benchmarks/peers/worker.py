"""A contestant in a process of its own, driven by lines on stdin and stdout.

======== ==================================================================
step     do one meta-iteration; answers the seconds it took
rollout  play the episodes of one meta-iteration; answers the seconds taken
memory   answers the peak resident memory in MiB
quit     ends the process
======== ==================================================================

The first line from the worker is ``ready``, or the reason why it cannot take part.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from peers.workload import Workload

READY = "ready"


@dataclass(frozen=True)
class Contestant:
    """Code that a worker runs, and its settings."""

    path: str  # "module:Class" in peers
    environment: dict[str, str] = field(default_factory=dict)


def serve(contestant: Contestant, num_cores: int, seed: int) -> None:
    """The worker's side: answer the lines on stdin until the end."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:num_cores])

    def answer(text: object) -> None:
        print(text, file=answers, flush=True)

    workload = Workload()
    module, name = contestant.path.split(":")
    try:
        make = getattr(import_module(f"peers.{module}"), name)
        peer = make(workload, workload.initial_weights(seed), seed)
    except (ImportError, ValueError) as error:  # no such library; no native kernel here
        answer(" ".join(str(error).split()))
        return
    answer(READY)
    for line in sys.stdin:
        command = line.strip()
        if command == "quit":
            return
        if command == "memory":
            answer(_peak_mib())
            continue
        run = {"step": "meta_step", "rollout": "rollout"}[command]
        started = time.perf_counter()
        getattr(peer, run)()
        answer(time.perf_counter() - started)


def _peak_mib() -> float:
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count what the parent held when it started us
        return int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Worker:
    """The parent's side of a worker.

    Args:
        command: starts the process.
        environment: added to this process's own.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self.status = self._read()

    def ask(self, command: str) -> float:
        """Send a command and wait for the number it answers."""
        assert self._process.stdin is not None
        print(command, file=self._process.stdin, flush=True)
        return float(self._read())

    def close(self) -> None:
        """End the process."""
        if self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._process.wait()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended: {' '.join(map(str, self._process.args))}")
        return line.strip()
