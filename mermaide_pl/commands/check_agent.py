"""`mermaide check-agent`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mermaide_pl.agents import PythonAgent
from mermaide_pl.checks import check_count
from mermaide_pl.commands.parser import PlainParser
from mermaide_pl.conformance import conformance


def run(arguments: Sequence[str]) -> None:
    """Check that a learner of one's own can be an agent; exit code 1 if it cannot."""
    parser = PlainParser(
        prog="mermaide check-agent",
        description="Check a learner of your own: factory(n_arms, seed), with act() and learn().",
    )
    parser.add_argument("factory", type=str, help="its import path, such as my_module.MyLearner")
    parser.add_argument("--num_arms", type=int, default=10, help="arms to choose from")
    parser.add_argument(
        "--hyper_parameters", type=dict[str, float], default={}, help="such as '{epsilon: 0.1}'"
    )
    given = parser.parse_args(list(arguments))
    check_count("--num_arms", given.num_arms, low=2)
    agent = PythonAgent(given.factory)
    allowed = agent.hyper_parameters()
    for name in given.hyper_parameters:
        if allowed is not None and name not in allowed:
            raise ValueError(
                f"{given.factory} has no hyper-parameter '{name}',"
                f" allowed: {', '.join(allowed) or 'none'}"
            )
    table = Table("check", "", "what was seen", box=SIMPLE_HEAD, title=given.factory)
    failed, console = 0, Console()
    with console.status("playing"):
        for finding in conformance(agent, given.hyper_parameters, given.num_arms):
            verdict = "[green]ok[/green]" if finding.passed else "[red bold]FAILED[/red bold]"
            table.add_row(finding.check, verdict, escape(finding.seen))
            failed += not finding.passed
    console.print(table)
    if failed:
        sys.exit(1)
