"""Folders and files that a command is asked to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def check_named(given: str | Path | None, option: str = "--out") -> None:
    """Refuse an empty name of a folder; the arguments are those of `make_folder`."""
    if given == "":
        raise ValueError(f"{option} is empty, it must be a folder")


def make_folder(out: Path, given: str | Path | None = None, option: str = "--out") -> None:
    """Make a folder for results.

    Args:
        out: the folder.
        given: as the user named it.
        option: by which the user named it.

    Raises:
        ValueError: if there can be no such folder.
    """
    check_named(given, option)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{option} {out} is a file, it must be a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{option} {out} cannot be written: {error.strerror}") from None


def make_place(out: Path, inputs: Sequence[str | Path] = (), option: str = "--out") -> None:
    """Make the folder of a file that will be written.

    Args:
        out: the file.
        inputs: files that it must not take the place of.
        option: by which the user named it.

    Raises:
        ValueError: if there can be no such file.
    """
    for path in map(Path, inputs):
        if out.exists() and path.exists() and out.samefile(path):
            raise ValueError(f"{option} {out} is an input itself, {path}: choose another file")
    if out.is_dir():
        raise ValueError(f"{option} {out} is a folder, it must be a file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{option} {out} cannot be written: {error}") from None
