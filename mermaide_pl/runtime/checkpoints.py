"""Reading and writing checkpoint files safely."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from mermaide_pl.config.input_paths import existing_checkpoint
from mermaide_pl.config.serialization import current_paths
from mermaide_pl.config.validation import one_line
from mermaide_pl.runtime.atomic_files import write_whole

CHECKPOINT_KEY = "mermaide_pl"
"""Key of the module's settings in a checkpoint."""
_ARCHITECTURE = "mermaide_pl.principals.Architecture"
_UNIVERSAL = "mermaide_pl.principals.UniversalArchitecture"
_POPULATION = "mermaide_pl.populations.Population"
_HISTORIES = ("mermaide_pl.principals.CountFeatures", "mermaide_pl.principals.LastStep")
_IS_FOLDER = 0x10  # attribute in a ZIP archive; torch.load leaves such a part uninitialised
_OF_TORCH = ("state_dict", "optimizer_states", "lr_schedulers", "loops")
_FREE = ("cost", "max_interventions", "endless", "other_bonuses", "target_budget", "other_budget")
"""Numbers of a game, on which the shapes of the weights do not depend."""
_RECURRENT = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "initial_state")
_RENAMED = {
    f"{prefix}{name}": f"{prefix}recurrence.{name}"
    for prefix in ("", "principal.")
    for name in _RECURRENT
}
"""Weight names of earlier versions, in which the recurrence was not a separate module."""


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint, or a pretrained one (`checkpoint_path`), without running code from it.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    path = existing_checkpoint(path)
    try:
        return _read(path, map_location)
    except ValueError as error:
        raise ValueError(f"{error}{_readable_beside(path)}") from None


def _read(path: Path, map_location: Any = "cpu") -> dict[str, Any]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch.load does not verify the checksums
                # a file marked as a folder would be read as empty
                folders = any(entry.external_attr & _IS_FOLDER for entry in archive.infolist())
                if folders or archive.testzip() is not None:
                    raise zipfile.BadZipFile
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception:  # damaged files raise all kinds, e.g. KeyError for a text
        raise ValueError(
            f"checkpoint {path} cannot be read: truncated, damaged, or not a checkpoint"
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"checkpoint {path} holds no principal")
    checkpoint["state_dict"] = upgraded_weights(checkpoint["state_dict"])
    try:
        checkpoint |= {
            key: upgraded(part) for key, part in checkpoint.items() if key not in _OF_TORCH
        }
    except RecursionError:
        raise ValueError(
            f"checkpoint {path} cannot be read: its settings nest too deeply"
        ) from None
    return checkpoint


def upgraded_weights(weights: Any) -> Any:
    """Rename the weights of earlier versions to their present names.

    Args:
        weights: a state dict of the module or principal, as read from a file, so of any type.
    """
    if not isinstance(weights, dict):
        return weights
    return {_RENAMED.get(name, name): weight for name, weight in weights.items()}


def upgraded(settings: Any) -> Any:
    """Convert settings of an earlier version to the present ones, with the same meaning.

    Classes get their public names. The recurrence was always a `GRU`, the critic as large as the
    policy; a game had neither a budget nor an unknown end and paid the target alone, and a
    population left the game open, but for its number of arms, which it repeated. Histories were
    measured in plain reward units, which equals the present unit, the largest bonus, where that is
    1; otherwise a principal continues to play in the units that it was trained in.

    Args:
        settings: specs by name, including that of the game.
    """
    settings = current_paths(settings)
    gru = {"class_path": "mermaide_pl.principals.GRU", "init_args": {}}
    added: dict[Any, dict[str, Any]] = {
        _ARCHITECTURE: {"recurrence": gru, "critic_size": None},
        "mermaide_pl.game.Game": {
            **{"max_interventions": None, "endless": False},
            **{"other_bonuses": None, "target_budget": None, "other_budget": None},
        },
        "mermaide_pl.populations.Interval": {"log": False},
        _POPULATION: {"games": None},
    }
    try:
        plain = max(settings["game"]["init_args"]["bonuses"]) == 1.0
    except (KeyError, TypeError, ValueError):  # not settings of a principal
        pass
    else:
        added |= {name: {"reward_unit": None if plain else 1.0} for name in _HISTORIES}

    def with_arguments(spec: Any) -> Any:
        if isinstance(spec, list):
            return [with_arguments(item) for item in spec]
        if not isinstance(spec, dict):
            return spec
        found = {name: with_arguments(item) for name, item in spec.items()}
        path, given = found.get("class_path"), found.get("init_args")
        if isinstance(path, str) and isinstance(given, dict):
            found["init_args"] = added.get(path, {}) | given
            if path == _POPULATION:
                found["init_args"]["num_arms"] = None
        return found

    return with_arguments(settings)


def _readable_beside(path: Path) -> str:
    """Name the latest readable checkpoint in the folder of a damaged one, for messages."""
    others = [other for other in path.parent.glob("*.ckpt") if other != path and other.is_file()]
    for other in sorted(others, key=lambda file: file.stat().st_mtime, reverse=True):
        with suppress(ValueError):
            _read(other)
            return f"; the latest one beside it that can be read is {other}"
    return ""


def write_checkpoint(checkpoint: dict[str, Any], path: str | Path) -> None:
    """Write a checkpoint atomically, see `write_whole`.

    Raises:
        ValueError: one line that says why it cannot be written.
    """
    content = io.BytesIO()  # PyTorch does not say why it cannot write to a file
    try:
        torch.save(checkpoint, content)
    except RuntimeError as error:
        raise ValueError(f"{path} cannot be written: {one_line(error)}") from None
    write_whole(path, content.getbuffer())


def canonical(value: Any) -> Any:
    """Plain data in which equal texts are one object, and no two lists or dicts are.

    Pickle writes an object once, and refers to it afterwards; so the bytes of equal checkpoints
    also depend on which of their parts are the same object, which differs between processes.

    Args:
        value: dicts and lists of texts, numbers and tensors.
    """
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {canonical(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(canonical, value))
    return value


def check_same_shape(saved: dict[str, Any], ours: dict[str, Any]) -> None:
    """Refuse a checkpoint whose weights are for another game or principal.

    Args:
        saved: specs of the checkpoint's game, architecture and adaptation, by name.
        ours: the same of the configuration.

    Raises:
        ValueError: naming the first difference.
    """
    shaping = ["game", "architecture", "adaptation"]
    if plays_any_game(saved) and plays_any_game(ours):
        shaping.remove("game")
    for name in shaping:
        mine, theirs = (_shaping(name, spec.get(name, {})) for spec in (ours, saved))
        for key in mine:
            if mine[key] != theirs.get(key):
                raise ValueError(
                    f"the checkpoint has {key} = {theirs.get(key)},"
                    f" the configuration has {mine[key]}"
                )


def _shaping(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Settings that determine the shapes of the weights.

    Only the number of the bonuses, that of the budgets whose rest is told, and the class of the
    observation count, and neither the cost, the budgets themselves nor whether the end is known.
    """
    found = {name: spec.get("class_path")}
    if name == "game":
        given = spec.get("init_args", {})
        budget = (given.get("target_budget") or {}).get("init_args", {})
        pays_others = given.get("other_bonuses") is not None
        found["game.number of budgets told"] = (
            2 if pays_others else int(budget.get("at_least", 0) > 0)
        )
    for key, value in spec.get("init_args", {}).items():
        if key == "observation":
            value = value["class_path"]
        if key == "bonuses":
            key, value = "number of bonuses", len(value)
        if key not in _FREE:
            found[f"{name}.{key}"] = value
    return found


def plays_any_game(settings: Mapping[str, Any]) -> bool:
    """True if the weights of the principal fit games of every size.

    Args:
        settings: specs by name, including that of the architecture.
    """
    spec = settings.get("architecture")
    return isinstance(spec, dict) and spec.get("class_path") == _UNIVERSAL


def prices_differ(saved: Mapping[str, Any], ours: Mapping[str, Any]) -> str | None:
    """Describe the difference between the bonuses and cost of training and those of a new game.

    Args:
        saved: specs of the checkpoint, including its game.
        ours: specs of the configuration, including the game that the principal is to play.

    Returns:
        A clause for a message, or None if bonuses and cost are the same.
    """
    theirs, mine = (
        {name: spec["game"]["init_args"].get(name) for name in ("bonuses", "other_bonuses", "cost")}
        for spec in (saved, ours)
    )
    if theirs == mine or plays_any_game(saved):
        return None
    then, now = (
        f"bonuses {each['bonuses']}"
        + (f" and {each['other_bonuses']} on others" if each["other_bonuses"] else "")
        + f" at cost {each['cost']}"
        for each in (theirs, mine)
    )
    said = f"was trained for {then}, the game has {now}"
    history = saved.get("architecture", {}).get("init_args", {}).get("history", {})
    if history.get("init_args", {}).get("reward_unit") is not None:
        return f"{said}, which it measures in the units that it was trained in"
    return (
        f"{said}: it is as good only if this is the same game in other units, the agents' rewards"
        " and their own scales included"
    )
