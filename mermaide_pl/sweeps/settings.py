"""Settings of a sweep, as in its YAML file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import pytorch_lightning as pl
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner, MedianPruner

from mermaide_pl.config.input_paths import CONFIGURATIONS
from mermaide_pl.config.validation import check_number
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations.files import load_from_yaml

Scalar: TypeAlias = bool | int | float | str | None
Configure: TypeAlias = Callable[[Sequence[str]], tuple[pl.Trainer, MermaideModule, TaskDataModule]]
"""Build trainer, module and data of `mermaide fit`; a ValueError says what is wrong."""


@dataclass(frozen=True)
class Parameter:
    """Search space of one option of `mermaide fit`: a range of numbers, or a list of choices.

    Args:
        low: least value; if it and `high` are whole numbers, so are all values.
        high: largest value.
        log: if True, values are drawn evenly on a logarithmic scale.
        choices: the values, in place of a range.
    """

    # a union of numbers alone may be read as floats: Python keeps one order of each such union
    low: Scalar = None
    high: Scalar = None
    log: bool = False
    choices: list[Scalar] | None = None

    def __post_init__(self) -> None:
        if (self.choices is None) == (self.low is None and self.high is None):
            raise ValueError("a parameter has either low and high, or choices")
        if self.choices is not None:
            if not self.choices or self.log:
                raise ValueError("choices need at least one entry, and no log")
            return
        if self.low is None or self.high is None:
            raise ValueError("a parameter needs both low and high, one is missing")
        low, high = self.ends
        check_number("high", high)
        check_number("low", low, above=0.0 if self.log else -math.inf)
        if not low < high:
            raise ValueError(f"low must be below high, got {low} and {high}")

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the range, (low, high)."""
        for name, value in (("low", self.low), ("high", self.high)):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number, got {value!r:.60}")
        return cast(float, self.low), cast(float, self.high)

    @property
    def distribution(self) -> BaseDistribution:
        """The range or choices as a distribution of Optuna."""
        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        low, high = self.ends
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=self.log)
        return FloatDistribution(low, high, log=self.log)

    @property
    def extremes(self) -> list[Scalar]:
        """Values to check in place of all: the ends of the range, or every choice."""
        return [self.low, self.high] if self.choices is None else self.choices


@dataclass(frozen=True)
class Sweep:
    """A search over configurations of `mermaide fit`.

    Args:
        base: configuration of `mermaide fit`, relative to the file of the sweep, or a name.
        parameters: search space by name of an option of `mermaide fit`, without dashes.
        settings: options for all trials that override those of the base, such as a shorter
            training; paths are as on the command line.
        num_trials: number of configurations tried, by all workers together.
        objective: logged quantity; a trial is ranked by its best validation, as ``best.ckpt`` is.
        direction: direction in which the objective is better.
        pruner: ends trials that do worse than others at the same training step, any pruner of
            Optuna; its steps are training steps. ``optuna.pruners.NopPruner`` ends none.
        num_random_trials: trials drawn evenly, before TPE learns from the results.
        seed: of the search; with one worker it decides all trials.
        storage: URL of a database that Optuna takes; None for SQLite in the folder of the sweep.
        heartbeat: seconds between two signs of life of a worker; the trial of a worker that gave
            none for four times as long is taken over by another.
    """

    base: str
    parameters: dict[str, Parameter]
    settings: dict[str, Any] = field(default_factory=dict)
    num_trials: int = 30
    objective: str = "val/return"
    direction: Literal["maximize", "minimize"] = "maximize"
    pruner: BasePruner = field(default_factory=MedianPruner)
    num_random_trials: int = 10
    seed: int = 0
    storage: str | None = None
    heartbeat: int = 15

    def __post_init__(self) -> None:
        if not self.parameters:
            raise ValueError("parameters is empty, it needs at least one entry")
        if both := self.parameters.keys() & self.settings.keys():
            raise ValueError(f"{min(both)} is among the settings and the parameters")
        check_number("num_trials", self.num_trials, low=1)
        check_number("num_random_trials", self.num_random_trials, low=1)
        check_number("heartbeat", self.heartbeat, low=1)
        check_number("seed", self.seed, low=0, high=2**32 - 1)

    @property
    def maximises(self) -> bool:
        """True if a larger objective is better."""
        return self.direction == "maximize"

    def arguments(self, values: Mapping[str, Any]) -> list[str]:
        """Arguments of `mermaide fit` for a trial with these values of the parameters."""
        return [f"--config={self.base}", *options(self.settings), *options(values)]

    def check(self, configure: Configure) -> None:
        """Parse configurations with all extremes of all parameters.

        Raises:
            ValueError: one line that says which parameter is wrong.
        """
        extremes = {name: given.extremes for name, given in self.parameters.items()}
        for turn in range(max(map(len, extremes.values()))):
            values = {name: some[turn % len(some)] for name, some in extremes.items()}
            try:  # all at once, for a parse takes its time
                trainer, module, _ = configure(self.arguments(values))
            except ValueError as error:
                self._name_culprit(configure, values)
                together = ", ".join(options(values))
                raise ValueError(f"parameters {together} together: {error}") from None
            logged = ["val/return", *(f"val/{name}" for name in module.metrics.names)]
            if self.objective not in logged:
                allowed = ", ".join(logged)
                raise ValueError(f"objective {self.objective} is not logged, allowed: {allowed}")
            if trainer.world_size > 1:
                raise ValueError(
                    f"{self.base} trains on {trainer.world_size} devices, a sweep needs"
                    " trainer.devices: 1; start as many workers instead"
                )

    def _name_culprit(self, configure: Configure, values: Mapping[str, Any]) -> None:
        suspects = {
            "": [f"--config={self.base}"],
            "settings: ": self.arguments({}),
            **{
                f"parameter {name} = {value}: ": self.arguments({name: value})
                for name, value in values.items()
            },
        }
        for where, arguments in suspects.items():
            try:
                configure(arguments)
            except ValueError as error:
                raise ValueError(f"{where}{error}") from None


def options(values: Mapping[str, Any]) -> list[str]:
    """Values as options of a command line."""
    return [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in values.items()
    ]


def load_sweep(path: str | Path) -> Sweep:
    """Read a sweep from YAML; its base is a name, or a path relative to the file.

    Raises:
        ValueError: one line that says what is wrong with the file.
    """
    given = load_from_yaml(Sweep, path, "configuration", packages=("optuna",))
    base = CONFIGURATIONS.path(given.base, Path(path).parent)
    if not base.is_file():
        raise ValueError(f"configuration {path}: base {base} does not exist")
    return replace(given, base=str(base))
