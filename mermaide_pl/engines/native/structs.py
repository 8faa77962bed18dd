"""What the kernel is called with: the structures of `network.h` and `game.h`."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from mermaide_pl.engines.native.build import library
from mermaide_pl.engines.native.threads import kernel_threads

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

    @property
    def num_features(self) -> int:
        """F, features of a step."""
        return self.num_global + self.num_arms * self.num_per_arm

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
        layers.append((None, "initial_state"))
        return [name for layer in layers for name in layer]

    def sizes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights in the same order, for one task."""
        H, L, S = self.hidden_size, self.num_levels, self.forecast_size
        outputs, inputs = L * self.num_arms, H + self.num_features
        if self.forecast == "shared":
            outputs, inputs = S, H + self.num_global
        sees = H + self.num_global + self.num_per_arm + (L if self.forecast != "none" else 0)
        head = (self.policy_size, sees)
        layers = [(3 * H, self.num_features), (3 * H, H)]
        layers += [(outputs, inputs), (S, self.num_per_arm), (L, S)]
        layers += [head, (L, self.policy_size), head, (1, self.policy_size), (H, 0)]
        return [size for layer in layers for size in (layer, layer[:1])]

    def reached(self, by: Sequence[object]) -> list[bool]:
        """Which weights the cotangents of the outputs reach, those that are not None."""
        policy, critic = by[0] is not None or by[3] is not None, by[1] is not None
        forecast = any(one is not None for one in by[:5])  # policy and critic act through it
        state = forecast or by[5] is not None
        layers = [state] * 2 + [forecast] * 3 + [policy] * 2 + [critic] * 2 + [state]
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
        ("unit", ctypes.c_double),
    ]


class FeatureCall(ctypes.Structure):
    """`FeatureCall` in `game.h`."""

    _fields_ = [
        ("sizes", Sizes),
        ("history", HistoryCall),
        ("arms", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("rewards", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
    ]


_POINTERS = ctypes.c_void_p * 20
_STRIDES = ctypes.c_int64 * 20
OUTPUTS = ctypes.c_void_p * 6


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
        ("cotangent", OUTPUTS),
        ("out", OUTPUTS),
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


def weights_of(
    shape: NetworkShape, weights: Mapping[str, Tensor], num_tasks: int
) -> list[Tensor | None]:
    """The weights in the kernel's order, checked: the kernel sees addresses only.

    Raises:
        ValueError: naming the weight and what it must be.
    """
    names = shape.names()
    given = [None if name is None else weights[name] for name in names]
    first = next(weight for weight in given if weight is not None)
    for name, weight, expected in zip(names, given, shape.sizes(), strict=True):
        if weight is None:
            continue
        fits = tuple(weight.shape) in (expected, (num_tasks, *expected))
        if not fits or weight.dtype != first.dtype or weight.device.type != "cpu":
            raise ValueError(
                f"{name} must be {first.dtype} {expected} on the CPU, or that for each of"
                f" {num_tasks} tasks, got {weight.dtype} {tuple(weight.shape)} on {weight.device}"
            )
    return given


def network_call(
    shape: NetworkShape, weights: Sequence[Tensor | None], axes: Sequence[int], keep: list[Tensor]
) -> NetworkCall:
    """The part of a call that names the weights; `keep` holds what it points to."""
    call = NetworkCall(sizes=Sizes.of(shape, *axes))
    point_to(call.weight, call.weight_stride, weights, keep)
    return call


def point_to(
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
