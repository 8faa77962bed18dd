"""What all commands share: a parser that reports a mistake in one line."""

from __future__ import annotations

import sys
from typing import NoReturn

from jsonargparse import ArgumentParser

from mermaide_pl.checks import one_line


class PlainParser(ArgumentParser):
    """A parser whose mistakes are one line each."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what is wrong, and leave with exit code 2."""
        sys.exit(fail(f"{message}; `{self.prog} --help` lists all options"))


def fail(message: object) -> int:
    """Print an error, and return the exit code."""
    print(f"mermaide: error: {one_line(message)}", file=sys.stderr)
    return 2
