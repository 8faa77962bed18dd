"""Checks for optional dependencies of commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(extra: str, command: str, *libraries: str) -> Iterator[None]:
    """Name the extra to install if an import in the block fails for lack of one of its libraries.

    Args:
        extra: name of the extra in ``pyproject.toml``.
        command: name of the command that needs it, for the message.
        libraries: names under which the libraries of the extra are imported.

    Raises:
        ValueError: one line with the ``pip install`` to run.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in libraries:
            raise
        raise ValueError(
            f"{command} needs {missing}, which is not installed: pip install 'mermaide-pl[{extra}]'"
        ) from None
