"""Populations in YAML files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from inspect import signature
from pathlib import Path
from typing import TypeVar

import yaml
from jsonargparse import ArgumentParser

from mermaide_pl import agents
from mermaide_pl.checks import one_line
from mermaide_pl.tasks import AgentFamily, Population

T = TypeVar("T")
_RULES = [
    f"mermaide_pl.agents.{name}"
    for name, rule in vars(agents).items()
    if isinstance(rule, type) and issubclass(rule, agents.LearningRule) and is_dataclass(rule)
    if not rule.__abstractmethods__
]
POPULATION_HINT = (
    f"; allowed: {', '.join(item.name for item in fields(Population))}; in a family:"
    f" {', '.join(signature(AgentFamily).parameters)}; as a rule: {', '.join(_RULES)}"
)
"""What a population may be made of, for messages."""


def load_population(path: str | Path) -> Population:
    """Read a population from YAML.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    return load_from_yaml(Population, path, "population", hint=POPULATION_HINT)


def load_populations(paths: Sequence[str | Path]) -> dict[str, Population]:
    """Read populations from YAML files, by the names of the files.

    Raises:
        ValueError: one line that says what is wrong with which file.
    """
    populations: dict[str, Population] = {}
    for path in paths:
        name = Path(path).stem
        if name in populations:
            raise ValueError(f"two populations are named {name}, the second is {path}")
        populations[name] = load_population(path)
    return populations


def load_from_yaml(cls: type[T], path: str | Path, what: str, *, hint: str = "") -> T:
    """Build an object from a YAML file whose keys are its constructor arguments.

    Args:
        cls: its class, a dataclass.
        path: the file.
        what: what to call it in messages.
        hint: what is allowed, added to messages about what is not.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{what} {path} does not exist")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls)
    try:
        yaml.safe_load(Path(path).read_text())
        given = parser.parse_path(path)
    except yaml.YAMLError as error:
        raise ValueError(f"{what} {path} is not YAML: {one_line(error)}") from None
    except Exception as error:
        raise ValueError(f"{what} {path}: {one_line(error)}{hint}") from None
    try:
        return cls(**parser.instantiate(given).as_dict())
    except ValueError as error:
        raise ValueError(f"{what} {path}: {one_line(error)}") from None
