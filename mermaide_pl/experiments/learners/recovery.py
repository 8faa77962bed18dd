"""Parameter recovery: are the hyper-parameters of simulated agents found again?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mermaide_pl.experiments.learners.choices import Choices
from mermaide_pl.experiments.learners.likelihood import Likelihood
from mermaide_pl.experiments.learners.maximum_likelihood import fit_each


def simulated(likelihood: Likelihood, values: Tensor, seed: int) -> Choices:
    """Choices of agents with given hyper-parameters, as many as were recorded of each.

    An arm pays one of the rewards that were recorded for it, at random. Of unknown values each
    agent has its most probable one.

    Args:
        likelihood: of the recorded choices of M agents.
        values: hyper-parameters, float64 [M, P].
        seed: of all that is random.
    """
    choices, generator = likelihood.choices, torch.Generator().manual_seed(seed)
    all_rewards = choices.rewards[choices.recorded]
    paid = [
        choices.rewards[choices.recorded & (choices.arms == arm)] for arm in range(choices.num_arms)
    ]
    paid = [rewards if len(rewards) else all_rewards for rewards in paid]
    counts = torch.tensor([len(rewards) for rewards in paid])
    starts, pool = counts.cumsum(0) - counts, torch.cat(paid)
    rule = likelihood.rule_of(values)
    like = choices.rewards.new_zeros(len(choices), choices.num_arms)
    num_episodes, num_steps = choices.arms.shape[1:]
    state = rule.init(like, torch.zeros(len(choices), dtype=torch.int64), num_episodes)
    bonus, arms, rewards = like.new_zeros(len(choices), num_episodes), [], []

    def uniforms(*shape: int) -> Tensor:
        numbers = torch.rand(*shape, generator=generator, dtype=torch.float64)
        return numbers.clamp(min=2.0**-53)

    for _ in range(num_steps):
        draws = uniforms(*bonus.shape, rule.num_uniforms(choices.num_arms))
        arm = rule.act(state, bonus, draws)
        place = (uniforms(*bonus.shape) * counts[arm]).long() + starts[arm]
        arms.append(arm)
        rewards.append(pool[place])
        state = rule.update(state, arm, rewards[-1], draws)
    played = torch.where(choices.recorded, torch.stack(arms, 2), 0)
    return replace(choices, arms=played, rewards=torch.stack(rewards, 2) * choices.recorded)


def recover(
    likelihood: Likelihood,
    values: Tensor,
    seed: int,
    advance: Callable[[int], None] = lambda agents: None,
) -> Tensor:
    """Hyper-parameters that are found in the choices that agents with `values` make.

    Args:
        likelihood: see `simulated`.
        values: see `simulated`.
        seed: see `simulated`.
        advance: is told of agents that are done, by their number.

    Returns:
        float64 [M, P].
    """
    again = Likelihood(likelihood.fitted, simulated(likelihood, values, seed), likelihood.scale)
    return fit_each(again, again.choices.recorded, advance=advance)[1]
