"""Checks of the files that a command reads, before it imports what computes.

Importing torch and Lightning takes seconds; a name mistyped in a file is found in a fraction of
one. Whatever passes here is checked again where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from mermaide_pl.config.input_paths import (
    COMPARISONS,
    CONFIGURATIONS,
    POPULATIONS,
    PackagedFiles,
    existing_checkpoint,
)
from mermaide_pl.config.signatures import unknown_key
from mermaide_pl.config.validation import try_all
from mermaide_pl.config.yaml_files import read_yaml

SECTIONS = {
    "model": "mermaide_pl.meta_learning.module.MermaideModule",
    "data": "mermaide_pl.meta_learning.datamodule.TaskDataModule",
    "trainer": "pytorch_lightning.Trainer",
}
"""Parts of a configuration of `mermaide fit`, and the classes whose arguments they give."""
_BESIDE = ("seed_everything", "ckpt_path", "weights_only", "verbose", "optimizer", "lr_scheduler")
_FILE = re.compile(r".*\.ya?ml|(?!null$)[\w-]+")  # or a name, not the import path of a class
_OF_LIGHTNING = ("best", "last", "hpc", "registry")  # checkpoints by their role


def check_population(path: str) -> None:
    """Refuse a population that does not exist, or whose file has an unknown key."""
    _check_keys("mermaide_pl.populations.Population", POPULATIONS, path)


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
    for option, value in given_options(arguments):
        if option in ("-c", "--config"):
            content = read_yaml(value, "configuration")
            if problem := _in_configuration(content):
                raise ValueError(f"configuration {value}: {problem}")
            _check_named_files(content)
            continue
        name, *parts = option.removeprefix("--").split(".")
        if not option.startswith("--") or (parts and name not in SECTIONS):
            continue
        content = value
        for part in reversed(parts):
            content = {part: content}
        if parts and (problem := unknown_key(SECTIONS[name], content, name)):
            raise ValueError(f"{option}: {problem}; `mermaide {command} --help` lists all options")
        _check_named_files({name: content})


def _in_configuration(content: Any) -> str | None:
    """What is wrong with the keys of a configuration of `mermaide fit`, if anything."""
    if not isinstance(content, dict):
        return None
    allowed = (*SECTIONS, *_BESIDE)
    for name, part in content.items():
        if name not in allowed:
            return f"there is no '{name}', allowed: {', '.join(allowed)}"
        if name in SECTIONS and (problem := unknown_key(SECTIONS[name], part, name)):
            return problem
    return None


def _check_named_files(content: Any) -> None:
    """Refuse populations and checkpoints of a configuration that do not exist."""
    if not isinstance(content, dict):
        return
    if isinstance(path := content.get("ckpt_path"), str) and path not in _OF_LIGHTNING:
        existing_checkpoint(path)
    model, data = content.get("model"), content.get("data")
    if isinstance(model, dict) and isinstance(path := model.get("init_from"), str):
        existing_checkpoint(path)
    for key, value in data.items() if isinstance(data, dict) else ():
        if key.endswith("_population") and isinstance(value, str) and _FILE.fullmatch(value):
            try:
                check_population(value)
            except ValueError as error:
                raise ValueError(f"data.{key}: {error}") from None


def given_options(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Options and their values, given as ``--a b`` or ``--a=b``."""
    words = [
        part for word in arguments for part in (word.split("=", 1) if word[:2] == "--" else [word])
    ]
    return [(word, after) for word, after in pairwise(words) if word.startswith("-")]


def _check_keys(cls: str, files: PackagedFiles, path: str) -> None:
    content = read_yaml(files.existing(path), files.kind)
    if problem := unknown_key(cls, content):
        raise ValueError(f"{files.kind} {path}: {problem}")
