"""Argument parser shared by all commands, which reports a mistake in one line."""

from __future__ import annotations

import os
import re
import sys
import time
from typing import Any, NoReturn

from jsonargparse import ArgumentParser

from mermaide_pl.config.validation import MistakesError, one_line

_PATIENCE = 3.0  # seconds
_KINDS: dict[Any, str] = {
    int: "a whole number",
    int | None: "a whole number",
    float: "a number",
    float | None: "a number",
    bool | None: "true or false",
    dict[str, float]: "names with numbers, such as '{epsilon: 0.1}'",
}
# messages of jsonargparse and argparse
_WRONG_VALUE = re.compile(
    r"Parser key \"(?P<key>[\w.]+)\".*(?:Got|Given) value: (?P<value>.*)"
    r"|argument (?P<option>[\w.-]+): invalid choice: (?P<choice>.*) \(choose from",
    re.DOTALL,
)
_NO_VALUE = re.compile(r"argument (?P<option>--[\w.]+): expected (?:one|at least one) argument")
_QUOTES = "'\""


class PlainParser(ArgumentParser):
    """A parser that reports each mistake in one line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._allowed: dict[str, str] = {}
        super().__init__(*args, allow_abbrev=False, **options)

    def add_argument(self, *names: Any, allowed: str = "", **options: Any) -> Any:
        """Add an argument as argparse does.

        Args:
            names: names of the option.
            allowed: description of the allowed values, for messages; by default the type.
            options: further arguments of argparse.
        """
        words = _KINDS.get(options.get("type"), "a text")
        if "choices" in options:
            words = f"one of {', '.join(options['choices'])}"
        self._allowed[names[0]] = allowed or words
        return super().add_argument(*names, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the mistake and the allowed values, and exit with code 2."""
        if found := _WRONG_VALUE.search(message):
            key, value = found["key"] or found["option"], found["value"] or found["choice"] or ""
            name = key if key in self._allowed else f"--{key}"
            message = f"{name} must be {self._allowed[name]}, got {value.strip(_QUOTES)!r:.60}"
        elif found := _NO_VALUE.search(message):
            message = f"{found['option']} needs a value, {self._allowed[found['option']]}"
        else:
            message += f"; `{self.prog} --help` lists all options"
        sys.exit(fail(message))


def is_first_process() -> bool:
    """False in all processes of a run but its first, as Lightning counts them."""
    lightnings = sys.modules.get("lightning_fabric.utilities.rank_zero")
    if lightnings is not None:
        return not getattr(lightnings.rank_zero_only, "rank", 0)
    given = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID"))
    return next((rank for rank in given if rank), "0") == "0"


def fail(message: object) -> int:
    """Print an error on one line, or the lines of `MistakesError`, and return the exit code.

    A mistake that all processes of a run make is printed once: process zero prints first, and the
    others end when it has ended.
    """
    if not is_first_process():
        time.sleep(_PATIENCE)
    shown = str(message) if isinstance(message, MistakesError) else one_line(message)
    print(f"mermaide: error: {shown}", file=sys.stderr)
    return 2
