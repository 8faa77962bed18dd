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
        one_line(message),
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
    message = re.sub(r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1", message)
    return re.sub(
        r"Does not validate against any of the Union subtypes Subtypes: \[(.*?)\] Errors: - (.*?)"
        r" Given value type: \w+ Given value:",
        lambda found: f"must be one of {found[1]}{_reason(found[2])}, got",
        message,
    )


def _reason(errors: str) -> str:
    """The informative part of a jsonargparse union error, in parentheses; else an empty string."""
    told = [error for error in errors.split(" - ") if not error.startswith("Expected a")]
    return f" ({'; '.join(told)})" if told else ""


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
