"""Settings of a comparison: methods, conditions and seeds, read from YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from mermaide_pl.config.input_paths import POPULATIONS
from mermaide_pl.config.serialization import describe
from mermaide_pl.config.validation import LARGEST_REWARD, check_count, check_number, check_seed
from mermaide_pl.evaluation.methods import FIXED
from mermaide_pl.game import Game, Observation, PartialInformation
from mermaide_pl.meta_learning import MermaideModule
from mermaide_pl.populations import Population
from mermaide_pl.populations.files import load_from_yaml

YARDSTICKS = "yardsticks"
"""Folder of the run of schedules and oracle; that of a method has the method's name."""


Method: TypeAlias = Callable[[Game], MermaideModule]
"""Builds an untrained principal for a game; the other arguments of `MermaideModule` are given.

A principal without adaptation is fine-tuned by one plain gradient step when it is scored at one or
more shots; the step is chosen on validation agents.
"""


@dataclass(frozen=True)
class Condition:
    """Training population, observation and cost shared by all methods in a block of the table."""

    trained_on: str
    observation: str
    cost: float

    @property
    def name(self) -> str:
        """Name of the folder of this condition."""
        return f"{self.trained_on}-{self.observation}-cost{self.cost:g}"


@dataclass(frozen=True)
class Comparison:
    """Comparison of every method under every condition with every seed.

    A seed determines a training and the agents it is scored on, so intervals over seeds cover both.
    Schedules and oracle play the same agents; schedules are tuned on the training population, the
    oracle on each population. Every method plays the same number of agent steps in training, up to
    rounding to whole training steps.

    Args:
        methods: name to learned principal, ours first; in YAML, arguments of `MermaideModule`.
        train_populations: name to training population: a file beside the configuration, or the
            name of a packaged population.
        test_populations: populations to score on, likewise.
        val_population: population on which checkpoints and fine-tuning are chosen, likewise; None
            for unseen agents of the training population.
        game: rules of the game; each condition replaces observation and cost.
        observations: name to observation of the principal.
        costs: costs per unit of bonus.
        seeds: seeds of the trainings.
        agent_steps: agent steps of a training, support and query.
        num_validations: number of validations in a training.
        num_val_tasks: agents of a validation.
        meta_batch_size: M, tasks of a training step.
        shots: numbers of support episodes to score at.
        num_agents: agents of each test population.
        fine_tuning_rates: candidate inner rates of methods without adaptation; zero is no step.
        fine_tuning_policy_weights: candidate weights of the policy loss relative to the world
            model's, `Objective.inner_policy_weight`, for methods with a world model.
    """

    methods: dict[str, Method]
    train_populations: dict[str, str]
    test_populations: list[str]
    val_population: str | None = None
    game: Game = Game()
    observations: dict[str, Observation] = field(
        default_factory=lambda: {"partial": PartialInformation()}
    )
    costs: list[float] = field(default_factory=lambda: [0.5])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    agent_steps: float = 5e7
    num_validations: int = 20
    num_val_tasks: int = 240
    meta_batch_size: int = 16
    shots: list[int] = field(default_factory=lambda: [0, 1])
    num_agents: int = 500
    fine_tuning_rates: list[float] = field(
        default_factory=lambda: [0.0, 0.003, 0.01, 0.03, 0.1, 0.3]
    )
    fine_tuning_policy_weights: list[float] = field(default_factory=lambda: [1.0, 0.05])

    def __post_init__(self) -> None:
        for name in (
            *("methods", "train_populations", "test_populations", "seeds", "shots", "costs"),
            *("fine_tuning_rates", "fine_tuning_policy_weights"),
        ):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; it needs at least one entry")
        if taken := [name for name in (YARDSTICKS, *FIXED) if name in self.methods]:
            raise ValueError(f"a method cannot be named {taken[0]}")
        for name in (*self.methods, *self.train_populations, *self.observations):
            if name in ("", ".", "..") or "/" in name:
                raise ValueError(
                    f"{name!r} cannot be the name of a folder, which is to hold results"
                )
        for name in ("num_validations", "num_val_tasks", "meta_batch_size"):
            check_count(name, getattr(self, name))
        check_number("agent_steps", self.agent_steps, above=0.0)
        check_count("num_agents", self.num_agents, low=2)
        for number in self.shots:
            check_count("shots", number, low=0)
        for seed in self.seeds:
            check_seed("seeds", seed)
        for cost in self.costs:
            check_number("costs", cost, low=0.0, high=LARGEST_REWARD)
        for rate in self.fine_tuning_rates:
            check_number("fine_tuning_rates", rate, low=0.0, high=1e6)
        for weight in self.fine_tuning_policy_weights:
            check_number("fine_tuning_policy_weights", weight, low=0.0)
        for method in self.methods.values():
            method(self.game)  # checks the arguments

    def conditions(self) -> list[Condition]:
        """All conditions, in the order in which they are run."""
        return [
            Condition(trained_on, observation, cost)
            for trained_on in self.train_populations
            for observation in self.observations
            for cost in self.costs
        ]

    def shared_settings(
        self,
        train: Mapping[str, Population],
        val: Mapping[str, Population],
        test: Mapping[str, Population],
    ) -> dict[str, Any]:
        """Settings shared by all runs in a folder, by name, as plain data.

        Args:
            train: the training populations, by name.
            val: the validation population of each training population.
            test: the test populations, by name.

        Returns:
            All settings but costs and seeds. Those may be added later, and so may methods,
            observations and training populations with new names.
        """
        game = replace(self.game, cost=0.0, observation=PartialInformation())
        found = {"game": describe(game)}
        for name, observation in self.observations.items():
            found[f"observation {name}"] = describe(observation)
        for name, population in train.items():
            found[f"training population {name}"] = population.spec
            found[f"validation population of {name}"] = val[name].spec
        for name, method in self.methods.items():
            found[f"method {name}"] = _settings_of(method(self.game))
        found["test populations"] = {name: agents.spec for name, agents in test.items()}
        for name in (
            *("agent_steps", "num_validations", "num_val_tasks", "meta_batch_size", "shots"),
            *("num_agents", "fine_tuning_rates", "fine_tuning_policy_weights"),
        ):
            found[name] = getattr(self, name)
        return found

    def game_of(self, condition: Condition) -> Game:
        """The game under a condition."""
        observation = self.observations[condition.observation]
        return replace(self.game, cost=condition.cost, observation=observation)


def _settings_of(module: MermaideModule) -> dict[str, Any]:
    return {name: value for name, value in module.spec.items() if name != "game"}


def load_comparison(path: str | Path) -> Comparison:
    """Read a comparison from YAML; paths of populations are relative to its folder.

    Raises:
        ValueError: one line that names the file and the problem.
    """
    given = load_from_yaml(Comparison, path, "configuration")

    def found(population: str) -> str:
        return str(POPULATIONS.path(population, Path(path).parent))

    return replace(
        given,
        train_populations={name: found(at) for name, at in given.train_populations.items()},
        val_population=given.val_population and found(given.val_population),
        test_populations=[found(at) for at in given.test_populations],
    )
