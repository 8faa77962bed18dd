import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

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
