"""Reading choices of people from the authors' files, or from a table of our own."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from mermaide_pl.config.validation import one_line
from mermaide_pl.deployment.choice_data import COLUMNS, ChoiceData
from mermaide_pl.deployment.log_cells import label_of, whole_number_to
from mermaide_pl.deployment.log_columns import Column, ColumnReader, raise_mistakes
from mermaide_pl.deployment.log_tables import open_table, source_of
from mermaide_pl.game import CHOICE_ENGINEERING
from mermaide_pl.principals import StaticSchedule

_PUBLISHED_NAMES = {  # of the authors' files, one a person
    "trial": "trial_number",
    "chose_target": "is_choice_alternative_1",
    "reward_target": "reward_alternative_1",
    "reward_other": "reward_alternative_2",
}
_SCHEDULE = re.compile(r"schedule_([0-9]{1,9})(?![0-9])")
_NUM_TRIALS = CHOICE_ENGINEERING.num_steps


def read_choice_data(path: str | os.PathLike[str]) -> ChoiceData:
    """Read choices under schedules of 100 trials that reward each alternative 25 times.

    Either a folder, as the authors have published it: a CSV file for each person, with the columns
    ``trial_number`` (0 to 99), ``is_choice_alternative_1``, ``reward_alternative_1`` and
    ``reward_alternative_2``, in a folder ``schedule_NUMBER``, or so named itself; alternative 1 is
    the target. Or one table, with a row for each trial and the columns ``participant`` (a text or
    an integer), ``schedule`` (its number), ``trial`` (0 to 99), ``chose_target``,
    ``reward_target`` and ``reward_other`` (whether each alternative would have paid). People come
    in the order of the files' paths, or of the rows. Choices and rewards are 0, 1, false or true.

    Args:
        path: the folder, or a file as of `read_histories`.

    Raises:
        ValueError: one line that says what is wrong, with row and column, and what is allowed.
        MistakesError: the same, a line for each of the first 20 that differ, and the number of all.
    """
    return _folder(Path(path)) if Path(path).is_dir() else _table(path)


def _table(path: str | os.PathLike[str]) -> ChoiceData:
    labels: dict[str, int] = {}

    def person(text: str) -> int:
        return labels.setdefault(label_of(text), len(labels))

    reader = _read(path, {name: name for name in COLUMNS}, {"participant": person})
    rows = reader.numbers()
    trials = _Trials(len(labels))
    trials.add(rows, rows["participant"], rows["schedule"], reader.refuse, [*labels])
    person_of = rows["participant"]
    schedule = np.where(person_of < 0, -1, trials.schedule[person_of])
    _check_schedules(trials.sequences(), rows, schedule, reader.refuse)
    found, number = reader.mistakes()
    raise_mistakes(source_of(path), [*found, *trials.mistakes], number + len(trials.mistakes))
    return trials.data()


def _folder(path: Path) -> ChoiceData:
    files = sorted(path.rglob("*.csv"), key=str)
    if not files:
        raise ValueError(one_line(f"{path} has no CSV files"))
    trials, number = _Trials(len(files)), 0
    mistakes: list[tuple[str, int]] = []
    read = []
    for person, file in enumerate(files):
        name = file.relative_to(path).as_posix()
        try:
            schedule = _SCHEDULE.search(file.name) or _SCHEDULE.search(file.parent.name)
            if schedule is None:
                raise ValueError(f"{name} must be in a folder schedule_NUMBER")
            reader = _read(file, _PUBLISHED_NAMES, {})
            rows = reader.numbers()
        except ValueError as error:
            mistakes.append((str(error), 1))
            number += 1
            continue
        of = np.full(len(rows["trial"]), person)
        schedules = np.full_like(of, int(schedule[1]))
        trials.add(rows, of, schedules, reader.refuse, {person: name})
        read.append((reader, rows, schedules, name))
    sequences = trials.sequences()
    for reader, rows, schedules, name in read:
        _check_schedules(sequences, rows, schedules, reader.refuse)
        found, more = reader.mistakes()
        mistakes += [(f"{name}, {line}", times) for line, times in found]
        number += more
    raise_mistakes(one_line(path), [*mistakes, *trials.mistakes], number + len(trials.mistakes))
    return trials.data()


def _read(
    path: str | os.PathLike[str],
    names: Mapping[str, str],
    special: Mapping[str, Callable[[str], float]],
) -> ColumnReader:
    """The columns of a file, by our names."""
    reads = {"schedule": whole_number_to(10**9 - 1), "trial": whole_number_to(_NUM_TRIALS - 1)}
    binary = {name: whole_number_to(1) for name in COLUMNS[3:]}
    allowed = {**binary, **reads, **special}
    with open_table(path, names.values()) as table:
        missing = [given for given in names.values() if table.header.count(given) != 1]
        if missing:
            raise ValueError(
                one_line(
                    f"{source_of(path)} (its header) must have each of these columns"
                    f" once: {', '.join(map(repr, missing))}; the columns are"
                    f" {', '.join(filter(None, table.header)):.400}"
                )
            )
        reader = ColumnReader(
            source_of(path), [Column(name, given, allowed[name]) for name, given in names.items()]
        )
        reader.add(table.blocks([table.header.index(given) for given in names.values()]))
    return reader


_Refuse = Callable[[str, np.ndarray, np.ndarray, Callable[[int], str]], None]


class _Trials:
    """Choices and rewards by person and trial, with what is wrong about whole persons.

    Args:
        num_people: N.
    """

    def __init__(self, num_people: int) -> None:
        # choice, reward of the target and of the other, -1 where there is none
        self._cells = np.full((num_people, _NUM_TRIALS, 3), -1, dtype=np.int8)
        self.schedule = np.full(num_people, -1, dtype=np.int64)
        self.mistakes: list[tuple[str, int]] = []

    def add(
        self,
        rows: Mapping[str, np.ndarray],
        person: np.ndarray,
        schedule: np.ndarray,
        refuse: _Refuse,
        names: Mapping[int, str] | Sequence[str],
    ) -> None:
        """Add the rows of a table.

        Args:
            rows: its columns, -1 for a wrong cell, [n].
            person: number of the person of each row, int [n].
            schedule: of each row, int [n].
            refuse: collects wrong cells of the table.
            names: of the people, for messages.
        """
        known = np.flatnonzero((person >= 0) & (rows["trial"] >= 0))
        place = person[known] * _NUM_TRIALS + rows["trial"][known]
        _, first, inverse = np.unique(place, return_index=True, return_inverse=True)
        again = first[inverse] != np.arange(len(place))
        twice, before = known[again], known[first[inverse][again]]
        refuse(
            "trial",
            twice,
            rows["trial"][twice],
            lambda n: f"must not be that of row {before[n] + 1} again",
        )
        cells = np.stack([rows[name] for name in COLUMNS[3:]], axis=1)
        self._cells[person[known], rows["trial"][known]] = cells[known]
        people, starts, inverse = np.unique(person[known], return_index=True, return_inverse=True)
        own = schedule[known][starts]
        self.schedule[people] = own
        if "schedule" in rows:
            other = (schedule[known] != own[inverse]) & (schedule[known] >= 0)
            at, expected = known[other], own[inverse][other]
            refuse(
                "schedule",
                at,
                schedule[at],
                lambda n: f"must be {expected[n]}, as in the participant's first row",
            )
        wrong = (cells < 0).any(1) | (rows["trial"] < 0)
        wrong[twice] = True  # what they lack follows from what is wrong
        for number in () if (person < 0).any() else {*people.tolist()} - {*person[wrong].tolist()}:
            lacking = np.flatnonzero((self._cells[number] < 0).any(1))
            if len(lacking):
                numbers = ", ".join(map(str, lacking[:5])) + (", ..." if len(lacking) > 5 else "")
                must = f"must have the trials 0 to {_NUM_TRIALS - 1}"
                self.mistakes.append((f"{names[number]}: {must}, lacks {numbers}", 1))

    def sequences(self) -> dict[int, np.ndarray]:
        """Rewards of target and other that most people have under each schedule, [T, 2]."""
        found = {}
        for number in np.unique(self.schedule[self.schedule >= 0]).tolist():
            rewards = self._cells[self.schedule == number, :, 1:]
            ones, zeros = (rewards == 1).sum(0), (rewards == 0).sum(0)
            found[number] = (ones > zeros).astype(np.int64)
        return found

    def data(self) -> ChoiceData:
        """The choices.

        Raises:
            ValueError: if a schedule does not reward each alternative as often as the game asks.
        """
        sequences, wrong = self.sequences(), []
        for number, sequence in sequences.items():
            for column, (name, budget) in enumerate(
                zip(COLUMNS[4:], CHOICE_ENGINEERING.budgets, strict=True)
            ):
                if (paid := int(sequence[:, column].sum())) != budget.at_most:
                    must = f"{name} must be 1 in {budget} trials"
                    wrong.append((f"schedule {number}: {must}, is in {paid}", 1))
        raise_mistakes("choices", wrong, len(wrong))
        return ChoiceData(
            torch.from_numpy(self._cells[:, :, 0] == 1),
            torch.from_numpy(self.schedule),
            {
                number: StaticSchedule(tuple((sequence @ [1, 2]).tolist()))
                for number, sequence in sequences.items()
            },
            self._checksum(),
        )

    def _checksum(self) -> str:
        digest = hashlib.sha256(f"{','.join(COLUMNS)}\n".encode())
        for person, (schedule, cells) in enumerate(
            zip(self.schedule.tolist(), self._cells.tolist(), strict=True)
        ):
            lines = [
                f"{person},{schedule},{trial},{','.join(map(str, cell))}\n"
                for trial, cell in enumerate(cells)
            ]
            digest.update("".join(lines).encode())
        return digest.hexdigest()


def _check_schedules(
    sequences: Mapping[int, np.ndarray],
    rows: Mapping[str, np.ndarray],
    schedule: np.ndarray,
    refuse: _Refuse,
) -> None:
    """Refuse rewards of a table that are not those of most people under the schedule.

    Args:
        sequences: rewards of target and other under each schedule, [T, 2].
        rows: columns of the table, -1 for a wrong cell, [n].
        schedule: of each row, int [n].
        refuse: collects wrong cells of the table.
    """
    for number, sequence in sequences.items():
        at = np.flatnonzero((schedule == number) & (rows["trial"] >= 0))
        for name, expected in zip(COLUMNS[4:], sequence[rows["trial"][at]].T, strict=True):
            given = rows[name][at]
            wrong = (given >= 0) & (given != expected)
            said = [f"must be {each}, as for others of this schedule" for each in expected[wrong]]
            refuse(name, at[wrong], given[wrong], said.__getitem__)
