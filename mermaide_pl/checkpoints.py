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
