"""The rollout in one call of the native kernel, where every part of it has a native counterpart.

Same game, same random numbers as the loop in `stepwise_rollout.py`, which is the reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import torch
from torch import Tensor

from mermaide_pl.agents import (
    EXP3,
    UCB,
    BernoulliReward,
    BestResponse,
    DiscountedUCB,
    EpsilonGreedy,
    GaussianReward,
    GaussianThompson,
    LearningRule,
    NoiseFreeReward,
    NoisyUCB,
    RescorlaWagner,
    Softmax,
)
from mermaide_pl.engines.torch_rollout import Record
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.game.randomness import step_uniforms, task_uniforms
from mermaide_pl.native.build import Kernel, uses_native
from mermaide_pl.native.interface import (
    HistoryCall,
    NetworkCall,
    Sizes,
    network_call,
    pointer,
    run,
    weights_of,
)
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import GreedyPlayer, LearnedPlayer, Oracle, Player, Principal, Schedule

# Exact types: a subclass may play by other rules. Order and names as in game.h.
_RULES: dict[type[LearningRule], tuple[str, ...]] = {
    UCB: ("beta",),
    EpsilonGreedy: ("epsilon", "decay"),
    GaussianThompson: ("prior_mean", "prior_scale", "noise_scale"),
    Softmax: ("temperature",),
    EXP3: ("gamma", "reward_low", "reward_high"),
    BestResponse: (),
    DiscountedUCB: ("beta", "discount"),
    RescorlaWagner: ("learning_rate", "temperature", "perseveration", "initial_value"),
    NoisyUCB: ("beta", "lapse_rate", "temperature", "prior_pulls"),
}
_REWARDS = (GaussianReward, BernoulliReward, NoiseFreeReward)
_OBSERVATIONS = (PartialInformation, FullInformation)
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
        ("seen_arms", ctypes.c_void_p),
        ("agent_rewards", ctypes.c_void_p),
        ("seen_rewards", ctypes.c_void_p),
    ]


def fuses(tasks: TaskBatch, player: Player, game: Game, kernel: Kernel = "auto") -> bool:
    """Whether the kernel is wanted and knows every part of this rollout."""
    return (
        _knows(player, game, tasks.base_rewards.dtype)
        and type(tasks.reward_model) in _REWARDS
        and type(game.observation) in _OBSERVATIONS
        and all(type(family.rule) in _RULES for family in tasks.families)
        and uses_native(kernel, tasks.base_rewards)
    )


def _knows(player: Player, game: Game, dtype: torch.dtype) -> bool:
    if isinstance(player, LearnedPlayer):
        principal = player.principal
        return (
            type(player) in (LearnedPlayer, GreedyPlayer)
            and type(principal) is Principal
            and principal.has_native_twin
            and principal.kernel != "torch"
            and principal.game == game
            and all(weight.dtype == dtype for weight in player.weights.values())
        )
    if isinstance(player, Schedule):
        return type(player).act is Schedule.act
    return type(player) is Oracle


def fused_rollout(
    tasks: TaskBatch,
    player: Player,
    game: Game,
    *,
    stream: str,
    num_episodes: int,
    same_luck: bool,
) -> Record:
    """Play; arguments as of `rollout`, for which `fuses` holds."""
    like, axes = tasks.base_rewards, (len(tasks), num_episodes, game.num_steps)
    keep: list[Tensor] = []

    def at(tensor: Tensor, dtype: torch.dtype = like.dtype) -> int:
        keep.append(tensor.to(dtype).contiguous())
        return keep[-1].data_ptr()

    def uniforms(name: str, num_draws: int, *size: int) -> Tensor:
        shape = (num_draws, game.num_steps, *size)
        return task_uniforms(tasks.seeds, f"{stream}/{name}", shape).to(like)

    call = _GameCall(
        base_rewards=at(like), target=at(tasks.target_arm, torch.int64), shared_draws=same_luck
    )
    call.history.sees_rewards = game.observation.sees_agent_rewards
    call.history.bonuses = at(torch.tensor(game.bonuses, dtype=like.dtype))
    agent_draws = 1 if same_luck else num_episodes
    _enter_agents(call, tasks, stream, agent_draws, game, keep)
    _enter_noise(call, tasks, game, uniforms, agent_draws, num_episodes, at)
    network = NetworkCall()
    network.sizes = Sizes(*axes, game.num_arms, game.num_levels)
    if isinstance(player, LearnedPlayer):
        principal = player.principal
        assert isinstance(principal, Principal)
        shape = principal.network_shape
        network = network_call(shape, weights_of(shape, player.weights, axes[0]), axes, keep)
        call.history.kind = principal.history_kind
        call.history.unit = principal.history.unit(game)
        call.principal = _GREEDY if isinstance(player, GreedyPlayer) else _SAMPLING
        if call.principal == _SAMPLING:
            call.principal_draws = at(uniforms("principal", num_episodes))
    elif isinstance(player, Schedule):
        draws = step_uniforms(tasks.seeds, f"{stream}/principal", axes[1:], like)
        call.principal, call.given = _GIVEN, at(player.levels(game, draws), torch.int64)
    else:
        assert isinstance(player, Oracle)
        budget, fixed_level = player.plan(tasks, game)
        call.principal, call.budget = _ORACLE, at(budget)
        call.fixed_level = at(fixed_level, torch.int64)
    arms, levels, seen = (torch.empty(axes, dtype=torch.int64) for _ in range(3))
    rewards, seen_rewards = (torch.empty(axes, dtype=like.dtype) for _ in range(2))
    call.arms, call.levels, call.seen_arms = map(pointer, (arms, levels, seen))
    call.agent_rewards, call.seen_rewards = pointer(rewards), pointer(seen_rewards)
    run("play", like.dtype, network, call)
    return Record(arms, levels, rewards, seen, seen_rewards)


def _enter_agents(
    call: _GameCall, tasks: TaskBatch, stream: str, num_draws: int, game: Game, keep: list[Tensor]
) -> None:
    """Rule, hyper-parameters and random numbers of every agent."""
    like = tasks.base_rewards
    rule, sizes, places = (torch.zeros(len(tasks), dtype=torch.int64) for _ in range(3))
    parameters = like.new_zeros(len(tasks), 4)
    for family in tasks.families:
        kind = type(family.rule)
        number = family.rule.num_uniforms(game.num_arms)
        seeds = [tasks.seeds[row] for row in family.rows.tolist()]
        size = num_draws, game.num_steps, number
        draws = task_uniforms(seeds, f"{stream}/agent", size).to(like)
        if kind is GaussianThompson:
            draws = torch.special.ndtri(draws)
        keep.append(draws)
        rule[family.rows] = list(_RULES).index(kind)
        sizes[family.rows] = number
        each = draws.stride(0) * draws.element_size()
        places[family.rows] = draws.data_ptr() + each * torch.arange(len(seeds))
        for column, name in enumerate(_RULES[kind]):
            parameters[family.rows, column] = getattr(family.rule, name).flatten().to(like)
    keep += [rule, sizes, places, parameters]
    call.rule, call.num_draws, call.agent_draws = map(pointer, (rule, sizes, places))
    call.parameters = pointer(parameters)


def _enter_noise(
    call: _GameCall,
    tasks: TaskBatch,
    game: Game,
    uniforms: Callable[..., Tensor],
    agent_draws: int,
    num_episodes: int,
    at: Callable[[Tensor], int],
) -> None:
    """Random numbers of the rewards and of what the principal sees."""
    model, observation = tasks.reward_model, game.observation
    call.bernoulli = isinstance(model, BernoulliReward)
    draws = uniforms("reward", agent_draws)
    if not call.bernoulli:
        draws = model.sample(torch.zeros_like(draws), draws)
    call.reward_draws = at(draws)
    call.arm_flip = observation.arm_flip
    noisy = isinstance(observation, FullInformation) and observation.reward_noise > 0.0
    if observation.arm_flip > 0.0 or noisy:
        seen = uniforms("observation", num_episodes, 3)
        call.flip_draws = at(seen)
        if noisy:
            call.seen_noise = at(observation.agent_rewards(torch.zeros_like(draws), seen))
