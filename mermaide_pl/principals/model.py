"""The learned principal: recurrent world model and intervention policy as one module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from mermaide_pl.config.validation import check_count
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.principals.features import CountFeatures, History, HistoryState
from mermaide_pl.principals.layers import Weights
from mermaide_pl.principals.policy import Critic, PolicyAndCritic, StateValue
from mermaide_pl.principals.protocol import PrincipalOutput
from mermaide_pl.principals.recurrence import GRU, Recurrence
from mermaide_pl.principals.world_model import SharedForecast, WorldModel


@dataclass(frozen=True)
class Architecture:
    """Sizes and slots of a `Principal`.

    Args:
        hidden_size: H, units of the recurrent state. Few, since the tallies do the counting: in a
            short training a larger recurrence only learns more slowly.
        policy_size: hidden units of the policy.
        history: encoding of the past as input features.
        world_model: `SharedForecast`, `LinearForecast`, or `NoWorldModel` for the ablation.
        critic: `StateValue`, or `NoCritic`.
        recurrence: `GRU` or `MinGRU`, of H units.
        critic_size: hidden units of the critic, None for as many as the policy has.
    """

    hidden_size: int = 32
    policy_size: int = 64
    history: History = CountFeatures()
    world_model: WorldModel = SharedForecast()
    critic: Critic = StateValue()
    recurrence: Recurrence = GRU()
    critic_size: int | None = None

    def __post_init__(self) -> None:
        check_count("Architecture.hidden_size", self.hidden_size, low=1)
        check_count("Architecture.policy_size", self.policy_size, low=1)
        if self.critic_size is not None:
            check_count("Architecture.critic_size", self.critic_size, low=1)

    def build(self, game: Game) -> Principal:
        """The principal for games of these numbers of arms and levels."""
        return Principal(self, game)


class PrincipalModule(nn.Module):
    """Weights of a learned principal."""

    plays_any_game: ClassVar[bool]
    """True if the weights depend on no size of the game."""

    @property
    def device(self) -> torch.device:
        """Device that holds the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return next(self.parameters()).dtype

    def weights(self) -> dict[str, Tensor]:
        """The meta weights by name."""
        return dict(self.named_parameters())


class Principal(PrincipalModule):
    """Recurrence over the history, forecast of the agent's arm, policy acting through the forecast.

    All methods take the weights explicitly, so the same code runs with meta weights and with the
    fast weights of many tasks at once.

    Args:
        architecture: sizes and slots.
        game: the rules.
    """

    plays_any_game: ClassVar[bool] = False

    def __init__(self, architecture: Architecture, game: Game) -> None:
        super().__init__()
        self.game = game
        self.architecture = architecture
        self.history = architecture.history
        hidden, sizes = architecture.hidden_size, self.history.sizes(game)
        # of the features of the arms the target's alone: the others come by way of the state
        self._num_about_target = sum(sizes)
        self._num_inputs = self.history.num_inputs(game)
        self.recurrence = architecture.recurrence.build(self._num_inputs, hidden)
        self.world_model = architecture.world_model.build(hidden, sizes, game)
        forecasts = game.num_levels if self.world_model is not None else 0
        self.policy = PolicyAndCritic(
            hidden + self._num_about_target + forecasts,
            architecture.policy_size,
            game,
            architecture.critic,
            architecture.critic_size or architecture.policy_size,
        )

    def forward(self, weights: Weights, trajectory: Trajectory, first: int = 0) -> PrincipalOutput:
        """Forward pass on recorded episodes.

        Args:
            weights: meta weights, or fast weights of the M tasks.
            trajectory: M tasks, B episodes, T steps.
            first: the step before which the initial state of the weights is reached.

        Returns:
            Outputs of every step from `first` on, axes [M, B, T - first].
        """
        features = self.encode(trajectory)[:, :, first:]
        start = self.first_state(weights, *trajectory.levels.shape[:2])
        hidden = self.recurrence.sequence(weights, features[..., : self._num_inputs], start)
        state, arm_logits = self._state(weights, hidden, features)
        return PrincipalOutput.of(
            trajectory,
            self.policy.level_logits(weights, state),
            values=self.policy.values(weights, state),
            arm_logits=arm_logits,
            last_state=hidden[:, :, -1],
            first=first,
        )

    def first_state(self, weights: Weights, num_tasks: int, num_episodes: int) -> Tensor:
        """Recurrent state in which episodes begin, float [M, B, H]."""
        return self.recurrence.first_state(weights, num_tasks, num_episodes)

    def encode(self, trajectory: Trajectory) -> Tensor:
        """Features of every step of recorded episodes, float [M, B, T, G + A * P]."""
        seen = trajectory.observed_arms, trajectory.levels, trajectory.observed_agent_rewards
        return self.history.features(HistoryState.of_sequence(*seen, trajectory.game))

    def step(
        self, weights: Weights, hidden: Tensor, past: HistoryState
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Forward pass of one step in a running game.

        Args:
            weights: meta weights, or fast weights of the M tasks.
            hidden: float [M, B, H], `first_state` before the first step.
            past: everything observed before this step, axes [M, B].

        Returns:
            The new hidden state, float [M, B, H], the level logits, float [M, B, L], and the arm
            logits of every level, float [M, B, L, A], or None without a world model.
        """
        features = self.history.features(past)
        hidden = self.recurrence.step(weights, features[..., : self._num_inputs], hidden)
        state, arm_logits = self._state(weights, hidden, features)
        return hidden, self.policy.level_logits(weights, state), arm_logits

    def _state(
        self, weights: Weights, hidden: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Input of policy and critic, float [M, ..., I], and the arm logits [M, ..., L, A]."""
        parts, arm_logits = [hidden, features[..., : self._num_about_target]], None
        if self.world_model is not None:
            arm_logits = self.world_model(weights, hidden, features)
            parts.append(arm_logits.softmax(-1)[..., 0])
        return torch.cat(parts, dim=-1), arm_logits
