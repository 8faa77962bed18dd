"""Settings of a run as rows of text, for people to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Setting = int | float | str


def setting_rows(spec: Mapping[str, Any]) -> dict[str, Setting]:
    """Flatten a spec to one level of dotted names; an object is represented by its class name.

    ``{"game": {"class_path": "mermaide_pl.game.Game", "init_args": {"cost": 0.5}}}`` becomes
    ``{"game": "Game", "game.cost": 0.5}``.

    Args:
        spec: specs by name, as `mermaide_pl.config.serialization.describe` returns them.

    Returns:
        Dotted name to number or text, in the order of the spec; a list is one text, and so are
        truth values, which TensorBoard would show as 1.0000.
    """
    rows: dict[str, Setting] = {}
    for name, value in spec.items():
        if isinstance(value, Mapping):
            inner = value.get("init_args", value)
            if "class_path" in value:
                rows[name] = _class_name(value["class_path"])
            if set(value) == {"type"}:
                rows[name] = _class_name(value["type"])
            else:
                rows |= {f"{name}.{key}": item for key, item in setting_rows(inner).items()}
        elif isinstance(value, list):
            rows[name] = ", ".join(str(_ordered(item)) for item in value)
        else:
            rows[name] = _in_words(value)
    return rows


def _ordered(spec: Any) -> Any:
    """The same spec with its names in alphabetical order, which a parser does not keep."""
    if isinstance(spec, Mapping):
        return {name: _ordered(spec[name]) for name in sorted(spec)}
    return [_ordered(item) for item in spec] if isinstance(spec, list) else spec


def _in_words(value: bool | float | str | None) -> Setting:
    if value is None:
        return "none"
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _class_name(path: str) -> str:
    return path.rpartition(".")[2]
