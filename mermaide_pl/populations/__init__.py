"""Populations of agents and the tasks drawn from them."""

from mermaide_pl.config.input_paths import POPULATIONS
from mermaide_pl.populations.base_rewards import (
    BaseRewards,
    ConstantRewards,
    FixedRewards,
    NormalRewards,
    UniformRewards,
)
from mermaide_pl.populations.batch import TaskBatch
from mermaide_pl.populations.files import packaged
from mermaide_pl.populations.games import GameRanges
from mermaide_pl.populations.population import AgentFamily, Population, Split, task_seed
from mermaide_pl.populations.ranges import Interval, Usually
from mermaide_pl.populations.targets import (
    FixedTarget,
    GapTarget,
    SecondBestTarget,
    TargetRule,
    UniformTarget,
)

__all__ = [
    "AgentFamily",
    "BaseRewards",
    "ConstantRewards",
    "FixedRewards",
    "FixedTarget",
    "GameRanges",
    "GapTarget",
    "Interval",
    "NormalRewards",
    "Population",
    "SecondBestTarget",
    "Split",
    "TargetRule",
    "TaskBatch",
    "UniformRewards",
    "UniformTarget",
    "Usually",
    "packaged",
    "population_names",
    "task_seed",
]

population_names = POPULATIONS.names
