"""One step of meta-learning: support rollout, inner adaptation, query rollout, outer loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number
from mermaide_pl.engines import AUTO, Engine, Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.adaptation import InnerLoop
from mermaide_pl.objectives import (
    LowVarianceCurvature,
    Surrogate,
    entropy,
    rewards_to_go,
)
from mermaide_pl.objectives.advantages import Advantages, HindsightAdvantages, Outcome
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPlayer, Principal, PrincipalOutput, Weights

MAX_IMPORTANCE_WEIGHT = 10.0
"""Of a step that somebody else played; beyond it one lucky step would outweigh an episode."""


@dataclass(frozen=True)
class Objective:
    """What the inner and the outer loop minimise.

    Inner loss of a task: ``inner_policy_weight * surrogate + forecast_weight * cross-entropy`` on
    its support episodes, with what the principal observed. Without a world model it is the
    surrogate, and a weight of 0 counts as 1.

    Outer loss: ``surrogate + forecast_weight * cross-entropy`` on the query episodes with the
    adapted weights and the rewards that truly came, plus critic error and logit penalty, minus the
    entropy bonus; plus `zero_shot_weight` times the same with the meta weights, on the support
    episodes or on some of its own, so that the principal is trained for its first episode with an
    agent too. No loss rewards a support episode for what adaptation makes of it.

    Args:
        surrogate: policy-gradient estimator.
        advantages: estimator of the advantages.
        forecast_weight: weight of the world model's cross-entropy.
        inner_policy_weight: weight of the surrogate beside the cross-entropy in the inner loop. One
            episode says little about the policy, but gives T labelled forecasts.
        critic_weight: weight of the critic's squared error.
        entropy_start: entropy bonus at the start of training; keeps the policy from collapsing to
            "always intervene", where it has no gradient left.
        entropy_end: entropy bonus at the end, reached linearly.
        logit_penalty: weight of the mean squared level logit. A saturated policy has neither policy
            gradient nor entropy gradient left; this one stays, and brings it back.
        zero_shot_weight: weight of the unadapted principal's loss; about the ratio of support to
            query episodes, since fewer episodes make a noisier gradient.
    """

    surrogate: Surrogate = LowVarianceCurvature()
    advantages: Advantages = HindsightAdvantages()
    forecast_weight: float = 1.0
    inner_policy_weight: float = 0.0
    critic_weight: float = 1.0
    entropy_start: float = 0.05
    entropy_end: float = 0.001
    logit_penalty: float = 0.001
    zero_shot_weight: float = 1.0

    def __post_init__(self) -> None:
        for item in fields(self):
            if item.type == "float":
                check_number(f"Objective.{item.name}", getattr(self, item.name), low=0.0)

    def forecast_alone(self) -> Objective:
        """The same without the policy in the inner loss: for levels of unknown probability."""
        return replace(self, inner_policy_weight=0.0)

    def inner_loss(self, output: PrincipalOutput, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """Loss of each task on its support episodes, float [M]."""
        if output.log_arms is None:
            weight = self.inner_policy_weight or 1.0
            return weight * self.surrogate(output.log_levels, behaviour, advantages)
        forecast = self._forecast_loss(output)
        if not self.inner_policy_weight:
            return forecast
        surrogate = self.surrogate(output.log_levels, behaviour, advantages)
        return self.inner_policy_weight * surrogate + forecast

    def _forecast_loss(self, output: PrincipalOutput) -> Tensor:
        if output.log_arms is None:
            return torch.zeros_like(output.log_levels[:, 0, 0])
        return -self.forecast_weight * output.log_arms.mean((1, 2))

    def outer_loss(
        self,
        output: PrincipalOutput,
        trajectory: Trajectory,
        game: Game,
        sees_bonus: Tensor,
        progress: float,
    ) -> Tensor:
        """Loss of each task on query episodes.

        Args:
            output: of the principal that played them.
            trajectory: the episodes, axes [M, B, T].
            game: the rules.
            sees_bonus: which agents see the bonus before they act, bool [M].
            progress: share of training gone by, 0 to 1.

        Returns:
            float [M].
        """
        outcome = outcome_of(output, trajectory.aligned, trajectory, game, sees_bonus)
        advantages = self.advantages(outcome)
        behaviour = output.log_levels.detach()
        to_go = rewards_to_go(trajectory.rewards) / game.num_steps
        critic_error = (output.values - to_go).square().mean((1, 2))
        bonus = self.entropy_start + progress * (self.entropy_end - self.entropy_start)
        return (
            self.surrogate(output.log_levels, behaviour, advantages)
            + self._forecast_loss(output)
            + self.critic_weight * critic_error
            - bonus * entropy(output.level_logits).mean((1, 2))
            + self.logit_penalty * output.level_logits.square().mean((1, 2, 3))
        )


def check_reached(inner_loop: InnerLoop, objective: Objective, has_forecast: bool) -> None:
    """Refuse gradient steps on nothing: the forecast's loss says nothing about the policy.

    Raises:
        ValueError: if the inner loss reaches no part that adapts.
    """
    if not inner_loop.adapted or not has_forecast or objective.inner_policy_weight > 0.0:
        return
    if objective.forecast_weight == 0.0 or inner_loop.adapted == ("policy",):
        raise ValueError(
            f"nothing would adapt: with Objective.inner_policy_weight 0 and forecast_weight"
            f" {objective.forecast_weight:g} the inner loss reaches no part of"
            f" GradientAdaptation.adapted = {', '.join(inner_loop.adapted)}; one of the weights"
            " must be above 0, that of the policy where it adapts alone"
        )


def outcome_of(
    output: PrincipalOutput,
    pulls: Tensor,
    trajectory: Trajectory,
    game: Game,
    may_see_bonus: Tensor,
) -> Outcome:
    """What came of the levels played, if `pulls` [M, B, T] are those of the target arm."""
    costs = game.cost * game.bonus_of(trajectory.levels, output.values)
    each = torch.arange(game.num_levels, device=costs.device)
    policy = output.level_logits.detach().softmax(-1)
    mean_costs = policy @ (game.cost * game.bonus_of(each, policy))
    values = output.values.detach()
    return Outcome(pulls.to(costs.dtype), costs, mean_costs, values, may_see_bonus)


@dataclass(frozen=True)
class Support:
    """Support episodes of one length, played by the unadapted principal or by anybody else.

    Args:
        episodes: axes [M, B, T].
        behaviour: log-probability with which somebody else chose the levels, float [M, B, T]; None
            for the unadapted principal itself.
    """

    episodes: Trajectory
    behaviour: Tensor | None = None

    @property
    def num_steps(self) -> int:
        """Steps with each task, ``B T``."""
        return self.episodes.arms[0].numel()

    def one_by_one(self) -> list[Support]:
        """The same, one episode at a time."""
        numbers = range(self.episodes.arms.shape[1])
        chosen = [slice(number, number + 1) for number in numbers]
        behaviour = self.behaviour
        return [
            Support(self.episodes.episodes(one), None if behaviour is None else behaviour[:, one])
            for one in chosen
        ]


def adapt(
    principal: Principal,
    inner_loop: InnerLoop,
    objective: Objective,
    support: Trajectory,
    engine: Engine = AUTO,
) -> tuple[dict[str, Tensor], PrincipalOutput]:
    """Adapt the principal to each task from its support episodes.

    Args:
        principal: holds the meta weights.
        inner_loop: how to adapt, by at least one step.
        objective: the inner loss.
        support: episodes that the unadapted principal played with M tasks, as `play_support` does.
        engine: what computes.

    Returns:
        Fast weights [M, ...], and the outputs of the unadapted principal in the support episodes
        that began in its initial state: all, or the first of a chain. Both carry the graph back to
        the meta weights if gradients are on.
    """
    weights, outputs = adapt_to_groups(principal, inner_loop, objective, [Support(support)], engine)
    return weights, outputs[0]


def adapt_to_groups(
    principal: Principal,
    inner_loop: InnerLoop,
    objective: Objective,
    groups: Sequence[Support],
    engine: Engine = AUTO,
) -> tuple[dict[str, Tensor], list[PrincipalOutput]]:
    r"""`adapt` on episodes of several lengths, and on those that somebody else played.

    The inner loss is that of a group, weighed by its share of the steps. Levels that somebody else
    chose count by the importance weight of their step, ``w_t = pi(u_t) / mu(u_t)``, truncated at
    `MAX_IMPORTANCE_WEIGHT` where adaptation begins. Episodes form chains, see
    `InnerLoop.chain_length`.

    Source: Ionides, "Truncated importance sampling", Journal of Computational and Graphical
    Statistics 17 (2008), for the truncation.

    Args:
        principal: holds the meta weights.
        inner_loop: how to adapt, by at least one step.
        objective: the inner loss.
        groups: support episodes with the same M tasks, in the order in which they were played.
        engine: what computes.

    Returns:
        As `adapt`, with the outputs in each group, or in each episode if there are chains.
    """
    check_reached(inner_loop, objective, principal.world_model is not None)
    chain = inner_loop.chain_length
    if chain > 1:
        groups = [episode for group in groups for episode in group.one_by_one()]
    first: list[tuple[PrincipalOutput, Tensor, Tensor]] = []  # filled by the first inner step
    total = sum(group.num_steps for group in groups)

    def outputs_with(weights: Weights) -> list[PrincipalOutput]:
        outputs: list[PrincipalOutput] = []
        for number, group in enumerate(groups):
            start = continued(weights, outputs[-1]) if number % chain else weights
            outputs.append(engine.forward(principal, start, group.episodes))
        return outputs

    def loss(weights: Weights) -> Tensor:
        outputs = outputs_with(weights)
        if not first:
            first.extend(
                _unadapted(output, group, objective, principal.game)
                for output, group in zip(outputs, groups, strict=True)
            )
        losses = [
            group.num_steps / total * objective.inner_loss(output, behaviour, advantages)
            for output, group, (_, behaviour, advantages) in zip(
                outputs, groups, first, strict=True
            )
        ]
        return torch.stack(losses).sum(0)

    weights = inner_loop(principal.weights(), loss, len(groups[0].episodes.arms))
    outputs = [output for output, _, _ in first]
    if inner_loop.carries_state:
        ends = [*outputs[chain - 1 : -1 : chain], outputs[-1]]
        weights["initial_state"] = torch.cat([end.last_state for end in ends], dim=1).mean(1)
    return weights, outputs


def _unadapted(
    output: PrincipalOutput, group: Support, objective: Objective, game: Game
) -> tuple[PrincipalOutput, Tensor, Tensor]:
    """Pre-adaptation outputs, behaviour log-probabilities of the levels, and advantages."""
    # the agent is unknown: only what the principal saw counts, and the agent may see the bonus
    seen_pulls = group.episodes.observed_arms == 0
    may_see_bonus = torch.ones_like(seen_pulls[:, 0, 0])
    behaviour = output.log_levels.detach()
    if group.behaviour is not None:
        behaviour = group.behaviour.clamp(min=behaviour - math.log(MAX_IMPORTANCE_WEIGHT))
    outcome = outcome_of(output, seen_pulls, group.episodes, game, may_see_bonus)
    return output, behaviour, objective.advantages(outcome)


def play_support(
    principal: Principal,
    inner_loop: InnerLoop,
    tasks: TaskBatch,
    num_shots: int,
    engine: Engine = AUTO,
) -> Trajectory:
    """Play support episodes with the unadapted principal.

    Args:
        principal: holds the meta weights.
        inner_loop: says how long the chains of episodes are.
        tasks: M tasks.
        num_shots: K, at least 1.
        engine: what computes.

    Returns:
        Axes [M, K, T].
    """
    weights, chain = principal.weights(), inner_loop.chain_length

    def play(weights: Weights, num_episodes: int, number: int | None = None) -> Trajectory:
        return rollout(
            tasks,
            LearnedPlayer(principal, weights),
            principal.game,
            stream=Stream.SUPPORT,
            num_episodes=num_episodes,
            number=number,
            engine=engine,
        )

    if chain == 1:
        return play(weights, num_shots)
    played: list[Trajectory] = []
    for number in range(num_shots):
        start: Weights = weights
        if number % chain:
            with torch.no_grad():
                start = continued(start, engine.forward(principal, start, played[-1]))
        played.append(play(start, 1, number or None))
    return Trajectory.joined(played)


def continued(weights: Weights, output: PrincipalOutput) -> Weights:
    """The weights, with episodes to begin where the one of `output` [M, 1, T] ended."""
    return {**weights, "initial_state": output.last_state[:, 0]}


@dataclass(frozen=True)
class MetaStep:
    """Outcome of a meta-step."""

    loss: Tensor  # [] float, outer loss, mean over tasks
    support: Trajectory | None  # B = shots; None without adaptation
    query: Trajectory  # B = query episodes
    output: PrincipalOutput  # thoughts during the query episodes, axes [M, B, T]


def meta_step(
    principal: Principal,
    inner_loop: InnerLoop,
    objective: Objective,
    tasks: TaskBatch,
    *,
    num_query_episodes: int,
    num_zero_shot_episodes: int = 0,
    progress: float = 0.0,
    engine: Engine = AUTO,
) -> MetaStep:
    """Play, adapt, play again, and compute the outer loss.

    Args:
        principal: holds the meta weights.
        inner_loop: how to adapt; `num_shots` support episodes per task.
        objective: inner and outer loss.
        tasks: M tasks.
        num_query_episodes: B of the query rollout.
        num_zero_shot_episodes: B of the rollout that the loss before adaptation is taken on; with
            zero it is taken on the support episodes.
        progress: share of training gone by, for schedules.
        engine: what computes.

    Returns:
        The loss, differentiable to the meta weights and the inner rates, and the episodes.
    """
    game, weights, sees = principal.game, principal.weights(), tasks.sees_bonus

    def play(weights: Weights, stream: Stream, num_episodes: int) -> Trajectory:
        return rollout(
            tasks,
            LearnedPlayer(principal, weights),
            game,
            stream=stream,
            num_episodes=num_episodes,
            common_random_numbers=True,  # the episodes are each other's baseline
            engine=engine,
        )

    support, loss = None, torch.zeros((), device=tasks.base_rewards.device)
    if inner_loop.num_shots:
        support = play_support(principal, inner_loop, tasks, inner_loop.num_shots, engine)
        weights, unadapted = adapt(principal, inner_loop, objective, support, engine)
        if objective.zero_shot_weight:
            first = support.episodes(slice(unadapted.values.shape[1]))
            if num_zero_shot_episodes:
                first = play(principal.weights(), Stream.ZERO_SHOT, num_zero_shot_episodes)
                unadapted = engine.forward(principal, principal.weights(), first)
            zero_shot = objective.outer_loss(unadapted, first, game, sees, progress).mean()
            loss = loss + objective.zero_shot_weight * zero_shot
    query = play(weights, Stream.QUERY, num_query_episodes)
    output = engine.forward(principal, weights, query)
    loss = loss + objective.outer_loss(output, query, game, sees, progress).mean()
    return MetaStep(loss, support, query, output)
