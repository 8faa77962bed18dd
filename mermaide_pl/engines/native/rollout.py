"""A rollout in one call of the native library.

The same game with the same random numbers as the loop in `torch_rollout.py`, the reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from mermaide_pl.agents import BernoulliReward, GaussianThompson
from mermaide_pl.engines.native.coverage import HISTORIES, RULES, network_shape
from mermaide_pl.engines.native.structs import (
    HistoryCall,
    NetworkCall,
    Sizes,
    network_call,
    pointer,
    run,
    weights_of,
)
from mermaide_pl.engines.noise import Noise, by_step
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import GreedyPlayer, LearnedPlayer, Oracle, Player, Schedule

_SAMPLING, _GREEDY, _GIVEN, _ORACLE = range(4)


class _GameCall(ctypes.Structure):
    _fields_ = [
        ("history", HistoryCall),
        ("principal", ctypes.c_int64),
        ("principal_draws", ctypes.c_void_p),
        ("given", ctypes.c_void_p),
        ("budget", ctypes.c_void_p),
        ("fixed_level", ctypes.c_void_p),
        ("base_rewards", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
        ("rule", ctypes.c_void_p),
        ("parameters", ctypes.c_void_p),
        ("agent_draws", ctypes.c_void_p),
        ("num_draws", ctypes.c_void_p),
        ("shared_draws", ctypes.c_int64),
        ("bernoulli", ctypes.c_int64),
        ("reward_draws", ctypes.c_void_p),
        ("arm_flip", ctypes.c_double),
        ("flip_draws", ctypes.c_void_p),
        ("seen_noise", ctypes.c_void_p),
        ("arms", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("observed_arms", ctypes.c_void_p),
        ("agent_rewards", ctypes.c_void_p),
        ("observed_agent_rewards", ctypes.c_void_p),
    ]


def play(tasks: TaskBatch, player: Player, game: Game, noise: Noise) -> Trajectory:
    """Play; arguments as of `Engine.play`, for which `covers_rollout` holds."""
    like, axes = tasks.base_rewards, (len(tasks), noise.num_episodes, game.num_steps)
    keep: list[Tensor] = []

    def at(tensor: Tensor, dtype: torch.dtype = like.dtype) -> int:
        keep.append(tensor.to(dtype).contiguous())
        return keep[-1].data_ptr()

    call = _GameCall(
        base_rewards=at(like),
        target=at(tasks.target_arm, torch.int64),
        shared_draws=noise.rewards.shape[1] == 1,
    )
    call.history.sees_rewards = game.observation.sees_agent_rewards
    call.history.bonuses = at(torch.tensor(game.bonuses, dtype=like.dtype))
    _enter_agents(call, tasks, noise, keep)
    _enter_noise(call, tasks, game, noise, at)
    network = NetworkCall()
    network.sizes = Sizes(*axes, game.num_arms, game.num_levels)
    if isinstance(player, LearnedPlayer):
        principal = player.principal
        shape = network_shape(principal)
        assert shape is not None
        network = network_call(shape, weights_of(shape, player.weights, axes[0]), axes, keep)
        call.history.kind = HISTORIES[type(principal.history)]
        call.history.unit = principal.history.unit(game)
        call.principal = _GREEDY if isinstance(player, GreedyPlayer) else _SAMPLING
        if call.principal == _SAMPLING:
            call.principal_draws = at(noise.principal)
    elif isinstance(player, Schedule):
        levels = player.levels(game, by_step(noise.principal))
        call.principal, call.given = _GIVEN, at(levels, torch.int64)
    else:
        assert isinstance(player, Oracle)
        budget, fixed_level = player.plan(tasks, game)
        call.principal, call.budget = _ORACLE, at(budget)
        call.fixed_level = at(fixed_level, torch.int64)
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
    return Trajectory.of(game, tasks.target_arm, **recorded)


def _enter_agents(call: _GameCall, tasks: TaskBatch, noise: Noise, keep: list[Tensor]) -> None:
    """Rule, hyper-parameters and random numbers of every agent."""
    like = tasks.base_rewards
    rule, sizes, places = (torch.zeros(len(tasks), dtype=torch.int64) for _ in range(3))
    parameters = like.new_zeros(len(tasks), 4)
    for family, draws in zip(tasks.families, noise.agents, strict=True):
        kind = type(family.rule)
        if kind is GaussianThompson:
            draws = torch.special.ndtri(draws)
        keep.append(draws)
        rule[family.rows] = list(RULES).index(kind)
        sizes[family.rows] = draws.shape[-1]
        each = draws.stride(0) * draws.element_size()
        places[family.rows] = draws.data_ptr() + each * torch.arange(len(draws))
        for column, name in enumerate(RULES[kind]):
            parameters[family.rows, column] = getattr(family.rule, name).flatten().to(like)
    keep += [rule, sizes, places, parameters]
    call.rule, call.num_draws, call.agent_draws = map(pointer, (rule, sizes, places))
    call.parameters = pointer(parameters)


def _enter_noise(
    call: _GameCall,
    tasks: TaskBatch,
    game: Game,
    noise: Noise,
    at: Callable[[Tensor], int],
) -> None:
    """Random numbers of the rewards and of what the principal sees."""
    model, observation, draws = tasks.reward_model, game.observation, noise.rewards
    call.bernoulli = isinstance(model, BernoulliReward)
    if not call.bernoulli:
        draws = model.sample(torch.zeros_like(draws), draws)
    call.reward_draws = at(draws)
    call.arm_flip = observation.arm_flip
    seen = noise.observation
    if seen.shape[-1]:
        call.flip_draws = at(seen)
        if isinstance(observation, FullInformation) and observation.reward_noise > 0.0:
            call.seen_noise = at(observation.agent_rewards(torch.zeros_like(seen[..., 0]), seen))
