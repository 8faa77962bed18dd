"""Coverage of the native library: tables of exact types, as a subclass may compute otherwise."""

from __future__ import annotations

import torch

from mermaide_pl import agents
from mermaide_pl.agents import (
    BernoulliReward,
    GaussianReward,
    LearningRule,
    NoiseFreeReward,
    RewardModel,
)
from mermaide_pl.engines.native import binary_interface
from mermaide_pl.engines.native.binary_interface import HistoryKind, Rule
from mermaide_pl.engines.native.calls import Forecast, NetworkShape
from mermaide_pl.game import FullInformation, Game, Observation, PartialInformation
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import (
    GRU,
    CountFeatures,
    GreedyPlayer,
    History,
    LastStep,
    LearnedPlayer,
    LearnedPrincipal,
    LinearForecast,
    NoWorldModel,
    Oracle,
    Player,
    Principal,
    Recurrence,
    Schedule,
    SharedForecast,
    WorldModel,
)

RULES: dict[type[LearningRule], Rule] = {
    getattr(agents, name): rule for name, rule in binary_interface.RULES.items()
}
"""Learning rules, with their hyper-parameters in the library's order."""
REWARDS: tuple[type[RewardModel], ...] = (GaussianReward, BernoulliReward, NoiseFreeReward)
OBSERVATIONS: tuple[type[Observation], ...] = (PartialInformation, FullInformation)
RECURRENCES: tuple[type[Recurrence], ...] = (GRU,)
HISTORIES: dict[type[History], HistoryKind] = {
    LastStep: HistoryKind.LAST_STEP,
    CountFeatures: HistoryKind.TALLIES,
}
FORECASTS: dict[type[WorldModel], Forecast] = {
    NoWorldModel: "none",
    LinearForecast: "linear",
    SharedForecast: "shared",
}


def network_shape(principal: LearnedPrincipal) -> NetworkShape | None:
    """The principal's sizes, as the library reads them; None for an unsupported principal."""
    if not isinstance(principal, Principal):
        return None
    architecture, game = principal.architecture, principal.game
    history, world_model = architecture.history, architecture.world_model
    known = type(history) in HISTORIES and type(world_model) in FORECASTS
    known = known and type(architecture.recurrence) in RECURRENCES
    if type(principal) is not Principal or not known:
        return None
    return NetworkShape(
        game.num_arms,
        game.num_levels,
        architecture.hidden_size,
        architecture.policy_size,
        *history.sizes(game),
        world_model.size if isinstance(world_model, SharedForecast) else 0,
        FORECASTS[type(world_model)],
        architecture.critic.exists,
    )


def covers_rollout(tasks: TaskBatch, player: Player, game: Game) -> bool:
    """True if the library supports every part of a rollout."""
    return (
        type(tasks.reward_model) in REWARDS
        and type(game.observation) in OBSERVATIONS
        and all(type(family.rule) in RULES for family in tasks.families)
        and _covers_player(player, game, tasks.base_rewards.dtype)
    )


def _covers_player(player: Player, game: Game, dtype: torch.dtype) -> bool:
    if isinstance(player, LearnedPlayer):
        return (
            type(player) in (LearnedPlayer, GreedyPlayer)
            and network_shape(player.principal) is not None
            and player.principal.game == game
            and all(weight.dtype == dtype for weight in player.weights.values())
        )
    if isinstance(player, Schedule):
        return type(player).act is Schedule.act
    return type(player) is Oracle
