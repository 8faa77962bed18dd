"""Write the report page: play with agents, draw the figures, render the template."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure
from rich.progress import Progress

from mermaide_pl.config.output_paths import make_place
from mermaide_pl.config.validation import check_count, check_seed, printable
from mermaide_pl.evaluation.loading import training_population
from mermaide_pl.evaluation.methods import ORACLE, PRINCIPAL
from mermaide_pl.evaluation.protocol import evaluate
from mermaide_pl.evaluation.tables import (
    QUANTITIES,
    Row,
    interval_text,
    method_label,
    undefined,
)
from mermaide_pl.evaluation.timing import (
    episode_of,
    median_agent,
    play,
    rate_rows,
)
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population
from mermaide_pl.populations.summary import family_rows, surroundings
from mermaide_pl.reporting.figures import (
    draw_episode,
    draw_timing,
    draw_trade_off,
    draw_training_curves,
)
from mermaide_pl.reporting.figures.style import png, shots_label
from mermaide_pl.reporting.figures.training_curves import TRAINING
from mermaide_pl.reporting.report.run_files import Curve, RunFiles
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.checkpoints import read_checkpoint
from mermaide_pl.runtime.console import console
from mermaide_pl.runtime.run_summary import setting_rows

_TEMPLATE = Path(__file__).with_name("page.html.jinja")
_DOTS_PER_INCH = 300  # sharp on fine screens too
_NUM_TIMING_AGENTS = 250
_PANELS = {
    "return": "return (reward units)",
    "alignment": "alignment (share)",
    "intervention_rate": "intervention rate (share)",
    "forecast_accuracy": "forecast accuracy (share)",
}


def write_report(
    logdir: str | Path,
    out: str | Path,
    *,
    populations: Mapping[str, Population] | None = None,
    num_agents: int = 250,
    seed: int = 0,
) -> Path:
    """Write one HTML page about a training run, with its pictures inside it.

    The scores are those of ``results.json`` in the folder of the run. Without that file, or with
    populations given, the principal is scored anew on unseen agents of these populations, or else
    of its training population.

    Args:
        logdir: folder of one run.
        out: the HTML file.
        populations: name to population of agents to score it on.
        num_agents: agents of each population, if it is scored anew.
        seed: seed of the agents.

    Returns:
        The path of the page.

    Raises:
        ValueError: one line that names the wrong input.
    """
    check_count("--num_agents", num_agents, low=2)
    check_seed("--seed", seed)
    out = Path(out)
    make_place(out)
    files = RunFiles.find(logdir)
    make_place(out, [files.checkpoint, *files.events, files.folder / "results.json"])
    checkpoint = read_checkpoint(files.checkpoint)
    module = MermaideModule.from_checkpoint(checkpoint, files.checkpoint).eval()
    trained_on = training_population(checkpoint, files.checkpoint)
    rows = None if populations else files.results()
    scored_from_file = rows is not None
    scored = populations or {"training population": trained_on}
    if rows is None:
        rows = evaluate(
            files.checkpoint, scored, shots=module.eval_shots, num_agents=num_agents, seed=seed
        )
    curves = _panels(files.curves())
    pictures = _pictures(module, scored, rows, curves, min(num_agents, _NUM_TIMING_AGENTS), seed)
    page = _render(
        name=files.folder.resolve().name,
        checkpoint=files.checkpoint.relative_to(files.folder),
        trained_steps=checkpoint.get("global_step"),
        game=module.game,
        num_parameters=sum(weight.numel() for weight in module.principal.parameters()),
        findings=_findings(rows),
        scored_from_file=scored_from_file,
        tables=_tables(rows),
        has_price=_price(module) is not None,
        families=family_rows(trained_on),
        surroundings=surroundings(trained_on),
        settings=_settings(module.spec),
        pictures=pictures,
        has_forecast=module.principal.world_model is not None,
        scored=list(scored),
    )
    write_whole(out, page)
    return out


def _pictures(
    module: MermaideModule,
    populations: Mapping[str, Population],
    rows: Sequence[Row],
    curves: Mapping[str, Mapping[str, Curve]],
    num_agents: int,
    seed: int,
) -> dict[str, str]:
    """Draw all pictures: name to data URI; without curves there is no picture of them."""
    populations = {name: agents.in_game(module.game) for name, agents in populations.items()}
    first, numbers = next(iter(populations.values())), range(num_agents)

    def timing() -> Figure:
        families = _families(populations)
        played = {
            name: play(module, family.sample(numbers, split="test", seed=seed, game=module.game))
            for name, family in families.items()
        }
        return draw_timing(rate_rows(played))

    def episode() -> Figure:
        agents = first.sample(numbers, split="test", seed=seed, game=module.game)
        return draw_episode(*episode_of(module, first, median_agent(play(module, agents)), seed))

    draw: dict[str, Callable[[], Figure]] = {
        "trade_off": lambda: draw_trade_off(rows, _price(module)),
        "timing": timing,
        "episode": episode,
    }
    if curves:
        draw["curves"] = lambda: draw_training_curves(curves)
    pictures = {}
    with Progress(console=console(), transient=True) as progress:
        drawing = progress.add_task("playing and drawing", total=len(draw))
        for name, function in draw.items():
            pictures[name] = _data_uri(function())
            progress.advance(drawing)
    return pictures


def _data_uri(figure: Figure) -> str:
    picture = png(figure, dots_per_inch=_DOTS_PER_INCH)
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"


def _panels(curves: Mapping[str, Curve]) -> dict[str, dict[str, Curve]]:
    """Title of each panel to its lines, in training and at each number of shots; none is empty."""
    panels = {}
    for quantity, title in _PANELS.items():
        lines = {TRAINING: curves[f"train/{quantity}"]} if f"train/{quantity}" in curves else {}
        for tag in sorted(curves):
            if shots := re.fullmatch(rf"val/{quantity}_(\d+)shot", tag):
                lines[f"validation, {shots_label(int(shots[1]))}"] = curves[tag]
        if lines:
            panels[title] = lines
    return panels


def _families(populations: Mapping[str, Population]) -> dict[str, Population]:
    """Populations split into single families, by name."""
    families = [
        (name if len(population.families) == 1 else family.rule.__name__, population, family)
        for name, population in populations.items()
        for family in population.families
    ]
    times = Counter(name for name, _, _ in families)
    return {
        name if times[name] == 1 else f"{name} {number}": replace(population, families=[family])
        for number, (name, population, family) in enumerate(families, start=1)
    }


def _price(module: MermaideModule) -> float | None:
    """Cost of one intervention, reward units; None if it depends on the level."""
    bonuses = module.game.bonuses
    return module.game.cost * bonuses[1] if len(bonuses) == 2 else None


def _findings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns of the principal, of the best schedule and of the oracle, for each population."""
    findings = []
    for population in dict.fromkeys(row["population"] for row in rows):
        chosen = [row for row in rows if row["population"] == population]
        fixed = [row for row in chosen if row["method"] not in (PRINCIPAL, ORACLE)]
        held = [row for row in chosen if row["method"] == ORACLE]
        if fixed:
            held.insert(0, max(fixed, key=lambda row: row["return_mean"]))
        learned = [row for row in chosen if row["method"] == PRINCIPAL]
        findings.append(
            {
                "population": population,
                "returns": [
                    (method_label(row), f"{row['return_mean']:.3f}") for row in [*learned, *held]
                ],
            }
        )
    return findings


def _tables(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One table per population, as text."""
    tables: dict[str, dict[str, Any]] = {}
    for row in rows:
        empty = {"population": row["population"], "num_agents": row["num_agents"], "rows": []}
        tables.setdefault(row["population"], empty)["rows"].append(
            {
                "method": method_label(row),
                "learned": row["method"] == PRINCIPAL,
                "cells": [interval_text(row, quantity) for quantity in QUANTITIES],
            }
        )
    for population, table in tables.items():
        table["undefined"] = undefined([row for row in rows if row["population"] == population])
    return list(tables.values())


def _settings(spec: Mapping[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """Settings grouped by their slot; settings of no slot come last."""
    groups: dict[str, list[tuple[str, Any]]] = {}
    rest = []
    for name, value in setting_rows(spec).items():
        group, _, key = name.partition(".")
        if key:
            groups.setdefault(group, []).append((key, value))
        elif group in spec and not isinstance(spec[group], Mapping):
            rest.append((name, value))
        else:
            groups[group] = [("class", value)]
    return groups | {"training": rest}


def _render(**content: Any) -> str:
    environment = Environment(
        autoescape=True,
        finalize=_signs,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(content)


def _signs(value: Any) -> Any:
    """Printable text of a value; HTML stays as it is."""
    return value if hasattr(value, "__html__") else printable(str(value))
