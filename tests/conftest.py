import multiprocessing
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
