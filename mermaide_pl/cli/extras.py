"""What commands need beyond the plain installation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_extra(extra: str, command: str, *libraries: str) -> Iterator[None]:
    """Name the extra to install where the imports within lack one of its libraries.

    Args:
        extra: of ``pyproject.toml``.
        command: what needs it, as it is told.
        libraries: of the extra, by the names under which they are imported.

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
