"""Populations as rows of text, for people to read."""

from __future__ import annotations

from mermaide_pl.populations.population import AgentFamily, Population
from mermaide_pl.populations.ranges import in_words


def family_rows(population: Population) -> list[tuple[str, str, str]]:
    """Name of the learning rule, hyper-parameters, and share of the agents, for every family."""
    total = sum(family.weight for family in population.families)
    return [
        (family.rule.__name__, _hyper_parameters(family), f"{family.weight / total:.0%}")
        for family in population.families
    ]


def surroundings(population: Population) -> str:
    """The properties all agents of a population share: rewards, target rule, arms and games."""
    parts = (population.base_rewards, population.target, population.reward_model)
    arms = [] if population.num_arms is None else [f"{population.num_arms} arms"]
    games = [] if population.games is None else [str(population.games)]
    return ", ".join([*arms, *map(str, parts), *games])


def _hyper_parameters(family: AgentFamily) -> str:
    named = [f"{name} {in_words(values)}" for name, values in family.hyper_parameters.items()]
    return "; ".join(named) or "as the rule has them"
