"""Principals: the learned one, fixed schedules, and the oracle, a yardstick."""

from mermaide_pl.principals.features import History, LastStep, Past, Tallies
from mermaide_pl.principals.layers import Weights
from mermaide_pl.principals.model import Architecture, Principal, PrincipalOutput
from mermaide_pl.principals.oracle import Oracle
from mermaide_pl.principals.players import (
    FunctionPlayer,
    GreedyPlayer,
    LearnedPlayer,
    Player,
    RolloutContext,
    sample_levels,
)
from mermaide_pl.principals.policy import Critic, NoCritic, StateValue
from mermaide_pl.principals.schedules import (
    AlwaysIntervene,
    InitialBurst,
    NoIntervention,
    Periodic,
    RandomlyIntervene,
    Schedule,
)
from mermaide_pl.principals.world_model import (
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
    "RolloutContext",
    "Schedule",
    "SharedForecast",
    "StateValue",
    "Tallies",
    "Weights",
    "WorldModel",
    "sample_levels",
]
