"""The choices, and the recurrent models of parts of them, each trained once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mermaide_pl.deployment.choice_data import ChoiceData
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.experiments.learners.choices import Choices, folds_of
from mermaide_pl.experiments.learners.recurrent import Training, train

HELD_OUT_PEOPLE, HELD_OUT_SCHEDULES = "people", "schedules"
SPLITS = (HELD_OUT_PEOPLE, HELD_OUT_SCHEDULES)
"""What forecasts are made of: folds of people, or each schedule with all its people."""


@dataclass(frozen=True)
class Effort:
    """Size of the experiment.

    Args:
        num_people: of each schedule, the first ones; None for all.
        num_folds: folds of people.
        num_fitted: people, drawn at random, that the parameters of a rule are fitted to.
        num_agents: simulated agents of each model under each schedule or principal.
        training: of the recurrent model.
    """

    num_people: int | None = None
    num_folds: int = 5
    num_fitted: int = 500
    num_agents: int = 1000
    training: Training = field(default_factory=Training)


QUICK = Effort(
    num_people=20,
    num_folds=2,
    num_fitted=40,
    num_agents=50,
    training=Training(hidden_size=16, forecast_size=8, num_epochs=5, num_steps=25),
)


@dataclass(frozen=True)
class Study:
    """Choices of N people, and the folder of the results.

    Args:
        data: the choices.
        effort: size of the experiment.
        out: the folder.
        seed: of folds, trainings and agents.
    """

    data: ChoiceData
    effort: Effort
    out: Path
    seed: int

    @classmethod
    def of(cls, data: ChoiceData, effort: Effort, out: Path, seed: int) -> Study:
        """One of as many people as the effort has.

        Raises:
            ValueError: if there are too few schedules or people to leave some out.
        """
        if effort.num_people is not None:
            places = [
                torch.nonzero(data.schedule == number).flatten()[: effort.num_people]
                for number in data.schedules
            ]
            kept = torch.cat(places).sort().values
            data = replace(data, chose_target=data.chose_target[kept], schedule=data.schedule[kept])
        study = cls(data, effort, out, seed)
        for split in SPLITS:
            folds, numbers = study.folds(split), study.fold_numbers(split)
            fewest = min((int((folds != fold).sum()) for fold in numbers), default=0)
            if len(numbers) < 2 or fewest < 2:
                raise ValueError(
                    f"choices of {len(data.schedule)} people under {len(data.schedules)} schedules"
                    " are too few: people and schedules are left out in turn, and two people at"
                    " least must be left to fit to"
                )
        return study

    @cached_property
    def choices(self) -> Choices:
        """The choices, arm 0 the target."""
        played = self.data.trajectory()
        return Choices(
            played.arms,
            played.agent_rewards.double(),
            torch.ones_like(played.arms, dtype=torch.bool),
            played.game.num_arms,
            tuple(map(str, range(len(played.arms)))),
        )

    def folds(self, split: str) -> Tensor:
        """Number of the fold of each person, int64 [N]; of `HELD_OUT_SCHEDULES` the schedule."""
        if split == HELD_OUT_SCHEDULES:
            return self.data.schedule
        return folds_of(len(self.data.schedule), self.effort.num_folds, self.seed)

    def fold_numbers(self, split: str) -> list[int]:
        """The folds that someone is in, in ascending order."""
        return sorted(set(self.folds(split).tolist()))

    def recurrent(self, split: str, fold: int) -> Path:
        """File of the model of all people but those of a fold."""
        return self._recurrent(f"without_{split}_{fold}", self.folds(split) != fold)

    def recurrent_of_all(self) -> Path:
        """File of the model of all people."""
        return self._recurrent("all", torch.ones(len(self.choices), dtype=torch.bool))

    def _recurrent(self, name: str, counted: Tensor) -> Path:
        file = self.out / "models" / f"{name}.ckpt"
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            people = self.choices.chosen(torch.nonzero(counted).flatten())
            train(people, self.seed, self.effort.training).save(file)
        return file

    def part(self, name: str, compute: Callable[[], Sequence[Row]]) -> list[Row]:
        """Rows of ``NAME.csv``, which are computed and written if there is no such file yet."""
        file = self.out / f"{name}.csv"
        if not file.is_file():
            file.parent.mkdir(exist_ok=True)
            write_rows(file, compute())
        return read_rows(file)
