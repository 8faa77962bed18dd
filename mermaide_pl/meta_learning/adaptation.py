"""K-shot adaptation: from the meta weights and support episodes to weights for each task.

The symbols of the equations are those of `mermaide_pl.meta_learning`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mermaide_pl.engines import AUTO, Engine
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.meta_learning.losses import Objective, check_reached, outcome_of
from mermaide_pl.meta_learning.support import Support, carry_state, last_state, play_support
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPrincipal, PrincipalOutput, Weights
from mermaide_pl.principals.recurrence import INITIAL_STATE

MAX_IMPORTANCE_WEIGHT = 10.0
"""Cap on the importance weight of a step; beyond it one step would outweigh an episode."""


def adapt(
    principal: LearnedPrincipal,
    inner_loop: InnerLoop,
    objective: Objective,
    support: Trajectory,
    engine: Engine = AUTO,
) -> tuple[dict[str, Tensor], PrincipalOutput]:
    """Adapt the principal to each task from its support episodes.

    Equation:
        phi^0 = theta,  phi^{i+1} = phi^i - alpha grad L_in(phi^i),  phi_m = phi^n

    for each task by itself, in the parts that adapt; ``i`` counts the n inner steps, here of SGD.
    In all of them ``mu`` is ``pi_theta``, and ``A_t`` is estimated before the first, from the
    rewards as observed, ``1[o_t = a*] - c b(u_t)``, and as if every agent might see the bonus.
    The outer gradient passes through the steps to ``theta`` and ``alpha``; through ``grad L_in``
    too, unless adaptation is of first order.

    Pseudocode:
        support <- K episodes of each task, played by pi_theta    `play_support`
        phi <- theta
        n times, on all M tasks at once:                          `GradientInnerLoop`
            output <- forward pass of phi on support              `Engine.forward`
            loss <- L_in(phi)                                     `Objective.inner_loss`
            phi <- phi - alpha grad loss                          `higher`
        initial state of phi <- last state of theta's forward pass, if it is carried

    Source: the paper's Algorithm 2. An inner loss without the policy's term, the default, and the
    carried state are this project's.

    Args:
        principal: holds the meta weights.
        inner_loop: how to adapt, by at least one step.
        objective: the inner loss.
        support: episodes that the unadapted principal played with M tasks, as `play_support` does.
        engine: computes the rollouts and forward passes.

    Returns:
        Fast weights [M, ...], and the outputs of the unadapted principal in the support episodes
        that began in its initial state: all, or the first of a chain. Both carry the graph back to
        the meta weights if gradients are on.
    """
    weights, outputs = adapt_to_groups(principal, inner_loop, objective, [Support(support)], engine)
    return weights, outputs[0]


def adapt_to_groups(
    principal: LearnedPrincipal,
    inner_loop: InnerLoop,
    objective: Objective,
    groups: Sequence[Support],
    engine: Engine = AUTO,
) -> tuple[dict[str, Tensor], list[PrincipalOutput]]:
    """`adapt` on episodes of several lengths, or played by another policy.

    Equation:
        L_in(phi) = sum_g n_g L_in^g(phi) / sum_g n_g
        w_t = pi_phi(u_t | h_t) / max(mu(u_t | h_t), pi_theta(u_t | h_t) / 10)

    where group g has ``n_g`` steps. Before the first inner step ``w_t = min(pi_theta / mu, 10)``:
    the importance weight of a level that ``mu`` chose, truncated at `MAX_IMPORTANCE_WEIGHT`.
    Episodes form chains, see `InnerLoop.chain_length`; of the states in which these ended, the mean
    is carried.

    Source: Ionides, "Truncated importance sampling", Journal of Computational and Graphical
    Statistics 17 (2008), for the truncation.

    Args:
        principal: holds the meta weights.
        inner_loop: how to adapt, by at least one step.
        objective: the inner loss.
        groups: support episodes with the same M tasks, in the order in which they were played.
        engine: computes the rollouts and forward passes.

    Returns:
        As `adapt`, with the outputs in each group, or in each episode if there are chains.
    """
    chain = inner_loop.chain_length
    if chain > 1:
        groups = [episode for group in groups for episode in group.one_by_one()]
    total = sum(group.num_steps for group in groups)
    unadapted: list[_Unadapted] = []  # filled by the forward pass of the first inner step

    def forward_pass(weights: Weights) -> list[PrincipalOutput]:
        outputs: list[PrincipalOutput] = []
        for number, group in enumerate(groups):
            start = carry_state(weights, outputs[-1]) if number % chain else weights
            outputs.append(engine.forward(principal, start, group.episodes))
        return outputs

    def loss(weights: Weights) -> Tensor:
        outputs = forward_pass(weights)
        if not unadapted:
            check_reached(inner_loop, objective, outputs[0].log_arms is not None)
            unadapted.extend(
                _unadapted(output, group, objective)
                for output, group in zip(outputs, groups, strict=True)
            )
        losses = [
            group.num_steps / total * objective.inner_loss(output, of.behaviour, of.advantages)
            for output, group, of in zip(outputs, groups, unadapted, strict=True)
        ]
        return torch.stack(losses).sum(0)

    weights = inner_loop(principal.weights(), loss, len(groups[0].episodes.arms))
    outputs = [of.output for of in unadapted]
    if inner_loop.carries_state:
        ends = [*outputs[chain - 1 : -1 : chain], outputs[-1]]
        weights[INITIAL_STATE] = torch.cat([last_state(end) for end in ends], dim=1).mean(1)
    return weights, outputs


@torch.no_grad()
def adapted_weights(
    principal: LearnedPrincipal,
    inner_loop: InnerLoop,
    objective: Objective,
    tasks: TaskBatch,
    shots: int,
    engine: Engine = AUTO,
) -> Weights:
    """Weights after the principal has played with each task and adapted to it, without a graph.

    Args:
        principal: holds the meta weights.
        inner_loop: how to adapt.
        objective: the inner loss.
        tasks: M tasks, on the device of the principal.
        shots: support episodes; 0 gives the meta weights, as an inner loop of no shots does.
        engine: computes the rollouts and forward passes.
    """
    if shots == 0 or inner_loop.num_shots == 0:
        return principal.weights()
    support = play_support(principal, inner_loop, tasks, shots, engine)
    weights, _ = adapt(principal, inner_loop, objective, support, engine)
    return weights


class _Unadapted(NamedTuple):
    """Quantities of a group of episodes before adaptation, for the inner loss; axes [M, B, T]."""

    output: PrincipalOutput  # of theta
    behaviour: Tensor  # float, log mu(u_t | h_t), raised so that w_t is truncated
    advantages: Tensor  # float, A_t


def _unadapted(output: PrincipalOutput, group: Support, objective: Objective) -> _Unadapted:
    # the agent is unknown: only what the principal saw counts, and the agent may see the bonus
    seen_pulls = group.episodes.observed_arms == 0
    may_see_bonus = torch.ones_like(seen_pulls[:, 0, 0])
    behaviour = output.log_levels.detach()
    if group.behaviour is not None:
        behaviour = group.behaviour.clamp(min=behaviour - math.log(MAX_IMPORTANCE_WEIGHT))
    outcome = outcome_of(output, seen_pulls, group.episodes, may_see_bonus)
    return _Unadapted(output, behaviour, objective.advantages(outcome))
