"""Decisions a second of `LiveFleet`: `intervene` and `observe`, many learners, one thread.

Prints microseconds of processor time for a decision, decisions a second of processor and of wall
time, and the memory of a learner: for learners of one game and of mixed games, with all numbers of
the games of ``train_universal``; for the same when they have adapted; and for other sizes of the
batch. Then the time of `adapt`, up to that of a full record, and of the other calls. The principal
is one of ``conf/universal.yaml``, freshly initialised. Writes all as JSON.

    python benchmarks/fleet.py --out benchmarks/results/fleet.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from rich.console import Console
from rich.table import Table
from w1 import machine

from mermaide_pl import LiveFleet, MermaideModule
from mermaide_pl.populations import packaged
from mermaide_pl.populations.ranges import Range, corners
from mermaide_pl.principals import UniversalArchitecture
from mermaide_pl.runtime.atomic_files import write_whole

SIZES = Path(__file__).parent.parent / "conf" / "universal.yaml"
KINDS = ("one game", "mixed games", "one game, adapted", "mixed games, adapted")
NUM_STEPS = 50  # of the episode to adapt on
MOST = 2000  # decisions of a round of smaller batches


def principal() -> MermaideModule:
    """A principal of the sizes in use, not trained: the time does not depend on the weights."""
    torch.manual_seed(0)
    sizes = yaml.safe_load(SIZES.read_text(encoding="utf-8"))["model"]["architecture"]["init_args"]
    return MermaideModule(architecture=UniversalArchitecture(**sizes)).eval()


def settings(mixed: bool, number: int) -> list[dict[str, Any]]:
    """The settings of each learner."""
    if not mixed:
        return [{"num_steps": 200}] * number
    ranges = packaged("train_universal").games
    assert ranges is not None
    generator = random.Random(0)

    def any_of(values: Range) -> float:
        """Each value of a range is as likely, so that games differ more than in training."""
        return generator.choice(corners(values))

    def one() -> dict[str, Any]:
        levels, largest = int(any_of(ranges.num_levels)), any_of(ranges.bonus)
        steps, share = int(any_of(ranges.num_steps)), any_of(ranges.interventions)
        return {
            "arms": [f"arm {arm}" for arm in range(int(any_of(ranges.num_arms)))],
            "num_steps": None if generator.random() < ranges.endless else steps,
            "bonuses": [largest * level / (levels - 1) for level in range(levels)],
            "cost": any_of(ranges.cost),
            "full_information": generator.choice(ranges.observations).sees_agent_rewards,
            "max_interventions": None if share == 1 else round(share * steps),
        }

    return [one() for _ in range(number)]


class Players:
    """Learners that pull arms at random.

    Args:
        kind: of `KINDS`.
        number: of the learners.
    """

    def __init__(self, kind: str, number: int) -> None:
        self.fleet, self._draw = LiveFleet(principal()), np.random.default_rng(0)
        chosen = settings(kind.startswith("mixed"), number)
        for learner, each in enumerate(chosen):
            self.fleet.add(learner, **each)
        games = [self.fleet.game(learner) for learner in range(number)]
        self._num_arms = np.array([game.num_arms for game in games])
        self._labels = [each.get("arms") for each in chosen]
        self._sees = [game.observation.sees_agent_rewards for game in games]
        if kind.endswith("adapted"):
            for _ in range(NUM_STEPS):
                self.play(range(number))
            self.fleet.end_episode(range(number))
            for first in range(0, number, 100):  # so that little memory is used on the way
                self.fleet.adapt(range(first, min(number, first + 100)))

    def play(self, ids: Sequence[int]) -> tuple[float, float]:
        """Processor and wall time of a decision for each, s."""
        pulls = self._draw.integers(self._num_arms[list(ids)]).tolist()
        labels, sees = self._labels, self._sees
        arms = [
            labels[id][pull] if labels[id] else pull for id, pull in zip(ids, pulls, strict=True)
        ]
        rewards = [0.5 if sees[id] else None for id in ids]
        began, at = time.process_time(), time.perf_counter()
        _, steps = self.fleet.intervene(ids)
        self.fleet.observe(ids, arms, rewards, steps=steps)
        return time.process_time() - began, time.perf_counter() - at


def rate(kind: str, number: int, batch: int, rounds: int) -> dict[str, float]:
    """Time of a decision in the fastest round, if learners are called in batches at random."""
    players, draw = Players(kind, number), random.Random(0)
    ids, times = [*range(number)], []
    for _ in range(rounds):
        if batch < number:
            draw.shuffle(ids)
        parts = [
            ids[first : first + batch] for first in range(0, max(batch, min(number, MOST)), batch)
        ]
        decided = sum(map(len, parts))
        times.append(np.sum([players.play(part) for part in parts], axis=0) / decided)
    spent, wall = np.min(times, axis=0)
    return {
        "learners": number,
        "batch": batch,
        "us": spent * 1e6,
        "decisions_per_cpu_second": 1.0 / spent,
        "decisions_per_second": 1.0 / wall,
    }


def memory(kind: str, number: int) -> float:
    """Resident memory of a learner, bytes, after an episode of `NUM_STEPS` steps and a few more."""
    Players(kind, 10)  # what is loaded once
    before = _resident()
    players = Players(kind, number)
    for _ in range(NUM_STEPS // 2):
        players.play(range(number))
    return (_resident() - before) / number


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def in_a_new_process(function: Callable[..., float], *given: Any) -> float:
    """What a function finds in a process of its own, whose memory nothing else has used."""
    with multiprocessing.get_context("spawn").Pool(1, torch.set_num_threads, (1,)) as pool:
        return pool.apply(function, given)


def calls(number: int) -> dict[str, float]:
    """Processor time of a call for one of many learners, and of `adapt` for a batch of them, µs."""
    players = Players("mixed games", number)
    fleet, ids, spent = players.fleet, range(number), {}

    def timed(name: str, act: Callable[[], object], times: int) -> None:
        began = time.process_time()
        act()
        spent[name] = (time.process_time() - began) / times * 1e6

    for _ in range(NUM_STEPS):
        players.play(ids)
    timed("describe now", lambda: [fleet.describe(id, "now") for id in ids], number)
    timed("end_episode", lambda: fleet.end_episode(ids), number)
    timed(f"adapt on {NUM_STEPS} steps", lambda: fleet.adapt(ids), number)
    timed("describe", lambda: [fleet.describe(id) for id in ids], number)
    described = [fleet.describe(id) for id in ids]
    timed("remove", lambda: fleet.remove(ids), number)
    timed("restore", lambda: [fleet.restore(id, described[id]) for id in ids], number)
    timed("forecast", lambda: fleet.forecast(ids), number)
    return spent


def longest(num_episodes: int, num_steps: int) -> float:
    """Processor time of `adapt` for a learner whose record is full, s.

    Args:
        num_episodes: the most that are kept.
        num_steps: the most that are recorded of each.
    """
    fleet = LiveFleet(principal(), max_episodes=num_episodes, max_steps=num_steps)
    fleet.add("endless")
    for _ in range(num_episodes):
        fleet.replay(["endless"], [[(step % 10, step % 2, None) for step in range(num_steps)]])
        fleet.end_episode(["endless"])
    began = time.process_time()
    fleet.adapt(["endless"])
    return time.process_time() - began


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=10_000)
    parser.add_argument("--adapted", type=int, default=2_000, help="learners that have adapted")
    parser.add_argument("--rounds", type=int, default=10, help="of which the fastest counts")
    parser.add_argument("--record", type=int, nargs=2, default=[8, 1000], help="episodes, steps")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fleet.json"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    table = Table("", "learners", "batch", "µs", "decisions/CPU s", "decisions/s", "bytes")
    for kind in KINDS:
        number = given.adapted if kind.endswith("adapted") else given.learners
        held = in_a_new_process(memory, kind, number)
        for batch in sorted({min(batch, number) for batch in (10, 100, 1000, number)}):
            rows.append({"kind": kind, **rate(kind, number, batch, given.rounds), "bytes": held})
            us, per_cpu, per_second = (rows[-1][name] for name in list(rows[-1])[3:6])
            table.add_row(
                *(kind, str(number), str(batch), f"{us:.1f}"),
                *(f"{per_cpu:,.0f}", f"{per_second:,.0f}", f"{held:,.0f}"),
            )
    Console().print(table)
    spent, slowest = calls(given.adapted), longest(*given.record)
    table = Table("", "µs of processor time for a learner")
    for name, us in spent.items():
        table.add_row(name, f"{us:.0f}")
    Console().print(table)
    print(f"adapt on {given.record[0]} episodes of {given.record[1]} steps: {slowest:.2f} s")
    written = {
        "machine": {**machine(threads=1), "load_average": os.getloadavg()[0]},
        "command": shlex.join(["python", "benchmarks/fleet.py", *sys.argv[1:]]),
        "decisions": rows,
        "calls_us": spent,
        "record": given.record,
        "adapt_on_a_full_record_s": slowest,
    }
    write_whole(given.out, json.dumps(written, indent=2) + "\n")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
