"""Completion of commands, options and names by the shell.

Bash and zsh ask for it after ``eval "$(register-python-argcomplete mermaide)"``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from typing import Any

import argcomplete
from argcomplete.completers import FilesCompleter

from mermaide_pl.cli.commands import COMMANDS, LIGHTNINGS, module_of
from mermaide_pl.cli.early_checks import SECTIONS
from mermaide_pl.config.input_paths import COMPARISONS, CONFIGURATIONS, POPULATIONS, PRINCIPALS
from mermaide_pl.config.signatures import arguments


def complete() -> None:
    """Answer the shell, and exit."""
    line = os.environ.get("COMP_LINE", "")
    argcomplete.autocomplete(parser(line), always_complete_options="long")


def parser(line: str) -> argparse.ArgumentParser:
    """A parser with all commands, and with the options of the one that the line is about."""
    whole = argparse.ArgumentParser(prog="mermaide")
    commands = whole.add_subparsers()
    words = line.split()
    for name in COMMANDS:
        options = commands.add_parser(name)
        if name in words[1:2]:
            for names, settings in _options(name):
                add = options.add_argument(*names, **settings)
                key = add.dest.rpartition(".")[2]
                if key in ("config", "population", "ckpt_path", "init_from") or key.endswith(
                    "_population"
                ):
                    add.completer = _named(name, key)  # type: ignore[attr-defined]
    return whole


def _options(command: str) -> Iterable[tuple[list[str], dict[str, Any]]]:
    """Names and settings of the options of a command."""
    if command not in LIGHTNINGS:
        for action in module_of(command).parser()._actions:
            if isinstance(action, argparse._HelpAction):
                continue
            if action.nargs == 0:
                yield list(action.option_strings), {"action": "store_true"}
            else:
                names = action.option_strings or [action.dest]
                yield list(names), {"nargs": action.nargs, "choices": action.choices}
        return
    names = ["--config", "--ckpt_path", "--seed_everything"]
    for section, cls in SECTIONS.items():
        for name, of in (arguments(cls) or {}).items():
            inner = (of and arguments(of)) or {}
            names += [f"--{section}.{name}", *(f"--{section}.{name}.{each}" for each in inner)]
    yield from (([name], {}) for name in names)


def _named(command: str, key: str) -> Callable[..., list[str]]:
    """The names of the package that an option takes; files are completed by the shell besides."""
    if key == "config":
        files = COMPARISONS if command == "compare" else CONFIGURATIONS
        names = files.names()
    elif key.endswith("population"):
        names = POPULATIONS.names()
    else:
        names = [f"pretrained:{name}" for name in PRINCIPALS.names()]

    def found(prefix: str, **_: Any) -> list[str]:
        return [*names, *FilesCompleter()(prefix)]

    return found
