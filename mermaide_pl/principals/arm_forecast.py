"""The world model of a principal by itself: a recurrent forecast of an agent's arms."""

from __future__ import annotations

import torch
from torch import Tensor

from mermaide_pl.game import Game
from mermaide_pl.principals.features import HistoryState
from mermaide_pl.principals.model import Architecture, PrincipalModule


class ArmForecast(PrincipalModule):
    """Recurrence and world model of a `Principal`, their weights by the same names, no policy.

    Args:
        architecture: sizes and slots; those of policy and critic count for nothing.
        game: the rules.

    Raises:
        ValueError: if the architecture has no world model.
    """

    plays_any_game = False

    def __init__(self, architecture: Architecture, game: Game) -> None:
        super().__init__()
        hidden, sizes = architecture.hidden_size, architecture.history.sizes(game)
        self.game, self.history = game, architecture.history
        self._num_inputs = self.history.num_inputs(game)
        self.recurrence = architecture.recurrence.build(self._num_inputs, hidden)
        world_model = architecture.world_model.build(hidden, sizes, game)
        if world_model is None:
            raise ValueError("a forecast of arms needs an architecture with a world model")
        self.world_model = world_model

    def forward(self, arms: Tensor, levels: Tensor, agent_rewards: Tensor) -> Tensor:
        """Log-probabilities of the arms of each step, given the steps before and the level.

        Args:
            arms: int64 [M, B, T].
            levels: int64 [M, B, T].
            agent_rewards: zero where they are not seen, float [M, B, T].

        Returns:
            float [M, B, T, A].
        """
        past = HistoryState.of_sequence(arms, levels, agent_rewards, self.game)
        features, weights = self.history.features(past), self.weights()
        start = self.recurrence.first_state(weights, *levels.shape[:2])
        hidden = self.recurrence.sequence(weights, features[..., : self._num_inputs], start)
        logits: Tensor = self.world_model(weights, hidden, features)
        index = levels[..., None, None].expand(*levels.shape, 1, self.game.num_arms)
        return torch.log_softmax(logits.gather(-2, index).squeeze(-2), dim=-1)
