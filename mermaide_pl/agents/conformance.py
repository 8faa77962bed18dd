"""Checks that a learner fulfils the requirements of `PythonAgent`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from mermaide_pl.agents import PythonAgent
from mermaide_pl.agents.learners import Learners

_NUM_STEPS = 200
_NUM_COMPARED = 5
_NUM_LEARNERS = 10
_LEAST_EFFECT = 0.05
_EVALUATION_STEPS = 3.4e6  # with the defaults: half of them tune the oracle


@dataclass(frozen=True)
class Finding:
    """Result of one check: its name, whether it passed, and what was seen."""

    check: str
    passed: bool
    seen: str


def conformance(
    agent: PythonAgent, hyper_parameters: Mapping[str, float], num_arms: int
) -> Iterator[Finding]:
    """Check a learner, and stop after the first check if it cannot choose and learn at all.

    Args:
        agent: the learner to check, as a factory.
        hyper_parameters: arguments of the factory after number of arms and seed.
        num_arms: A.
    """
    bandit = _Bandit(agent, hyper_parameters, num_arms)
    seeds = range(_NUM_COMPARED)

    def alone(disturbance: int) -> list[list[int]]:
        return [bandit.play([seed], disturbance=disturbance)[0] for seed in seeds]

    started = time.perf_counter()
    try:
        first = alone(disturbance=1)
    except ValueError as error:
        yield Finding("chooses and learns", False, str(error))
        return
    micros = (time.perf_counter() - started) * 1e6 / (_NUM_COMPARED * _NUM_STEPS)
    yield Finding("chooses and learns", True, f"arms from 0 to {num_arms - 1} for every reward")
    again = partial(alone, disturbance=2)
    yield _alike("deterministic by seed", first, again, "all randomness must come from the seed")
    beside = partial(bandit.play, seeds, disturbance=1)
    yield _alike("instances are independent", first, beside, "they must not share state")
    varies = len({tuple(arms) for arms in first}) > 1
    yield Finding("seeds differ", True, "yes" if varies else "no: all choose the same arms")
    yield _learns(bandit)
    yield Finding("speed", True, _speed(micros))


class _Bandit:
    """A noisy bandit in which one arm pays 1 and the others 0; the arm depends on the seed."""

    def __init__(
        self, agent: PythonAgent, hyper_parameters: Mapping[str, float], num_arms: int
    ) -> None:
        self._agent, self._hyper_parameters, self._num_arms = agent, hyper_parameters, num_arms

    def best_arm(self, seed: int, shift: int = 0) -> int:
        return (seed + shift) % self._num_arms

    def play(self, seeds: Sequence[int], *, disturbance: int, shift: int = 0) -> list[list[int]]:
        """Play one learner per seed, in turns, and return the arms they choose.

        Args:
            seeds: one per learner.
            disturbance: seed of the process's own generators, which no learner should use.
            shift: offset of the arm that pays.
        """
        random.seed(disturbance)
        np.random.seed(disturbance)
        maker = self._agent.learner_spec("check", self._hyper_parameters)
        learners = Learners([maker] * len(seeds), self._num_arms, seeds)
        noise = [np.random.Generator(np.random.Philox(seed)) for seed in seeds]
        steps = []
        for _ in range(_NUM_STEPS):
            arms = learners.act()
            learners.learn(
                arms,
                [
                    float(arm == self.best_arm(seed, shift)) + 0.1 * own.standard_normal()
                    for arm, seed, own in zip(arms, seeds, noise, strict=True)
                ],
            )
            steps.append(arms)
        return [list(arms) for arms in zip(*steps, strict=True)]


def _alike(
    check: str, first: list[list[int]], play_again: Callable[[], list[list[int]]], advice: str
) -> Finding:
    try:
        second = play_again()
    except ValueError as error:
        return Finding(check, False, f"{error}: {advice}")
    for seed, (one, other) in enumerate(zip(first, second, strict=True)):
        for step, (arm, other_arm) in enumerate(zip(one, other, strict=True)):
            if arm != other_arm:
                seen = f"seed {seed}, step {step}: arm {arm}, then arm {other_arm}: {advice}"
                return Finding(check, False, seen)
    return Finding(check, True, f"the same arms for {len(first)} seeds")


def _learns(bandit: _Bandit) -> Finding:
    seeds = range(_NUM_LEARNERS)
    arms = np.array([bandit.best_arm(seed) for seed in seeds])[:, None]
    try:
        where_it_pays, where_it_does_not = (
            float(np.mean(np.array(bandit.play(seeds, disturbance=1, shift=shift)) == arms))
            for shift in (0, 1)
        )
    except ValueError as error:
        return Finding("learns from reward", False, str(error))
    # the same seeds: without learning the two are equal
    return Finding(
        "learns from reward",
        where_it_pays > where_it_does_not + _LEAST_EFFECT,
        f"an arm is pulled in {where_it_pays:.0%} of the steps if it pays 1, in"
        f" {where_it_does_not:.0%} if another does",
    )


def _speed(micros: float) -> str:
    minutes = micros * 1e-6 * _EVALUATION_STEPS / 60.0
    advice = "; or set num_workers, --num_tuning_agents, --num_agents" if minutes > 3.0 else ""
    return f"{micros:.0f} µs a step: {minutes:.1f} min in `mermaide evaluate`{advice}"
