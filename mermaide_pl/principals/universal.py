"""A principal for every game: its weights depend on no number of arms, levels or steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mermaide_pl.config.validation import check_count
from mermaide_pl.game import AnyGame, Game, GameBatch
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.principals.features import HistoryState
from mermaide_pl.principals.layers import Weights, init_linear
from mermaide_pl.principals.model import Architecture, Principal, PrincipalModule
from mermaide_pl.principals.pooled_features import PooledFeatures
from mermaide_pl.principals.protocol import LearnedPrincipal, PrincipalOutput
from mermaide_pl.principals.recurrence import GRU, Recurrence
from mermaide_pl.principals.world_model import SharedForecast

_NUM_LEVEL_INPUTS = 2  # numbers that tell levels apart: bonus and price


@dataclass(frozen=True)
class UniversalArchitecture:
    """Sizes and slots of a `UniversalPrincipal`.

    Args:
        hidden_size: H, units of the recurrent state.
        policy_size: hidden units of the policy for each level.
        critic_size: hidden units of the critic.
        forecast_size: hidden units of the forecast for each arm.
        recurrence: `GRU` or `MinGRU`, of H units.
    """

    hidden_size: int = 32
    policy_size: int = 32
    critic_size: int = 64
    forecast_size: int = 8
    recurrence: Recurrence = GRU()

    def __post_init__(self) -> None:
        for name in ("hidden_size", "policy_size", "critic_size", "forecast_size"):
            check_count(f"UniversalArchitecture.{name}", getattr(self, name), low=1)

    def build(self, game: Game) -> UniversalPrincipal:
        """The principal, which plays `game` where no other is given."""
        return UniversalPrincipal(self, game)


class UniversalPrincipal(PrincipalModule):
    """A principal that plays any number of arms, steps and levels with the same weights.

    In any one game it is a `Principal` with `PooledFeatures`, whose weights are linear functions of
    its own weights and the game's numbers (`in_game`): it runs on the same engines.

    Equation:
        rho_u = b(u) / max b,  q_u = c b(u),  l_u = (rho_u, q_u / (1 + q_u))
        forecast:  logit_{u,a} = (v_0 + rho_u v_1) . tanh(W_g [h, g] + W_a f_a)
        policy:    z_u = (W_o l_u) . tanh(W [h, g, f_target, p_u, p_0] + W_l l_u) + k . l_u
        critic:    V = k . tanh(W_c [h, g, f_target, p_0, sum_u rho_u p_u / sum_u rho_u])

    with state ``h``, global features ``g``, those of an arm ``f_a``, and ``p_u`` the forecast
    probability of the target at level u. Each level is scored from its bonus, its price and the
    forecast under it; each arm from its own features.

    Args:
        architecture: sizes and slots.
        game: played where no other game is given.
    """

    plays_any_game: ClassVar[bool] = True

    def __init__(self, architecture: UniversalArchitecture, game: Game) -> None:
        super().__init__()
        self.game = game
        self.architecture = architecture
        num_global, per_arm = PooledFeatures().sizes(game)
        hidden, about = architecture.hidden_size, num_global + per_arm
        self.recurrence = architecture.recurrence.build(about, hidden)
        self.world_model = nn.Module()
        size = architecture.forecast_size
        init_linear(self.world_model, "common", hidden + num_global, size, gain=1.0)
        init_linear(self.world_model, "arm", per_arm, size, gain=1.0, bias=False)
        init_linear(self.world_model, "out", size, 2, gain=0.1, bias=False)
        self.policy = nn.Module()
        units, seen = architecture.policy_size, hidden + about + 2
        init_linear(self.policy, "policy_in", seen, units, gain=1.0)
        init_linear(self.policy, "policy_level", _NUM_LEVEL_INPUTS, units, gain=1.0, bias=False)
        init_linear(self.policy, "policy_out", units, _NUM_LEVEL_INPUTS, gain=0.01, bias=False)
        init_linear(self.policy, "policy_skip", _NUM_LEVEL_INPUTS, 1, gain=0.01, bias=False)
        init_linear(self.policy, "critic_in", seen, architecture.critic_size, gain=1.0)
        init_linear(self.policy, "critic_out", architecture.critic_size, 1, gain=0.1)
        self._networks: dict[tuple[int, int], Principal] = {}

    def forward(self, weights: Weights, trajectory: Trajectory, first: int = 0) -> PrincipalOutput:
        """See `Principal.forward`; the game is that of the trajectory."""
        network, weights = self.in_game(weights, trajectory.game)
        output: PrincipalOutput = network(weights, trajectory, first)
        return output

    def first_state(self, weights: Weights, num_tasks: int, num_episodes: int) -> Tensor:
        """State in which episodes begin, float [M, B, H]."""
        return self.recurrence.first_state(weights, num_tasks, num_episodes)

    def step(
        self, weights: Weights, hidden: Tensor, past: HistoryState
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """See `Principal.step`; the game is that of the history."""
        network, weights = self.in_game(weights, past.game)
        return network.step(weights, hidden, past)

    def in_game(self, weights: Weights, game: AnyGame) -> tuple[Principal, dict[str, Tensor]]:
        """This principal in a game: a network of the game's size, and its weights.

        Args:
            weights: meta weights, or fast weights of the M tasks.
            game: one for all tasks, or one for each.

        Returns:
            The network, and its weights, differentiable; those that depend on the numbers of the
            game have an axis of tasks if the games differ.
        """
        return self._network(game), self.weights_in(weights, game)

    def weights_in(self, weights: Weights, game: AnyGame) -> dict[str, Tensor]:
        """The weights of `in_game` alone."""
        PooledFeatures().sizes(game)  # refuses games that it cannot tell
        like = weights["policy.policy_in_weight"]
        bonuses, cost = _numbers(game, like)
        shares = bonuses / bonuses.amax(-1, keepdim=True)
        if game.num_levels == 2:
            shares = shares.reshape(-1, 2)[0]  # 0 and 1 in every game
        prices = cost.unsqueeze(-1) * bonuses
        levels = torch.stack(
            [shares.expand_as(prices), prices / (1.0 + prices)], dim=-1
        )  # [(M,) L, 2]
        return {
            **{name: weight for name, weight in weights.items() if name.startswith("recurrence.")},
            "world_model.common_weight": weights["world_model.common_weight"],
            "world_model.common_bias": weights["world_model.common_bias"],
            "world_model.arm_weight": weights["world_model.arm_weight"],
            "world_model.out_weight": _forecast(weights["world_model.out_weight"], shares),
            **_policy(weights, levels),
            **_critic(weights, shares),
        }

    def _network(self, game: AnyGame) -> Principal:
        """The principal for games of this size, whose own weights are never used."""
        size = game.num_arms, game.num_levels
        if size not in self._networks:
            sizes = self.architecture
            architecture = Architecture(
                hidden_size=sizes.hidden_size,
                policy_size=sizes.policy_size * game.num_levels,
                critic_size=sizes.critic_size,
                history=PooledFeatures(),
                world_model=SharedForecast(sizes.forecast_size),
                recurrence=sizes.recurrence,
            )
            bonuses = (0.0, *[1.0] * (game.num_levels - 1))
            with torch.device("meta"):
                network = Principal(architecture, Game(num_arms=game.num_arms, bonuses=bonuses))
            self._networks[size] = network
        return self._networks[size]


def _numbers(game: AnyGame, like: Tensor) -> tuple[Tensor, Tensor]:
    """Bonuses, float [L] or [M, L], and cost, float [] or [M]."""
    if isinstance(game, Game):
        one = GameBatch.of(game, 1, like)
        return one.bonuses[0], one.cost[0]
    games = game.to(like)
    return games.bonuses, games.cost


def _forecast(out: Tensor, shares: Tensor) -> Tensor:
    """Weights ``v_0 + rho_u v_1`` of every level, [(M,) L, S]."""
    base, slope = out[..., :1, :], out[..., 1:, :]
    return base + shares.unsqueeze(-1) * slope


def _policy(weights: Weights, levels: Tensor) -> dict[str, Tensor]:
    """Weights of the hidden units and logits of every level; `levels` are ``l_u``, [(M,) L, 2].

    The units of a level read the forecast under it and that under level 0, and give its logit
    alone.
    """
    given, bias = weights["policy.policy_in_weight"], weights["policy.policy_in_bias"]
    number, units = levels.shape[-2], given.shape[-2]
    own = torch.eye(number, dtype=given.dtype, device=given.device)
    seen, of_level, of_none = given[..., :-2], given[..., -2:-1], given[..., -1:]
    # [(M,) L, P, L]: column of the forecast under each level
    forecasts = of_level.unsqueeze(-3) * own[:, None] + of_none.unsqueeze(-3) * own[0]
    lead = given.shape[:-2]
    repeated = seen.unsqueeze(-3).expand(*lead, number, units, seen.shape[-1])
    in_weight = torch.cat([repeated, forecasts], dim=-1).flatten(-3, -2)
    told = levels @ weights["policy.policy_level_weight"].transpose(-1, -2)
    in_bias = (bias.unsqueeze(-2) + told).flatten(-2)
    out = levels @ weights["policy.policy_out_weight"]  # [(M,) L, P]
    out_weight = (own.unsqueeze(-1) * out.unsqueeze(-3)).flatten(-2)
    out_bias = (levels @ weights["policy.policy_skip_weight"].transpose(-1, -2)).squeeze(-1)
    return {
        "policy.policy_in_weight": in_weight,
        "policy.policy_in_bias": in_bias,
        "policy.policy_out_weight": out_weight,
        "policy.policy_out_bias": out_bias,
    }


def _critic(weights: Weights, shares: Tensor) -> dict[str, Tensor]:
    """Weights of the critic, which reads a mean of the forecasts; shares ``rho_u`` [(M,) L]."""
    given = weights["policy.critic_in_weight"]
    seen, of_none, of_mean = given[..., :-2], given[..., -2:-1], given[..., -1:]
    mean = (shares / shares.sum(-1, keepdim=True)).unsqueeze(-2)  # [(M,) 1, L]
    at_none = torch.zeros_like(mean)
    at_none[..., 0] = 1.0
    forecasts = of_none * at_none + of_mean * mean
    lead = forecasts.shape[:-2]
    seen = seen.expand(*lead, *seen.shape[-2:])
    return {
        "policy.critic_in_weight": torch.cat([seen, forecasts], dim=-1),
        "policy.critic_in_bias": weights["policy.critic_in_bias"],
        "policy.critic_out_weight": weights["policy.critic_out_weight"],
        "policy.critic_out_bias": weights["policy.critic_out_bias"],
    }


def network_in(
    principal: LearnedPrincipal, weights: Weights, game: AnyGame
) -> tuple[LearnedPrincipal, Weights]:
    """What plays in a game: the network of a universal principal, or the principal itself."""
    if isinstance(principal, UniversalPrincipal):
        return principal.in_game(weights, game)
    return principal, weights
