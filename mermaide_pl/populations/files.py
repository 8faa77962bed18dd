"""Populations in YAML files: reading a user's files and those that come with the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from inspect import isabstract, signature
from pathlib import Path
from typing import Any, TypeVar

from jsonargparse import ArgumentParser
from jsonargparse.typing import register_type

from mermaide_pl import agents
from mermaide_pl.agents.python_agent import import_named
from mermaide_pl.config.input_paths import POPULATIONS
from mermaide_pl.config.serialization import check_types, describe, import_path
from mermaide_pl.config.trusted_imports import explained, only_trusted, with_plain_key
from mermaide_pl.config.validation import printable, try_all
from mermaide_pl.config.yaml_files import PARSER_MODE, read_yaml
from mermaide_pl.populations.games import GameRanges
from mermaide_pl.populations.population import AgentFamily, Population, Rule

T = TypeVar("T")
_RULES: dict[str, type[agents.LearningRule]] = {
    name: rule
    for name, rule in vars(agents).items()
    if isinstance(rule, type) and issubclass(rule, agents.LearningRule) and is_dataclass(rule)
    if not isabstract(rule)
}
POPULATION_HINT = (
    f"; allowed: {', '.join(item.name for item in fields(Population))}; in a family:"
    f" {', '.join(signature(AgentFamily).parameters)}; in games:"
    f" {', '.join(item.name for item in fields(GameRanges))}"
)
"""The keys allowed in a population file, appended to error messages."""


def import_rule(path: Any) -> type[agents.LearningRule] | agents.RuleSource:
    """Load a learning rule by its name or its import path, or make a `RuleSource`.

    The latter has a ``class_path`` and ``init_args``. A population names the code that it needs, so
    modules outside this package are imported.

    Raises:
        ValueError: one line that says what is wrong with the path, and what is allowed.
    """
    if isinstance(path, dict):
        return _rule_source(path)
    allowed = f"allowed: {', '.join(_RULES)}, or the import path of your own rule"
    rule: Any = _RULES.get(path) if isinstance(path, str) else None
    if rule is None:
        try:
            rule = import_named("rule", str(path))
        except ValueError as error:
            raise ValueError(f"{error}; {allowed}") from None
    if not (isinstance(rule, type) and issubclass(rule, agents.LearningRule)):
        raise ValueError(f"a rule must be a LearningRule, {path} is not; {allowed}")
    return rule


def _rule_source(spec: dict[str, Any]) -> agents.RuleSource:
    given = spec.get("init_args", {})
    if not {"class_path"} <= {*spec} <= {"class_path", "init_args"} or not isinstance(given, dict):
        raise ValueError("a rule must be a name, or have class_path and init_args")
    made: Any = import_named("rule", str(spec["class_path"]))
    if not (isinstance(made, type) and issubclass(made, agents.RuleSource)):
        raise ValueError(f"a rule with init_args must be a RuleSource, {spec['class_path']} is not")
    try:
        signature(made).bind(**given)
        check_types(made, given)
    except TypeError as error:
        raise ValueError(f"{made.__name__}: {error}") from None
    return made(**given)


def _is_rule(value: Any, _: Any) -> bool:
    return isinstance(value, agents.RuleSource) or (
        isinstance(value, type) and issubclass(value, agents.LearningRule)
    )


def _spec_of(rule: Any) -> Any:
    return describe(rule) if isinstance(rule, agents.RuleSource) else import_path(rule)


register_type(Rule, _spec_of, import_rule, (), _is_rule)


def packaged(name: str) -> Population:
    """Load a population of the package by name.

    Raises:
        ValueError: one line with the available names.
    """
    if name not in POPULATIONS.names():
        raise ValueError(POPULATIONS.missing(name))
    return load_population(POPULATIONS.folder / f"{name}.yaml")


def load_population(path: str | Path) -> Population:
    """Read a population from YAML, or one of the package by its name (`PackagedFiles.path`).

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    file = POPULATIONS.existing(path)
    return load_from_yaml(Population, file, "population", hint=POPULATION_HINT)


def load_populations(paths: Sequence[str | Path]) -> dict[str, Population]:
    """Read populations (`load_population`) into a dict keyed by the names of their files.

    Raises:
        ValueError: one line that says what is wrong with each bad file.
    """
    named: dict[str, str | Path] = {}
    for path in paths:
        name = printable(Path(path).stem)
        if name in named:
            raise ValueError(f"two populations are named {name}, the second is {path}")
        named[name] = path
    loaded = try_all(*(partial(load_population, path) for path in named.values()))
    return dict(zip(named, loaded, strict=True))


def load_from_yaml(
    cls: type[T], path: str | Path, what: str, *, hint: str = "", packages: Sequence[str] = ()
) -> T:
    """Build an object from a YAML file whose keys are its constructor arguments.

    Args:
        cls: class of the object, a dataclass.
        path: the file.
        what: name of this kind of file in messages.
        hint: the allowed keys, appended to messages about others.
        packages: further packages whose classes the file may name.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    if not Path(path).is_file():
        raise ValueError(f"{what} {path} does not exist")
    read_yaml(path, what)
    parser = ArgumentParser(exit_on_error=False, parser_mode=PARSER_MODE)
    parser.add_class_arguments(cls)
    with only_trusted(packages):
        try:
            given = parser.parse_path(path)
        except Exception as error:
            reason = with_plain_key(explained(str(error)))
            raise ValueError(f"{what} {path}: {reason}{hint}") from None
        try:
            return cls(**parser.instantiate(given).as_dict())
        except (AttributeError, TypeError, ValueError) as error:  # where a value is no mapping
            raise ValueError(f"{what} {path}: {explained(str(error))}") from None
