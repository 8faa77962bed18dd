"""A principal that reads another game than the one it plays."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.principals.features import HistoryState
from mermaide_pl.principals.layers import Weights
from mermaide_pl.principals.protocol import LearnedPrincipal, PrincipalOutput


class MisinformedPrincipal(nn.Module):
    """A learned principal that plays one game and is told the numbers of another.

    A principal that knows of no budget is merely cut off when the game's is used up: it sees that
    level 0 was played, and takes it for its own choice.

    Args:
        principal: plays; its game is the one that is played.
        believed: the game that it is told, of as many arms, levels and steps.

    Raises:
        ValueError: if the games differ in size.
    """

    def __init__(self, principal: LearnedPrincipal, believed: Game) -> None:
        super().__init__()
        self.principal, self.game, self.believed = principal, principal.game, believed
        for name in ("num_arms", "num_levels", "num_steps"):
            ours, theirs = getattr(believed, name), getattr(self.game, name)
            if ours != theirs:
                raise ValueError(f"{name} is {theirs} in the game played, {ours} in the one told")

    def weights(self) -> dict[str, Tensor]:
        """The meta weights by name."""
        return self.principal.weights()

    def forward(self, weights: Weights, trajectory: Trajectory) -> PrincipalOutput:
        """See `Principal.forward`."""
        return self.principal(weights, replace(trajectory, game=self.believed))

    def first_state(self, weights: Weights, num_tasks: int, num_episodes: int) -> Tensor:
        """State in which episodes begin, float [M, B, H]."""
        return self.principal.first_state(weights, num_tasks, num_episodes)

    def step(
        self, weights: Weights, hidden: Tensor, past: HistoryState
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """See `Principal.step`."""
        return self.principal.step(weights, hidden, replace(past, game=self.believed))
