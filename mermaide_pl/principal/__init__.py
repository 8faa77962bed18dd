"""Principals: the learned one, fixed schedules, and the oracle, a yardstick."""

from mermaide_pl.principal.history import History, LastStep, Past, Tallies
from mermaide_pl.principal.layers import Weights
from mermaide_pl.principal.oracle import Oracle
from mermaide_pl.principal.player import (
    FunctionPlayer,
    GreedyPlayer,
    LearnedPlayer,
    Player,
    Table,
    sample_levels,
)
from mermaide_pl.principal.policy import Critic, NoCritic, StateValue
from mermaide_pl.principal.principal import Architecture, Principal, PrincipalOutput
from mermaide_pl.principal.schedules import (
    AlwaysIntervene,
    InitialBurst,
    NoIntervention,
    Periodic,
    RandomlyIntervene,
    Schedule,
)
from mermaide_pl.principal.world_model import (
    LinearForecast,
    NoWorldModel,
    SharedForecast,
    WorldModel,
)

__all__ = [
    "AlwaysIntervene",
    "Architecture",
    "Critic",
    "FunctionPlayer",
    "GreedyPlayer",
    "History",
    "InitialBurst",
    "LastStep",
    "LearnedPlayer",
    "LinearForecast",
    "NoCritic",
    "NoIntervention",
    "NoWorldModel",
    "Oracle",
    "Past",
    "Periodic",
    "Player",
    "Principal",
    "PrincipalOutput",
    "RandomlyIntervene",
    "Schedule",
    "SharedForecast",
    "StateValue",
    "Table",
    "Tallies",
    "Weights",
    "WorldModel",
    "sample_levels",
]
