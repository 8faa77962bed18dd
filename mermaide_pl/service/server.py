"""`mermaide serve`: the service on a port, with one process or several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
from contextlib import ExitStack
from functools import partial
from threading import Thread

import uvicorn
from uvicorn.supervisors import Multiprocess

from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.runtime.checkpoints import read_checkpoint
from mermaide_pl.runtime.console import say
from mermaide_pl.service.address import check_address, check_workers
from mermaide_pl.service.api import application
from mermaide_pl.service.metrics import SHARED_FOLDER
from mermaide_pl.service.store import Store


def serve(
    principal: str, store: str, *, host: str, port: int, workers: int = 1, token: str | None = None
) -> None:
    """Answer requests until a signal ends it.

    Args:
        principal: a checkpoint, ``pretrained:NAME`` or NAME alone.
        store: URL of the database.
        host: address to bind to.
        port: 0 for any that is free.
        workers: processes.
        token: that requests must bear.

    Raises:
        ValueError: one line, for a wrong argument.
        OSError: if the port cannot be bound.
    """
    check_address(host, port, token)
    check_workers(workers)
    with ExitStack() as stack:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        bound = stack.enter_context(socket.create_server((host, port), family=family, backlog=2048))
        Store(store).close()  # refused here if it cannot be used
        module = load_principal(principal)
        if workers > 1:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mermaide_serve"))
            os.environ[SHARED_FOLDER] = folder
        config = uvicorn.Config(
            partial(
                application,
                partial(_load_in_worker, principal) if workers > 1 else lambda: module,
                store,
                token,
            ),
            factory=True,
            workers=workers,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=75,  # seconds, since learners may take their time
            timeout_graceful_shutdown=10,
            timeout_worker_healthcheck=120,  # importing torch may take long
        )
        shown = f"[{host}]" if ":" in host else host
        say(f"mermaide serves {principal} on http://{shown}:{bound.getsockname()[1]}")
        if workers > 1:
            Multiprocess(config, sockets=[bound]).run()
        else:
            uvicorn.Server(config).run(sockets=[bound])


def load_principal(path: str) -> MermaideModule:
    """The principal in a checkpoint."""
    return MermaideModule.from_checkpoint(read_checkpoint(path), path)


def _load_in_worker(path: str) -> MermaideModule:
    """The principal of a worker, which ends when the first process does."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=follow, daemon=True).start()
    return load_principal(path)
