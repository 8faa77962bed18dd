"""Checks of the files that a command reads, before it imports what computes.

Importing torch and Lightning takes seconds; a name mistyped in a file is found in a fraction of
one. Whatever passes here is checked again where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from mermaide_pl.config.input_paths import (
    COMPARISONS,
    CONFIGURATIONS,
    POPULATIONS,
    PackagedFiles,
    existing_checkpoint,
)
from mermaide_pl.config.signatures import keys_and_values, unknown_key
from mermaide_pl.config.validation import try_all
from mermaide_pl.config.yaml_files import read_yaml

SECTIONS = {
    "model": "mermaide_pl.meta_learning.module.MermaideModule",
    "data": "mermaide_pl.meta_learning.datamodule.TaskDataModule",
    "trainer": "pytorch_lightning.Trainer",
}
"""Parts of a configuration of `mermaide fit`, and the classes whose arguments they give."""
_BESIDE = ("seed_everything", "ckpt_path", "weights_only", "verbose")
_OPTIONS = (*_BESIDE, "config", "print_config", "help")
_POPULATION = re.compile(r"data\.\w+_population")
_FILE = re.compile(r".*\.ya?ml|(?!null$)[\w-]+")  # or a name, not the import path of a class
_HERE = Path()
ROLES = ("best", "last", "hpc", "registry")
"""Checkpoints that Lightning knows by their role."""


def check_population(path: str, folder: Path = _HERE) -> None:
    """Refuse a population that does not exist, or whose file has an unknown key.

    Args:
        path: a file, or a name of the package.
        folder: folder to which relative paths refer.
    """
    _check_keys("mermaide_pl.populations.Population", POPULATIONS, path, folder)


def check_comparison(path: str) -> None:
    """Refuse a comparison that does not exist, or whose file has an unknown key."""
    _check_keys("mermaide_pl.experiments.comparison.settings.Comparison", COMPARISONS, path)


def check_sweep(path: str) -> None:
    """Refuse a sweep that does not exist, or whose file has an unknown key."""
    _check_keys("mermaide_pl.sweeps.settings.Sweep", CONFIGURATIONS, path)


def check_inputs(
    *others: Callable[[], Any], ckpt_path: str | None = None, populations: Iterable[str] = ()
) -> None:
    """Check the inputs of a command, and say all that is wrong in one line.

    Args:
        others: further checks, which come first.
        ckpt_path: a checkpoint.
        populations: files, or names of the package.

    Raises:
        ValueError: one line.
    """
    checkpoints = [] if ckpt_path is None else [partial(existing_checkpoint, ckpt_path)]
    try_all(*others, *checkpoints, *(partial(check_population, each) for each in populations))


def check_training(command: str, arguments: Sequence[str]) -> None:
    """Check the files and options of `mermaide fit`, `validate` and `test`.

    Raises:
        ValueError: one line.
    """
    if not arguments:
        raise ValueError(f"{command} needs a configuration: mermaide {command} --config quickstart")
    for option, value in given_options(arguments):
        if option in ("-c", "--config"):
            content = read_yaml(CONFIGURATIONS.existing(value), "configuration")
            if problem := _unknown(content, _BESIDE):
                raise ValueError(f"configuration {value}: {problem}")
            _check_named_files(content, Path(value).parent)
        elif option.startswith("--"):
            key = re.sub(r"^game(?=\.|$)", "model.game", option.removeprefix("--"))
            if problem := _unknown({key: value}, _OPTIONS):
                raise ValueError(
                    f"{option}: {problem}; `mermaide {command} --help` lists all options"
                )
            if value != "null":
                _check_named_files({key: value})


def _unknown(content: Any, beside: Sequence[str]) -> str | None:
    """What is wrong with the keys of a configuration of `mermaide fit`, if anything.

    Args:
        content: the configuration.
        beside: keys allowed beside `SECTIONS`.
    """
    allowed = (*SECTIONS, *beside)
    for name, part in keys_and_values(content) if isinstance(content, dict) else ():
        if name not in allowed:
            return f"there is no '{name}', allowed: {', '.join(allowed)}"
        if name in SECTIONS and (problem := unknown_key(SECTIONS[name], part, name)):
            return problem
    return None


def _check_named_files(content: Any, folder: Path = _HERE) -> None:
    """Refuse populations and checkpoints of a configuration that do not exist.

    Args:
        content: the configuration.
        folder: where it is, to which the paths of its populations refer.
    """
    for key, value in _texts(content):
        if key in ("ckpt_path", "model.init_from") and value not in ROLES:
            existing_checkpoint(value)
        if _POPULATION.fullmatch(key) and _FILE.fullmatch(value):
            try:
                check_population(value, folder)
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None


def _texts(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """The texts of a configuration, by their dotted keys."""
    if isinstance(content, str):
        yield place, content
    for name, value in keys_and_values(content) if isinstance(content, dict) else ():
        yield from _texts(value, f"{place}.{name}".removeprefix("."))


def given_options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Options and their values, given as ``--a b`` or ``--a=b``."""
    found = []
    for word, after in pairwise([*arguments, ""]):
        option, sign, value = word.partition("=")
        if word.startswith("-"):
            found.append((option, value if sign else after))
    return found


def _check_keys(cls: str, files: PackagedFiles, path: str, folder: Path = _HERE) -> None:
    content = read_yaml(files.existing(path, folder), files.kind)
    if problem := unknown_key(cls, content):
        raise ValueError(f"{files.kind} {path}: {problem}")
