"""The learned principal: recurrent world model and intervention policy as one module."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mermaide_pl.config.validation import check_count
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.native.build import Kernel, uses_native
from mermaide_pl.native.interface import Forecast, NetworkShape
from mermaide_pl.native.thinking import Recorded, encode, think
from mermaide_pl.native.threads import kernel_threads, one_thread_for_torch
from mermaide_pl.objectives import forecast_log_likelihood, log_probabilities
from mermaide_pl.principals.features import History, LastStep, Past, Tallies
from mermaide_pl.principals.layers import Weights, gru_sequence, gru_step, linear
from mermaide_pl.principals.policy import Critic, PolicyAndCritic, StateValue
from mermaide_pl.principals.world_model import (
    LinearForecast,
    NoWorldModel,
    SharedForecast,
    WorldModel,
)

# What the kernel knows, by exact type: a subclass may compute something else.
_FORECASTS: dict[type[WorldModel], Forecast] = {
    NoWorldModel: "none",
    LinearForecast: "linear",
    SharedForecast: "shared",
}
_HISTORIES: dict[type[History], int] = {LastStep: 0, Tallies: 1}


@dataclass(frozen=True)
class Architecture:
    """Sizes and slots of a `Principal`.

    Args:
        hidden_size: H, units of the recurrent state. Few, since the tallies do the counting: in a
            short training a larger recurrence only learns more slowly.
        policy_size: hidden units of the policy, and of the critic.
        history: encoding of the past as input features.
        world_model: `SharedForecast`, `LinearForecast`, or `NoWorldModel` for the ablation.
        critic: `StateValue`, or `NoCritic`.
    """

    hidden_size: int = 32
    policy_size: int = 64
    history: History = Tallies()
    world_model: WorldModel = SharedForecast()
    critic: Critic = StateValue()

    def __post_init__(self) -> None:
        check_count("Architecture.hidden_size", self.hidden_size, low=1)
        check_count("Architecture.policy_size", self.policy_size, low=1)


@dataclass(frozen=True)
class PrincipalOutput:
    """What the principal thinks before each step of recorded episodes, and how that did."""

    level_logits: Tensor  # [M, ..., L] float, logits of the intervention policy
    values: Tensor  # [M, ...] float, expected rewards still to come, as a share of T, or zero
    arm_logits: Tensor | None  # [M, ..., L, A] float, logits of p(a_t | history, u)
    log_levels: Tensor  # [M, ...] float, log-probability of the level played
    log_arms: Tensor | None  # [M, ...] float, log-likelihood of the arm observed, given the level
    last_state: Tensor  # [M, B, H] float, recurrent state at the end of each episode


class Principal(nn.Module):
    """GRU over the history, a forecast of the agent's arm, a policy acting through that forecast.

    All methods take the weights explicitly, so the same code runs with meta weights and with the
    fast weights of many tasks at once.

    Args:
        architecture: sizes and slots.
        game: the rules.
        kernel: what computes; PyTorch is the reference.
    """

    def __init__(self, architecture: Architecture, game: Game, kernel: Kernel = "auto") -> None:
        super().__init__()
        self.game = game
        self.kernel = kernel
        self.history = architecture.history
        hidden, sizes = architecture.hidden_size, self.history.sizes(game)
        features = sizes[0] + game.num_arms * sizes[1]
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden, features))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden, hidden))
        self.bias_ih = nn.Parameter(torch.zeros(3 * hidden))
        self.bias_hh = nn.Parameter(torch.zeros(3 * hidden))
        self.initial_state = nn.Parameter(torch.zeros(hidden))
        for gate in range(3):
            rows = slice(gate * hidden, (gate + 1) * hidden)
            nn.init.xavier_uniform_(self.weight_ih.data[rows])
            nn.init.orthogonal_(self.weight_hh.data[rows])
        self.world_model = architecture.world_model.build(hidden, sizes, game)
        self._num_about_target = sum(sizes)
        forecasts = game.num_levels if self.world_model is not None else 0
        self.policy = PolicyAndCritic(
            hidden + self._num_about_target + forecasts,
            architecture.policy_size,
            game,
            architecture.critic,
        )
        world_model = architecture.world_model
        self.network_shape = NetworkShape(
            game.num_arms,
            game.num_levels,
            hidden,
            architecture.policy_size,
            *sizes,
            world_model.size if isinstance(world_model, SharedForecast) else 0,
            _FORECASTS.get(type(world_model), "none"),
            architecture.critic.exists,
        )
        self.history_kind = _HISTORIES.get(type(self.history), -1)
        self.has_native_twin = type(world_model) in _FORECASTS and self.history_kind >= 0

    def weights(self) -> dict[str, Tensor]:
        """The meta weights by name."""
        return dict(self.named_parameters())

    def forward(self, weights: Weights, trajectory: Trajectory) -> PrincipalOutput:
        """Think again through recorded episodes, differentiably.

        Args:
            weights: meta weights, or fast weights of the M tasks.
            trajectory: M tasks, B episodes, T steps.

        Returns:
            Outputs of every step, axes [M, B, T].
        """
        features, levels = self.encode(trajectory), trajectory.levels
        if self._is_native(weights["weight_hh"]):
            arms = trajectory.observed_arms.contiguous()
            recorded = Recorded(features, levels.contiguous(), arms)
            logits, values, *others = think(self.network_shape, weights, recorded)
            if values is None:
                values = features.new_zeros(features.shape[:-1])
            return PrincipalOutput(logits, values, *others)  # type: ignore[arg-type]
        projected = linear(features, weights["weight_ih"], weights["bias_ih"])
        first = self.first_state(weights, *levels.shape[:2])
        hidden = gru_sequence(projected, first, weights["weight_hh"], weights["bias_hh"])
        state, arm_logits = self._state(weights, hidden, features)
        level_logits = self.policy.level_logits(weights, state)
        log_arms = None
        if arm_logits is not None:
            log_arms = forecast_log_likelihood(arm_logits, levels, trajectory.observed_arms)
        return PrincipalOutput(
            level_logits,
            self.policy.values(weights, state),
            arm_logits,
            log_probabilities(level_logits, levels),
            log_arms,
            hidden[:, :, -1],
        )

    @staticmethod
    def first_state(weights: Weights, num_tasks: int, num_episodes: int) -> Tensor:
        """Recurrent state in which episodes begin, float [M, B, H]."""
        state = weights["initial_state"]
        state = state.unsqueeze(1) if state.dim() == 2 else state
        return state.expand(num_tasks, num_episodes, -1)

    def encode(self, trajectory: Trajectory) -> Tensor:
        """Features of every step of recorded episodes, float [M, B, T, G + A * P]."""
        seen = trajectory.observed_arms, trajectory.levels, trajectory.observed_agent_rewards
        whole = trajectory.levels.shape[2] == self.game.num_steps
        if whole and self._is_native(trajectory.rewards):
            game, sees_rewards = self.game, self.game.observation.sees_agent_rewards
            how = self.history_kind, game.bonuses, self.history.unit(game), sees_rewards
            return encode(self.network_shape, *how, *seen)
        return self.history.features(Past.of_sequence(*seen, self.game), self.game)

    def computed_by(self) -> str:
        """What runs the network, for a log line."""
        if self._is_native(self.weight_hh):
            number = kernel_threads()
            return f"native, {number} thread{'s' * (number > 1)}"
        if self.kernel == "torch" or self.has_native_twin:
            return f"torch, on {self.weight_hh.device.type}"
        return "torch, for this principal has parts that the native one does not know"

    def threads(self, num_rows: int) -> AbstractContextManager[None]:
        """How to share the cores while learning from `num_rows` steps of episodes."""
        if not self._is_native(self.weight_hh):
            return nullcontext()
        return one_thread_for_torch(num_rows * self.game.num_levels * self.game.num_arms)

    def _is_native(self, like: Tensor) -> bool:
        return self.has_native_twin and uses_native(self.kernel, like)

    def step(
        self, weights: Weights, hidden: Tensor, past: Past
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Think one step ahead in a running game.

        Args:
            weights: meta weights, or fast weights of the M tasks.
            hidden: float [M, B, H], `first_state` before the first step.
            past: what was seen before this step, axes [M, B].

        Returns:
            The new hidden state, float [M, B, H], the level logits, float [M, B, L], and the arm
            logits of every level, float [M, B, L, A], or None without a world model.
        """
        features = self.history.features(past, self.game)
        projected = linear(features, weights["weight_ih"], weights["bias_ih"])
        hidden = gru_step(projected, hidden, weights["weight_hh"], weights["bias_hh"])
        state, arm_logits = self._state(weights, hidden, features)
        return hidden, self.policy.level_logits(weights, state), arm_logits

    def _state(
        self, weights: Weights, hidden: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Input of policy and critic, float [M, ..., I], and the arm logits [M, ..., L, A]."""
        # of the features of the arms the target's alone: the others come by way of the state
        parts, arm_logits = [hidden, features[..., : self._num_about_target]], None
        if self.world_model is not None:
            arm_logits = self.world_model(weights, hidden, features)
            parts.append(arm_logits.softmax(-1)[..., 0])
        return torch.cat(parts, dim=-1), arm_logits
