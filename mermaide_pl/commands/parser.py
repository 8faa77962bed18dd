"""What all commands share: a parser that reports a mistake in one line."""

from __future__ import annotations

import sys
import time
from typing import NoReturn

from jsonargparse import ArgumentParser
from lightning_fabric.utilities.rank_zero import rank_zero_only

from mermaide_pl.checks import one_line

_PATIENCE = 3.0  # seconds


class PlainParser(ArgumentParser):
    """A parser whose mistakes are one line each."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong, and leave with exit code 2."""
        sys.exit(fail(f"{message}; `{self.prog} --help` lists all options"))


def fail(message: object) -> int:
    """Print an error, and return the exit code.

    A mistake that all processes of a run make is printed once: process zero is the first to speak,
    and when it has ended so do the others.
    """
    if getattr(rank_zero_only, "rank", 0):
        time.sleep(_PATIENCE)
    print(f"mermaide: error: {one_line(message)}", file=sys.stderr)
    return 2
