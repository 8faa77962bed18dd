"""Return against the budget of interventions in the default game.

The principal is told the budget. *Cut off* is the same principal in the same games, its support
episodes included, told that there is no budget: once it is used up, level 0 is played. The burst is
the best of each budget on training agents; a longer one ends with the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import Progress

from mermaide_pl.evaluation.methods import BURST, CUT_OFF, PRINCIPAL, label_of
from mermaide_pl.evaluation.paired_evaluation import (
    PairedEvaluation,
    PlayerFor,
    Scores,
    fixed_players,
    learned_players,
)
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.evaluation.tables import MEAN
from mermaide_pl.experiments.games.checkpoints import (
    TEST_POPULATIONS,
    read_trainings,
)
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.adaptation import adapted_weights
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.metrics.intervals import Estimate, bootstrap_mean, student_mean
from mermaide_pl.populations import TaskBatch, packaged
from mermaide_pl.principals import GreedyPlayer, MisinformedPrincipal, Player
from mermaide_pl.reporting.figures import draw_budget_curves
from mermaide_pl.reporting.figures.style import save_png
from mermaide_pl.runtime.console import console

GAME = Game()
BUDGETS = tuple(
    round(share * GAME.num_steps)
    for share in (0.0, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0)
)
"""Interventions of an episode, most of them few: more than a third are seldom used."""
SHOTS = (0, 1)
Found = dict[tuple[str, int], list[Scores]]
"""Method and number of shots to the scores of each training."""


@dataclass(frozen=True)
class Effort:
    """Size of the experiment."""

    num_agents: int = 500  # of each population
    num_tuning_agents: int = 300  # that the burst is tuned on


QUICK = Effort(num_agents=30, num_tuning_agents=50)


def run(ckpt_paths: Sequence[str], out: Path, quick: bool, seed: int) -> str:
    """Play with every budget, write the rows, and draw them.

    Args:
        ckpt_paths: checkpoints of universal principals, each of another training.
        out: folder of the results.
        quick: play with few agents.
        seed: seed of the agents, the same for all budgets and trainings.

    Returns:
        The largest difference between the principal and the one cut off, in one sentence.
    """
    effort = QUICK if quick else Effort()
    write_rows(out / "budget.csv", [*compute(ckpt_paths, effort, seed)])
    rows = read_rows(out / "budget.csv")
    save_png(draw_budget_curves(rows, SHOTS[-1]), out / "budget.png")
    return sentence(rows)


def compute(paths: Sequence[str], effort: Effort, seed: int) -> Iterator[Row]:
    """Rows of every budget, population, method and number of shots.

    Args:
        paths: checkpoints of the trainings.
        effort: numbers of agents.
        seed: seed of the agents.

    Yields:
        Mean return and gain over the burst with the same agents, reward units per step, with their
        95% intervals: over the trainings by Student's t, or over the agents of a single one by the
        bootstrap; and mean intervention rate. The
        population "mean" is the mean over all.
    """
    with Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("budgets", total=len(BUDGETS) * len(TEST_POPULATIONS))
        for budget in BUDGETS:
            game = replace(GAME, max_interventions=budget)
            modules, train = read_trainings(paths, game)
            evaluation = PairedEvaluation(
                game, effort.num_agents, effort.num_tuning_agents, seed=seed, progress=progress
            )
            players = {
                **fixed_players({BURST: evaluation.schedule(BURST, train)}),
                **learned_players(modules, SHOTS),
                **{
                    (name.replace(PRINCIPAL, CUT_OFF), shots): cut_off_player(module, shots)
                    for name, module in modules.items()
                    for shots in SHOTS
                },
            }
            everywhere: list[Found] = []
            for name in TEST_POPULATIONS:
                found: Found = {}
                for (method, shots), each in evaluation.scores(players, packaged(name)).items():
                    found.setdefault((method.partition(" ")[0], shots), []).append(each)
                yield from _rows(name, budget, found)
                everywhere.append(found)
                progress.advance(bar)
            yield from _rows(MEAN, budget, _mean_over_populations(everywhere))


def cut_off_player(module: MermaideModule, shots: int) -> PlayerFor:
    """The principal told of no budget, adapted on support episodes that it plays so, too."""
    principal = MisinformedPrincipal(module.principal, GAME)

    def adapted(tasks: TaskBatch) -> Player:
        weights = adapted_weights(
            principal, module.inner_loop, module.objective, tasks, shots, module.engine
        )
        return GreedyPlayer(principal, weights)

    return adapted


def _mean_over_populations(everywhere: Sequence[Found]) -> Found:
    """Means over the populations of the agents with equal numbers."""
    first = everywhere[0]
    return {
        key: [
            Scores(
                *(
                    np.mean([getattr(found[key][run], name) for found in everywhere], axis=0)
                    for name in ("returns", "alignment", "intervention_rate")
                )
            )
            for run in range(len(first[key]))
        ]
        for key in first
    }


def _rows(population: str, budget: int, found: Found) -> Iterator[Row]:
    (burst,) = found[BURST, 0]
    for (method, shots), runs in found.items():
        yield {
            "population": population,
            "budget": budget,
            "method": method,
            "shots": shots,
            "num_trainings": 0 if method == BURST else len(runs),
            "num_agents": len(runs[0].returns),
            **_estimate([run.returns for run in runs]).columns("return"),
            **_estimate([run.returns - burst.returns for run in runs]).columns("gain_over_burst"),
            "intervention_rate": float(np.mean([run.intervention_rate.mean() for run in runs])),
        }


def _estimate(runs: Sequence[np.ndarray]) -> Estimate[float]:
    """Mean with its interval, from values of the agents [N] in each training."""
    if len(runs) == 1:
        return bootstrap_mean(runs[0])
    return student_mean([float(run.mean()) for run in runs])


def sentence(rows: Sequence[Row]) -> str:
    """Compare the three at the budget where knowing it gains most, in one sentence."""
    returns = {
        (row["budget"], row["method"]): row["return_mean"]
        for row in rows
        if row["population"] == MEAN
        and row["shots"] == (0 if row["method"] == BURST else SHOTS[-1])
    }
    gains = {budget: returns[budget, PRINCIPAL] - returns[budget, CUT_OFF] for budget in BUDGETS}
    best = max(gains, key=gains.__getitem__)
    parts = ", ".join(
        f"{label_of(method)} {returns[best, method]:.3f}" for method in (PRINCIPAL, CUT_OFF, BURST)
    )
    return (
        f"budget: knowing the budget gains most at {best} interventions; return there, mean over"
        f" populations: {parts}."
    )
