import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import uvicorn
from fastapi.testclient import TestClient

from mermaide_pl import LivePrincipal, MermaideModule
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import GradientAdaptation
from mermaide_pl.principals import UniversalArchitecture
from mermaide_pl.service.api import application
from mermaide_pl.service.server import load_principal


@pytest.fixture(scope="session")
def principal(tmp_path_factory) -> Path:
    """A checkpoint of a small principal with strong preferences, which plays any game."""
    torch.manual_seed(3)
    adaptation = GradientAdaptation(inner_lr=0.5, carries_state=True)
    module = MermaideModule(
        Game(4, 6), UniversalArchitecture(6, 5, 5, 4), adaptation, engine="torch"
    )
    for weight in module.principal.parameters():
        weight.data += 0.7 * torch.randn_like(weight)
    path = tmp_path_factory.mktemp("principal") / "universal.ckpt"
    LivePrincipal(module).save(path)
    return path


Serving = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def serving(principal, tmp_path) -> Serving:
    """Context in which the service answers, in this process."""

    @contextmanager
    def serve(store: str | None = None, **options: Any) -> Iterator[TestClient]:
        url = store or f"sqlite:///{tmp_path / 'fleet.db'}"
        app = application(lambda: load_principal(str(principal)), url, **options)
        with TestClient(app, base_url="http://localhost") as client:
            yield client

    return serve


@pytest.fixture
def on_a_port(serving) -> Callable[..., AbstractContextManager[str]]:
    """Context in which the service answers on a port, in this process; its address."""

    @contextmanager
    def serve(**options: Any) -> Iterator[str]:
        with serving(**options) as client, socket.create_server(("127.0.0.1", 0)) as bound:
            config = uvicorn.Config(client.app, lifespan="off", log_level="warning")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, args=([bound],))
            thread.start()
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
            server.should_exit = True
            thread.join()

    return serve
