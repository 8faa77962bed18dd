"""Answers of `mermaide serve` to many clients at once, each of which waits for its answers.

Each client steers a learner of its own: it asks for a level, reports an arm, and so on. The service
runs in a process of its own, over SQLite in a new file, or over the database of ``--store``.
Prints, and writes as JSON, answers a second and the times of an answer: median and 99th percentile;
and the number of requests that failed. All of them are durable when they are answered.

    python benchmarks/service.py --out benchmarks/results/service.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httptools
import numpy as np
from w1 import machine

from mermaide_pl.runtime.atomic_files import write_whole


class Client:
    """A connection that is kept open; as little work as possible, since it shares the machine.

    Args:
        host: of the service.
        port: of the service.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.times: list[float] = []  # s
        self.errors = 0

    async def connect(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def post(self, route: str, body: dict[str, Any]) -> None:
        """Send a request until it is answered; whatever is no answer is an error."""
        data = json.dumps(body).encode()
        head = (
            f"POST {route} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n"
        )
        began = time.perf_counter()
        while True:
            try:
                status = await self._exchange(head.encode() + data)
            except OSError:
                status = 0
                await self.connect()
            if status in (200, 201):
                self.times.append(time.perf_counter() - began)
                return
            self.errors += 1

    async def _exchange(self, sent: bytes) -> int:
        """The status of the answer."""
        self._writer.write(sent)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.is_whole:
            if not (received := await self._reader.read(65536)):
                raise ConnectionError
            parser.feed_data(received)
        return int(parser.get_status_code())

    async def play(self, name: str, until: float) -> None:
        """Steer a learner, from episode to episode, until a time."""
        draw, episode = np.random.default_rng(int(name.removeprefix("learner"))), 0
        route = f"/learners/{name}"
        while True:
            for step in range(200):
                if time.perf_counter() > until:
                    return
                await self.post(f"{route}/intervene", {"step": step, "episode": episode})
                arm = int(draw.integers(10))
                await self.post(f"{route}/observe", {"step": step, "episode": episode, "arm": arm})
            await self.post(f"{route}/end_episode", {"episode": episode})
            episode += 1


class _Answer:
    """What httptools parses of an answer."""

    def __init__(self) -> None:
        self.is_whole = False

    def on_message_complete(self) -> None:
        self.is_whole = True


async def load(port: int, number: int, warm_up: float, seconds: float) -> dict[str, Any]:
    """Play with many learners at once; what it took."""
    clients = [Client("127.0.0.1", port) for _ in range(number)]
    names = [f"learner{place}" for place in range(number)]
    for client in clients:
        await client.connect()
    new = [{"name": name, "target_arm": place % 10} for place, name in enumerate(names)]
    await asyncio.gather(*map(Client.post, clients, ["/learners"] * number, new))
    begin = time.perf_counter() + warm_up
    playing = [
        asyncio.create_task(client.play(name, begin + seconds))
        for name, client in zip(names, clients, strict=True)
    ]
    await asyncio.sleep(warm_up)
    for client in clients:
        client.times.clear()
    await asyncio.gather(*playing)
    times = np.concatenate([client.times for client in clients])
    return {
        "clients": number,
        "seconds": seconds,
        "answers": len(times),
        "answers_per_second": len(times) / seconds,
        "p50_ms": float(np.quantile(times, 0.5)) * 1e3,
        "p99_ms": float(np.quantile(times, 0.99)) * 1e3,
        "errors": sum(client.errors for client in clients),
    }


def served(given: argparse.Namespace, folder: str) -> dict[str, Any]:
    """What a service answers that is begun for it."""
    store = given.store or f"sqlite:///{folder}/fleet.db"
    command = [sys.executable, "-m", "mermaide_pl", "serve", "--principal", given.principal]
    command += ["--store", store, "--port", "0", "--workers", str(given.workers)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rsplit(":", 1)[1])
            return asyncio.run(load(port, given.clients, given.warm_up, given.seconds))
        finally:
            process.send_signal(signal.SIGTERM)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--principal", default="broad-partial")
    parser.add_argument("--store", help="URL of an empty database; a new file by default")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--warm_up", type=float, default=5.0, help="seconds before it counts")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/service.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = served(given, folder)
    print(
        f"{found['clients']} clients: {found['answers_per_second']:,.0f} answers/s, median"
        f" {found['p50_ms']:.1f} ms, 99% within {found['p99_ms']:.1f} ms, {found['errors']} errors"
    )
    written = {
        "machine": {**machine(threads=1), "load_average": os.getloadavg()[0]},
        "command": shlex.join(["python", "benchmarks/service.py", *sys.argv[1:]]),
        "store": (given.store or "sqlite").partition(":")[0],
        "workers": given.workers,
        **found,
    }
    write_whole(given.out, json.dumps(written, indent=2) + "\n")
    print(f"written: {given.out}")


if __name__ == "__main__":
    main()
