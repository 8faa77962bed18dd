import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from mermaide_pl.runtime.checkpoints import CHECKPOINT_KEY
from mermaide_pl.runtime.run_folders import occupied

torch.set_num_threads(1)  # small operations run faster so, and rounding does not depend on cores


@pytest.fixture
def used_by_another() -> Callable[[Path], AbstractContextManager[None]]:
    """Context in which a process of its own has a folder."""

    @contextmanager
    def used(folder: Path) -> Iterator[None]:
        context = multiprocessing.get_context("fork")
        begun, over = context.Event(), context.Event()

        def hold() -> None:
            with occupied(folder):
                begun.set()
                over.wait(60)

        process = context.Process(target=hold)
        process.start()
        assert begun.wait(60)
        try:
            yield
        finally:
            over.set()
            process.join()

    return used


@pytest.fixture
def without_slot() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Makes a checkpoint one of the versions without recurrences, budgets, and endless games."""

    def earlier(checkpoint: dict[str, Any]) -> dict[str, Any]:
        old = deepcopy(checkpoint)
        holders = [old] + ([old["live"]] if "live" in old else [])
        for holder, name in zip(holders, ("state_dict", "weights"), strict=False):
            holder[name] = {
                key.replace("recurrence.", ""): weight for key, weight in holder[name].items()
            }
        for name in ("recurrence", "critic_size"):
            del old[CHECKPOINT_KEY]["architecture"]["init_args"][name]
        for name in ("max_interventions", "endless"):
            del old[CHECKPOINT_KEY]["game"]["init_args"][name]
        if "live" in old:
            del old["live"]["past"]["interventions"], old["live"]["running"]
        return old

    return earlier


@pytest.fixture(scope="session")
def _postgresql_server() -> Iterator[Path]:
    """The folder of the socket of a PostgreSQL server, which runs as an ordinary user."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2:])
    if not programs:
        if os.environ.get("CI"):
            pytest.fail("CI needs PostgreSQL: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed")
    is_root = os.geteuid() == 0
    user = {"user": "postgres"} if is_root else {}  # it refuses to be started by root
    folder = Path(tempfile.mkdtemp(prefix="postgresql"))
    if is_root:
        shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [programs[-1] / program, "-D", folder / "data", *arguments]
        with (folder / "output.txt").open("a") as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd=folder, **user)

    (folder / "output.txt").touch()
    try:
        run("initdb", "--auth=trust", "--username=tests")
        run("pg_ctl", "start", "-w", "-t", "120", "-o", f"-k {folder} -h '' -c fsync=off")
        yield folder
        run("pg_ctl", "stop", "-m", "immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def served(tmp_path) -> Callable[[str], AbstractContextManager[tuple[subprocess.Popen[str], str]]]:
    """Context in which `mermaide serve` runs with the token "secret": its process and address."""

    @contextmanager
    def serve(principal: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
        command = [sys.executable, "-m", "mermaide_pl", "serve", "--principal", principal]
        command += ["--store", f"sqlite:///{tmp_path / 'fleet.db'}", "--port", "0"]
        environment = os.environ | {"MERMAIDE_TOKEN": "secret", "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tmp_path
        ) as process:
            try:
                said = process.stdout.readline()
                yield process, re.search(f"serves {principal} on (http://.*:[0-9]+)", said)[1]
            finally:
                process.send_signal(signal.SIGTERM)

    return serve


@pytest.fixture
def postgresql(_postgresql_server) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    import psycopg

    server = f"host={_postgresql_server} user=tests"
    with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS tests WITH (FORCE)")
        connection.execute("CREATE DATABASE tests")
    yield f"postgresql+psycopg://tests@/tests?host={_postgresql_server}"
