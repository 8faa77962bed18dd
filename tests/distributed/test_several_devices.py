"""Two processes, or two batches one after another, train as one process does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mermaide_pl.experiments.comparison_settings import load_comparison

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
METHODS = list(load_comparison(HERE.parents[1] / "conf" / "experiment" / "table.yaml").methods)
# devices, tasks of each in a batch, batches of an outer step; always 8 tasks together
WAYS = {"one": (1, 8, 1), "devices": (2, 4, 1), "batches": (1, 4, 2)}
TOLERANCES = {"64-true": 1e-9, "32-true": 1e-5}
METRICS = 1e-5  # computed in float32 whatever the precision of the weights


@pytest.fixture(scope="module", params=TOLERANCES)
def precision(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def trained(tmp_path_factory, precision) -> Path:
    """A folder with one of every way, and one of every method in each."""
    out = tmp_path_factory.mktemp("trained")
    for way, numbers in WAYS.items():
        command = [sys.executable, HERE / "train_methods.py", out / way, *map(str, numbers)]
        done = subprocess.run([*command, precision], capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr[-2000:]
    return out


def kept(trained: Path, way: str, method: str, rank: int = 0) -> dict[str, Any]:
    return torch.load(trained / way / method / f"rank{rank}.pt")


@pytest.mark.parametrize("method", METHODS)
def test_all_processes_hold_the_same(method, trained):
    first, second = (kept(trained, "devices", method, rank) for rank in (0, 1))
    torch.testing.assert_close(first, second, rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("way", ["devices", "batches"])
@pytest.mark.parametrize("method", METHODS)
def test_it_trains_as_one_process_does(method, way, trained, precision):
    expected, actual = kept(trained, "one", method), kept(trained, way, method)
    assert len(expected["train"]) == 24
    for part in ("weights", "optimizer"):  # inner rates are among the weights
        tolerance = TOLERANCES[precision]
        torch.testing.assert_close(actual[part], expected[part], rtol=0.0, atol=tolerance)
    for part in ("train", "val", "yardsticks"):
        torch.testing.assert_close(
            actual[part], expected[part], rtol=0.0, atol=METRICS, equal_nan=True
        )


def without_paths(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What of a checkpoint does not say where it lies."""
    callbacks = {
        name: {key: value for key, value in state.items() if key in ("best_model_score", "monitor")}
        for name, state in checkpoint["callbacks"].items()
    }
    return {**checkpoint, "callbacks": callbacks}


@pytest.mark.parametrize("file", ["best.ckpt", "last.ckpt"])
@pytest.mark.parametrize("method", METHODS)
def test_its_checkpoints_are_those_of_one_process(method, file, trained):
    expected, actual = (
        without_paths(torch.load(trained / way / method / file, weights_only=True))
        for way in ("one", "devices")
    )
    torch.testing.assert_close(plain(actual), plain(expected), rtol=0.0, atol=METRICS)


def plain(value: Any) -> Any:
    """Names and absent things by their texts' codes, which `assert_close` can compare."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str):
        return [ord(letter) for letter in str(value)]
    return value
