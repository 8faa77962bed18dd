"""Adapter that makes an agent of any Python object with ``act`` and ``learn``."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from mermaide_pl.agents.base import LearningRule
from mermaide_pl.agents.learners import PASSED_ON, Learner, Learners, LearnerSpec
from mermaide_pl.agents.rule_source import RuleSource
from mermaide_pl.agents.workers import in_workers
from mermaide_pl.config.serialization import name_callable
from mermaide_pl.config.validation import check_count, one_line

Factory: TypeAlias = Callable[..., Learner]
"""``factory(n_arms, seed, **hyper_parameters)`` makes a `Learner`."""


@dataclass(frozen=True)
class PythonAgent(RuleSource):
    """Your own learner, used in place of a learning rule.

    ``factory(n_arms: int, seed: int)`` returns an object with ``act() -> int`` and
    ``learn(arm: int, reward: float) -> None``; nothing else is required. Hyper-parameters of the
    family are passed by name, whole numbers as int. Each episode with each agent has a learner made
    with a seed of its own, 0 <= seed < 2**31, so that it behaves the same in whatever batch it
    occurs; for that, all its randomness must come from the seed.

    Args:
        factory: the function or class, or its import path.
        num_workers: processes that share the learners of a meta-batch; 0 for none. They pay off
            if a step of a learner takes longer than about 10 microseconds, and need a factory
            that can be imported.
    """

    factory: str | Factory
    num_workers: int = 0
    callables: ClassVar[tuple[str, ...]] = ("factory",)

    def __post_init__(self) -> None:
        check_count("PythonAgent.num_workers", self.num_workers, low=0)
        if isinstance(self.factory, str):
            object.__setattr__(self, "factory", import_factory(self.factory))
        if not callable(self.factory):
            raise ValueError(f"factory {self.factory!r} cannot be called as factory(n_arms, seed)")
        name_callable(self.factory)
        if self.num_workers and "<" in self.__name__:
            raise ValueError(
                f"factory {self.__name__} cannot be imported, as num_workers ="
                f" {self.num_workers} needs: define it at the top of a module"
            )

    @property
    def __name__(self) -> str:
        name = getattr(self.factory, "__qualname__", type(self.factory).__qualname__)
        return f"{getattr(self.factory, '__module__', '')}.{name}"

    def hyper_parameters(self) -> list[str] | None:
        """Names of the factory's arguments after the first two; None if it takes any."""
        assert not isinstance(self.factory, str)
        try:
            parameters = list(inspect.signature(self.factory).parameters.values())
        except (TypeError, ValueError):  # written in C
            return None
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return None
        return [parameter.name for parameter in parameters[2:]]

    def check(self, hyper_parameters: Mapping[str, float], num_arms: int) -> None:
        """Check that a learner can be made and can choose.

        Raises:
            ValueError: one line that says what is wrong with the learner.
        """
        Learners([self.learner_spec("first trial", hyper_parameters)], num_arms, [0]).act()

    def for_tasks(self, labels: Sequence[str], drawn: Mapping[str, Tensor]) -> LearningRule:
        """Build a learning rule that runs the learners of m tasks.

        Args:
            labels: name of each task in messages.
            drawn: hyper-parameters, each [m].
        """
        return _PythonRule(
            [
                self.learner_spec(
                    label, {name: float(values[row]) for name, values in drawn.items()}
                )
                for row, label in enumerate(labels)
            ],
            self.num_workers,
        )

    def learner_spec(self, label: str, hyper_parameters: Mapping[str, float]) -> LearnerSpec:
        """A factory of learners with these hyper-parameters, called `label` in messages."""
        assert not isinstance(self.factory, str)
        given = {
            name: int(value) if float(value).is_integer() else value
            for name, value in hyper_parameters.items()
        }
        return LearnerSpec(self.factory, given, f"learner {self.__name__}, {label}")


def import_named(what: str, path: str) -> Any:
    """Import an object by its import path.

    Args:
        what: name of the kind of object in messages.
        path: import path such as ``my_module.MyLearner``.

    Raises:
        ValueError: one line that says what is wrong with the path.
    """
    module, _, name = path.rpartition(".")
    if not module:
        raise ValueError(f"{what} '{path}' must be an import path such as my_module.MyLearner")
    try:
        return getattr(importlib.import_module(module), name)
    except PASSED_ON:
        raise
    except BaseException as error:
        raise ValueError(
            f"{what} '{path}' cannot be imported (modules are looked for in the current folder and"
            f" on the Python path): {type(error).__name__}: {one_line(error)}"
        ) from None


def import_factory(path: str) -> Factory:
    """Import a function or class by its import path.

    Raises:
        ValueError: one line that says what is wrong with the path.
    """
    factory: Factory = import_named("factory", path)
    if not callable(factory):
        raise ValueError(f"factory '{path}' cannot be called as factory(n_arms, seed)")
    return factory


class _PythonRule(LearningRule):
    """Learning rule that runs Python learners: m tasks, B learners for each.

    The state is the learners themselves, made in the first step, since their seeds come from the
    agent's own random numbers.
    """

    is_tensors = False

    def __init__(self, specs: Sequence[LearnerSpec], num_workers: int) -> None:
        self._specs = specs
        self._num_workers = num_workers

    def __str__(self) -> str:
        return "; ".join(spec.label for spec in self._specs)

    def num_uniforms(self, num_arms: int) -> int:
        """Two, for a seed of 31 bits."""
        return 2

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> _State:
        """The state before the first step, without learners yet."""
        return _State(self._specs, self._num_workers, base_rewards.shape[1])

    def act(self, state: _State, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The arms that the learners choose; each is asked once a step, as this may change it."""
        return state.act(uniforms)

    def update(self, state: _State, arms: Tensor, rewards: Tensor, uniforms: Tensor) -> _State:
        """Let each learner learn from its arm and reward."""
        state.learn(arms, rewards)
        return state


class _State:
    def __init__(self, specs: Sequence[LearnerSpec], num_workers: int, num_arms: int) -> None:
        self._specs, self._num_workers, self._num_arms = specs, num_workers, num_arms
        self._learners: Learners | None = None
        self._chosen: Tensor | None = None

    def act(self, uniforms: Tensor) -> Tensor:
        """Arms, int64 [m, B]."""
        if self._learners is None:
            high, low = (uniforms.double() * 2**16).long().unbind(-1)
            seeds = (high << 15 | low >> 1).flatten().tolist()
            each = len(seeds) // len(self._specs)
            specs = [spec for spec in self._specs for _ in range(each)]
            self._learners = in_workers(self._num_workers, specs, self._num_arms, seeds)
        if self._chosen is None:
            arms = torch.tensor(self._learners.act(), device=uniforms.device)
            self._chosen = arms.view(uniforms.shape[:2])
        return self._chosen

    def learn(self, arms: Tensor, rewards: Tensor) -> None:
        """Pass arms and rewards to the learners; axes [m, B]."""
        assert self._learners is not None
        self._learners.learn(arms.flatten().tolist(), rewards.flatten().tolist())
        self._chosen = None
