"""Populations as rows of text, for people to read."""

from __future__ import annotations

from mermaide_pl.populations.population import (
    AgentFamily,
    HyperParameterRange,
    Interval,
    Population,
)


def family_rows(population: Population) -> list[tuple[str, str, str]]:
    """Name of the learning rule, hyper-parameters, and share of the agents, for every family."""
    total = sum(family.weight for family in population.families)
    return [
        (family.rule.__name__, _hyper_parameters(family), f"{family.weight / total:.0%}")
        for family in population.families
    ]


def surroundings(population: Population) -> str:
    """The properties all agents of a population share: arms, rewards, and the target rule."""
    parts = (population.base_rewards, population.target, population.reward_model)
    return ", ".join([f"{population.num_arms} arms", *map(str, parts)])


def _hyper_parameters(family: AgentFamily) -> str:
    named = [f"{name} {_values(values)}" for name, values in family.hyper_parameters.items()]
    return "; ".join(named) or "as the rule has them"


def _values(values: HyperParameterRange) -> str:
    if isinstance(values, Interval):
        return f"{values.low:g} to {values.high:g}"
    return ", ".join(f"{value:g}" for value in (values if isinstance(values, list) else [values]))
