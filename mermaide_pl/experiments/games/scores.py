"""Scores of one universal principal in many games, with many populations of unseen agents.

In every game, and on every population, the principal at 0 and 1 shots meets no intervention, the
burst, and the oracle. The burst is tuned for that game on training agents with the reward noise of
that game, the oracle on each population.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import Progress

from mermaide_pl.evaluation.methods import BURST, NO_INTERVENTION, ORACLE, PRINCIPAL
from mermaide_pl.evaluation.paired_evaluation import (
    UNTUNED,
    PairedEvaluation,
    PopulationScores,
    fixed_players,
    learned_players,
)
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.experiments.games.checkpoints import (
    TEST_POPULATIONS,
    read_trainings,
)
from mermaide_pl.experiments.games.settings import VALUES, Setting, columns, groups
from mermaide_pl.experiments.games.summary import means, sentence, summary_page
from mermaide_pl.experiments.kept_settings import SETTINGS, keep_settings
from mermaide_pl.metrics.normalised_return import normalised_return
from mermaide_pl.populations import packaged
from mermaide_pl.reporting.figures import draw_games
from mermaide_pl.reporting.figures.style import save_png
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.console import console

SHOTS = (0, 1)


@dataclass(frozen=True)
class Effort:
    """Size of the experiment."""

    num_agents: int = 200  # of each population in each game
    num_tuning_agents: int = 200  # that burst and oracle are tuned on


QUICK = Effort(num_agents=10, num_tuning_agents=10)


def run(ckpt_paths: Sequence[str], out: Path, quick: bool, seed: int) -> str:
    """Score in every game that is left, then write the summary and draw it.

    ``scores.csv`` is written after each game with each population: a run may be stopped at any
    time, and the same command resumes it.

    Args:
        ckpt_paths: checkpoints of universal principals, each of another training.
        out: folder of the results.
        quick: play with few agents.
        seed: seed of the agents, the same for all trainings.

    Returns:
        The result, in one sentence.

    Raises:
        ValueError: one line, if the scores in `out` are of other principals or agents.
    """
    effort = QUICK if quick else Effort()
    keep_settings(out / SETTINGS, {**asdict(effort), "seed": seed}, ckpt_paths)
    compute(ckpt_paths, effort, out / "scores.csv", seed)
    rows = read_rows(out / "scores.csv")
    write_whole(out / "summary.md", summary_page(rows, groups()))
    save_png(draw_games(means(rows), asdict(Setting()), VALUES), out / "games.png")
    return sentence(rows)


def compute(paths: Sequence[str], effort: Effort, scores: Path, seed: int) -> None:
    """Add the rows of every game with every population that the file `scores` lacks.

    Args:
        paths: checkpoints of the trainings.
        effort: numbers of agents.
        scores: CSV file: a row per training (its place among `paths`; empty where nothing is
            trained), game, population, method and number of shots. Returns are in reward units per
            step.
        seed: seed of the agents.
    """
    rows = _recorded(scores) if scores.is_file() else []
    settings = list(dict.fromkeys(setting for group in groups().values() for setting in group))
    with Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("games", total=len(settings) * len(TEST_POPULATIONS))
        for setting in settings:
            done = _done(rows, setting, len(paths))
            left = [name for name in TEST_POPULATIONS if name not in done]
            progress.advance(bar, len(TEST_POPULATIONS) - len(left))
            if not left:
                continue
            modules, train = read_trainings(paths, setting.game)
            evaluation = PairedEvaluation(
                setting.game,
                effort.num_agents,
                effort.num_tuning_agents,
                seed=seed,
                progress=progress,
            )
            fixed = {
                NO_INTERVENTION: UNTUNED[NO_INTERVENTION],
                BURST: evaluation.schedule(BURST, setting.agents(train)),
            }
            for name in left:
                agents = setting.agents(packaged(name))
                players = fixed_players({**fixed, ORACLE: evaluation.oracle(agents)})
                found = evaluation.scores(players | learned_players(modules, SHOTS), agents)
                kept = [
                    row
                    for row in rows
                    if row["population"] != name or Setting.of_row(row) != setting
                ]
                rows = kept + _rows(setting, name, found)
                write_rows(scores, rows)
                progress.advance(bar)


def _recorded(scores: Path) -> list[Row]:
    """The rows of an earlier run.

    Raises:
        ValueError: one line, if the file does not hold such rows.
    """
    try:
        rows = read_rows(scores)
        for row in rows:
            Setting.of_row(row)
    except (KeyError, UnicodeDecodeError):
        raise ValueError(f"{scores} does not hold scores of games: choose another --out") from None
    return rows


def _done(rows: Sequence[Row], setting: Setting, num_trainings: int) -> set[str]:
    """Populations on which the trainings of all numbers up to this are scored in a game."""
    here = [row for row in rows if Setting.of_row(row) == setting]
    scored = {(row["training"], row["population"]) for row in here}
    return {
        name for _, name in scored if all((each, name) in scored for each in range(num_trainings))
    }


def _rows(setting: Setting, population: str, found: PopulationScores) -> list[Row]:
    """Rows of a game with a population, means over its agents."""
    none, burst, oracle = (found[name, 0] for name in (NO_INTERVENTION, BURST, ORACLE))
    numbers, rows = columns(setting), []
    for (name, shots), each in found.items():
        is_fixed = name in (NO_INTERVENTION, BURST, ORACLE)
        share = normalised_return(each.returns, none.returns, oracle.returns).estimate.mean
        rows.append(
            {
                "training": "" if is_fixed else int(name.removeprefix(PRINCIPAL)),
                **numbers,
                "population": population,
                "method": name if is_fixed else PRINCIPAL,
                "shots": shots,
                "num_agents": len(each.returns),
                "return": float(each.returns.mean()),
                "alignment": float(each.alignment.mean()),
                "intervention_rate": float(each.intervention_rate.mean()),
                "normalised_return": "" if math.isnan(share) else share,
                "wins_over_burst": int(each.returns.mean() > burst.returns.mean()),
            }
        )
    return rows
