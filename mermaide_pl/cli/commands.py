"""The commands: each parses its arguments, and then imports what computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

LIGHTNINGS = ("fit", "validate", "test")
COMMANDS = (
    *LIGHTNINGS,
    *("evaluate", "adapt", "compare", "sweep", "figure", "report", "replay", "check-agent"),
    "init",
)
"""Names of the commands."""


def command(name: str) -> Callable[[Sequence[str]], Any]:
    """The function that runs a command.

    Raises:
        ValueError: one line with the names if there is no such command.
    """
    if name not in COMMANDS:
        raise ValueError(f"unknown command '{name}', allowed: {', '.join(COMMANDS)}")
    if name in LIGHTNINGS:
        return partial(import_module("mermaide_pl.cli.fit").run, name)
    return import_module(f"mermaide_pl.cli.{name.replace('-', '_')}").run
