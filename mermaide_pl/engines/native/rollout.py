"""A rollout in one call of the native library.

The same game with the same random numbers as the loop in `torch_rollout.py`, the reference.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mermaide_pl.agents import BernoulliReward
from mermaide_pl.engines.native.binary_interface import GameCall, NetworkCall, PlayerKind, Sizes
from mermaide_pl.engines.native.calls import (
    history_call,
    network_call,
    pointer,
    run,
    weights_of,
)
from mermaide_pl.engines.native.coverage import RULES, network_shape
from mermaide_pl.engines.noise import Noise, by_step
from mermaide_pl.engines.torch_rollout import WHOLE, Segment
from mermaide_pl.game import TIE_TOLERANCE, AnyGame, FullInformation, GameBatch
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import GreedyPlayer, LearnedPlayer, Oracle, Player, Principal, Schedule

_QUANTILES: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": lambda uniforms: uniforms,
    "normal": torch.special.ndtri,
}


def play(
    tasks: TaskBatch, player: Player, game: AnyGame, noise: Noise, segment: Segment = WHOLE
) -> Trajectory:
    """Play the episodes; arguments as of `Engine.play`, for which `covers_rollout` must hold."""
    like, axes = tasks.base_rewards, (len(tasks), noise.num_episodes, game.num_steps)
    keep: list[Tensor] = []

    def at(tensor: Tensor, dtype: torch.dtype = like.dtype) -> int:
        keep.append(tensor.to(dtype).contiguous())
        return keep[-1].data_ptr()

    call = GameCall(
        base_rewards=at(like),
        tie_tolerance=TIE_TOLERANCE,
        target=at(tasks.target_arm, torch.int64),
        shared_draws=noise.rewards.shape[1] == 1,
    )
    games, history = GameBatch.of(game, len(tasks), like), None
    levels = torch.zeros(axes, dtype=torch.int64)
    _enter_agents(call, tasks, noise, keep)
    _enter_noise(call, tasks, game, noise, at)
    network = NetworkCall()
    network.sizes = Sizes(M=axes[0], B=axes[1], T=axes[2], A=game.num_arms, L=game.num_levels)
    if isinstance(player, LearnedPlayer):
        principal = player.principal
        shape = network_shape(principal)
        assert isinstance(principal, Principal) and shape is not None
        call.weights_per_episode = player.weights_per_episode
        owners = axes[0] * axes[1] if player.weights_per_episode else axes[0]
        network = network_call(shape, weights_of(shape, player.weights, owners), axes, keep)
        history = principal.history
        if isinstance(player, GreedyPlayer):
            call.principal = PlayerKind.GREEDY
        else:
            call.principal = PlayerKind.SAMPLING
            call.principal_draws = at(noise.principal)
    elif isinstance(player, Schedule):
        levels = player.levels(game, by_step(noise.principal))
        call.principal = PlayerKind.GIVEN
    else:
        assert isinstance(player, Oracle)
        budget, fixed_level = player.plan(tasks, game)
        call.principal, call.budget = PlayerKind.ORACLE, at(budget)
        call.fixed_level = at(fixed_level, torch.int64)
    call.history = history_call(history, games, keep)
    call.first_step, call.last_step = segment.first, segment.end_in(game)
    if segment.before is not None:
        levels = torch.cat([segment.before.levels, levels[:, :, segment.first :]], dim=2)
    call.given = at(levels, torch.int64)
    recorded = {
        name: torch.empty(axes, dtype=torch.int64) for name in ("arms", "levels", "observed_arms")
    }
    recorded |= {
        name: torch.empty(axes, dtype=like.dtype)
        for name in ("agent_rewards", "observed_agent_rewards")
    }
    for name, values in recorded.items():
        setattr(call, name, pointer(values))
    run("play", like.dtype, network, call)
    recorded = {name: values[:, :, : segment.end_in(game)] for name, values in recorded.items()}
    return Trajectory.of(game, tasks.target_arm, **recorded)


def _enter_agents(call: GameCall, tasks: TaskBatch, noise: Noise, keep: list[Tensor]) -> None:
    """Rule, hyper-parameters and random numbers of every agent."""
    like = tasks.base_rewards
    number, sizes, places = (torch.zeros(len(tasks), dtype=torch.int64) for _ in range(3))
    call.num_parameters = max(len(rule.hyper_parameters) for rule in RULES.values())
    parameters = like.new_zeros(len(tasks), call.num_parameters)
    for family, uniforms in zip(tasks.families, noise.agents, strict=True):
        kind, rows = type(family.rule), family.rows
        draws = _QUANTILES[RULES[kind].numbers](uniforms)
        keep.append(draws)
        number[rows] = list(RULES).index(kind)
        sizes[rows] = draws.shape[-1]
        each = draws.stride(0) * draws.element_size()
        places[rows] = draws.data_ptr() + each * torch.arange(len(draws))
        for column, name in enumerate(RULES[kind].hyper_parameters):
            parameters[rows, column] = getattr(family.rule, name).flatten().to(like)
    keep += [number, sizes, places, parameters]
    call.rule, call.num_draws, call.agent_draws = map(pointer, (number, sizes, places))
    call.parameters = pointer(parameters)


def _enter_noise(
    call: GameCall,
    tasks: TaskBatch,
    game: AnyGame,
    noise: Noise,
    at: Callable[[Tensor], int],
) -> None:
    """Random numbers of the rewards and of the principal's observations."""
    model, observation, draws = tasks.reward_model, game.observation, noise.rewards
    call.bernoulli = isinstance(model, BernoulliReward)
    if not call.bernoulli:
        draws = model.sample(torch.zeros_like(draws), draws)
    call.reward_draws = at(draws)
    call.arm_flip = observation.arm_flip
    seen = noise.observation
    if seen.shape[-1]:
        call.num_observation_draws, call.observation_draws = seen.shape[-1], at(seen)
        if isinstance(observation, FullInformation) and observation.reward_noise > 0.0:
            call.seen_noise = at(observation.agent_rewards(torch.zeros_like(seen[..., 0]), seen))
