import multiprocessing
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

import httpx
import pytest
from http_learners import GAMES, NUM_STEPS, log_of, play_episode

from mermaide_pl.cli.main import main
from mermaide_pl.service import address, server

NUM_KILLS = 5  # over each database


def refused(command: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "example.org"])
def test_without_a_token_it_is_not_reached_from_elsewhere(host, capsys, monkeypatch):
    monkeypatch.delenv(address.TOKEN, raising=False)
    command = ["serve", "--principal", "broad-partial", "--host", host]
    assert re.search("set a bearer token in MERMAIDE_TOKEN", refused(command, capsys))
    address.check_address(host, 8000, "secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_this_machine_no_token_is_needed(host):
    address.check_address(host, 8000, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--principal nobody", "nobody"),
        ("--principal broad-partial --store nonsense", "must be the URL of a database"),
        ("--principal broad-partial --store sqlite://", "name a file"),
        ("--principal broad-partial --store mysql://a", "must be sqlite or postgresql"),
        ("--principal broad-partial --store sqlite:////no/such/folder/a.db", "unable to open"),
        (
            "--principal broad-partial --store postgresql+psycopg://a:secret@127.0.0.1:1/a",
            r"a:\*\*\*@127.0.0.1:1/a cannot be used: .*refused",
        ),
        ("--principal broad-partial --workers 0", "--workers must be"),
        ("--principal broad-partial --port x", "--port must be a whole number, got 'x'"),
        ("--principal broad-partial --port 70000", "port"),
    ],
)
def test_a_mistake_is_one_line(options, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "--port" not in options:
        options += " --port 0"
    line = refused(["serve", *options.split()], capsys)
    assert re.search(words, line) and "secret" not in line, line


def test_without_its_libraries_it_says_how_to_install_them(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "mermaide_pl.service.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    line = refused(["serve", "--principal", "broad-partial"], capsys)
    assert line.endswith("needs uvicorn, which is not installed: pip install 'mermaide-pl[serve]'")


def test_a_port_that_is_taken_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(["serve", "--principal", "broad-partial", "--port", port], capsys)
    assert "in use" in line


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return bound.getsockname()[1]


def wait_until_it_answers(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the service does not answer")


def ask_until_answered(client: httpx.Client, name: str, route: str, body: dict) -> dict:
    """Repeat a request until it is answered."""
    for _ in range(3000):
        try:
            answer = client.post(f"/learners/{name}/{route}", json=body)
        except httpx.TransportError:
            time.sleep(0.02)
            continue
        assert answer.status_code == 200, answer.text
        return answer.json()
    raise AssertionError("no answer")


@contextmanager
def lives(principal, store: str, port: int, workers: int = 1):
    """Begins a life of the service, in a process that has imported what it needs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mermaide_pl.service.server"])
    processes = []

    def begin() -> multiprocessing.Process:
        given = {"host": "127.0.0.1", "port": port, "workers": workers}
        process = context.Process(target=server.serve, args=(str(principal), store), kwargs=given)
        process.start()
        processes.append(process)
        return process

    try:
        yield begin
    finally:
        for process in processes:
            process.kill()
            process.join()


@pytest.mark.slow
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_killed_at_any_moment_it_loses_nothing_and_goes_on(
    database, principal, serving, tmp_path, request
):
    """SIGKILL at random moments, while learners repeat whatever was not answered."""
    store = f"sqlite:///{tmp_path / 'killed.db'}"
    if database == "postgresql":
        store = request.getfixturevalue("postgresql")
    port, over, draw = free_port(), threading.Event(), random.Random(0)
    answered = {name: [] for name in GAMES}
    failures = []

    def play(name: str) -> None:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                ask = partial(ask_until_answered, client)
                while not over.is_set():
                    answered[name].append(play_episode(ask, name, len(answered[name])))
        except BaseException as error:
            failures.append(error)
            raise

    with lives(principal, store, port) as begin:
        process = begin()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            wait_until_it_answers(client)
            for name, settings in GAMES.items():
                assert client.post("/learners", json={"name": name, **settings}).is_success
            players = [threading.Thread(target=play, args=(name,)) for name in GAMES]
            for player in players:
                player.start()
            for number in range(NUM_KILLS):  # each at another phase of what the learners do
                time.sleep(0.6 * (number + draw.random()) / NUM_KILLS)
                os.kill(process.pid, signal.SIGKILL)
                process.join()
                process = begin()
                wait_until_it_answers(client)
            over.set()
            for player in players:
                player.join()
            assert not failures
            killed = {name: log_of(client, name) for name in GAMES}
    assert sum(map(len, killed.values())) > NUM_KILLS
    with serving() as client:
        for name, settings in GAMES.items():
            client.post("/learners", json={"name": name, **settings})
            ask = partial(ask_until_answered, client)
            expected = [play_episode(ask, name, episode) for episode in range(len(answered[name]))]
            assert answered[name] == expected
            assert killed[name] == log_of(client, name)


@pytest.mark.slow
def test_workers_over_one_postgresql_decide_as_one(principal, postgresql, serving):
    """Every request on a connection of its own, so that any worker answers it."""
    port, num_episodes = free_port(), 2
    played, answers = {}, set()

    def play(name: str) -> None:
        def ask(*given):
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                return ask_until_answered(client, *given)

        played[name] = [play_episode(ask, name, episode) for episode in range(num_episodes)]

    command = [sys.executable, "-m", "mermaide_pl", "serve", "--principal", str(principal)]
    command += ["--store", postgresql, "--port", str(port), "--workers", "3"]
    with subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                wait_until_it_answers(client)
                time.sleep(5)  # for all workers
                for name, settings in GAMES.items():
                    assert client.post("/learners", json={"name": name, **settings}).is_success
                players = [threading.Thread(target=play, args=(name,)) for name in GAMES]
                for player in players:
                    player.start()
                for player in players:
                    player.join()
                logs = {name: log_of(client, name) for name in GAMES}
                text = client.get("/metrics").text
                children = subprocess.run(
                    ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True
                )
                answers.update(children.stdout.split())
        finally:
            process.send_signal(signal.SIGTERM)
    assert len(answers) >= 3
    total = len(GAMES) * num_episodes * NUM_STEPS
    counts = re.findall(r"^mermaide_steps_total\{.*?\} (\S+)$", text, re.M)
    assert sum(map(float, counts)) == total  # of all workers together
    with serving() as client:
        for name, settings in GAMES.items():
            client.post("/learners", json={"name": name, **settings})
            ask = partial(ask_until_answered, client)
            expected = [play_episode(ask, name, episode) for episode in range(num_episodes)]
            assert played[name] == expected
            assert logs[name] == log_of(client, name)


@pytest.mark.slow
def test_a_name_that_no_learner_can_have_stops_no_other(serving, postgresql):
    with serving(postgresql) as client:
        client.post("/learners", json={"name": "plain"})
        for method, route in (("GET", ""), ("GET", "/history"), ("POST", "/intervene")):
            body = {"step": 0} if method == "POST" else None
            answer = client.request(method, f"/learners/a%00b{route}", json=body)
            assert answer.status_code == 404 and "no learner" in answer.json()["detail"]
        assert client.get("/learners?after=%00").json()[0]["name"] == "plain"


@pytest.mark.slow
def test_the_command_serves_and_ends_by_a_signal(served):
    with (
        served("broad-partial") as (process, place),
        httpx.Client(base_url=place, timeout=60) as client,
    ):
        wait_until_it_answers(client)
        assert client.get("/learners").status_code == 401
        client.headers["Authorization"] = "Bearer secret"
        assert client.post("/learners", json={"name": "ann"}).status_code == 201
        level = client.post("/learners/ann/intervene", json={"step": 0}).json()["level"]
        assert level in (0, 1)
    assert process.returncode in (-signal.SIGTERM, 0, 128 + signal.SIGTERM)
