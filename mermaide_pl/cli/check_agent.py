"""`mermaide check-agent`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.validation import check_count, check_number
from mermaide_pl.runtime.console import console


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide check-agent",
        description="Check a learner of your own: factory(n_arms, seed), with act() and learn().",
    )
    parser.add_argument("factory", type=str, help="its import path, such as my_module.MyLearner")
    parser.add_argument("--num_arms", type=int, default=10, help="arms to choose from")
    parser.add_argument(
        "--hyper_parameters", type=dict[str, float], default={}, help="such as '{epsilon: 0.1}'"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Check that a user's learner can be an agent; exit code 1 if it cannot."""
    given = parser().parse_args(list(arguments))
    check_count("--num_arms", given.num_arms, low=2)
    from mermaide_pl.agents import PythonAgent
    from mermaide_pl.agents.conformance import conformance

    agent = PythonAgent(given.factory)
    allowed = agent.hyper_parameters()
    for name, value in given.hyper_parameters.items():
        check_number(f"--hyper_parameters {name}", value)
        if allowed is not None and name not in allowed:
            raise ValueError(
                f"{given.factory} has no hyper-parameter '{name}',"
                f" allowed: {', '.join(allowed) or 'none'}"
            )
    table = Table("check", "", "what was seen", box=SIMPLE_HEAD, title=given.factory)
    failed, out = 0, console()
    with out.status("playing", spinner="line"):
        for finding in conformance(agent, given.hyper_parameters, given.num_arms):
            verdict = Text("ok", "green") if finding.passed else Text("FAILED", "red bold")
            table.add_row(finding.check, verdict, finding.seen)
            failed += not finding.passed
    out.print(table)
    if failed:
        sys.exit(1)
