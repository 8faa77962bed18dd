"""Configured objects as plain data and back, so that checkpoints hold no code.

A *spec* has the form of a YAML configuration: ``{class_path, init_args}`` with numbers, strings,
lists and dicts inside. Classes of this package are recorded by public name, as the subpackage that
exports them gives it. No file of the package is named, so that classes can move between files.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from operator import attrgetter
from types import UnionType
from typing import Any, get_origin, get_type_hints

_TRUSTED = ("mermaide_pl.", "torch.optim.")
MOVED = {
    "adaptation": "meta_learning",
    "advantages": "objectives",
    "meta_step": "meta_learning",
    "tasks": "populations",
    "figures": "reporting",
    "principal": "principals",
}
"""Module names of earlier versions, mapped to the present ones."""
RENAMED = {"Tallies": "CountFeatures"}
"""Present names of the classes of earlier versions."""


_NAMED: dict[str, Callable[..., Any]] = {}


def name_callable(value: Callable[..., Any]) -> None:
    """Allow specs to refer to a function or class that the user has named on purpose.

    A dataclass whose fields hold such callables lists the fields in its class variable `callables`.
    """
    try:  # a partial or an instance has the name of its class, which it is not
        found = attrgetter(value.__qualname__)(sys.modules[value.__module__])
    except (AttributeError, KeyError):
        return
    if found is value:
        _NAMED[import_path(value)] = value


def describe(value: Any) -> Any:
    """Convert a dataclass instance, and everything inside it, to a spec.

    Raises:
        TypeError: if something inside is neither plain data nor a dataclass.
    """
    if value is None:
        return None
    for plain in (bool, int, float, str):
        if isinstance(value, plain):
            return plain(value)  # a numpy number too, which could not be read again
    if isinstance(value, type):
        return {"type": import_path(value)}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if is_dataclass(value):
        callables = getattr(value, "callables", ())
        init_args = {
            name: {"callable": import_path(item)} if name in callables else describe(item)
            for name, item in ((item.name, getattr(value, item.name)) for item in fields(value))
        }
        return {"class_path": import_path(type(value)), "init_args": init_args}
    raise TypeError(
        f"{import_path(type(value))} cannot be saved in a checkpoint: make it a dataclass"
    )


def rebuild(spec: Any) -> Any:
    """Build the object that a spec of `describe` stands for.

    Raises:
        ValueError: if it names anything but a dataclass or, where a type is expected, a class; or
            one outside the package whose module nobody has imported: a checkpoint must not choose
            which code runs.
    """
    if isinstance(spec, list):
        return [rebuild(item) for item in spec]
    if not isinstance(spec, dict):
        return spec
    if set(spec) == {"type"}:
        return _resolve(str(spec["type"]))
    if set(spec) == {"class_path", "init_args"}:
        path = str(spec["class_path"])
        cls = _resolve(path)
        if not hasattr(cls, "__dataclass_fields__"):
            raise ValueError(f"'{path}' is no configurable object: not a dataclass")
        if not isinstance(spec["init_args"], dict):
            raise ValueError(f"init_args of '{path}' do not map names to values")
        callables, known = getattr(cls, "callables", ()), {item.name for item in fields(cls)}
        for name in spec["init_args"]:
            if name not in known:  # an `InitVar` too: it may name code, which no field does
                raise ValueError(f"'{path}' has no field '{name}'")
        arguments = {
            name: _recall(item) if name in callables else rebuild(item)
            for name, item in spec["init_args"].items()
        }
        check_types(cls, arguments)
        return cls(**arguments)
    return {name: rebuild(item) for name, item in spec.items()}


def check_types(made: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuse arguments whose type is not the annotated one, where that is a plain class.

    Raises:
        ValueError: naming the first such argument.
    """
    try:
        hints = get_type_hints(made)
    except (NameError, TypeError):  # of a user's class, with names known to type checkers only
        return
    for name, value in arguments.items():
        hint = get_origin(hints.get(name)) or hints.get(name, object)
        allowed = {float: (float, int), tuple: (tuple, list)}.get(hint, hint)
        is_class = isinstance(hint, type) and hint is not type and not issubclass(hint, UnionType)
        if is_class and not isinstance(value, allowed):
            raise ValueError(f"{name} must be a {hint.__name__}, got {value!r:.60}")


def _recall(spec: Any) -> Callable[..., Any]:
    path = str(spec.get("callable")) if isinstance(spec, dict) else str(spec)
    if path not in _NAMED:
        raise ValueError(
            f"it needs {path}, which is not part of mermaide_pl: load a population that names it"
            f" first (--population) or its module (--import {path.rpartition('.')[0]}), because a"
            " checkpoint must not choose which code runs"
        )
    return _NAMED[path]


def import_path(named: Any) -> str:
    """The import path of a class or function, by its public name: ``mermaide_pl.game.Game``."""
    name = getattr(named, "__qualname__", type(named).__qualname__)
    module = str(getattr(named, "__module__", ""))
    public = ".".join(module.split(".")[:2])
    if module.startswith("mermaide_pl.") and getattr(sys.modules[public], name, None) is named:
        return f"{public}.{name}"
    return f"{module}.{name}"


def current_path(path: str) -> str:
    """The present public name of the object that an earlier version had at `path`."""
    package, _, rest = path.partition(".")
    if package != "mermaide_pl" or "." not in rest:
        return path
    module, name = rest.partition(".")[0], rest.rpartition(".")[2]
    return f"{package}.{MOVED.get(module, module)}.{RENAMED.get(name, name)}"


def current_paths(spec: Any) -> Any:
    """Replace the class names of earlier versions in a spec, or in data that contains specs."""
    if isinstance(spec, list):
        return [current_paths(item) for item in spec]
    if not isinstance(spec, dict):
        return spec
    return {
        key: current_path(value)
        if key in ("class_path", "type") and isinstance(value, str)
        else current_paths(value)
        for key, value in spec.items()
    }


def _resolve(path: str) -> Any:
    module, _, name = current_path(path).rpartition(".")
    if not path.startswith(_TRUSTED) and module not in sys.modules:
        raise ValueError(
            f"'{path}' is not part of mermaide_pl: import {module} before loading"
            f" (--import {module})"
        )
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ValueError(f"'{path}' does not exist in this version of mermaide_pl") from None
    if not isinstance(cls, type):
        raise ValueError(f"'{path}' is not a class")
    return cls
