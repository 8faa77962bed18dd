"""Two processes, or two batches one after another, train as one process does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mermaide_pl.experiments.comparison.settings import load_comparison

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
METHODS = list(load_comparison(HERE.parents[1] / "conf" / "experiment" / "table.yaml").methods)
# devices, tasks of each in a batch, batches of an outer step; always 8 tasks together
WAYS = {"one": (1, 8, 1), "devices": (2, 4, 1), "batches": (1, 4, 2)}
TOLERANCES = {"64-true": 1e-9, "32-true": 1e-5}
# what float32 may change depends on how a method is trained, not on its inputs
TRAINED = {"64-true": METHODS, "32-true": ["mermaide_memory", "rl2"]}
METRICS = 1e-5  # computed in float32 whatever the precision of the weights


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Folder of what each way ends with; each trains all that is compared, in one launch."""
    out = tmp_path_factory.mktemp("trained")
    runs = [f"{name}:{precision}" for precision, names in TRAINED.items() for name in names]
    for way, numbers in WAYS.items():
        command = [HERE / "train_methods.py", out / way, *numbers, *runs]
        done = subprocess.run(
            [sys.executable, *map(str, command)], capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return out


def assert_close(actual: Any, expected: Any, tolerance: float, where: str) -> None:
    torch.testing.assert_close(
        actual,
        expected,
        rtol=0.0,
        atol=tolerance,
        equal_nan=True,
        msg=lambda text: f"{where}: {text}",
    )


@pytest.mark.parametrize(
    ("precision", "method"), [(each, name) for each in TRAINED for name in TRAINED[each]]
)
def test_two_devices_or_two_batches_train_as_one_process_does(precision, method, trained):
    run = f"{method}:{precision}"
    kept = {
        (way, rank): torch.load(trained / way / run / f"rank{rank}.pt")
        for way, (devices, _, _) in WAYS.items()
        for rank in range(devices)
    }
    assert_close(kept["devices", 1], kept["devices", 0], 0.0, "ranks")
    expected = kept["one", 0]
    assert len(expected["train"]) == 24
    for way in ("devices", "batches"):
        for part in expected:  # inner rates are among the weights
            is_exact = part in ("weights", "optimizer")
            tolerance = TOLERANCES[precision] if is_exact else METRICS
            assert_close(kept[way, 0][part], expected[part], tolerance, f"{way}, {part}")
    for file in ("best.ckpt", "last.ckpt"):
        one, two = (
            plain(without_paths(torch.load(trained / way / run / file, weights_only=True)))
            for way in ("one", "devices")
        )
        assert_close(two, one, METRICS, file)


def without_paths(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """What of a checkpoint does not say where it lies."""
    callbacks = {
        name: {key: value for key, value in state.items() if key in ("best_model_score", "monitor")}
        for name, state in checkpoint["callbacks"].items()
    }
    return {**checkpoint, "callbacks": callbacks}


def plain(value: Any) -> Any:
    """Names and absent things by their texts' codes, which `assert_close` can compare."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, str):
        return [ord(letter) for letter in str(value)]
    return value
