"""The principal's network as one operation of autograd, twice differentiable in its weights.

The derivatives are written by hand in `network.h`; `Principal.forward` is the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mermaide_pl.engines.native.binary_interface import (
    OUTPUTS,
    FeatureCall,
    NetworkCall,
    Output,
)
from mermaide_pl.engines.native.calls import (
    NetworkShape,
    history_call,
    network_call,
    point_to,
    pointer,
    run,
    sizes_of,
    weights_of,
)
from mermaide_pl.game import AnyGame, GameBatch
from mermaide_pl.principals import History


@dataclass(frozen=True)
class Recorded:
    """Recorded episodes, as the library reads them."""

    features: Tensor  # [M, B, T, F] float
    levels: Tensor  # [M, B, T] int64, levels played
    arms: Tensor  # [M, B, T] int64, arms observed, principal labels

    def check(self, shape: NetworkShape) -> None:
        """Check shapes and types, since the kernel sees addresses only.

        Raises:
            ValueError: naming the tensor that is wrong.
        """
        check_record(shape, self.levels, self.arms)
        axes = *self.levels.shape, shape.num_features
        if self.features.shape != axes or not self.features.is_contiguous():
            raise ValueError(f"features must be {axes}, got {tuple(self.features.shape)}")

    def enter(self, call: NetworkCall) -> None:
        """Enter the pointers to the episodes into a call."""
        call.features, call.levels, call.arms = map(
            pointer, (self.features, self.levels, self.arms)
        )


def forward(
    shape: NetworkShape, weights: Mapping[str, Tensor], recorded: Recorded
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor, Tensor | None, Tensor]:
    """The principal's forward pass on recorded episodes.

    Args:
        shape: sizes of the principal.
        weights: meta weights, or fast weights of the M tasks.
        recorded: the episodes, contiguous and without gradient.

    Returns:
        Level logits [M, B, T, L], values [M, B, T], arm logits [M, B, T, L, A], log-probability of
        the levels played [M, B, T], log-likelihood of the arms observed by the forecast for them
        [M, B, T], and the recurrent state at the end [M, B, H]; None where the principal has no
        such part. Differentiable twice in the weights, on the CPU, in float32 or float64.
    """
    recorded.check(shape)
    given = weights_of(shape, weights, len(recorded.levels))
    return _Forward.apply(shape, recorded, *given)  # type: ignore[no-untyped-call]


def check_record(shape: NetworkShape, levels: Tensor, arms: Tensor) -> None:
    """Check that levels and arms are int64 [M, B, T] in their ranges.

    Raises:
        ValueError: naming the record that is wrong.
    """
    for name, record, number in (
        ("levels", levels, shape.num_levels),
        ("arms", arms, shape.num_arms),
    ):
        if record.dtype != torch.int64 or record.shape != levels.shape or record.dim() != 3:
            raise ValueError(
                f"{name} must be int64 [M, B, T], got {record.dtype} {tuple(record.shape)}"
            )
        if record.numel() and not 0 <= int(record.min()) <= int(record.max()) < number:
            raise ValueError(f"{name} must lie between 0 and {number - 1}")


def encode(
    shape: NetworkShape,
    history: History,
    game: AnyGame,
    arms: Tensor,
    levels: Tensor,
    rewards: Tensor,
) -> Tensor:
    """Features of recorded episodes, as `History.features` of `HistoryState.of_sequence`.

    Args:
        shape: sizes of the principal.
        history: the encoding.
        game: one for all tasks, or one for each.
        arms: observed arms, principal labels, int64 [M, B, T].
        levels: int64 [M, B, T].
        rewards: observed agent rewards, float [M, B, T].

    Returns:
        float [M, B, T, F].
    """
    check_record(shape, levels, arms)
    keep: list[Tensor] = []
    arms, levels, rewards = arms.contiguous(), levels.contiguous(), rewards.contiguous()
    features = rewards.new_empty(*arms.shape, shape.num_features)
    call = FeatureCall(
        sizes=sizes_of(shape, *arms.shape),
        history=history_call(history, GameBatch.of(game, len(arms), rewards), keep),
        arms=pointer(arms),
        levels=pointer(levels),
        rewards=pointer(rewards),
        out=pointer(features),
    )
    run("encode", rewards.dtype, call)
    return features


def _outputs(
    shape: NetworkShape, recorded: Recorded, wanted: Sequence[bool] = (True,) * len(Output)
) -> list[Tensor | None]:
    """Uninitialised tensors for the outputs of `forward`."""
    every, levels, arms = recorded.levels.shape, shape.num_levels, shape.num_arms
    sizes: dict[Output, tuple[int, ...]] = {
        Output.LEVEL_LOGITS: (*every, levels),
        Output.LOG_LEVELS: every,
        Output.LAST_STATE: (*every[:2], shape.hidden_size),
    }
    if shape.has_critic:
        sizes[Output.VALUES] = every
    if shape.forecast != "none":
        sizes |= {Output.ARM_LOGITS: (*every, levels, arms), Output.LOG_ARMS: every}
    return [
        recorded.features.new_empty(sizes[output]) if output in sizes and wants else None
        for output, wants in zip(Output, wanted, strict=True)
    ]


def _gradients(
    weights: Sequence[Tensor | None], wanted: Sequence[bool], num_tasks: int, call: NetworkCall
) -> list[Tensor | None]:
    """Uninitialised tensors for the gradients of each task, [M, ...], entered into the call."""
    room: list[Tensor | None] = []
    for slot, (weight, wants) in enumerate(zip(weights, wanted, strict=True)):
        if weight is None or not wants:
            room.append(None)
            continue
        shape = weight.shape[-2 + slot % 2 :]
        room.append(weight.new_empty(num_tasks, *shape))
        call.grad[slot] = pointer(room[-1])
    return room


def _of_shared(
    weights: Sequence[Tensor | None], gradients: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Sum the gradients of weights that all tasks share."""
    return [
        gradient.sum(0)
        if weight is not None and gradient is not None and gradient.dim() > weight.dim()
        else gradient
        for weight, gradient in zip(weights, gradients, strict=True)
    ]


def _both(one: Sequence[bool], other: Sequence[bool]) -> list[bool]:
    return [a and b for a, b in zip(one, other, strict=True)]


class _Forward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shape: NetworkShape, recorded: Recorded, *weights: Tensor | None) -> Any:
        keep: list[Tensor] = []
        call = network_call(shape, weights, recorded.levels.shape, keep)
        recorded.enter(call)
        outputs = _outputs(shape, recorded)
        call.out = OUTPUTS(*map(pointer, outputs))
        run("forward", recorded.features.dtype, call)
        ctx.shape, ctx.recorded = shape, recorded
        ctx.save_for_backward(*weights)
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        # None, not zero, where nothing depends on a weight: an optimizer tells them apart
        wanted = _both(ctx.needs_input_grad[2:], ctx.shape.reached(cotangents))
        given = ctx.shape, ctx.recorded, wanted, *cotangents, *ctx.saved_tensors
        return None, None, *_ForwardBackward.apply(*given)  # type: ignore[no-untyped-call]


class _ForwardBackward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, shape: NetworkShape, recorded: Recorded, wanted: Sequence[bool], *rest: Any
    ) -> Any:
        keep: list[Tensor] = []
        cotangents = [None if one is None else one.contiguous() for one in rest[: len(Output)]]
        weights = rest[len(Output) :]
        call = network_call(shape, weights, recorded.levels.shape, keep)
        recorded.enter(call)
        call.cotangent = OUTPUTS(*map(pointer, cotangents))
        gradients = _gradients(weights, wanted, len(recorded.levels), call)
        run("backward", recorded.features.dtype, call)
        ctx.shape, ctx.recorded = shape, recorded
        ctx.save_for_backward(*cotangents, *weights)
        ctx.set_materialize_grads(False)
        return tuple(_of_shared(weights, gradients))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *directions: Tensor | None) -> Any:
        cotangents = ctx.saved_tensors[: len(Output)]
        weights = ctx.saved_tensors[len(Output) :]
        if all(direction is None for direction in directions):
            return (None,) * len(ctx.needs_input_grad)
        keep: list[Tensor] = []
        call = network_call(ctx.shape, weights, ctx.recorded.levels.shape, keep)
        point_to(call.tangent, call.tangent_stride, directions, keep)
        ctx.recorded.enter(call)
        of_cotangents = ctx.needs_input_grad[3 : 3 + len(Output)]
        of_weights = ctx.needs_input_grad[3 + len(Output) :]
        tangents = _outputs(ctx.shape, ctx.recorded, of_cotangents)
        call.out = OUTPUTS(*map(pointer, tangents))
        call.cotangent = OUTPUTS(*map(pointer, cotangents))
        wanted = _both(of_weights, ctx.shape.reached(cotangents))
        gradients = _gradients(weights, wanted, len(ctx.recorded.levels), call)
        run("double_backward", ctx.recorded.features.dtype, call)
        return None, None, None, *tangents, *_of_shared(weights, gradients)
