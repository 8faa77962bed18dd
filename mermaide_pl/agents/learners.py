"""Python objects as learners, run one after another; errors name the learner, task and step."""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from mermaide_pl.config.validation import one_line

PASSED_ON = (KeyboardInterrupt, GeneratorExit)
"""Exceptions passed on as they are; anything else a learner raises is its error, also a panic."""


class Learner(Protocol):
    """Protocol of a learner: the two methods it must have."""

    def act(self) -> int:
        """Choose an arm, 0 <= arm < n_arms; called once a step."""
        ...

    def learn(self, arm: int, reward: float) -> None:
        """Learn from the pull of `arm`, which paid `reward`."""
        ...


@dataclass(frozen=True)
class LearnerSpec:
    """A factory for the learners of one task, with their name in messages."""

    factory: Callable[..., Learner]
    hyper_parameters: dict[str, float | int]
    label: str


class Learners:
    """A list of N learners, which act and learn together.

    Args:
        specs: one per learner.
        num_arms: A.
        seeds: one per learner.

    Raises:
        ValueError: one line with the learner, its task and the step; all methods raise it.
    """

    def __init__(self, specs: Sequence[LearnerSpec], num_arms: int, seeds: Sequence[int]) -> None:
        self._specs, self._num_arms, self._step = specs, num_arms, 0
        self._learners = []
        for number, (spec, seed) in enumerate(zip(specs, seeds, strict=True)):
            try:
                learner = spec.factory(num_arms, seed, **spec.hyper_parameters)
                missing = [
                    name for name in ("act", "learn") if not callable(getattr(learner, name, None))
                ]
            except PASSED_ON:
                raise
            except BaseException as error:
                self._fail(number, error, f"cannot be made by factory({num_arms}, {seed})")
            if missing:
                raise ValueError(f"{spec.label}: {learner!r} has no method {missing[0]}()")
            self._learners.append(learner)

    def act(self) -> list[int]:
        """The arm that each learner chooses, in order."""
        return [self._act(number, learner) for number, learner in enumerate(self._learners)]

    def _act(self, number: int, learner: Learner) -> int:
        try:
            chosen: Any = learner.act()
        except PASSED_ON:
            raise
        except BaseException as error:
            self._fail(number, error, "act() failed")
        try:
            arm = operator.index(chosen)
        except TypeError:
            arm = -1
        if not 0 <= arm < self._num_arms:
            raise ValueError(
                f"{self._specs[number].label}, step {self._step}: act() returned {chosen!r},"
                f" allowed: a whole number from 0 to {self._num_arms - 1}"
            )
        return arm

    def learn(self, arms: Sequence[int], rewards: Sequence[float]) -> None:
        """Let each learner learn from its arm and reward."""
        for number, learner in enumerate(self._learners):
            try:
                learner.learn(arms[number], rewards[number])
            except PASSED_ON:
                raise
            except BaseException as error:
                self._fail(number, error, f"learn({arms[number]}, {rewards[number]:.6g}) failed")
        self._step += 1

    def _fail(self, number: int, error: BaseException, what: str) -> NoReturn:
        line = traceback.extract_tb(error.__traceback__)[-1]
        at = f" ({Path(line.filename).name}, line {line.lineno})"
        raise ValueError(
            f"{self._specs[number].label}, step {self._step}: {what}: {type(error).__name__}:"
            f" {one_line(error)}{at if line.filename != __file__ else ''}"
        ) from error
