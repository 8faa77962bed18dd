import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mermaide_pl.agents import PythonAgent
from mermaide_pl.agents.conformance import conformance


class Good:
    def __init__(self, n_arms: int, seed: int, epsilon: float = 0.1):
        self.generator = np.random.default_rng(seed)
        self.epsilon = epsilon
        self.counts, self.sums = np.zeros(n_arms), np.zeros(n_arms)

    def act(self) -> int:
        if self.generator.random() < self.epsilon:
            return self.generator.integers(len(self.counts))
        return np.argmax(self.sums / np.maximum(self.counts, 1.0))

    def learn(self, arm: int, reward: float) -> None:
        self.counts[arm] += 1
        self.sums[arm] += reward


class UsesGlobalRandomness(Good):
    def act(self) -> int:
        self.generator = random.Random(random.random())
        self.generator.integers = self.generator.randrange
        return super().act()


class SharesState(Good):
    state = np.zeros(10), np.zeros(10)

    def __init__(self, n_arms: int, seed: int):
        super().__init__(n_arms, seed)
        self.counts, self.sums = SharesState.state


class LearnsNothing(Good):
    def learn(self, arm: int, reward: float) -> None:
        pass


class LearnsBackwards(Good):
    def learn(self, arm: int, reward: float) -> None:
        super().learn(arm, -reward)


class Crashes(Good):
    def learn(self, arm: int, reward: float) -> None:
        super().learn(arm, reward)
        if self.counts.sum() == 50:
            raise KeyError("gone")


DETERMINISTIC, INDEPENDENT, LEARNS = (
    "deterministic by seed",
    "instances are independent",
    "learns from reward",
)


def failures(learner: type, num_arms: int = 10, **hyper_parameters: float) -> set[str]:
    found = conformance(PythonAgent(learner), hyper_parameters, num_arms)
    return {finding.check for finding in found if not finding.passed}


@pytest.mark.parametrize(("num_arms", "epsilon"), [(2, 0.5), (10, 0.1), (25, 0.3)])
def test_a_learner_passes(num_arms, epsilon):
    findings = list(conformance(PythonAgent(Good), {"epsilon": epsilon}, num_arms))
    assert all(finding.passed for finding in findings) and len(findings) == 6


@pytest.mark.parametrize(
    ("learner", "failing"),
    [
        (UsesGlobalRandomness, {DETERMINISTIC, INDEPENDENT}),
        (SharesState, {DETERMINISTIC, INDEPENDENT, LEARNS}),
        (LearnsNothing, {LEARNS}),
        (LearnsBackwards, {LEARNS}),
        (Crashes, {"chooses and learns"}),
    ],
)
def test_a_defect_is_found(learner, failing):
    assert failures(learner) == failing


def test_a_crash_says_where():
    (finding,) = conformance(PythonAgent(Crashes), {}, 10)
    assert (
        "step 49: learn(" in finding.seen
        and "KeyError: 'gone' (test_conformance.py" in finding.seen
    )


@settings(max_examples=15, deadline=None)
@given(
    num_arms=st.integers(2, 12),
    epsilon=st.floats(0.0, 0.6),
    optimism=st.floats(0.5, 2.0),
    defect=st.sampled_from(["none", "global", "deaf"]),
)
def test_of_all_greedy_learners_those_without_a_defect_pass(num_arms, epsilon, optimism, defect):
    class Optimistic(Good):
        def __init__(self, n_arms: int, seed: int):
            super().__init__(n_arms, seed, epsilon)
            self.counts, self.sums = np.ones(n_arms), np.full(n_arms, optimism)
            if defect == "global":
                self.sums += np.random.random(n_arms)

        def learn(self, arm: int, reward: float) -> None:
            super().learn(arm, 0.0 if defect == "deaf" else reward)

    found = failures(Optimistic, num_arms)
    expected = {"none": set(), "global": {DETERMINISTIC}, "deaf": {LEARNS}}[defect]
    assert expected <= found if defect == "global" else found == expected


def test_a_panic_is_a_finding():
    class PanicError(BaseException):
        pass

    class Panics(Good):
        def act(self) -> int:
            raise PanicError("index out of bounds")

    (finding,) = conformance(PythonAgent(Panics), {}, 10)
    assert not finding.passed
    assert "step 0: act() failed: PanicError: index out of bounds (test_conf" in finding.seen
