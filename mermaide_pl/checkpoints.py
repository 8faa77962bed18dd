"""Reading and writing checkpoint files safely."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

PRETRAINED = Path(__file__).parent / "pretrained"
_PREFIX = "pretrained:"


def pretrained_names() -> list[str]:
    """Names of the principals that come with the package."""
    return sorted(path.stem for path in PRETRAINED.glob("*.ckpt"))


def checkpoint_path(path: str | Path) -> Path:
    """The file of a checkpoint, or of a principal of the package named ``pretrained:NAME``.

    Raises:
        ValueError: one line with the names there are.
    """
    if not str(path).startswith(_PREFIX):
        return Path(path)
    name = str(path).removeprefix(_PREFIX)
    if name not in pretrained_names():
        raise ValueError(
            f"there is no pretrained principal '{name}', allowed: {', '.join(pretrained_names())}"
        )
    return PRETRAINED / f"{name}.ckpt"


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint, or ``pretrained:NAME``, without running code from it.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    path = checkpoint_path(path)
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


def write_checkpoint(path: str | Path, checkpoint: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all.

    Raises:
        ValueError: one line that says why it cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, it must be a file")
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(checkpoint, file)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ValueError(f"{path} cannot be written: {error}") from None


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
