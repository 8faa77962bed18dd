"""The protocol of a learned principal, all that meta-learning needs, and its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.objectives import forecast_log_likelihood, log_probabilities
from mermaide_pl.principals.features import HistoryState
from mermaide_pl.principals.layers import Weights

_NEVER = -100.0  # logit of a level that cannot be played, below the likeliest


@dataclass(frozen=True)
class PrincipalOutput:
    """Forward pass on recorded episodes, with log-likelihoods of the recorded levels and arms."""

    level_logits: Tensor  # [M, ..., L] float, logits of the intervention policy
    values: Tensor  # [M, ...] float, expected rewards still to come, as a share of T, or zero
    arm_logits: Tensor | None  # [M, ..., L, A] float, logits of p(a_t | history, u)
    log_levels: Tensor  # [M, ...] float, log-probability of the level played
    log_arms: Tensor | None  # [M, ...] float, log-likelihood of the arm observed, given the level
    last_state: Tensor | None  # [M, B, H] float, recurrent state at the end, None without memory

    @classmethod
    def of(
        cls,
        trajectory: Trajectory,
        level_logits: Tensor,
        *,
        values: Tensor | None = None,
        arm_logits: Tensor | None = None,
        last_state: Tensor | None = None,
        first: int = 0,
    ) -> PrincipalOutput:
        """The outputs on recorded episodes, with the log-likelihoods derived from the logits.

        Args:
            trajectory: the episodes, axes [M, B, T].
            level_logits: float [M, B, T, L].
            values: of a critic, float [M, B, T]; None for zeros.
            arm_logits: of a world model, float [M, B, T, L, A].
            last_state: of a memory that outlasts an episode, float [M, B, H].
            first: the step at which the outputs begin.
        """
        levels, arms = (
            each[:, :, first:] for each in (trajectory.levels, trajectory.observed_arms)
        )
        log_arms = None
        if values is None:
            values = level_logits.new_zeros(level_logits.shape[:-1])
        if arm_logits is not None:
            log_arms = forecast_log_likelihood(arm_logits, levels, arms)
        log_levels = log_probabilities(level_logits, levels)
        level_logits, log_levels = within_budget(trajectory, level_logits, log_levels, first)
        return cls(level_logits, values, arm_logits, log_levels, log_arms, last_state)


def within_budget(
    trajectory: Trajectory, level_logits: Tensor, log_levels: Tensor, first: int = 0
) -> tuple[Tensor, Tensor]:
    """The policy among the levels that the budgets left.

    Args:
        trajectory: the episodes, axes [M, B, T].
        level_logits: of the policy without budgets, float [M, B, T, L].
        log_levels: its log-probabilities of the levels played, float [M, B, T].
        first: the step at which these begin.

    Returns:
        Both, without gradient where one level is left, which is certain.
    """
    allowed = trajectory.allowed_levels
    if allowed is None:
        return level_logits, log_levels
    allowed, levels = allowed[:, :, first:], trajectory.levels[:, :, first:]
    level_logits = allowed_logits(level_logits, allowed)
    if trajectory.game.is_allocation:  # else all levels are left, or one
        log_levels = log_probabilities(level_logits, levels)
    had_choice = allowed.sum(-1) > 1
    return level_logits, torch.where(had_choice, log_levels, 0.0)


def allowed_logits(level_logits: Tensor, allowed: Tensor) -> Tensor:
    """Logits of the policy among the levels that the budgets leave.

    Args:
        level_logits: float [..., L].
        allowed: bool [..., L].

    Returns:
        float [..., L]; others are less likely than the likeliest by a factor of e^100, and the only
        one that is left has the logit 0.
    """
    has_choice = allowed.sum(-1, keepdim=True) > 1
    logits = torch.where(has_choice, level_logits, 0.0)
    likeliest = torch.where(allowed, logits, -torch.inf).amax(-1, keepdim=True)
    never = likeliest.detach().nan_to_num(neginf=0.0) + _NEVER
    return torch.where(allowed, logits, never)


class LearnedPrincipal(Protocol):
    """Protocol of a principal that can be meta-learned, such as `Principal` or a module of yours.

    A `torch.nn.Module` with these methods adapts by `meta_step` and `adapt`, and plays as a
    `LearnedPlayer` or `GreedyPlayer`. All methods take the weights explicitly, so that the same
    code runs with meta weights and with the fast weights of many tasks at once; `call_module` runs
    any module so. `forward` must give the logits that `step` gave while the episodes were played.

    Optional: a critic and a world model, by giving values and arm logits in the output. A principal
    whose memory outlasts an episode, as `carries_state` of an adaptation asks, gives ``last_state``
    too, and begins in ``weights["recurrence.initial_state"]``, float [H] or [M, H]. One that learns
    within episodes takes ``forward(weights, trajectory, first)`` too, for outputs from step `first`
    on, before which it is in the initial state of the weights.
    """

    @property
    def game(self) -> Game:
        """The rules."""

    def weights(self) -> dict[str, Tensor]:
        """The meta weights by name; those named ``policy.`` or ``world_model.`` are that part."""

    def forward(self, weights: Weights, trajectory: Trajectory) -> PrincipalOutput:
        """Outputs of every step of recorded episodes, differentiable.

        Each step may depend only on levels, observed arms and observed rewards of earlier steps.

        Args:
            weights: meta weights [...], or fast weights [M, ...] of the tasks, by name.
            trajectory: axes [M, B, T].
        """

    def __call__(self, weights: Weights, trajectory: Trajectory) -> PrincipalOutput:
        """`forward`, as a `torch.nn.Module` calls it."""

    def first_state(self, weights: Weights, num_tasks: int, num_episodes: int) -> Tensor:
        """State before the first step of an episode, float [M, B, ...]."""

    def step(
        self, weights: Weights, state: Tensor, past: HistoryState, /
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Play one step of running episodes.

        Args:
            weights: as in `forward`.
            state: as returned by the step before, or by `first_state`.
            past: everything observed before this step, axes [M, B].

        Returns:
            The new state, the level logits, float [M, B, L], and the arm logits of every level,
            float [M, B, L, A], or None without a world model.
        """
