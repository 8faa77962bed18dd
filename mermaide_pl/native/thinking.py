"""The principal's network as one operation of autograd, twice differentiable in its weights.

The derivatives are written by hand in `network.h`; `Principal.forward` is the reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mermaide_pl.native.build import library
from mermaide_pl.native.threads import kernel_threads

_NAMES: dict[str, list[str | None]] = {
    "none": [None, None, None],
    "linear": ["world_model.arm", None, None],
    "shared": ["world_model.common", "world_model.arm", "world_model.out"],
}
Forecast: TypeAlias = Literal["none", "linear", "shared"]


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a principal, as the kernel wants them."""

    num_arms: int  # A
    num_levels: int  # L
    hidden_size: int  # H
    policy_size: int
    num_global: int  # G
    num_per_arm: int  # features of each arm
    forecast_size: int  # hidden units per arm of a shared forecast, else 0
    forecast: Forecast
    has_critic: bool

    def names(self) -> list[str | None]:
        """Names of the weights in the kernel's order, weight and bias in turn."""
        layers: list[tuple[str | None, str | None]] = [
            ("weight_ih", "bias_ih"),
            ("weight_hh", "bias_hh"),
        ]
        heads = ["policy.policy_in", "policy.policy_out"]
        critic = ["policy.critic_in", "policy.critic_out"] if self.has_critic else [None, None]
        for name in (*_NAMES[self.forecast], *heads, *critic):
            without_bias = self.forecast == "shared" and name in _NAMES["shared"][1:]
            weight, bias = (None, None) if name is None else (f"{name}_weight", f"{name}_bias")
            layers.append((weight, None if without_bias else bias))
        return [name for layer in layers for name in layer]

    def sizes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights in the same order, for one task."""
        H, L, S = self.hidden_size, self.num_levels, self.forecast_size
        features = self.num_global + self.num_arms * self.num_per_arm
        outputs, inputs = L * self.num_arms, H + features
        if self.forecast == "shared":
            outputs, inputs = S, H + self.num_global
        sees = H + self.num_global + self.num_per_arm + (L if self.forecast != "none" else 0)
        head = (self.policy_size, sees)
        layers = [(3 * H, features), (3 * H, H), (outputs, inputs), (S, self.num_per_arm), (L, S)]
        layers += [head, (L, self.policy_size), head, (1, self.policy_size)]
        return [size for layer in layers for size in (layer, layer[:1])]

    def reached(self, by: Sequence[object]) -> list[bool]:
        """Which weights the cotangents of the outputs reach, those that are not None."""
        policy, critic = by[0] is not None or by[3] is not None, by[1] is not None
        forecast = any(one is not None for one in by)  # policy and critic act through it
        layers = [forecast] * 5 + [policy] * 2 + [critic] * 2
        return [layer for layer in layers for _ in range(2)]


class Sizes(ctypes.Structure):
    """`Sizes` in `network.h`."""

    _fields_ = [
        (name, ctypes.c_int64)
        for name in (*"MBTALHPG", "per_arm", "forecast_size", "forecast", "has_critic")
    ]

    @classmethod
    def of(cls, shape: NetworkShape, num_tasks: int, num_episodes: int, num_steps: int) -> Sizes:
        """The shape with the axes M, B and T."""
        *sizes, forecast, critic = astuple(shape)
        kind = list(_NAMES).index(forecast)
        return cls(num_tasks, num_episodes, num_steps, *sizes, kind, critic)


class HistoryCall(ctypes.Structure):
    """`HistoryCall` in `game.h`."""

    _fields_ = [
        ("kind", ctypes.c_int64),
        ("sees_rewards", ctypes.c_int64),
        ("bonuses", ctypes.c_void_p),
    ]


class _FeatureCall(ctypes.Structure):
    _fields_ = [
        ("sizes", Sizes),
        ("history", HistoryCall),
        ("arms", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("rewards", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
    ]


_POINTERS = ctypes.c_void_p * 18
_STRIDES = ctypes.c_int64 * 18
_OUTPUTS = ctypes.c_void_p * 5


class NetworkCall(ctypes.Structure):
    """`Call` in `network.h`."""

    _fields_ = [
        ("sizes", Sizes),
        ("weight", _POINTERS),
        ("weight_stride", _STRIDES),
        ("tangent", _POINTERS),
        ("tangent_stride", _STRIDES),
        ("grad", _POINTERS),
        ("features", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("arms", ctypes.c_void_p),
        ("cotangent", _OUTPUTS),
        ("out", _OUTPUTS),
    ]


def pointer(tensor: Tensor | None) -> int | None:
    """Address of the first number, or None."""
    return None if tensor is None else tensor.data_ptr()


def run(name: str, dtype: torch.dtype, *calls: ctypes.Structure) -> None:
    """Call a function of the kernel for float32 or float64."""
    kernel = library()
    assert isinstance(kernel, ctypes.CDLL)
    function = getattr(kernel, f"{name}_{str(dtype).removeprefix('torch.')}")
    function(*map(ctypes.byref, calls), ctypes.c_int64(kernel_threads()))


def network_call(
    shape: NetworkShape, weights: Sequence[Tensor | None], axes: Sequence[int], keep: list[Tensor]
) -> NetworkCall:
    """The part of a call that names the weights; `keep` holds what it points to."""
    call = NetworkCall(sizes=Sizes.of(shape, *axes))
    first = next(weight for weight in weights if weight is not None)
    for name, weight, expected in zip(shape.names(), weights, shape.sizes(), strict=True):
        if weight is None:
            continue
        fits = tuple(weight.shape) in (expected, (axes[0], *expected))
        if not fits or weight.dtype != first.dtype or weight.device.type != "cpu":
            raise ValueError(
                f"{name} must be {first.dtype} {expected} on the CPU, or that for each of"
                f" {axes[0]} tasks, got {weight.dtype} {tuple(weight.shape)} on {weight.device}"
            )
    _point_to(call.weight, call.weight_stride, weights, keep)
    return call


def _point_to(
    pointers: Any, strides: Any, tensors: Sequence[Tensor | None], keep: list[Tensor]
) -> None:
    """Enter the tensors, one per slot, [...] or [M, ...]."""
    for slot, tensor in enumerate(tensors):
        if tensor is None:
            continue
        stacked = tensor.dim() == 3 - slot % 2  # weights are matrices, biases vectors
        one = tensor[0] if stacked else tensor
        if not one.is_contiguous() or (stacked and tensor.stride(0) not in (0, one.numel())):
            tensor = tensor.contiguous()
        keep.append(tensor)
        pointers[slot] = tensor.data_ptr()
        strides[slot] = tensor.stride(0) if stacked else 0


@dataclass(frozen=True)
class Recorded:
    """Episodes to think about again."""

    features: Tensor  # [M, B, T, F] float
    levels: Tensor  # [M, B, T] int64, levels played
    arms: Tensor  # [M, B, T] int64, arms observed, principal labels

    def check(self, shape: NetworkShape) -> None:
        """Refuse what the kernel would read wrongly: it sees addresses only.

        Raises:
            ValueError: naming what is wrong.
        """
        check_record(shape, self.levels, self.arms)
        axes = *self.levels.shape, shape.num_global + shape.num_arms * shape.num_per_arm
        if self.features.shape != axes or not self.features.is_contiguous():
            raise ValueError(f"features must be {axes}, got {tuple(self.features.shape)}")

    def enter(self, call: NetworkCall) -> None:
        """Point to them."""
        call.features, call.levels, call.arms = map(
            pointer, (self.features, self.levels, self.arms)
        )


def think(
    shape: NetworkShape, weights: Mapping[str, Tensor], recorded: Recorded
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor, Tensor | None]:
    """What the principal thinks before each step of recorded episodes.

    Args:
        shape: sizes of the principal.
        weights: meta weights, or fast weights of the M tasks.
        recorded: the episodes, contiguous and without gradient.

    Returns:
        Level logits [M, B, T, L], values [M, B, T], arm logits [M, B, T, L, A], log-probability of
        the levels played [M, B, T], and log-likelihood of the arms observed by the forecast for
        them [M, B, T]; None where the principal has no such part. Differentiable twice in the
        weights, on the CPU, in float32 or float64.
    """
    names = shape.names()
    given = [None if name is None else weights[name] for name in names]
    recorded.check(shape)
    return _Think.apply(shape, recorded, *given)  # type: ignore[no-untyped-call]


def check_record(shape: NetworkShape, levels: Tensor, arms: Tensor) -> None:
    """Refuse levels and arms that are not int64 [M, B, T] in their ranges.

    Raises:
        ValueError: naming what is wrong.
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
    history: int,
    bonuses: Sequence[float],
    sees_rewards: bool,
    arms: Tensor,
    levels: Tensor,
    rewards: Tensor,
) -> Tensor:
    """Features of recorded episodes, as `History.features` of `Past.of_sequence`.

    Args:
        shape: sizes of the principal.
        history: number of the history in `game.h`.
        bonuses: bonus of each level, reward units.
        sees_rewards: whether the principal sees the agent's rewards.
        arms: observed arms, principal labels, int64 [M, B, T].
        levels: int64 [M, B, T].
        rewards: observed agent rewards, float [M, B, T].

    Returns:
        float [M, B, T, F].
    """
    check_record(shape, levels, arms)
    per_bonus = torch.tensor(bonuses, dtype=rewards.dtype)
    arms, levels, rewards = arms.contiguous(), levels.contiguous(), rewards.contiguous()
    size = shape.num_global + shape.num_arms * shape.num_per_arm
    features = rewards.new_empty(*arms.shape, size)
    call = _FeatureCall(
        Sizes.of(shape, *arms.shape),
        HistoryCall(history, sees_rewards, pointer(per_bonus)),
        *map(pointer, (arms, levels, rewards, features)),
    )
    run("encode", rewards.dtype, call)
    return features


def _outputs(
    shape: NetworkShape, recorded: Recorded, wanted: Sequence[bool] = (True,) * 5
) -> list[Tensor | None]:
    """Room for the outputs of `think`."""
    levels, arms = shape.num_levels, shape.num_arms
    forecasts = shape.forecast != "none"
    there = (True, shape.has_critic, forecasts, True, forecasts)
    axes = ((levels,), (), (levels, arms), (), ())
    return [
        recorded.features.new_empty(*recorded.levels.shape, *more) if exists and wants else None
        for more, exists, wants in zip(axes, there, wanted, strict=True)
    ]


def _gradients(
    weights: Sequence[Tensor | None], wanted: Sequence[bool], num_tasks: int, call: NetworkCall
) -> list[Tensor | None]:
    """Room for the gradients of each task, [M, ...]."""
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


class _Think(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, shape: NetworkShape, recorded: Recorded, *weights: Tensor | None) -> Any:
        keep: list[Tensor] = []
        call = network_call(shape, weights, recorded.levels.shape, keep)
        recorded.enter(call)
        outputs = _outputs(shape, recorded)
        call.out = _OUTPUTS(*map(pointer, outputs))
        run("think", recorded.features.dtype, call)
        ctx.shape, ctx.recorded = shape, recorded
        ctx.save_for_backward(*weights)
        ctx.set_materialize_grads(False)
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        # None, not zero, where nothing depends on a weight: an optimizer tells them apart
        wanted = _both(ctx.needs_input_grad[2:], ctx.shape.reached(cotangents))
        given = ctx.shape, ctx.recorded, wanted, *cotangents, *ctx.saved_tensors
        return None, None, *_ThinkBackward.apply(*given)  # type: ignore[no-untyped-call]


class _ThinkBackward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, shape: NetworkShape, recorded: Recorded, wanted: Sequence[bool], *rest: Any
    ) -> Any:
        keep: list[Tensor] = []
        cotangents = [None if one is None else one.contiguous() for one in rest[:5]]
        weights = rest[5:]
        call = network_call(shape, weights, recorded.levels.shape, keep)
        recorded.enter(call)
        call.cotangent = _OUTPUTS(*map(pointer, cotangents))
        gradients = _gradients(weights, wanted, len(recorded.levels), call)
        run("think_backward", recorded.features.dtype, call)
        ctx.shape, ctx.recorded = shape, recorded
        ctx.save_for_backward(*cotangents, *weights)
        ctx.set_materialize_grads(False)
        return tuple(_of_shared(weights, gradients))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *directions: Tensor | None) -> Any:
        cotangents, weights = ctx.saved_tensors[:5], ctx.saved_tensors[5:]
        if all(direction is None for direction in directions):
            return (None,) * (8 + len(weights))
        keep: list[Tensor] = []
        call = network_call(ctx.shape, weights, ctx.recorded.levels.shape, keep)
        _point_to(call.tangent, call.tangent_stride, directions, keep)
        ctx.recorded.enter(call)
        tangents = _outputs(ctx.shape, ctx.recorded, ctx.needs_input_grad[3:8])
        call.out = _OUTPUTS(*map(pointer, tangents))
        call.cotangent = _OUTPUTS(*map(pointer, cotangents))
        wanted = _both(ctx.needs_input_grad[8:], ctx.shape.reached(cotangents))
        gradients = _gradients(weights, wanted, len(ctx.recorded.levels), call)
        run("think_double_backward", ctx.recorded.features.dtype, call)
        return None, None, None, *tangents, *_of_shared(weights, gradients)
