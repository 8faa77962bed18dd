"""From the scores of many runs to tables with intervals, and to their figures."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mermaide_pl.evaluation.methods import NO_INTERVENTION, ORACLE
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.evaluation.tables import ALL, MEAN, SUMMARIES
from mermaide_pl.experiments.comparison.settings import YARDSTICKS, Condition
from mermaide_pl.experiments.comparison.summary import (
    CONDITION,
    QUANTITIES,
    by_condition,
    print_summary,
    summary_page,
)
from mermaide_pl.metrics.intervals import (
    interquartile_mean,
    probability_of_improvement,
    stratified_interval,
    student_mean,
)
from mermaide_pl.metrics.normalised_return import undefined_because
from mermaide_pl.reporting.figures import draw_family_matrix, draw_frontier, draw_method_scores
from mermaide_pl.reporting.figures.style import save_png
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.console import console as literal_console

_LOGGER = logging.getLogger(__name__)
SCORES = "scores.csv"


def read_scores(out: Path, methods: Collection[str]) -> list[Row]:
    """The scores of yardsticks and methods in a folder, with the normalised return of each run.

    Normalised return of a run on a population: ``(return - none) / (oracle - none)``, with the
    returns of no intervention and of the oracle on the same agents; nan for a population where
    that is undefined: the oracle gains too little in one run, or over the runs no more than half of
    its Student's t interval.
    """
    paths = sorted(out.glob(f"*/seed*/*/{SCORES}"))
    kept = [path for path in paths if path.parent.name in (YARDSTICKS, *methods)]
    if others := {path.parent.name for path in paths} - {path.parent.name for path in kept}:
        names = ", ".join(sorted(others))
        _LOGGER.info("%s: left out, for the configuration does not have them: %s", out, names)
    rows = [row for path in kept for row in read_rows(path)]

    def agents(row: Row) -> tuple[Any, ...]:
        return *(row[name] for name in CONDITION), row["seed"], row["population"]

    returns = {(agents(row), row["method"]): row["return"] for row in rows}
    possible: dict[tuple[Any, ...], dict[int, float]] = {}  # gain of the oracle by seed
    for (*where, seed, population), method in returns:
        key = (*where, seed, population)
        if method == ORACLE and (key, NO_INTERVENTION) in returns:
            gain = returns[key, ORACLE] - returns[key, NO_INTERVENTION]
            possible.setdefault((*where, population), {})[seed] = gain
    found = []
    for row in rows:
        *where, seed, population = agents(row)
        gains = possible.get((*where, population), {})
        if seed in gains:
            gain = row["return"] - returns[agents(row), NO_INTERVENTION]
            normalised = math.nan if _undefined(list(gains.values())) else gain / gains[seed]
            found.append({**row, "normalised_return": normalised})
    return found


def _undefined(gains: Sequence[float]) -> bool:
    """Whether a population has no normalised return, by the oracle's gain in each run."""
    mean, low, high = student_mean(gains)
    return bool(undefined_because(min(gains)) or undefined_because(mean, (high - low) / 2.0))


class Scores:
    """Scores of one condition as matrices of runs and populations."""

    def __init__(self, rows: Sequence[Row], populations: Sequence[str]) -> None:
        self.populations = list(populations)
        self._values = {
            (row["method"], row["shots"], row["seed"], row["population"]): row for row in rows
        }
        self._seeds: dict[tuple[str, int], list[int]] = {}
        for row in rows:
            seeds = self._seeds.setdefault((row["method"], row["shots"]), [])
            if row["seed"] not in seeds:
                seeds.append(row["seed"])

    def methods(self, order: Sequence[str]) -> list[tuple[str, int]]:
        """Methods with their shots, in the order given."""
        return sorted(self._seeds, key=lambda one: (order.index(one[0]), one[1]))

    def shots_of(self, method: str, shots: int) -> int | None:
        """At what shots a method is met at `shots`: schedules always at zero.

        None if it was scored at others only.
        """
        if (method, shots) in self._seeds:
            return shots
        scored_at = {number for name, number in self._seeds if name == method}
        return 0 if scored_at == {0} else None

    def matrix(self, method: str, shots: int, quantity: str, population: str = ALL) -> np.ndarray:
        """Scores [runs, populations], or of one population or the mean over all [runs, 1].

        Of all populations, those are left out that have no number.
        """
        matrix = self._matrix(method, shots, quantity, population, self._seeds[method, shots])
        if population in SUMMARIES:
            matrix = matrix[:, ~np.isnan(matrix).any(0)]
        if population == MEAN and matrix.size:
            matrix = matrix.mean(1, keepdims=True)
        return matrix

    def gains(
        self, ours: tuple[str, int], other: tuple[str, int], population: str = ALL
    ) -> np.ndarray:
        """Return of a method minus that of another, each at its shots, seed by seed.

        The runs of a seed meet the same agents with the same random numbers.

        Returns:
            [seeds that both have]; of all populations the mean over them.
        """
        seeds = [seed for seed in self._seeds[ours] if seed in self._seeds[other]]
        first, second = (self._matrix(*one, "return", population, seeds) for one in (ours, other))
        return (first - second).mean(1)

    def _matrix(
        self, method: str, shots: int, quantity: str, population: str, seeds: Sequence[int]
    ) -> np.ndarray:
        """Scores [seeds, populations]."""
        columns = self.populations if population in SUMMARIES else [population]
        found = np.empty((len(seeds), len(columns)))
        for place in np.ndindex(found.shape):
            seed, column = seeds[place[0]], columns[place[1]]
            found[place] = self._values[method, shots, seed, column][quantity]
        return found


def table_rows(
    condition: Row, scores: Scores, order: Sequence[str], populations: Sequence[str]
) -> list[Row]:
    """Interquartile mean over runs of every quantity, with its stratified bootstrap interval.

    Of the return, ``return_t_low`` and ``return_t_high`` are Student's t interval of the mean
    besides, which is as wide as few runs ask for.
    """
    rows: list[Row] = []
    for method, shots in scores.methods(order):
        for population in populations:
            row = {**condition, "method": method, "shots": shots, "population": population}
            for quantity in QUANTITIES:
                matrix = scores.matrix(method, shots, quantity, population)
                row["num_runs"] = len(matrix)
                interval = stratified_interval(interquartile_mean, matrix)
                for bound, value in zip(("iqm", "low", "high"), interval, strict=True):
                    row[f"{quantity}_{bound}"] = value
            of_runs = scores.matrix(method, shots, "return", population).mean(1)
            _, row["return_t_low"], row["return_t_high"] = student_mean(of_runs.tolist())
            rows.append(row)
    return rows


def improvement_rows(
    condition: Row, scores: Scores, ours: str, order: Sequence[str], populations: Sequence[str]
) -> list[Row]:
    """Where ours stands against each other method at as many shots, with intervals.

    ``probability`` is that of a run of ours having the higher return, of any two runs, and
    ``gain_mean`` the mean difference in return of the runs of the same seed, with its Student's t
    interval, which is the same for all populations and for the mean over them.
    """
    rows: list[Row] = []
    methods = dict.fromkeys(method for method, _ in scores.methods(order))
    if ours not in methods:
        return rows
    for shots in [shots for method, shots in scores.methods(order) if method == ours]:
        for method in methods:
            at = scores.shots_of(method, shots)
            if method == ours or at is None:
                continue
            for population in populations:
                pair = (ours, shots), (method, at)
                returns = (scores.matrix(*one, "return", population) for one in pair)
                interval = stratified_interval(probability_of_improvement, *returns)
                row: Row = {**condition, "method": ours, "shots": shots, "over": method}
                row["population"] = population
                for bound, value in zip(("probability", "low", "high"), interval, strict=True):
                    row[bound] = value
                interval = student_mean(scores.gains(*pair, population).tolist())
                for bound, value in zip(("mean", "low", "high"), interval, strict=True):
                    row[f"gain_{bound}"] = value
                rows.append(row)
    return rows


def report(out: Path, methods: Sequence[str], console: Console | None = None) -> None:
    """Write the tables and figures of all runs in a folder, and print the tables.

    ``scores.csv`` has a row for each run, ``table.csv`` interquartile means with intervals,
    ``improvement.csv`` the probability of improvement and the gain of the first method over each
    other, and ``tables.md`` shows both to readers.
    Of conditions and seeds all in the folder are shown, of methods those named.
    Of several methods ``normalised_return.png`` is drawn in the folder of every condition where
    there is any, over several costs ``frontier.png``, over several training populations
    ``families.png``.

    Args:
        out: folder of a comparison.
        methods: learned ones in the order in which they are shown, ours first.
        console: where to print.
    """
    found, console = read_scores(out, methods), console or literal_console()
    if not found:
        return
    write_rows(out / SCORES, found)
    learned = [*methods[1:], methods[0]]
    fixed = [row["method"] for row in found if row["method"] not in methods]
    order = [*dict.fromkeys(name for name in fixed if name != ORACLE), *learned, ORACLE]
    table: list[Row] = []
    improvement: list[Row] = []
    for condition, rows in by_condition(found).items():
        names = dict(zip(CONDITION, condition, strict=True))
        populations = list(dict.fromkeys(row["population"] for row in rows))
        scores, columns = Scores(rows, populations), [*populations, *SUMMARIES]
        table += table_rows(names, scores, order, columns)
        improvement += improvement_rows(names, scores, methods[0], order, columns)
    table = _recorded(out / "table.csv", table)
    improvement = _recorded(out / "improvement.csv", improvement)
    page = summary_page(table, improvement, methods[0])
    write_whole(out / "tables.md", page)
    print_summary(table, improvement, methods[0], console)
    for condition, rows in by_condition(table).items():
        with_number = [
            row
            for row in rows
            if row["population"] != ALL and not math.isnan(row["normalised_return_iqm"])
        ]
        if with_number and len(methods) > 1:
            picture = out / Condition(*condition).name / "normalised_return.png"
            save_png(draw_method_scores(with_number, methods), picture)
    pictures: list[tuple[str, str, Callable[[Sequence[Row]], Any]]] = [
        ("frontier.png", "cost", draw_frontier),
        ("families.png", "trained_on", partial(draw_family_matrix, method=methods[0])),
    ]
    for name, over, draw in pictures:
        if len({row[over] for row in table}) > 1:
            save_png(draw(table), out / name)
    console.print(f"results: {out}")


def _recorded(path: Path, rows: list[Row]) -> list[Row]:
    """Rows as a file has them, for all that is shown is to be what is recorded."""
    if not rows:
        return []
    write_rows(path, rows)
    return read_rows(path)
