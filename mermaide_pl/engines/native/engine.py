"""The engine in C++, which hands on to another engine whatever the library does not cover."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mermaide_pl.engines.engine import Engine
from mermaide_pl.engines.native.autograd import Recorded, encode, forward
from mermaide_pl.engines.native.build import library
from mermaide_pl.engines.native.calls import NetworkShape
from mermaide_pl.engines.native.coverage import HISTORIES, covers_rollout, network_shape
from mermaide_pl.engines.native.rollout import play
from mermaide_pl.engines.native.threads import kernel_threads, one_thread_for_torch
from mermaide_pl.engines.noise import Noise
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPrincipal, Player, Principal, PrincipalOutput, Weights


class NativeEngine(Engine):
    """C++ on the CPU, in float32 and float64, for the parts listed in `coverage`.

    Args:
        fallback: computes the rest.
    """

    def __init__(self, fallback: Engine) -> None:
        self._fallback = fallback

    def play(self, tasks: TaskBatch, player: Player, game: Game, noise: Noise) -> Trajectory:
        """See the base class."""
        if covers_rollout(tasks, player, game) and _computes_on(tasks.base_rewards):
            return play(tasks, player, game, noise)
        return self._fallback.play(tasks, player, game, noise)

    def forward(
        self, principal: LearnedPrincipal, weights: Weights, trajectory: Trajectory
    ) -> PrincipalOutput:
        """See the base class."""
        shape = self._shape(principal)
        if shape is None or not isinstance(principal, Principal):
            return self._fallback.forward(principal, weights, trajectory)
        features = features_of(principal, shape, trajectory)
        levels, arms = trajectory.levels.contiguous(), trajectory.observed_arms.contiguous()
        recorded = Recorded(features, levels, arms)
        logits, values, *others = forward(shape, weights, recorded)
        if values is None:
            values = features.new_zeros(features.shape[:-1])
        return PrincipalOutput(logits, values, *others)  # type: ignore[arg-type]

    def threads(self, principal: LearnedPrincipal, num_rows: int) -> AbstractContextManager[None]:
        """See the base class."""
        if self._shape(principal) is None:
            return nullcontext()
        game = principal.game
        return one_thread_for_torch(num_rows * game.num_levels * game.num_arms)

    def describe(self, principal: LearnedPrincipal) -> str:
        """See the base class."""
        if self._shape(principal) is not None:
            number = kernel_threads()
            return f"native, {number} thread{'s' * (number > 1)}"
        told = self._fallback.describe(principal)
        if network_shape(principal) is None:
            told += ": the native engine does not support all parts of this principal"
        return told

    @staticmethod
    def _shape(principal: LearnedPrincipal) -> NetworkShape | None:
        """The network's shape, if the library computes it where its weights are."""
        shape = network_shape(principal)
        weight = next(iter(principal.weights().values()))
        return shape if shape is not None and _computes_on(weight) else None


def features_of(principal: Principal, shape: NetworkShape, trajectory: Trajectory) -> Tensor:
    """Features as of `Principal.encode`, computed by the library for whole episodes."""
    game, history = principal.game, principal.history
    if trajectory.levels.shape[2] != game.num_steps:
        return principal.encode(trajectory)
    return encode(
        shape,
        HISTORIES[type(history)],
        game.bonuses,
        history.unit(game),
        game.observation.sees_agent_rewards,
        trajectory.observed_arms,
        trajectory.levels,
        trajectory.observed_agent_rewards,
    )


def _computes_on(like: Tensor) -> bool:
    """True if there is a library for tensors like this one; builds it if necessary."""
    computable = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
    return computable and not isinstance(library(), str)
