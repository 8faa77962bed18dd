"""Tables with intervals, and figures, from the scores of many runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from rich.console import Console

from mermaide_pl.evaluation.methods import FIXED, NO_INTERVENTION, ORACLE
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.evaluation.tables import ALL, MEAN, SUMMARIES
from mermaide_pl.experiments.comparison.recorded_runs import RUNS
from mermaide_pl.experiments.comparison.settings import Condition
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
Runs: TypeAlias = dict[tuple[str, int], pd.DataFrame]
"""Method and shots to scores: a line per seed, columns ``(quantity, population)``."""


def read_scores(out: Path, methods: Collection[str]) -> pd.DataFrame:
    """Read ``runs.csv`` in a folder, and add the normalised return of each run.

    Normalised return of a run on a population: ``(return - none) / (oracle - none)``, with the
    returns of no intervention and of the oracle on the same agents. It is undefined, nan, for a
    population where the oracle gains too little in one run, or over the runs no more than half of
    its Student's t interval.

    Args:
        out: folder of a comparison.
        methods: learned methods to read; schedules and oracle are always read.
    """
    rows = read_rows(out / RUNS) if (out / RUNS).is_file() else []
    kept = [row for row in rows if row["method"] in (*FIXED, *methods)]
    if others := {row["method"] for row in rows} - {row["method"] for row in kept}:
        names = ", ".join(sorted(others))
        _LOGGER.info(
            "%s: methods left out, since the configuration does not have them: %s", out, names
        )
    scores = pd.DataFrame(kept)
    if not {NO_INTERVENTION, ORACLE} <= set(scores.get("method", ())):
        return pd.DataFrame()
    where = [*CONDITION, "population"]
    # rows of two tables that were put together by hand may stand twice
    scores = scores.drop_duplicates([*where, "seed", "method", "shots"], keep="last")
    returns = scores.pivot_table("return", [*where, "seed"], "method")
    returns = returns[[NO_INTERVENTION, ORACLE]].dropna()
    none = returns[NO_INTERVENTION].rename("none")
    gain = (returns[ORACLE] - none).rename("gain")
    defined = gain.where(~gain.groupby(where).transform(_undefined).astype(bool))
    scores = scores.join(none, [*where, "seed"], "inner").join(defined, [*where, "seed"])
    scores["normalised_return"] = (scores["return"] - scores["none"]) / scores["gain"]
    return scores.drop(columns=["none", "gain"])


def _undefined(gains: pd.Series) -> bool:
    """True if the oracle's gains in the runs are too small for a normalised return."""
    mean, low, high = student_mean(gains)
    return bool(undefined_because(min(gains)) or undefined_because(mean, (high - low) / 2.0))


def runs_of(scores: pd.DataFrame, order: Sequence[str]) -> Runs:
    """The scores of one condition by method and shots, methods in the order of `order`."""
    names = ["method", "shots"]
    wide = scores.pivot(index=[*names, "seed"], columns="population", values=[*QUANTITIES])
    # populations in the order of the rows
    wide = wide[[(name, each) for name in QUANTITIES for each in scores["population"].unique()]]
    found = {key: runs.droplevel(names) for key, runs in wide.groupby(level=names)}
    return {key: found[key] for key in sorted(found, key=lambda one: (order.index(one[0]), one[1]))}


def shots_of(runs: Runs, method: str, shots: int) -> int | None:
    """The shot count at which to compare `method` with one at `shots` (schedules: always 0).

    None if it was scored at other shot counts only.
    """
    scored_at = {number for name, number in runs if name == method}
    if shots in scored_at:
        return shots
    return 0 if scored_at == {0} else None


def matrix(runs: pd.DataFrame, quantity: str, population: str = ALL) -> np.ndarray:
    """Scores [runs, populations]; [runs, 1] for one population or the mean over all.

    Populations without a number are left out of `ALL` and `MEAN`.
    """
    if population not in SUMMARIES:
        return np.asarray(runs[quantity][[population]])
    found = np.array(runs[quantity], order="C")
    found = found[:, ~np.isnan(found).any(0)]
    return found.mean(1, keepdims=True) if population == MEAN and found.size else found


def gains(ours: pd.DataFrame, other: pd.DataFrame, population: str = ALL) -> np.ndarray:
    """Return of a method minus that of another, each at its shots, seed by seed.

    The runs of a seed play the same agents on common random numbers.

    Returns:
        Differences [seeds that both have]; for `ALL` and `MEAN` the mean over populations.
    """
    difference = (ours["return"] - other["return"]).dropna()
    return np.asarray(difference if population in SUMMARIES else difference[[population]]).mean(1)


def table_rows(condition: Row, runs: Runs, populations: Sequence[str]) -> list[Row]:
    """Interquartile mean over runs of every quantity, with its stratified bootstrap interval.

    ``return_t_low`` and ``return_t_high`` are Student's t interval of the mean return, which is
    also valid for few runs.
    """
    rows: list[Row] = []
    for (method, shots), scores in runs.items():
        for population in populations:
            row = {**condition, "method": method, "shots": shots, "population": population}
            row["num_runs"] = len(scores)
            for quantity in QUANTITIES:
                estimate = stratified_interval(
                    interquartile_mean, matrix(scores, quantity, population)
                )
                row |= estimate.columns(quantity, "iqm")
            of_runs = matrix(scores, "return", population).mean(1)
            _, row["return_t_low"], row["return_t_high"] = student_mean(of_runs)
            rows.append(row)
    return rows


def improvement_rows(
    condition: Row, runs: Runs, ours: str, populations: Sequence[str]
) -> list[Row]:
    """Rows that compare ours with each other method at equal shots, with intervals.

    ``probability`` is the probability that a run of ours has a higher return than a run of the
    other method. ``gain_mean`` is the mean difference in return between runs of the same seed, with
    its Student's t interval; it is the same for `ALL` and `MEAN`.
    """
    rows: list[Row] = []
    others = dict.fromkeys(method for method, _ in runs if method != ours)
    for shots in [shots for method, shots in runs if method == ours]:
        for method in others:
            at = shots_of(runs, method, shots)
            if at is None:
                continue
            pair = runs[ours, shots], runs[method, at]
            for population in populations:
                returns = (matrix(each, "return", population) for each in pair)
                chance = stratified_interval(probability_of_improvement, *returns)
                row: Row = {**condition, "method": ours, "shots": shots, "over": method}
                row["population"] = population
                row |= {"probability": chance.mean, "low": chance.low, "high": chance.high}
                row |= student_mean(gains(*pair, population)).columns("gain")
                rows.append(row)
    return rows


def report(out: Path, methods: Sequence[str], console: Console | None = None) -> None:
    """Write the tables and figures of all runs in a folder, and print the tables.

    ``table.csv`` has interquartile means with intervals, ``improvement.csv`` the probability of
    improvement and the gain of the first method over each other, and ``tables.md`` shows both as
    Markdown. All conditions and seeds in ``runs.csv`` are included, and the named methods.
    Figures: ``normalised_return.png`` in the folder of each condition if there are several methods,
    ``frontier.png`` if there are several costs, and ``families.png`` if there are several training
    populations.

    Args:
        out: folder of a comparison.
        methods: learned methods in the order in which they are shown, ours first.
        console: console to print to.
    """
    found, console = read_scores(out, methods), console or literal_console()
    if found.empty:
        return
    fixed = [name for name in found["method"].unique() if name not in (*methods, ORACLE)]
    order = [*fixed, *methods[1:], methods[0], ORACLE]
    rows: list[Row] = []
    improvements: list[Row] = []
    for condition, scores in by_condition(found).items():
        names = dict(zip(CONDITION, condition, strict=True))
        runs, populations = runs_of(scores, order), [*scores["population"].unique(), *SUMMARIES]
        rows += table_rows(names, runs, populations)
        improvements += improvement_rows(names, runs, methods[0], populations)
    table = _recorded(out / "table.csv", rows)
    improvement = _recorded(out / "improvement.csv", improvements)
    write_whole(out / "tables.md", summary_page(table, improvement, methods[0]))
    print_summary(table, improvement, methods[0], console)
    for condition, here in by_condition(table).items():
        drawn = here[(here["population"] != ALL) & here["normalised_return_iqm"].notna()]
        if len(drawn) and len(methods) > 1:
            picture = out / Condition(*condition).name / "normalised_return.png"
            save_png(draw_method_scores(drawn.to_dict("records"), methods), picture)
    pictures: list[tuple[str, str, Callable[[Sequence[Row]], Any]]] = [
        ("frontier.png", "cost", draw_frontier),
        ("families.png", "trained_on", partial(draw_family_matrix, method=methods[0])),
    ]
    for name, over, draw in pictures:
        if table[over].nunique() > 1:
            save_png(draw(table.to_dict("records")), out / name)
    console.print(f"results: {out}")


def _recorded(path: Path, rows: list[Row]) -> pd.DataFrame:
    """Write rows and read them back, so that all that is shown is what is recorded."""
    if not rows:
        return pd.DataFrame()
    write_rows(path, rows)
    return pd.DataFrame(read_rows(path))
