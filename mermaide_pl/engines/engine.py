"""The interface of engines, and the reference engine in PyTorch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mermaide_pl.engines.cuda_graphs import CudaGraphCache
from mermaide_pl.engines.noise import Noise
from mermaide_pl.engines.torch_rollout import WHOLE, RolloutInputs, Segment, play
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
    def play(
        self,
        tasks: TaskBatch,
        player: Player,
        game: AnyGame,
        noise: Noise,
        segment: Segment = WHOLE,
    ) -> Trajectory:
        """Play episodes of one principal with every task, without autograd.

        Args:
            tasks: M tasks.
            player: the principal.
            game: the rules.
            noise: all random numbers.
            segment: the steps to play; what was played before them is given.

        Returns:
            The episodes from their beginning to the end of the segment, axes [M, B, T].
        """

    @abstractmethod
    def forward(
        self, principal: LearnedPrincipal, weights: Weights, trajectory: Trajectory, first: int = 0
    ) -> PrincipalOutput:
        """The principal's forward pass on recorded episodes, twice differentiable in the weights.

        Args:
            principal: the module.
            weights: meta weights, or fast weights of the M tasks.
            trajectory: M tasks, B episodes, T steps.
            first: the step before which the weights' initial state is reached; outputs begin there.

        Returns:
            Outputs of every step from `first` on, axes [M, B, T - first].
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

    def play(
        self,
        tasks: TaskBatch,
        player: Player,
        game: AnyGame,
        noise: Noise,
        segment: Segment = WHOLE,
    ) -> Trajectory:
        """See the base class. On a GPU it replays CUDA graphs where it can."""
        suits = segment is WHOLE and CudaGraphCache.suits(tasks, player, game)
        if tasks.base_rewards.is_cuda and suits:
            assert isinstance(player, LearnedPlayer)
            return self._graphs.play(tasks, player, game, noise)
        return play(RolloutInputs(tasks, player, game, noise), segment)

    def forward(
        self, principal: LearnedPrincipal, weights: Weights, trajectory: Trajectory, first: int = 0
    ) -> PrincipalOutput:
        """See the base class."""
        given: dict[str, Any] = {"first": first} if first else {}  # not every module takes it
        return principal(weights, trajectory, **given)

    def describe(self, principal: LearnedPrincipal) -> str:
        """See the base class."""
        return f"torch, on {next(iter(principal.weights().values())).device.type}"
