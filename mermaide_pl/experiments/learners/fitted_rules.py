"""The learning rules that are fitted to choices: what is free, and within which bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mermaide_pl.agents import (
    CATIE,
    EpsilonGreedy,
    EpsilonSoftmaxQ,
    LearningRule,
    NoisyUCB,
    RescorlaWagner,
)


@dataclass(frozen=True)
class Bounds:
    """Lowest and highest value of a hyper-parameter.

    Args:
        low: the lowest.
        high: the highest.
        is_log: True to search by its logarithm.
        reward_units: power of the reward unit in it.
    """

    low: float
    high: float
    is_log: bool = False
    reward_units: int = 0

    def value(self, place: Tensor, unit: float) -> Tensor:
        """The value at a place, 0 at the lowest, 1 at the highest; any shape."""
        low, high = map(math.log, (self.low, self.high)) if self.is_log else (self.low, self.high)
        value = low + place * (high - low)
        return unit**self.reward_units * (value.exp() if self.is_log else value)


@dataclass(frozen=True)
class FittedRule:
    """A learning rule with its free hyper-parameters.

    Args:
        rule: class of the rule, with choice probabilities in closed form.
        free: bounds of each hyper-parameter that is fitted.
        fixed: values of others.
        unknown: values that others may have, each as likely as the other for an agent; the
            likelihood is their mean over these.
        middle: a hyper-parameter that is the middle of the range of rewards.
    """

    rule: type[LearningRule]
    free: Mapping[str, Bounds]
    fixed: Mapping[str, float] = field(default_factory=dict)
    unknown: Mapping[str, Sequence[float]] = field(default_factory=dict)
    middle: str | None = None


_PROBABILITY = Bounds(0.001, 0.999)
_TEMPERATURE = Bounds(0.01, 10.0, is_log=True, reward_units=1)
_LAPSES = Bounds(0.001, 0.5, is_log=True)
_Q = {"learning_rate": _PROBABILITY, "temperature": _TEMPERATURE}

RULES = {
    "softmax_q": FittedRule(RescorlaWagner, _Q, middle="initial_value"),
    "rescorla_wagner": FittedRule(
        RescorlaWagner,
        {**_Q, "perseveration": Bounds(-5.0, 5.0, reward_units=1)},
        middle="initial_value",
    ),
    # with lapses: who repeats an arm before all were tried would be impossible else
    "softmax": FittedRule(
        NoisyUCB, {"temperature": _TEMPERATURE, "lapse_rate": _LAPSES}, {"beta": 0.0}
    ),
    # with noise as well: the likelihood of an exact maximum jumps
    "ucb": FittedRule(
        NoisyUCB,
        {
            "beta": Bounds(0.0, 5.0, reward_units=1),
            "temperature": _TEMPERATURE,
            "lapse_rate": _LAPSES,
        },
    ),
    "epsilon_greedy": FittedRule(EpsilonGreedy, {"epsilon": _PROBABILITY}),
    "epsilon_softmax_q": FittedRule(
        EpsilonSoftmaxQ,
        {
            "learning_rate": _PROBABILITY,
            "inverse_temperature": Bounds(0.1, 300.0, is_log=True, reward_units=-1),
            "epsilon": Bounds(0.001, 0.5),
        },
    ),
    # as in the authors' forecasts the second arm need not be the other
    "catie": FittedRule(
        CATIE,
        {"tau": _PROBABILITY, "epsilon": _PROBABILITY, "phi": _PROBABILITY},
        {"tries_first": 0.0},
        {"context": (0.0, 1.0, 2.0)},
        middle="threshold",
    ),
}
"""Rules by the names under which they are fitted.

Where a rule gives an arm no chance, or only the best one, it is fitted with lapses or noise, which
are free as well: `NoisyUCB` for means and bounds, and exploration itself for `EpsilonGreedy`.
"""
