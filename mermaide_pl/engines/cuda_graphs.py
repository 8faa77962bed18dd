"""Rollouts as CUDA graphs, which launch the some ninety small kernels of a step all at once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from mermaide_pl.engines.noise import Noise
from mermaide_pl.engines.torch_rollout import RolloutInputs, play
from mermaide_pl.game import AnyGame, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPlayer, Player, Principal


def capture_cuda_graph(inputs: RolloutInputs) -> tuple[Trajectory, Callable[[], None]]:
    """Record the kernels of `play` as a CUDA graph: the trajectory it fills, and its replay.

    Launching the kernels one by one takes longer than running them.
    """
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        play(inputs)  # fills caches that must not be filled while capturing
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may use the GPU
        trajectory = play(inputs)
    return trajectory, graph.replay


class CudaGraphCache:
    """Captured rollouts by signature; a replay first copies in the tensors of the new rollout.

    A copy of the cache, or one in another process, begins empty.

    Args:
        capture: how to capture.
        most: captured rollouts to keep; the oldest goes first.
    """

    def __init__(
        self,
        capture: Callable[
            [RolloutInputs], tuple[Trajectory, Callable[[], None]]
        ] = capture_cuda_graph,
        most: int = 8,
    ) -> None:
        self._capture = capture
        self._most = most
        self._kept: dict[
            tuple[object, ...], tuple[RolloutInputs, Trajectory, Callable[[], None]]
        ] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._capture, self._most)

    @staticmethod
    def suits(tasks: TaskBatch, player: Player, game: AnyGame) -> bool:
        """True if every rollout like this one is known to run the same kernels."""
        if not isinstance(player, LearnedPlayer) or len(tasks.families) > 1:
            return False
        if not isinstance(game, Game):  # its numbers would have to be copied in too
            return False
        if not tasks.families[0].rule.is_tensors:
            return False
        principal, (family,) = player.principal, tasks.families
        if not isinstance(principal, Principal):
            return False
        parts = [player, *principal.modules(), principal.history]
        parts += [game.observation, family.rule, tasks.reward_model]
        return all(type(part).__module__.startswith("mermaide_pl.") for part in parts)

    def play(
        self, tasks: TaskBatch, player: LearnedPlayer, game: AnyGame, noise: Noise
    ) -> Trajectory:
        """As `play`, by a replay."""
        inputs = RolloutInputs(tasks, player, game, noise)
        key = inputs.signature()
        if key not in self._kept:
            if len(self._kept) == self._most:
                del self._kept[next(iter(self._kept))]
            weights = {name: weight.clone() for name, weight in player.weights.items()}
            twin = type(player)(player.principal, weights)
            own = RolloutInputs(copy.deepcopy(tasks), twin, game, noise)
            self._kept[key] = (own, *self._capture(own))
        own, trajectory, replay = self._kept[key]
        with torch.inference_mode():  # in which the inputs may have been made
            for mine, given in zip(own.tensors(), inputs.tensors(), strict=True):
                mine.copy_(given)
            replay()
        # the next replay writes over it
        return trajectory.map(torch.clone)
