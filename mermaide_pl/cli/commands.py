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
    *("fit-learner", "serve", "export", "init", "pack", "download"),
)
"""Names of the commands."""


def module_of(name: str) -> Any:
    """The module of a command."""
    module = "fit" if name in LIGHTNINGS else name.replace("-", "_")
    return import_module(f"mermaide_pl.cli.{module}")


def command(name: str) -> Callable[[Sequence[str]], Any]:
    """The function that runs a command.

    Raises:
        ValueError: one line with the names if there is no such command.
    """
    if name not in COMMANDS:
        raise ValueError(f"unknown command '{name}', allowed: {', '.join(COMMANDS)}")
    run = module_of(name).run
    return partial(run, name) if name in LIGHTNINGS else run
