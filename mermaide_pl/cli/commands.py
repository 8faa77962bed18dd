"""The commands: each parses its arguments and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from mermaide_pl.cli import (
    adapt,
    check_agent,
    compare,
    evaluate,
    figure,
    lightning,
    replay,
    report,
    sweep,
)

COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    **{name: partial(lightning.run, name) for name in lightning.SUBCOMMANDS},
    "evaluate": evaluate.run,
    "adapt": adapt.run,
    "compare": compare.run,
    "sweep": sweep.run,
    "figure": figure.run,
    "report": report.run,
    "replay": replay.run,
    "check-agent": check_agent.run,
}
"""Functions that run the commands, by the name of the command."""
