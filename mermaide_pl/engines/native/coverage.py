"""Coverage of the native library: tables of exact types, as a subclass may compute otherwise."""

from __future__ import annotations

import torch

from mermaide_pl import agents
from mermaide_pl.agents import (
    BernoulliReward,
    GaussianReward,
    GaussianRewardPerTask,
    LearningRule,
    NoiseFreeReward,
    RewardModel,
)
from mermaide_pl.engines.native import binary_interface
from mermaide_pl.engines.native.binary_interface import Rule
from mermaide_pl.engines.native.calls import HISTORIES, Forecast, NetworkShape
from mermaide_pl.game import AnyGame, FullInformation, Observation, PartialInformation
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import (
    GRU,
    GreedyPlayer,
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
REWARDS: tuple[type[RewardModel], ...] = (
    GaussianReward,
    GaussianRewardPerTask,
    BernoulliReward,
    NoiseFreeReward,
)
OBSERVATIONS: tuple[type[Observation], ...] = (PartialInformation, FullInformation)
RECURRENCES: tuple[type[Recurrence], ...] = (GRU,)
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
        architecture.critic_size or architecture.policy_size,
        history.num_inputs(game),
    )


def covers_rollout(tasks: TaskBatch, player: Player, game: AnyGame) -> bool:
    """True if the library supports every part of a rollout."""
    return (
        type(tasks.reward_model) in REWARDS
        and type(game.observation) in OBSERVATIONS
        and all(type(family.rule) in RULES for family in tasks.families)
        and _covers_player(player, game, tasks.base_rewards.dtype)
    )


def _covers_player(player: Player, game: AnyGame, dtype: torch.dtype) -> bool:
    if isinstance(player, LearnedPlayer):
        return (
            type(player) in (LearnedPlayer, GreedyPlayer)
            and isinstance(player.principal, Principal)
            and network_shape(player.principal) is not None
            and _is_for(player.principal, game)
            and all(weight.dtype == dtype for weight in player.weights.values())
        )
    if isinstance(player, Schedule):
        return type(player).act is Schedule.act
    return type(player) is Oracle


def _is_for(principal: Principal, game: AnyGame) -> bool:
    """True if the weights fit a game of this size."""
    history, own = principal.history, principal.game
    sizes = (own.num_arms, own.num_levels, history.sizes(own))
    return sizes == (game.num_arms, game.num_levels, history.sizes(game))
