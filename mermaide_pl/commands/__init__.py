"""The commands beside Lightning's own, one per file: each parses its arguments and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mermaide_pl.commands import adapt, compare, evaluate, figure

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "evaluate": evaluate.run,
    "adapt": adapt.run,
    "compare": compare.run,
    "figure": figure.run,
}
"""Name of each command to what runs it."""
