"""The interface of engines, and the reference engine in PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext

from mermaide_pl.engines.cuda_graphs import CudaGraphCache
from mermaide_pl.engines.noise import Noise
from mermaide_pl.engines.torch_rollout import RolloutInputs, play
from mermaide_pl.game import AnyGame
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import (
    LearnedPlayer,
    LearnedPrincipal,
    Player,
    PrincipalOutput,
    Weights,
)


class Engine(ABC):
    """Computes rollouts and forward passes; all engines give the same numbers, to rounding."""

    @abstractmethod
    def play(self, tasks: TaskBatch, player: Player, game: AnyGame, noise: Noise) -> Trajectory:
        """Play episodes of one principal with every task, without autograd.

        Args:
            tasks: M tasks.
            player: the principal.
            game: the rules.
            noise: all random numbers.

        Returns:
            The episodes, axes [M, B, T].
        """

    @abstractmethod
    def forward(
        self, principal: LearnedPrincipal, weights: Weights, trajectory: Trajectory
    ) -> PrincipalOutput:
        """The principal's forward pass on recorded episodes, twice differentiable in the weights.

        Args:
            principal: the module.
            weights: meta weights, or fast weights of the M tasks.
            trajectory: M tasks, B episodes, T steps.

        Returns:
            Outputs of every step, axes [M, B, T].
        """

    def threads(self, principal: LearnedPrincipal, num_rows: int) -> AbstractContextManager[None]:
        """Shares the cores while the principal learns from `num_rows` steps of episodes."""
        return nullcontext()

    @abstractmethod
    def describe(self, principal: LearnedPrincipal) -> str:
        """Name and device of the computation of this principal's forward pass, for a log line."""


class TorchEngine(Engine):
    """PyTorch: the reference, on any device, in any precision, with any principal and agent."""

    def __init__(self) -> None:
        self._graphs = CudaGraphCache()

    def play(self, tasks: TaskBatch, player: Player, game: AnyGame, noise: Noise) -> Trajectory:
        """See the base class. On a GPU it replays CUDA graphs where it can."""
        if tasks.base_rewards.is_cuda and CudaGraphCache.suits(tasks, player, game):
            assert isinstance(player, LearnedPlayer)
            return self._graphs.play(tasks, player, game, noise)
        return play(RolloutInputs(tasks, player, game, noise))

    def forward(
        self, principal: LearnedPrincipal, weights: Weights, trajectory: Trajectory
    ) -> PrincipalOutput:
        """See the base class."""
        return principal(weights, trajectory)

    def describe(self, principal: LearnedPrincipal) -> str:
        """See the base class."""
        return f"torch, on {next(iter(principal.weights().values())).device.type}"
