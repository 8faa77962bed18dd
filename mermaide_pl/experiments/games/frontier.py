"""Alignment against intervention rate: one principal for all costs, and a training for each cost.

The trainings for each cost are those recorded in ``results/conditions``. The universal principal
plays the same games with the same populations; training number n meets the agents that the
recorded trainings of seed n have met.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import Progress

from mermaide_pl.config.serialization import rebuild
from mermaide_pl.config.validation import NUM_SEEDS
from mermaide_pl.evaluation.loading import read_principals
from mermaide_pl.evaluation.methods import BURST, MERMAIDE_MEMORY, ORACLE, UNIVERSAL, label_of
from mermaide_pl.evaluation.paired_evaluation import PairedEvaluation, learned_players
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.evaluation.tables import MEAN, SUMMARIES
from mermaide_pl.reporting.figures import draw_frontier
from mermaide_pl.reporting.figures.style import save_png
from mermaide_pl.runtime.checkpoints import upgraded
from mermaide_pl.runtime.console import console

CONDITIONS = Path("results/conditions")
"""Folder of the recorded comparison, relative to the working directory."""
_RECORDED = (BURST, ORACLE, MERMAIDE_MEMORY)
_QUICK_AGENTS = 30


def run(ckpt_paths: Sequence[str], out: Path, quick: bool, seed: int) -> str:
    """Play at every recorded cost and observation, write the rows, and draw them.

    Args:
        ckpt_paths: checkpoints of universal principals, each of another training.
        out: folder of the results.
        quick: play with few agents.
        seed: added to the seeds of the agents; 0 gives the recorded ones.

    Returns:
        The returns at each cost, in one sentence.

    Raises:
        ValueError: one line, if the recorded comparison is missing.
        ModuleNotFoundError: if pandas is not installed.
    """
    import pandas as pd

    from mermaide_pl.experiments.comparison.table import runs_of, table_rows  # needs pandas

    settings, recorded = read_recorded(CONDITIONS)
    scores = [*compute(ckpt_paths, settings, recorded, quick, seed)]
    write_rows(out / "scores.csv", scores)
    populations = list(dict.fromkeys(row["population"] for row in scores))
    rows: list[Row] = []
    for (observation, cost), here in pd.DataFrame(scores).groupby(["observation", "cost"]):
        condition = {"trained_on": UNIVERSAL, "observation": observation, "cost": cost}
        rows += table_rows(condition, runs_of(here, [UNIVERSAL]), [*populations, *SUMMARIES])
    kept = [row for row in recorded if row["method"] in _RECORDED]
    write_rows(out / "frontier.csv", [_without_share(row) for row in (*rows, *kept)])
    drawn = read_rows(out / "frontier.csv")
    trained_on = " or ".join(dict.fromkeys(row["trained_on"] for row in reversed(drawn)))
    save_png(
        draw_frontier([{**row, "trained_on": trained_on} for row in drawn]), out / "frontier.png"
    )
    return sentence(drawn)


def read_recorded(folder: Path) -> tuple[dict[str, Any], list[Row]]:
    """The settings of a recorded comparison, and the rows of its table.

    Raises:
        ValueError: one line, if they are missing or damaged.
    """
    for name in ("settings.json", "table.csv"):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder / name} does not exist: start from the folder of the project, or run"
                " `mermaide compare --config conf/experiment/conditions.yaml` first"
            )
    try:
        settings = upgraded(json.loads((folder / "settings.json").read_bytes()))
    except ValueError as error:
        raise ValueError(f"{folder / 'settings.json'} is damaged: {error}") from None
    return settings, read_rows(folder / "table.csv")


def compute(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    recorded: Sequence[Row],
    quick: bool,
    seed: int,
) -> Iterator[Row]:
    """Scores of every training under every recorded condition.

    Args:
        paths: checkpoints of the trainings.
        settings: of the recorded comparison.
        recorded: rows of its table, which name observations and costs.
        quick: play with few agents.
        seed: added to the seeds of the agents.

    Yields:
        One row per condition, training, population and number of shots, as ``scores.csv`` of a
        comparison has them; the normalised return, for which nobody plays here, is nan.
    """
    conditions = list(dict.fromkeys((row["observation"], row["cost"]) for row in recorded))
    populations = {name: rebuild(spec) for name, spec in settings["test populations"].items()}
    num_agents = _QUICK_AGENTS if quick else settings["num_agents"]
    with Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("conditions", total=len(conditions) * len(paths) * len(populations))
        for observation, cost in conditions:
            game = replace(
                rebuild(settings["game"]),
                cost=cost,
                observation=rebuild(settings[f"observation {observation}"]),
            )
            for number, path in enumerate(paths):
                modules, _ = read_principals({UNIVERSAL: path}, "auto", game)
                agents_seed = (number + seed) % NUM_SEEDS
                evaluation = PairedEvaluation(game, num_agents, seed=agents_seed, progress=progress)
                players = learned_players(modules, settings["shots"])
                for name, population in populations.items():
                    for (method, shots), each in evaluation.scores(players, population).items():
                        yield {
                            "observation": observation,
                            "cost": cost,
                            "seed": number,
                            "method": method,
                            "population": name,
                            "shots": shots,
                            "num_agents": num_agents,
                            "return": float(each.returns.mean()),
                            "alignment": float(each.alignment.mean()),
                            "intervention_rate": float(each.intervention_rate.mean()),
                            "normalised_return": float("nan"),
                        }
                    progress.advance(bar)


def _without_share(row: Row) -> Row:
    """A row of a table without the columns of the normalised return."""
    return {name: value for name, value in row.items() if "normalised" not in name}


def sentence(rows: Sequence[Row]) -> str:
    """The returns of both at each cost, in one sentence, from rows of ``frontier.csv``."""
    most = max(row["shots"] for row in rows)
    returns: dict[tuple[str, float], dict[str, float]] = {}
    for row in rows:
        if row["population"] == MEAN and row["shots"] == most:
            at = returns.setdefault((row["observation"], row["cost"]), {})
            at[row["method"]] = row["return_iqm"]
    parts = [
        f"{observation} information, cost {cost:g}: {of[UNIVERSAL]:.3f} and"
        f" {of[MERMAIDE_MEMORY]:.3f}"
        for (observation, cost), of in sorted(returns.items())
    ]
    return (
        f"frontier: return at {most} shots of {label_of(UNIVERSAL)} and of a training for each"
        f" cost: {'; '.join(parts)}."
    )
