"""YAML reader for configurations: plain data only, without values that silently change type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from mermaide_pl.config.serialization import MOVED, current_path
from mermaide_pl.config.validation import one_line

PARSER_MODE = "mermaide_yaml"
"""Parser mode of jsonargparse in which files are read with `load_yaml`."""
_NO_SIGN = re.compile(r"[\0\ud800-\udfff]")
_OPTION = r"(--[\w.]+=)?"
_FILE_NAME = re.compile(rf"{_OPTION}(\w+(?:\.\w+)*\.ya?ml)")
_MOVED_CLASS = re.compile(rf"{_OPTION}(mermaide_pl\.(?:{'|'.join(MOVED)})\.[\w.]+)")


def read_yaml(path: str | Path, what: str) -> Any:
    """Read the content of a YAML file.

    Args:
        path: the file.
        what: name of this kind of file in messages.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    try:
        return load_yaml(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{what} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} {path} is not YAML: must be UTF-8, {error.reason}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a null character in the path
        raise ValueError(f"{what} {path} is not YAML: {one_line(error)}") from None


def load_yaml(text: str) -> Any:
    """Parse YAML, with numbers as jsonargparse reads them and class names of this version.

    Raises:
        yaml.YAMLError: also if a key is repeated or not a string, or if a value contains itself.
    """
    try:
        _check(yaml.compose(text, Loader=yaml.SafeLoader), set())
        return current_names(get_loader("yaml")(text))
    except RecursionError:
        raise yaml.YAMLError("a value contains itself, or is nested too deeply") from None
    except (ValueError, OverflowError) as error:  # from Python, for an invalid number
        raise yaml.YAMLError(one_line(error)) from None


set_loader(PARSER_MODE, load_yaml, (yaml.YAMLError,))


def _check(node: yaml.Node | None, seen: set[int]) -> None:
    """Refuse keys and strings that jsonargparse would read as something else."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode) and (sign := _NO_SIGN.search(node.value)):
        what = "the null character" if sign[0] == "\0" else "bytes that are not UTF-8"
        raise yaml.YAMLError(f"{_place(node)}: a string must not contain {what}")
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check(item, seen)
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            if not key.tag.endswith((":str", ":merge")):
                allowed = "a key must be a string, in quotes if it looks like another type"
                raise yaml.YAMLError(f"{_place(key)}: {allowed}")
            if key.value.startswith("__"):  # jsonargparse reserves such keys for itself
                raise yaml.YAMLError(
                    f"{_place(key)}: the key {key.value!r} must not begin with '__'"
                )
            if key.value in keys:
                raise yaml.YAMLError(f"{_place(key)}: the key {key.value!r} is given twice")
            keys.add(key.value)
            _check(value, seen)


def _place(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"


def current_names(value: Any) -> Any:
    """Replace file names and class names of a configuration by unambiguous, present ones.

    ``name.yaml`` becomes ``./name.yaml``, which would otherwise be tried as a module first, and a
    class path of an earlier version of the package becomes the present public name, as does its
    ``model.kernel``.
    """
    if isinstance(value, dict):
        model = value.get("model")
        if isinstance(model, dict) and "kernel" in model:  # the engine by its earlier name
            engine = {"engine": model["kernel"]}
            others = {key: item for key, item in model.items() if key != "kernel"}
            value = {**value, "model": engine | others}
        return {key: current_names(item) for key, item in value.items()}
    if isinstance(value, list):
        return [current_names(item) for item in value]
    if isinstance(value, str) and (found := _FILE_NAME.fullmatch(value)):
        return f"{found[1] or ''}./{found[2]}"
    if isinstance(value, str) and (found := _MOVED_CLASS.fullmatch(value)):
        return f"{found[1] or ''}{current_path(found[2])}"
    return value
