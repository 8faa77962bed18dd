"""Calls of the kernel: the principal's sizes and weights in its structures."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

from mermaide_pl.engines.native.binary_interface import (
    ForecastKind,
    HistoryCall,
    HistoryKind,
    LayerName,
    NetworkCall,
    Output,
    Sizes,
)
from mermaide_pl.engines.native.build import library
from mermaide_pl.engines.native.threads import kernel_threads
from mermaide_pl.game import GameBatch
from mermaide_pl.principals import CountFeatures, History, LastStep, PooledFeatures
from mermaide_pl.principals.pooled_features import standard_units
from mermaide_pl.principals.recurrence import INITIAL_STATE

Forecast: TypeAlias = Literal["none", "linear", "shared"]
_Names: TypeAlias = tuple[str | None, str | None]  # of a layer's weight and bias


def _layer(name: str) -> _Names:
    return f"{name}_weight", f"{name}_bias"


HISTORIES: dict[type[History], HistoryKind] = {
    LastStep: HistoryKind.LAST_STEP,
    CountFeatures: HistoryKind.TALLIES,
    PooledFeatures: HistoryKind.POOLED,
}
"""Encodings of the history that the kernel computes."""
_FORECASTS: dict[Forecast, dict[LayerName, _Names]] = {
    "none": {},
    "linear": {LayerName.COMMON: _layer("world_model.arm")},
    "shared": {
        LayerName.COMMON: _layer("world_model.common"),
        LayerName.ARM: ("world_model.arm_weight", None),
        LayerName.OUT: ("world_model.out_weight", None),
    },
}
_CRITIC: dict[LayerName, _Names] = {
    LayerName.CRITIC_IN: _layer("policy.critic_in"),
    LayerName.CRITIC_OUT: _layer("policy.critic_out"),
}


@dataclass(frozen=True)
class NetworkShape:
    """Sizes of a principal, in the form the kernel reads."""

    num_arms: int  # A
    num_levels: int  # L
    hidden_size: int  # H
    policy_size: int
    num_global: int  # G
    num_per_arm: int  # features of each arm
    forecast_size: int  # hidden units per arm of a shared forecast, else 0
    forecast: Forecast
    has_critic: bool
    critic_size: int
    num_inputs: int  # features that the recurrence reads, the first ones

    @property
    def num_features(self) -> int:
        """F, features of a step."""
        return self.num_global + self.num_arms * self.num_per_arm

    def names(self) -> list[str | None]:
        """Names of the weights in the kernel's order, weight and bias in turn."""
        layers: dict[LayerName, _Names] = {
            LayerName.IH: ("recurrence.weight_ih", "recurrence.bias_ih"),
            LayerName.HH: ("recurrence.weight_hh", "recurrence.bias_hh"),
            **_FORECASTS[self.forecast],
            LayerName.POLICY_IN: _layer("policy.policy_in"),
            LayerName.POLICY_OUT: _layer("policy.policy_out"),
            **(_CRITIC if self.has_critic else {}),
            LayerName.START: (None, INITIAL_STATE),
        }
        return [name for layer in LayerName for name in layers.get(layer, (None, None))]

    def sizes(self) -> list[tuple[int, ...]]:
        """Shapes of the weights in the same order, for one task."""
        H, L, S = self.hidden_size, self.num_levels, self.forecast_size
        outputs, inputs = L * self.num_arms, H + self.num_features
        if self.forecast == "shared":
            outputs, inputs = S, H + self.num_global
        sees = H + self.num_global + self.num_per_arm + (L if self.forecast != "none" else 0)
        layers = {
            LayerName.IH: (3 * H, self.num_inputs),
            LayerName.HH: (3 * H, H),
            LayerName.COMMON: (outputs, inputs),
            LayerName.ARM: (S, self.num_per_arm),
            LayerName.OUT: (L, S),
            LayerName.POLICY_IN: (self.policy_size, sees),
            LayerName.POLICY_OUT: (L, self.policy_size),
            LayerName.CRITIC_IN: (self.critic_size, sees),
            LayerName.CRITIC_OUT: (1, self.critic_size),
            LayerName.START: (H, 0),
        }
        return [size for layer in LayerName for size in (layers[layer], layers[layer][:1])]

    def reached(self, by: Sequence[object]) -> list[bool]:
        """True for each weight that a cotangent in `by`, where not None, can reach."""
        given = {output: one is not None for output, one in zip(Output, by, strict=True)}
        policy = given[Output.LEVEL_LOGITS] or given[Output.LOG_LEVELS]
        critic = given[Output.VALUES]
        # policy and critic act through the forecast
        forecast = policy or critic or given[Output.ARM_LOGITS] or given[Output.LOG_ARMS]
        state = forecast or given[Output.LAST_STATE]
        layers = dict.fromkeys((LayerName.IH, LayerName.HH, LayerName.START), state)
        layers |= dict.fromkeys((LayerName.COMMON, LayerName.ARM, LayerName.OUT), forecast)
        layers |= {LayerName.POLICY_IN: policy, LayerName.POLICY_OUT: policy}
        layers |= {LayerName.CRITIC_IN: critic, LayerName.CRITIC_OUT: critic}
        return [layers[layer] for layer in LayerName for _ in range(2)]


def sizes_of(shape: NetworkShape, num_tasks: int, num_episodes: int, num_steps: int) -> Sizes:
    """The shape with the axes M, B and T, in the form the kernel reads."""
    return Sizes(
        M=num_tasks,
        B=num_episodes,
        T=num_steps,
        A=shape.num_arms,
        L=shape.num_levels,
        H=shape.hidden_size,
        P=shape.policy_size,
        C=shape.critic_size,
        I=shape.num_inputs,
        G=shape.num_global,
        per_arm=shape.num_per_arm,
        S=shape.forecast_size,
        forecast=ForecastKind[shape.forecast.upper()],
        critic=shape.has_critic,
    )


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
    """A call with the sizes and weights entered; `keep` keeps alive the tensors it points to."""
    call = NetworkCall(sizes=sizes_of(shape, *axes))
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


def history_call(history: History | None, games: GameBatch, keep: list[Tensor]) -> HistoryCall:
    """The games' numbers, and the encoding of the history by which a principal reads them.

    Args:
        history: the encoding; None if nothing is encoded.
        games: one for each of M tasks, on the CPU.
        keep: keeps alive the tensors that the call points to.
    """
    like, unit = games.cost, games.cost.new_ones(len(games))
    if history is not None:
        unit = unit * history.unit(games, like)
    sizes = games.sizes
    least, most = sizes.budget_bounds(like)
    others = None if sizes.other_bonuses is None else like.new_tensor(sizes.other_bonuses)
    numbers = [games.bonuses, games.cost, games.max_interventions, unit, least, most[1:]]
    numbers = [number.contiguous() for number in numbers]
    means, deviations = None, None
    if history is not None and history.is_pooled:
        means, deviations = standard_units(like)
    keep += numbers + [each for each in (others, means, deviations) if each is not None]
    bonuses, cost, budget, units, fewest, others_most = map(pointer, numbers)
    return HistoryCall(
        kind=HistoryKind.LAST_STEP if history is None else HISTORIES[type(history)],
        sees_rewards=games.observation.sees_agent_rewards,
        endless=games.endless,
        horizon=games.num_steps,
        bonuses=bonuses,
        cost=cost,
        budget=budget,
        other_bonuses=pointer(others),
        least=fewest,
        others_most=None if others is None else others_most,
        tells_budgets=games.is_allocation,
        unit=units,
        means=pointer(means),
        deviations=pointer(deviations),
    )
