"""The rollout in one call of the native kernel, where every part of it has a native counterpart.

Same game, same random numbers as the loop in `stepwise_rollout.py`, which is the reference.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mermaide_pl import agents
from mermaide_pl.agents import BernoulliReward, GaussianReward, LearningRule, NoiseFreeReward
from mermaide_pl.engines.torch_rollout import Record
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.game.randomness import step_uniforms, task_uniforms
from mermaide_pl.native.binary_interface import (
    RULES,
    GameCall,
    NetworkCall,
    PlayerKind,
    Rule,
    Sizes,
)
from mermaide_pl.native.build import Kernel, uses_native
from mermaide_pl.native.interface import network_call, pointer, run, weights_of
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import GreedyPlayer, LearnedPlayer, Oracle, Player, Principal, Schedule

# Exact types: a subclass may play by other rules.
_RULES: dict[type[LearningRule], Rule] = {
    getattr(agents, name): rule for name, rule in RULES.items()
}
_QUANTILES: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": lambda uniforms: uniforms,
    "normal": torch.special.ndtri,
}
_REWARDS = (GaussianReward, BernoulliReward, NoiseFreeReward)
_OBSERVATIONS = (PartialInformation, FullInformation)


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

    call = GameCall(
        base_rewards=at(like), target=at(tasks.target_arm, torch.int64), shared_draws=same_luck
    )
    call.history.sees_rewards = game.observation.sees_agent_rewards
    call.history.bonuses = at(torch.tensor(game.bonuses, dtype=like.dtype))
    agent_draws = 1 if same_luck else num_episodes
    _enter_agents(call, tasks, stream, agent_draws, game, keep)
    _enter_noise(call, tasks, game, uniforms, agent_draws, num_episodes, at)
    network = NetworkCall()
    network.sizes = Sizes(M=axes[0], B=axes[1], T=axes[2], A=game.num_arms, L=game.num_levels)
    if isinstance(player, LearnedPlayer):
        principal = player.principal
        shape = principal.network_shape
        network = network_call(shape, weights_of(shape, player.weights, axes[0]), axes, keep)
        call.history.kind = principal.history_kind
        call.history.unit = principal.history.unit(game)
        if isinstance(player, GreedyPlayer):
            call.principal = PlayerKind.GREEDY
        else:
            call.principal = PlayerKind.SAMPLING
            call.principal_draws = at(uniforms("principal", num_episodes))
    elif isinstance(player, Schedule):
        draws = step_uniforms(tasks.seeds, f"{stream}/principal", axes[1:], like)
        call.principal, call.given = PlayerKind.GIVEN, at(player.levels(game, draws), torch.int64)
    else:
        assert isinstance(player, Oracle)
        budget, fixed_level = player.plan(tasks, game)
        call.principal, call.budget = PlayerKind.ORACLE, at(budget)
        call.fixed_level = at(fixed_level, torch.int64)
    arms, levels, seen = (torch.empty(axes, dtype=torch.int64) for _ in range(3))
    rewards, seen_rewards = (torch.empty(axes, dtype=like.dtype) for _ in range(2))
    call.arms, call.levels, call.observed_arms = map(pointer, (arms, levels, seen))
    call.agent_rewards, call.observed_agent_rewards = map(pointer, (rewards, seen_rewards))
    run("play", like.dtype, network, call)
    return Record(arms, levels, rewards, seen, seen_rewards)


def _enter_agents(
    call: GameCall, tasks: TaskBatch, stream: str, num_draws: int, game: Game, keep: list[Tensor]
) -> None:
    """Rule, hyper-parameters and random numbers of every agent."""
    like = tasks.base_rewards
    number, sizes, places = (torch.zeros(len(tasks), dtype=torch.int64) for _ in range(3))
    call.num_parameters = max(len(rule.hyper_parameters) for rule in _RULES.values())
    parameters = like.new_zeros(len(tasks), call.num_parameters)
    for family in tasks.families:
        kind, rows = type(family.rule), family.rows
        seeds = [tasks.seeds[row] for row in rows.tolist()]
        size = num_draws, game.num_steps, family.rule.num_uniforms(game.num_arms)
        draws = task_uniforms(seeds, f"{stream}/agent", size).to(like)
        draws = _QUANTILES[_RULES[kind].numbers](draws)
        keep.append(draws)
        number[rows] = list(_RULES).index(kind)
        sizes[rows] = size[-1]
        each = draws.stride(0) * draws.element_size()
        places[rows] = draws.data_ptr() + each * torch.arange(len(seeds))
        for column, name in enumerate(_RULES[kind].hyper_parameters):
            parameters[rows, column] = getattr(family.rule, name).flatten().to(like)
    keep += [number, sizes, places, parameters]
    call.rule, call.num_draws, call.agent_draws = map(pointer, (number, sizes, places))
    call.parameters = pointer(parameters)


def _enter_noise(
    call: GameCall,
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
