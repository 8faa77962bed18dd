"""Modules whose classes a configuration may name; naming a class imports and runs its module."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from jsonargparse import set_parsing_settings
from jsonargparse._common import parsing_settings

from mermaide_pl.config.serialization import name_callable
from mermaide_pl.config.validation import one_line

_PACKAGES = ("mermaide_pl", "torch.optim", "pytorch_lightning", "lightning_fabric", "lightning")
_imported: dict[str, None] = {}  # in order


def import_on_purpose(module: str) -> None:
    """Import a module, and allow files, also checkpoints, to name its classes from now on.

    Raises:
        ValueError: one line that says why it cannot be imported.
    """
    try:
        content = vars(importlib.import_module(module))
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        raise ValueError(
            f"--import {module}: no such module can be imported (they are looked for in the current"
            f" folder and on the Python path): {type(error).__name__}: {one_line(error)}"
        ) from None
    _imported[module] = None
    for value in content.values():
        if callable(value) and getattr(value, "__module__", None) == module:
            name_callable(value)


def imported_modules() -> list[str]:
    """The modules that were imported on purpose, in order."""
    return list(_imported)


def imports() -> list[str]:
    """The ``--import`` options of this command line, to pass on to further processes."""
    return [f"--import={module}" for module in _imported]


def explained(message: str) -> str:
    """Shorten a message of jsonargparse, and reword it where it is about the name of a class."""
    message = re.sub(
        r"Importing '([\w.]+?)\.?(\w+)' is not allowed, denied by[^.]*\. Add the import[^.]*\.",
        r"'\1.\2' is not part of mermaide_pl; if you trust its code, allow it: --import \1",
        one_line(_shortened(message)),
    )
    message = re.sub(
        r"'\w+' object has no attribute '(keys|items)'",
        "init_args must map names to values",
        message,
    )
    message = re.sub(
        r"functools\.partial.*must be a mapping, not (\w+)",
        r"must map names to values, not a \1",
        message,
    ).replace("NoneType", "null")
    return re.sub(r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1", message)


def with_plain_key(message: str) -> str:
    """A message of jsonargparse about a key, begun with the key alone."""
    return re.sub(r"^Parser key \"([\w.]+)\":\s*", r"\1: ", message)


_UNION = re.compile(
    r"Does not validate against any of the Union subtypes\n"
    r"(?P<indent> *)Subtypes: \[(?P<allowed>.*)\]\n(?P=indent)Errors:\n(?P<errors>.*?)\n"
    r"(?P=indent)Given value type: [^\n]*\n(?P=indent)Given value: (?P<value>[^\n]*)",
    re.DOTALL,
)
_UNTOLD = re.compile(
    r"Expected a|Not a valid subclass|Subclasses are disabled|.* got an unexpected keyword argument"
)


def _shortened(message: str) -> str:
    """What jsonargparse says of a type with alternatives, without the alternatives not meant."""
    return _UNION.sub(_reason, message)


def _reason(union: re.Match[str]) -> str:
    """What is wrong with the alternative that was meant, or all alternatives if none was."""
    errors = re.split(rf"^{union['indent']}  - ", union["errors"], flags=re.MULTILINE)[1:]
    told = [_shortened(error).strip() for error in errors if not _UNTOLD.match(error)]
    told = [re.sub(r"Problem with given class_path '[^']*':\s*", "", error) for error in told]
    told = [with_plain_key(error) for error in told]
    allowed = re.sub(r"(?:\w+\.)+(\w+)", r"\1", union["allowed"])
    if not told:
        return f"must be one of {allowed}, got {union['value']}"
    is_innermost = not _UNION.search(union["errors"])
    return "; ".join(told) + (_of(union["value"]) if is_innermost else "")


def _of(value: str) -> str:
    """The values that an object was to be built from, in parentheses, to tell which one it is."""
    content = value.removeprefix("Namespace(")
    if content == value or "(" in content:
        return ""
    pairs = re.findall(r"(\w+)=(.*?)(?=, \w+=|\)$)", content)
    given = ", ".join(f"{name}: {each}" for name, each in pairs if each != "None")
    return f" (in {given})"


@contextmanager
def only_trusted(named: Iterable[str] = ()) -> Iterator[None]:
    """Restrict parsing to classes of this package, Lightning, torch.optim and imported modules.

    A module that is not allowed is not imported either. jsonargparse keeps its policy for the whole
    process, and only ever adds to it: it is restored at the end, since it belongs to the caller.

    Args:
        named: import paths of further classes that the user names on purpose.
    """
    before = dict(parsing_settings)
    packages = {name.partition(".")[0] for name in (*named, *_imported)}  # where it is defined
    try:
        set_parsing_settings(
            instantiate_subclass_spec_in_any=False,
            import_path_denylist=["*"],
            import_path_allowlist=[*_PACKAGES, *sorted(packages - sys.stdlib_module_names)],
        )
        yield
    finally:
        parsing_settings.update(before)
