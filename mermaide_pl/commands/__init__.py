"""The commands beside Lightning's own, one per file: each parses its arguments and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mermaide_pl.commands import compare, evaluate, figure, report

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "evaluate": evaluate.run,
    "compare": compare.run,
    "figure": figure.run,
    "report": report.run,
}
"""Name of each command to what runs it."""
