"""Recorded histories of an agent, from CSV or Parquet files or a DataFrame."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mermaide_pl.config.validation import MAX_COUNT, one_line
from mermaide_pl.deployment.log_cells import (
    INTEGER,
    finite_number,
    is_no_text,
    label_of,
    one_of,
    probability,
    whole_number_to,
)
from mermaide_pl.deployment.log_columns import Column, ColumnReader, raise_mistakes
from mermaide_pl.deployment.log_tables import Table, open_table, source_of
from mermaide_pl.deployment.logged_episode import Episode
from mermaide_pl.game import Game

COLUMNS = ("episode", "step", "arm", "intervention", "agent_reward", "propensity")


@dataclass(frozen=True)
class History:
    """What was recorded with one agent.

    Args:
        episodes: by their numbers, or in the order of the file if their labels are texts.
        first_step: the number of the first step of each episode, 0 or 1.
        unused: columns that were not read.
    """

    episodes: list[Episode]
    first_step: int
    unused: list[str]

    def __str__(self) -> str:
        """What was read, for people."""
        lengths = sorted({len(episode) for episode in self.episodes})
        steps = " to ".join(map(str, dict.fromkeys([lengths[0], lengths[-1]])))
        said = f"episodes: {len(self.episodes)}, of {steps} steps"
        if self.first_step:
            said += f" counted from {self.first_step}"
        if self.unused:
            unused = ", ".join(name or "one without a name" for name in self.unused)
            said += f", columns not used: {unused}"
        return one_line(said)


def read_histories(
    logs: str | os.PathLike[str] | Any,
    game: Game,
    *,
    arms: Sequence[str | int] | None = None,
    columns: Mapping[str, str] | None = None,
) -> History:
    """Read the episodes that were recorded with one agent.

    Rows are steps, in any order. The columns, in any order, are ``episode`` (a text or an integer;
    without it all rows are one episode), ``step`` (0, 1, 2, ... or 1, 2, 3, ... within the
    episode), ``arm`` (0 to A - 1, as the agent labels them, or one of `arms`), ``intervention``
    (the level, 0 to L - 1), ``agent_reward`` (bonus included; read where the principal sees it),
    and if recorded ``propensity`` (the probability with which the logged level was chosen). Other
    columns are not read. In any column ``1``, ``1.0`` and ``true`` are the same number. Messages
    count rows from 1, below the header.

    Args:
        logs: a DataFrame of pandas, or a file that ends in ``.csv``, ``.csv.gz`` or ``.tsv`` (UTF-8
            with a header, separated by commas, semicolons, tabs or bars) or ``.parquet``.
        game: the rules under which the history was recorded; an episode has at most T steps.
        arms: labels of the arms, if they are not 0 to A - 1.
        columns: names that columns have in place of those above, such as ``{"arm": "choice"}``.

    Raises:
        ValueError: one line that says what is wrong, with row and column, and what is allowed.
        MistakesError: the same, a line for each of the first 20 mistakes, and their number.
    """
    names = _names(columns or {})
    with open_table(logs, names.values()) as table:
        source = source_of(logs)
        places = _places(source, table, names, {*(columns or {})}, game)
        reader = _Reader(source, [(name, names[name]) for name in places], game, arms)
        reader.add(table.blocks([*places.values()]))
    episodes, first_step = reader.episodes()
    unused = [name for at, name in enumerate(table.header) if at not in places.values()]
    return History(episodes, first_step, unused)


def _names(columns: Mapping[str, str]) -> dict[str, str]:
    """Names of all columns in the table."""
    for name in columns:
        if name not in COLUMNS:
            raise ValueError(
                f"--columns names {one_line(name)!r:.60}, allowed: {', '.join(COLUMNS)}"
            )
    names = {name: columns.get(name, name).strip() for name in COLUMNS}
    for name, given in names.items():
        twice = [other for other in names if names[other] == given]
        if name in columns and len(twice) > 1:
            raise ValueError(
                f"--columns: {' and '.join(twice)} must be different columns, both are"
                f" {one_line(given)!r:.60}"
            )
    return names


def _places(
    source: str, table: Table, names: Mapping[str, str], named: set[str], game: Game
) -> dict[str, int]:
    """Places of the columns that are to be read."""
    header, needed = table.header, {"step", "arm", "intervention", *named}
    if not any(header):
        raise ValueError(f"{source} is empty, it needs the columns {', '.join(COLUMNS[:4])}")
    optional = {"episode", "propensity"}
    if game.observation.sees_agent_rewards:
        needed.add("agent_reward")
    else:
        needed.discard("agent_reward")
    found = {name: names[name] for name in COLUMNS if name in needed | optional}
    missing = [name for name in found if name in needed and found[name] not in header]
    twice = [given for given in found.values() if header.count(given) > 1]
    if missing and is_no_text("".join(header)):
        raise ValueError(f"{source} (its header) must be UTF-8")
    if missing:
        shown, has = (
            ", ".join(repr(found[name]) for name in missing),
            ", ".join(filter(None, header)),
        )
        raise ValueError(
            one_line(
                f"{source} (its header): missing column {shown}, the columns are {has:.400};"
                f" --columns {missing[0]}=NAME tells another name"
            )
        )
    if twice:
        raise ValueError(
            one_line(f"{source} (its header): duplicate column {', '.join(map(repr, twice))}")
        )
    return {name: header.index(given) for name, given in found.items() if given in header}


class _Reader(ColumnReader):
    """Collects steps, some rows at a time, and the mistakes in them.

    Args:
        source: name of the table, for messages.
        columns: names of the columns that are read, ours and the table's.
        game: the rules.
        arms: labels of the arms, or None.
    """

    def __init__(
        self,
        source: str,
        columns: Sequence[tuple[str, str]],
        game: Game,
        arms: Sequence[str | int] | None,
    ) -> None:
        self._game = game
        self._labels: dict[str, int] = {}  # of episodes, in the order of the table
        read: dict[str, Callable[[str], float]] = {
            "episode": lambda text: self._labels.setdefault(label_of(text), len(self._labels)),
            "step": whole_number_to(MAX_COUNT),
            "arm": whole_number_to(game.num_arms - 1, " (labels need --arms)"),
            "intervention": whole_number_to(game.num_levels - 1),
            "agent_reward": finite_number,
            "propensity": probability,
        }
        if arms is not None:
            read["arm"] = one_of([str(label) for label in arms])
        real = ("agent_reward", "propensity")
        super().__init__(
            source, [Column(name, given, read[name], name in real) for name, given in columns]
        )

    def episodes(self) -> tuple[list[Episode], int]:
        """All episodes, and the number of their first step.

        Raises:
            ValueError: if anything was wrong.
        """
        numbers = self.numbers()
        steps = numbers["step"]
        episode = numbers["episode"] if "episode" in numbers else np.zeros_like(steps)
        order = self._order(episode, steps)
        first_step = int(len(order) > 0 and steps[order].min() == 1)
        self._check_steps(episode, steps, order, first_step)
        source = self.source
        if "episode" not in numbers:
            source += " (without a column episode all rows are one episode)"
        raise_mistakes(source, *self.mistakes())
        starts = np.flatnonzero(np.diff(episode[order])) + 1
        rows = np.split(order, starts)
        episodes = [
            Episode(
                *(numbers[name][each].tolist() for name in ("arm", "intervention")),
                *(
                    numbers[name][each].tolist() if name in numbers else None
                    for name in ("agent_reward", "propensity")
                ),
            )
            for each in rows
        ]
        return episodes, first_step

    def _order(self, episode: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Rows whose episode and step are known, sorted by both, int [n].

        Episodes come by their numbers if all have one, else as in the table.
        """
        labels = list(self._labels) or [""]
        ranks = np.arange(len(labels), dtype=np.int32)
        if all(map(INTEGER.fullmatch, labels)):
            ranks[np.argsort([int(label) for label in labels])] = ranks.copy()
        known = np.flatnonzero((steps >= 0) & (episode >= 0)).astype(np.int32)
        order: np.ndarray = known[np.lexsort((steps[known], ranks[episode[known]]))]
        return order

    def _check_steps(
        self, episode: np.ndarray, steps: np.ndarray, order: np.ndarray, first_step: int
    ) -> None:
        """Collect steps that are double, too many, or follow a gap.

        Args:
            episode: of each row, below 0 if it is not known, int [rows].
            steps: of each row, below 0 if it is not known, int [rows].
            order: the other rows by episode and step, int [n].
            first_step: 0 or 1.
        """
        episode_of, step_of = episode[order], steps[order]
        begins = np.diff(episode_of, prepend=-1) != 0
        before = np.where(begins, first_step - 1, np.roll(step_of, 1))
        last = first_step + self._game.num_steps - 1

        def refuse(places: np.ndarray, allowed: Callable[[int], str]) -> None:
            at = np.flatnonzero(places)
            self.refuse("step", order[at], step_of[at], lambda place: allowed(int(at[place])))

        too_many = step_of > last
        refuse(too_many, lambda _: f"must be at most {last}")
        refuse(
            (step_of == before) & ~too_many,
            lambda place: f"must not be that of row {order[place - 1] + 1} again",
        )
        gaps = (step_of > before + 1) & bool((episode >= 0).all())
        if gaps.any():  # a row with another mistake may be the one that is missing
            gaps &= ~np.isin(episode_of, np.union1d(episode[steps < 0], episode_of[too_many]))
        refuse(
            gaps,
            lambda place: f"must be {before[place] + 1}, no step of an episode may be missing",
        )
