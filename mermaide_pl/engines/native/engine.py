"""The engine in C++, which hands on to another engine whatever the library does not cover."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mermaide_pl.engines.engine import Engine
from mermaide_pl.engines.native.autograd import Recorded, encode, forward
from mermaide_pl.engines.native.build import library
from mermaide_pl.engines.native.calls import NetworkShape
from mermaide_pl.engines.native.coverage import covers_rollout, network_shape
from mermaide_pl.engines.native.rollout import play
from mermaide_pl.engines.native.threads import kernel_threads, one_thread_for_torch
from mermaide_pl.engines.noise import Noise
from mermaide_pl.engines.torch_rollout import WHOLE, Segment
from mermaide_pl.game import AnyGame
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import (
    GreedyPlayer,
    LearnedPlayer,
    LearnedPrincipal,
    Player,
    Principal,
    PrincipalOutput,
    Weights,
    network_in,
    within_budget,
)


class NativeEngine(Engine):
    """C++ on the CPU, in float32 and float64, for the parts listed in `coverage`.

    Args:
        fallback: computes the rest.
    """

    def __init__(self, fallback: Engine) -> None:
        self._fallback = fallback

    def play(
        self,
        tasks: TaskBatch,
        player: Player,
        game: AnyGame,
        noise: Noise,
        segment: Segment = WHOLE,
    ) -> Trajectory:
        """See the base class."""
        if isinstance(player, LearnedPlayer) and type(player) in (LearnedPlayer, GreedyPlayer):
            player = player.in_game(game, noise.num_episodes)
        if covers_rollout(tasks, player, game) and _computes_on(tasks.base_rewards):
            return play(tasks, player, game, noise, segment)
        return self._fallback.play(tasks, player, game, noise, segment)

    def forward(
        self, principal: LearnedPrincipal, weights: Weights, trajectory: Trajectory, first: int = 0
    ) -> PrincipalOutput:
        """See the base class."""
        principal, weights = network_in(principal, weights, trajectory.game)
        shape = _shape(principal, weights)
        if shape is None or not isinstance(principal, Principal):
            return self._fallback.forward(principal, weights, trajectory, first)
        features = features_of(principal, shape, trajectory)[:, :, first:].contiguous()
        levels = trajectory.levels[:, :, first:].contiguous()
        arms = trajectory.observed_arms[:, :, first:].contiguous()
        recorded = Recorded(features, levels, arms)
        found = forward(shape, weights, recorded)
        logits, values, arm_logits, log_levels, log_arms, last_state = found
        if values is None:
            values = features.new_zeros(features.shape[:-1])
        logits, log_levels = within_budget(trajectory, logits, log_levels, first)
        return PrincipalOutput(logits, values, arm_logits, log_levels, log_arms, last_state)

    def threads(self, principal: LearnedPrincipal, num_rows: int) -> AbstractContextManager[None]:
        """See the base class."""
        if self._own_shape(principal) is None:
            return nullcontext()
        game = principal.game
        return one_thread_for_torch(num_rows * game.num_levels * game.num_arms)

    def describe(self, principal: LearnedPrincipal) -> str:
        """See the base class."""
        if self._own_shape(principal) is not None:
            number = kernel_threads()
            return f"native, {number} thread{'s' * (number > 1)}"
        told = self._fallback.describe(principal)
        if network_shape(network_in(principal, principal.weights(), principal.game)[0]) is None:
            told += ": the native engine does not support all parts of this principal"
        return told

    @staticmethod
    def _own_shape(principal: LearnedPrincipal) -> NetworkShape | None:
        """The shape in the principal's own game, if the library computes it."""
        return _shape(*network_in(principal, principal.weights(), principal.game))


def _shape(principal: LearnedPrincipal, weights: Weights) -> NetworkShape | None:
    """The network's shape, if the library computes it where its weights are."""
    shape = network_shape(principal)
    weight = next(iter(weights.values()))
    return shape if shape is not None and _computes_on(weight) else None


def features_of(principal: Principal, shape: NetworkShape, trajectory: Trajectory) -> Tensor:
    """Features as of `Principal.encode`, computed by the library for whole episodes."""
    return encode(
        shape,
        principal.history,
        trajectory.game,
        trajectory.observed_arms,
        trajectory.levels,
        trajectory.observed_agent_rewards,
    )


def _computes_on(like: Tensor) -> bool:
    """True if there is a library for tensors like this one; builds it if necessary."""
    computable = like.device.type == "cpu" and like.dtype in (torch.float32, torch.float64)
    return computable and not isinstance(library(), str)
