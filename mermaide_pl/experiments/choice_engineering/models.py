"""Models of people in the choice engineering game, and what was published about them."""

from __future__ import annotations

from dataclasses import dataclass

from mermaide_pl.agents import CATIE, EpsilonSoftmaxQ, NoiseFreeReward
from mermaide_pl.experiments.learners.fitted_rules import RULES, FittedRule
from mermaide_pl.populations import AgentFamily, ConstantRewards, FixedTarget, Population, packaged
from mermaide_pl.principals import HumanFitted

RECURRENT, PEOPLE = "recurrent", "people"
"""Names of the recurrent model, and of the people themselves, in rows."""

WITH_PUBLISHED = {
    # as in the authors' forecasts the second arm need not be the other
    "catie": FittedRule(
        CATIE, {}, {"tries_first": 0.0}, {"context": (0.0, 1.0, 2.0)}, middle="threshold"
    ),
    "ql_lab": FittedRule(EpsilonSoftmaxQ, {}),
    "ql_online": FittedRule(
        EpsilonSoftmaxQ,
        {},
        {"learning_rate": 0.594, "inverse_temperature": 84.455, "epsilon": 0.0871},
    ),
}
"""Rules with their published parameters, nothing of which is fitted here."""

FITTED = {"catie_fitted": RULES["catie"], "ql_fitted": RULES["epsilon_softmax_q"]}
"""Rules whose parameters, the same for all people, are fitted here."""

LABELS = {
    "catie": "CATIE",
    "ql_lab": "Q-learning, lab",
    "ql_online": "Q-learning, online",
    "catie_fitted": "CATIE, fitted here",
    "ql_fitted": "Q-learning, fitted here",
    RECURRENT: "recurrent",
    PEOPLE: "people",
}
"""Label of each model, for people."""

POPULATIONS = {
    "catie": "catie",
    "ql_lab": "epsilon_softmax_q_lab",
    "ql_online": "epsilon_softmax_q_online",
}
"""Packaged population of each model with published parameters."""


@dataclass(frozen=True)
class Published:
    """Published forecast scores of a model, means over people and trials.

    Source: Dan, Plonsky, Loewenstein, "Behavior engineering using quantitative reinforcement
    learning models", Nature Communications 16:4109 (2025).
    """

    label: str
    probability: float  # E[p]
    log_probability: float  # E[log p], nats
    model: str = ""  # its name in our rows, if it is there


PUBLISHED = (
    Published("CATIE", 0.619, -0.678, "catie"),
    Published("QL HOM lab", 0.592, -0.676, "ql_lab"),
    Published("QL HOM online", 0.618, -0.778, "ql_online"),
    Published("QL HET lab", 0.603, -0.569),
)


def agents_of(file: str) -> Population:
    """Agents of the recurrent model in a file, which get nothing but what the game adds."""
    return Population(
        [AgentFamily(HumanFitted(file))],
        base_rewards=ConstantRewards(0.0),
        target=FixedTarget(0),
        reward_model=NoiseFreeReward(),
    )


def population_of(model: str) -> Population:
    """Agents of a model with published parameters."""
    return packaged(POPULATIONS[model])
