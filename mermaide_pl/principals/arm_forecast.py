"""The world model of a principal by itself: a recurrent forecast of an agent's arms."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mermaide_pl.config.serialization import describe, rebuild
from mermaide_pl.config.validation import one_line
from mermaide_pl.game import Game
from mermaide_pl.principals.features import HistoryState
from mermaide_pl.principals.layers import Weights
from mermaide_pl.principals.model import Architecture, PrincipalModule
from mermaide_pl.runtime.checkpoints import CHECKPOINT_KEY, read_checkpoint, write_checkpoint


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
        self.game, self.architecture = game, architecture
        self.history = architecture.history
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

    def step(self, weights: Weights, hidden: Tensor, past: HistoryState) -> tuple[Tensor, Tensor]:
        """Forecast of one step in a running game.

        Args:
            weights: of the model.
            hidden: float [M, B, H], `Recurrence.first_state` before the first step.
            past: everything before this step, axes [M, B].

        Returns:
            The new hidden state, float [M, B, H], and the arm logits of every level, float
            [M, B, L, A].
        """
        features = self.history.features(past)
        hidden = self.recurrence.step(weights, features[..., : self._num_inputs], hidden)
        return hidden, self.world_model(weights, hidden, features)

    def save(self, path: str | Path) -> None:
        """Write weights, architecture and game, as plain data.

        Raises:
            ValueError: one line that says why the file cannot be written.
        """
        settings = {"architecture": describe(self.architecture), "game": describe(self.game)}
        write_checkpoint({"state_dict": self.state_dict(), CHECKPOINT_KEY: settings}, path)

    @classmethod
    def load(cls, path: str | Path) -> ArmForecast:
        """Read a file of `save`; no code is run from it.

        Raises:
            ValueError: one line that says what is wrong with the file.
        """
        saved = read_checkpoint(path)
        try:
            settings = saved[CHECKPOINT_KEY]
            model = cls(rebuild(settings["architecture"]), rebuild(settings["game"]))
            model.load_state_dict(saved["state_dict"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no forecast of arms: {one_line(error)}") from None
        return model
