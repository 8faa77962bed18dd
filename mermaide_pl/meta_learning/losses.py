"""The losses: of the inner loop, on support episodes, and of the outer loop, on query episodes.

The symbols of the equations are those of `mermaide_pl.meta_learning`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.objectives import LowVarianceCurvature, Surrogate, entropy, rewards_to_go
from mermaide_pl.objectives.advantages import Advantages, HindsightAdvantages, Outcome
from mermaide_pl.principals import PrincipalOutput

_SLOTS = ("surrogate", "advantages")  # of `Objective`; its other fields are numbers


@dataclass(frozen=True)
class Objective:
    """The losses of the inner and the outer loop, and the weights of their terms.

    Equation:
        L_in(phi)  = lambda_pi S + lambda_p F                                     `inner_loss`
        L_out(phi) = S + lambda_p F + lambda_V C - lambda_H H + lambda_z Z        `outer_loss`
        J(theta)   = mean_m L_out(phi_m) + lambda_0 mean_m L_out(theta)           `meta_loss`

    with, for each task and its weights phi,

        S = -mean_t w_t A_t                                surrogate, `LowVarianceCurvature`
        F = -mean_t log p(o_t | h_t, u_t)                  cross-entropy of the world model
        C = mean_t (V(h_t) - R_t / (T max(1, c b(L - 1))))^2    error of the critic
        H = -mean_t sum_u pi(u | h_t) log pi(u | h_t)      entropy of the policy
        Z = mean_t mean_u z(u | h_t)^2                     penalty of its logits z, pi = softmax z

    The last term of the meta-loss is the *zero-shot loss*: it trains the principal for its first
    episode with an agent. No loss rewards a support episode for its effect on adaptation.

    Source: in the paper the inner loss is that of the policy gradient plus the cross-entropy of the
    world model; here ``lambda_pi`` is 0 by default. Critic, entropy bonus, logit penalty and
    zero-shot loss are this project's.

    Args:
        surrogate: policy-gradient estimator, ``S``.
        advantages: estimator of the advantages ``A_t``.
        forecast_weight: ``lambda_p``, weight of the world model's cross-entropy.
        inner_policy_weight: ``lambda_pi``, weight of the surrogate in the inner loss. One episode
            says little about the policy, but gives T labelled forecasts.
        critic_weight: ``lambda_V``, weight of the critic's squared error.
        entropy_start: ``lambda_H`` at the start of training; keeps the policy from collapsing to
            "always intervene", where it has no gradient left.
        entropy_end: ``lambda_H`` at the end, reached linearly.
        logit_penalty: ``lambda_z``, weight of the mean squared level logit. A saturated policy has
            neither policy gradient nor entropy gradient left; this one stays, and brings it back.
        zero_shot_weight: ``lambda_0``, weight of the zero-shot loss; about the ratio of support to
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
        for item in fields(Objective):  # a subclass may add others
            if item.name not in _SLOTS:
                check_number(f"Objective.{item.name}", getattr(self, item.name), low=0.0)

    def forecast_alone(self) -> Objective:
        """The same without the policy in the inner loss: for levels of unknown probability."""
        return replace(self, inner_policy_weight=0.0)

    def inner_loss(self, output: PrincipalOutput, behaviour: Tensor, advantages: Tensor) -> Tensor:
        """Loss of each task on its support episodes, from the principal's observations.

        Equation:
            L_in(phi) = lambda_pi S + lambda_p F

        or ``lambda_pi S`` without a world model, where a ``lambda_pi`` of 0 counts as 1.

        Args:
            output: of the weights phi on the support episodes, axes [M, B, T].
            behaviour: ``log mu(u_t | h_t)``, float [M, B, T].
            advantages: ``A_t``, float [M, B, T].

        Returns:
            float [M].
        """
        if output.log_arms is None:
            weight = self.inner_policy_weight or 1.0
            return weight * self.surrogate(output.log_levels, behaviour, advantages)
        forecast = self._forecast_loss(output)
        if not self.inner_policy_weight:
            return forecast
        surrogate = self.surrogate(output.log_levels, behaviour, advantages)
        return self.inner_policy_weight * surrogate + forecast

    def _forecast_loss(self, output: PrincipalOutput) -> Tensor:
        """``lambda_p F``, 0 without a world model; float [M]."""
        if output.log_arms is None:
            return torch.zeros_like(output.log_levels[:, 0, 0])
        return -self.forecast_weight * output.log_arms.mean((1, 2))

    def outer_loss(
        self,
        output: PrincipalOutput,
        trajectory: Trajectory,
        sees_bonus: Tensor,
        progress: float,
    ) -> Tensor:
        """Loss of each task on episodes that the principal has just played.

        Equation:
            L_out(phi) = S + lambda_p F + lambda_V C - lambda_H H + lambda_z Z
            lambda_H = entropy_start + progress (entropy_end - entropy_start)

        with ``mu = pi_phi``: every ``w_t`` is 1, and its gradient that of ``log pi_phi``. Rewards,
        and so ``A_t`` and ``R_t``, are the true ones, whatever the principal observed.

        Args:
            output: of the weights phi that played them.
            trajectory: the episodes, axes [M, B, T].
            sees_bonus: which agents see the bonus before they act, bool [M].
            progress: share of training gone by, 0 to 1.

        Returns:
            float [M].
        """
        outcome = outcome_of(output, trajectory.aligned, trajectory, sees_bonus)
        advantages = self.advantages(outcome)
        behaviour = output.log_levels.detach()
        to_go = rewards_to_go(trajectory.rewards / outcome.reward_unit) / trajectory.game.num_steps
        critic_error = (output.values - to_go).square().mean((1, 2))
        squared_logits = output.level_logits.square()
        if (allowed := trajectory.allowed_levels) is not None:
            has_choice = allowed.sum(-1, keepdim=True) > 1
            squared_logits = squared_logits * (allowed & has_choice)
        beta = self.entropy_start + progress * (self.entropy_end - self.entropy_start)
        return (
            self.surrogate(output.log_levels, behaviour, advantages)
            + self._forecast_loss(output)
            + self.critic_weight * critic_error
            - beta * entropy(output.level_logits).mean((1, 2))
            + self.logit_penalty * squared_logits.mean((1, 2, 3))
        )

    def meta_loss(self, adapted: Tensor, unadapted: Tensor | None) -> Tensor:
        """Loss of a meta-step, mean over its tasks.

        Equation:
            J(theta) = mean_m L_out(phi_m) + lambda_0 mean_m L_out(theta)

        Args:
            adapted: outer loss of each task with its fast weights, float [M].
            unadapted: outer loss of each task with the meta weights, float [M]; None leaves the
                zero-shot loss out, as where nothing adapts and the first term is the same.

        Returns:
            float [].
        """
        loss = adapted.mean()
        return loss if unadapted is None else self.zero_shot_weight * unadapted.mean() + loss


def outcome_of(
    output: PrincipalOutput,
    pulls: Tensor,
    trajectory: Trajectory,
    may_see_bonus: Tensor,
) -> Outcome:
    """The outcome of the levels played, from which advantages are estimated.

    Equation:
        costs_t = c b(u_t),  mean_costs_t = sum_u pi(u | h_t) c b(u)

    Args:
        output: of the principal on the episodes.
        pulls: whether the target arm was pulled, as it was or as it was observed, bool [M, B, T].
        trajectory: the episodes, axes [M, B, T].
        may_see_bonus: which agents may see the bonus before they act, bool [M].
    """
    policy = output.level_logits.detach().softmax(-1)
    level_costs = trajectory.game.level_costs(policy).expand_as(policy)
    costs = level_costs.gather(-1, trajectory.levels.unsqueeze(-1)).squeeze(-1)
    mean_costs = (policy * level_costs).sum(-1)
    values = output.values.detach()
    unit = trajectory.game.largest_reward(costs)
    return Outcome(
        pulls.to(costs.dtype),
        costs,
        mean_costs,
        values,
        may_see_bonus,
        unit,
        counts_unpulled=trajectory.game.is_allocation,
    )


def check_reached(inner_loop: InnerLoop, objective: Objective, has_forecast: bool) -> None:
    """Refuse an inner loss without gradient for the parts that adapt.

    The forecast's loss has none for the policy.

    Raises:
        ValueError: if the inner loss reaches no part that adapts.
    """
    if not inner_loop.adapted or not has_forecast or objective.inner_policy_weight > 0.0:
        return
    if objective.forecast_weight == 0.0 or inner_loop.adapted == ("policy",):
        raise ValueError(
            f"nothing adapts: with Objective.inner_policy_weight 0 and forecast_weight"
            f" {objective.forecast_weight:g} the inner loss has no gradient for"
            f" GradientAdaptation.adapted = {', '.join(inner_loop.adapted)}; one of the weights"
            " must be above 0, inner_policy_weight if the policy adapts alone"
        )
