"""What all results in a folder have in common, so that a resumed run does not mix them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mermaide_pl.config.input_paths import checkpoint_path
from mermaide_pl.runtime.atomic_files import write_whole

SETTINGS = "settings.json"
"""Name of the file that holds them."""


def keep_settings(file: Path, settings: Mapping[str, Any], paths: Sequence[str]) -> None:
    """Write what all results of a folder have in common, and refuse a folder with other results.

    Args:
        file: `SETTINGS` in the folder.
        settings: by name, as JSON has them.
        paths: checkpoints of the trainings, in the order of their numbers; more may follow later.

    Raises:
        ValueError: one line that names the first difference.
    """
    ours = dict(settings)
    for number, path in enumerate(paths):
        content = checkpoint_path(path).read_bytes()
        ours[f"checkpoint of training {number}"] = hashlib.sha256(content).hexdigest()
    try:
        kept = dict(json.loads(file.read_bytes())) if file.is_file() else {}
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged: {error}") from None
    for name, value in ours.items():
        if kept.get(name, value) != value:
            raise ValueError(
                f"{file}: the results there are of another {name}: choose another --out, or move"
                f" {file.parent} elsewhere"
            )
    write_whole(file, json.dumps(kept | ours, indent=1) + "\n")
