"""Summary of the scores in many games, from the rows of ``scores.csv``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from statistics import fmean
from typing import NamedTuple

from mermaide_pl.evaluation.methods import BURST, NO_INTERVENTION, PRINCIPAL, label_of
from mermaide_pl.evaluation.records import Row
from mermaide_pl.experiments.games.settings import Setting
from mermaide_pl.metrics.intervals import student_mean
from mermaide_pl.runtime.console import markdown_code

HARM = 0.02
"""Reward units per step below no intervention from which on a cell is listed."""
_MOST_SHOTS = 1


class Cell(NamedTuple):
    """A game with a population at 1 shot, means over the trainings; returns in reward units."""

    setting: Setting
    population: str
    none: float  # return of no intervention
    burst: float  # return of the burst
    ours: float  # return of the principal
    burst_share: float  # normalised return of the burst; nan if it is undefined
    our_share: float  # normalised return of the principal

    @property
    def harm(self) -> float:
        """How far the principal is below no intervention."""
        return self.none - self.ours


def cells(rows: Sequence[Row]) -> list[Cell]:
    """All cells, in the order of the rows of ``scores.csv``."""
    found: dict[tuple[Setting, str], list[Row]] = {}
    for row in rows:
        found.setdefault((Setting.of_row(row), row["population"]), []).append(row)

    def mean(group: Sequence[Row], method: str, quantity: str) -> float:
        shots = _MOST_SHOTS if method == PRINCIPAL else 0
        chosen = [
            row[quantity] for row in group if (row["method"], row["shots"]) == (method, shots)
        ]
        return math.nan if "" in chosen else fmean(chosen)

    return [
        Cell(
            *key,
            none=mean(group, NO_INTERVENTION, "return"),
            burst=mean(group, BURST, "return"),
            ours=mean(group, PRINCIPAL, "return"),
            burst_share=mean(group, BURST, "normalised_return"),
            our_share=mean(group, PRINCIPAL, "normalised_return"),
        )
        for key, group in found.items()
    ]


def means(rows: Sequence[Row]) -> list[Row]:
    """Means over the populations where the normalised return is defined, as they are drawn.

    Args:
        rows: of ``scores.csv``.

    Returns:
        One row per game, method and number of shots, with Student's t interval over the trainings
        of ``normalised_return``; nan if there is none.
    """
    found: dict[tuple[Setting, str, int], list[Row]] = {}
    for row in rows:
        found.setdefault((Setting.of_row(row), row["method"], row["shots"]), []).append(row)
    drawn = []
    for (setting, method, shots), group in found.items():
        defined = [row for row in group if row["normalised_return"] != ""]
        ordered = sorted(defined, key=lambda row: str(row["training"]))
        of_trainings = [
            fmean(row["normalised_return"] for row in of_training)
            for _, of_training in groupby(ordered, lambda row: row["training"])
        ]
        drawn.append(
            {
                **asdict(setting),
                "method": method,
                "shots": shots,
                "num_populations": len({row["population"] for row in group}),
                "num_defined": len({row["population"] for row in defined}),
                **student_mean(of_trainings).columns("normalised_return"),
            }
        )
    return drawn


def summary_page(rows: Sequence[Row], groups: Mapping[str, Sequence[Setting]]) -> str:
    """The scores at 1 shot by group of games, as a page of Markdown.

    Args:
        rows: of ``scores.csv``.
        groups: name to settings.
    """
    found = cells(rows)
    by_group = {
        name: [cell for cell in found if cell.setting in settings]
        for name, settings in groups.items()
    }
    trainings = len({row["training"] for row in rows} - {""})
    agents = rows[0]["num_agents"]
    harmed = sorted((cell for cell in found if cell.harm > HARM), key=lambda cell: -cell.harm)
    return "\n".join(
        [
            "# One principal in many games",
            "",
            f"A cell is a game with a population, {agents} agents each, at 1 shot; trainings:"
            f" {trainings}. A cell is above the burst if the mean return over the trainings is. The"
            " normalised return is the mean over the cells in which it is defined.",
            "",
            "| games | number of games | cells | above the burst | normalised return"
            " | that of the burst | of cells | below no intervention"
            f" by more than {HARM:g} |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
            *(_line(name, each) for name, each in {**by_group, "all": found}.items() if each),
            "",
            f"## Below no intervention by more than {HARM:g}",
            "",
            f"{len(harmed)} of {len(found)} cells{', the worst first:' if harmed else '.'}",
            *([""] if harmed else []),
            *(
                f"- {markdown_code(cell.population)}, {_told(cell.setting)}: {cell.ours:.3f},"
                f" {label_of(NO_INTERVENTION)} {cell.none:.3f}"
                for cell in harmed
            ),
            "",
        ]
    )


def sentence(rows: Sequence[Row]) -> str:
    """The result in one sentence."""
    found = cells(rows)
    above, ours, burst, defined, harmed = _counts(found)
    return (
        f"games: at 1 shot above the burst in {above} of {len(found)} cells; normalised return"
        f" {ours}, of the burst {burst} (mean of {defined} cells); {harmed} cells are below no"
        f" intervention by more than {HARM:g}."
    )


def _line(name: str, found: Sequence[Cell]) -> str:
    above, ours, burst, defined, harmed = _counts(found)
    games = len({cell.setting for cell in found})
    share = f"{above / len(found):.0%} ({above})"
    return (
        f"| {name} | {games} | {len(found)} | {share} | {ours} | {burst} | {defined} | {harmed} |"
    )


def _counts(found: Sequence[Cell]) -> tuple[int, str, str, int, int]:
    """Cells above the burst, both normalised returns, cells that have them, and cells harmed."""
    ours = [cell.our_share for cell in found if not math.isnan(cell.our_share)]
    burst = [cell.burst_share for cell in found if not math.isnan(cell.burst_share)]
    shown = [f"{fmean(each):.3f}" if each else "-" for each in (ours, burst)]
    above = sum(cell.ours > cell.burst for cell in found)
    return above, shown[0], shown[1], len(ours), sum(cell.harm > HARM for cell in found)


def _told(setting: Setting) -> str:
    """The numbers of a setting, for people."""
    numbers = asdict(setting)
    return ", ".join(
        f"{name.removeprefix('num_').replace('_', ' ')} {value:g}"
        for name, value in numbers.items()
    )
