"""YAML as configurations are read: plain data, and nothing that is silently something else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from mermaide_pl.config.validation import one_line

PARSER_MODE = "mermaide_yaml"
"""Mode of a jsonargparse parser that reads with `load_yaml`."""
_NO_SIGN = re.compile(r"[\0\ud800-\udfff]")
_MOST_NODES, _MOST_LEVELS = 100_000, 50
_FILE_NAME = re.compile(r"(--[\w.]+=)?(\w+(?:\.\w+)*\.ya?ml)")


def read_yaml(path: str | Path, what: str) -> Any:
    """What a YAML file holds.

    Args:
        path: the file.
        what: what to call it in messages.

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
    """What a YAML text holds, with numbers as jsonargparse reads them.

    Raises:
        yaml.YAMLError: also if a key stands twice or is no text, if anything holds itself, or for
            more than 100,000 values or 50 levels, references counted as often as they are used.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _num_nodes(node, {}, ())
        return file_names(get_loader("yaml")(text))
    except RecursionError:
        raise yaml.YAMLError(f"it is nested more than {_MOST_LEVELS} levels deep") from None
    except (ValueError, OverflowError) as error:  # of Python, where a number is none
        raise yaml.YAMLError(one_line(error)) from None


set_loader(PARSER_MODE, load_yaml, (yaml.YAMLError,))


def _num_nodes(node: yaml.Node, known: dict[int, int], within: tuple[int, ...]) -> int:
    """How many values there are, and whether they are allowed."""
    place = f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
    if id(node) in within:
        raise yaml.YAMLError(f"{place}: it holds itself")
    if len(within) > _MOST_LEVELS:
        raise yaml.YAMLError(f"{place}: it is nested more than {_MOST_LEVELS} levels deep")
    if id(node) in known:
        return known[id(node)]
    if isinstance(node, yaml.ScalarNode) and (sign := _NO_SIGN.search(node.value)):
        what = "the null character" if sign[0] == "\0" else "bytes that are no UTF-8"
        raise yaml.YAMLError(f"{place}: a text must not hold {what}")
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            at = f"line {key.start_mark.line + 1}, column {key.start_mark.column + 1}"
            if not key.tag.endswith((":str", ":merge")):
                raise yaml.YAMLError(f"{at}: a key must be a text, in quotes if it looks otherwise")
            if key.value.startswith("__"):  # jsonargparse takes them for its own
                raise yaml.YAMLError(f"{at}: the key {key.value!r} must not begin with '__'")
            if key.value in keys:
                raise yaml.YAMLError(f"{at}: the key {key.value!r} stands there twice")
            keys.add(key.value)
            children.append(value)
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    total = 1 + sum(_num_nodes(child, known, (*within, id(node))) for child in children)
    if total > _MOST_NODES:
        raise yaml.YAMLError(f"{place}: it holds more than {_MOST_NODES} values")
    known[id(node)] = total
    return total


def file_names(value: Any) -> Any:
    """The same, with ``name.yaml`` as ``./name.yaml``: else it is tried as a module first."""
    if isinstance(value, dict):
        return {key: file_names(item) for key, item in value.items()}
    if isinstance(value, list):
        return [file_names(item) for item in value]
    if isinstance(value, str) and (found := _FILE_NAME.fullmatch(value)):
        return f"{found[1] or ''}./{found[2]}"
    return value
