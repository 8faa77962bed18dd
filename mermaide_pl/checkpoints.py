"""Reading checkpoint files safely."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint without running code from it.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception:  # a damaged file can raise any: KeyError, for one, if it is a text
        raise ValueError(
            f"checkpoint {path} cannot be read: truncated, damaged, or not a checkpoint"
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"checkpoint {path} holds no principal")
    return checkpoint


def check_same_shape(saved: dict[str, Any], ours: dict[str, Any]) -> None:
    """Refuse a checkpoint whose weights are for another game or principal.

    Args:
        saved: specs of the checkpoint's game, architecture and adaptation, by name.
        ours: the same of the configuration.

    Raises:
        ValueError: naming the first difference.
    """
    for name in ("game", "architecture", "adaptation"):
        mine, theirs = (_shaping(name, spec.get(name, {})) for spec in (ours, saved))
        for key in mine:
            if mine[key] != theirs.get(key):
                raise ValueError(
                    f"the checkpoint has {key} = {theirs.get(key)},"
                    f" the configuration has {mine[key]}"
                )


def _shaping(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """What of a spec the weights depend on: neither the cost nor how noisy an observation is."""
    found = {name: spec.get("class_path")}
    for key, value in spec.get("init_args", {}).items():
        if key == "observation":
            value = value["class_path"]
        if key != "cost":
            found[f"{name}.{key}"] = value
    return found
