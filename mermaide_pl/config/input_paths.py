"""Files that commands read: users', and those of the package by name. Nothing slow is imported."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mermaide_pl.config.validation import one_line

_PACKAGE = Path(__file__).parents[1]
_PREFIX = "pretrained:"
_EVENTS = "events.out.tfevents.*"
_PREFERRED = ("best.ckpt", "last.ckpt")


@dataclass(frozen=True)
class PackagedFiles:
    """The files of one kind that come with the package.

    Args:
        kind: what they are, for messages.
        folder: where they are, in the package.
        suffix: of their names.
        plural: what they are called together, for messages.
    """

    kind: str
    folder: Path
    suffix: str
    plural: str

    def names(self) -> list[str]:
        """Their names, without the suffix."""
        return sorted(path.stem for path in self.folder.glob(f"*{self.suffix}"))

    def path(self, given: str | Path, folder: str | Path = "") -> Path:
        """The file that is meant: a user's, or the package's if the user has none of that name.

        Args:
            given: a file, or a name.
            folder: folder to which relative paths refer.
        """
        file = Path(folder, given)
        is_name = str(given) in self.names() and not file.is_file()
        return self.folder / f"{given}{self.suffix}" if is_name else file

    def existing(self, given: str | Path, folder: str | Path = "") -> Path:
        """As `path`.

        Raises:
            ValueError: one line with the names of the package if there is no such file.
        """
        path = self.path(given, folder)
        if not path.is_file():
            raise ValueError(self.missing(given))
        return path

    def missing(self, given: str | Path) -> str:
        """A message about a file that does not exist."""
        return f"{self.kind} {given} does not exist ({self.plural}: {', '.join(self.names())})"


POPULATIONS = PackagedFiles(
    "population", _PACKAGE / "populations" / "data", ".yaml", "populations of the package"
)
CONFIGURATIONS = PackagedFiles(
    "configuration", _PACKAGE / "config" / "data", ".yaml", "configurations of the package"
)
COMPARISONS = PackagedFiles(
    "configuration",
    _PACKAGE / "config" / "data" / "experiment",
    ".yaml",
    "comparisons of the package",
)
PRINCIPALS = PackagedFiles(
    "checkpoint", _PACKAGE / "principals" / "pretrained", ".ckpt", "pretrained principals"
)
CHECKSUMS = "checkpoints.sha256"
"""List of the files that are in the archive of a release, in the folder where they belong."""
DEFAULT_PRINCIPAL = f"{_PREFIX}universal"
"""The principal of commands and live objects that name none; it plays every game."""


def checkpoint_path(path: str | Path) -> Path:
    """The file of a checkpoint, or of a pretrained principal of the package.

    The latter is named ``pretrained:NAME``, or NAME alone if no file has that name.

    Raises:
        ValueError: one line with the available names.
    """
    name = str(path).removeprefix(_PREFIX)
    if name == str(path):
        return Path(path) if Path(path).exists() else PRINCIPALS.path(path)
    if name not in PRINCIPALS.names():
        allowed = ", ".join(PRINCIPALS.names())
        raise ValueError(f"there is no pretrained principal '{name}', allowed: {allowed}")
    return PRINCIPALS.folder / f"{name}{PRINCIPALS.suffix}"


def existing_checkpoint(path: str | Path) -> Path:
    """As `checkpoint_path`.

    Raises:
        ValueError: one line with the available names if there is no such file.
    """
    found = checkpoint_path(path)
    if not found.is_file():
        remedy = how_to_fetch(found)
        raise ValueError(f"checkpoint {found} {remedy}" if remedy else PRINCIPALS.missing(found))
    return found


def how_to_fetch(path: str | Path) -> str:
    """How to fetch a file that is in the archive of a release; an empty text if none has it."""
    for folder in Path(path).parents:
        sums = folder / CHECKSUMS
        name = Path(path).relative_to(folder).as_posix()
        if sums.is_file() and f"  {name}\n" in sums.read_text(encoding="utf-8", errors="replace"):
            fetch = f"`mermaide download --url URL --out {folder}` fetches it"
            return f"is not here, but in the archive of a release: {fetch}"
    return ""


def existing_skipped_step(path: str | Path) -> Path:
    """The file of a skipped step.

    Raises:
        ValueError: one line if there is no such file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist; skipped steps are kept as skipped/stepN.pt")
    return Path(path)


def existing_history(path: str) -> Path:
    """The file of a recorded history.

    Raises:
        ValueError: one line if there is no such file.
    """
    if not os.path.exists(path):
        raise ValueError(one_line(f"history {path} cannot be read: No such file or directory"))
    return Path(path)


@dataclass(frozen=True)
class RunPaths:
    """Paths of the files of one run.

    Args:
        folder: folder of the run.
        checkpoint: the best checkpoint, else the last.
        events: event files of TensorBoard in the order of writing; may be empty.
    """

    folder: Path
    checkpoint: Path
    events: tuple[Path, ...]

    @classmethod
    def find(cls, logdir: str | Path) -> Self:
        """Find the one run in a folder and the folders below it.

        Raises:
            ValueError: if there is no run, or more than one.
        """
        if not Path(logdir).is_dir():
            raise ValueError(f"--logdir {logdir} is not a folder")
        checkpoints = sorted(Path(logdir).rglob("*.ckpt"))
        if not checkpoints:
            raise ValueError(f"--logdir {logdir} holds no checkpoint, a file NAME.ckpt")
        place = checkpoints[0].parent
        folder = place.parent if place.name == "checkpoints" else place
        found = {*Path(logdir).rglob(_EVENTS), *folder.glob(_EVENTS)}
        events = sorted(found, key=lambda path: path.name)  # names begin with the time
        for paths in (checkpoints, events):
            places = sorted({str(path.parent) for path in paths})
            if len(places) > 1:
                named = ", ".join(places)
                raise ValueError(f"--logdir {logdir} holds several runs, name one of: {named}")
        by_name = {path.name: path for path in checkpoints}
        latest = max(checkpoints, key=lambda path: path.stat().st_mtime)
        preferred = [by_name[name] for name in _PREFERRED if name in by_name]
        return cls(folder, [*preferred, latest][0], tuple(events))
