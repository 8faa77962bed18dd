"""Principals: the learned principal, fixed schedules, and the oracle baseline."""

from mermaide_pl.principals.features import (
    CountFeatures,
    History,
    HistoryState,
    LastStep,
)
from mermaide_pl.principals.human_fitted import HumanFitted
from mermaide_pl.principals.layers import Weights, call_module
from mermaide_pl.principals.min_gru import MinGRU
from mermaide_pl.principals.misinformed import MisinformedPrincipal
from mermaide_pl.principals.model import Architecture, Principal
from mermaide_pl.principals.oracle import Oracle
from mermaide_pl.principals.players import (
    FunctionPlayer,
    GreedyPlayer,
    LearnedPlayer,
    LearningPlayer,
    Player,
    RolloutContext,
    sample_levels,
)
from mermaide_pl.principals.policy import Critic, NoCritic, StateValue
from mermaide_pl.principals.pooled_features import PooledFeatures
from mermaide_pl.principals.protocol import (
    LearnedPrincipal,
    PrincipalOutput,
    allowed_logits,
    within_budget,
)
from mermaide_pl.principals.recurrence import GRU, Recurrence
from mermaide_pl.principals.schedules import (
    AlwaysIntervene,
    InitialBurst,
    NoIntervention,
    Periodic,
    RandomlyIntervene,
    Schedule,
    StaticSchedule,
)
from mermaide_pl.principals.universal import UniversalArchitecture, UniversalPrincipal, network_in
from mermaide_pl.principals.world_model import (
    LinearForecast,
    NoWorldModel,
    SharedForecast,
    WorldModel,
)

__all__ = [
    "GRU",
    "AlwaysIntervene",
    "Architecture",
    "CountFeatures",
    "Critic",
    "FunctionPlayer",
    "GreedyPlayer",
    "History",
    "HistoryState",
    "HumanFitted",
    "InitialBurst",
    "LastStep",
    "LearnedPlayer",
    "LearnedPrincipal",
    "LearningPlayer",
    "LinearForecast",
    "MinGRU",
    "MisinformedPrincipal",
    "NoCritic",
    "NoIntervention",
    "NoWorldModel",
    "Oracle",
    "Periodic",
    "Player",
    "PooledFeatures",
    "Principal",
    "PrincipalOutput",
    "RandomlyIntervene",
    "Recurrence",
    "RolloutContext",
    "Schedule",
    "SharedForecast",
    "StateValue",
    "StaticSchedule",
    "UniversalArchitecture",
    "UniversalPrincipal",
    "Weights",
    "WorldModel",
    "allowed_logits",
    "call_module",
    "network_in",
    "sample_levels",
    "within_budget",
]
