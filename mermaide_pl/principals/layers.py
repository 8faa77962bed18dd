"""Layers written as functions of their weights, for one set of weights or one per task.

*Meta weights* have the shapes of `torch.nn` layers. *Fast weights* carry the task axis M in front;
the inputs then carry it too, and all tasks are computed in one batched product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, vmap

Weights: TypeAlias = Mapping[str, Tensor]
"""Parameter name to tensor, either meta weights [...] or fast weights [M, ...]."""


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Affine map ``x W^T + b``.

    Args:
        inputs: float [M, ..., I].
        weight: [O, I], or [M, O, I] with one matrix per task.
        bias: [O], or [M, O] with one per task, or None for zero.

    Returns:
        float [M, ..., O].
    """
    # one flat product: torch falls back to many small ones if the inputs are a slice
    if weight.dim() == 2:
        of_all = bias is None or bias.dim() == 1
        outputs = F.linear(
            inputs.reshape(-1, inputs.shape[-1]), weight, bias if of_all else None
        ).view(*inputs.shape[:-1], weight.shape[0])
        if bias is None or of_all:
            return outputs
        return outputs + bias.view(bias.shape[0], *[1] * (inputs.dim() - 2), -1)
    rows = inputs.reshape(inputs.shape[0], -1, inputs.shape[-1])
    if bias is None:
        outputs = torch.bmm(rows, weight.transpose(1, 2))
    else:
        each = bias if bias.dim() == 2 else bias.expand(weight.shape[0], -1)
        outputs = torch.baddbmm(each.unsqueeze(1), rows, weight.transpose(1, 2))
    return outputs.view(*inputs.shape[:-1], weight.shape[1])


def call_module(module: nn.Module, weights: Weights, inputs: Tensor) -> Tensor:
    """Outputs of any module, for one set of weights or one per task; `linear` is faster.

    Args:
        module: seen by each task without the axis M, as the function ``[...] -> [...]``.
        weights: of the names of ``module.named_parameters()``, meta or fast, or some of each.
        inputs: float [M, ...].

    Returns:
        float [M, ...].
    """
    parameters = dict(module.named_parameters())
    given = {name: weights[name] for name in parameters}
    axes = {name: 0 if given[name].dim() > own.dim() else None for name, own in parameters.items()}

    def call(own: dict[str, Tensor], inputs: Tensor) -> Tensor:
        return functional_call(module, own, inputs)

    return vmap(call, in_dims=(axes, 0))(given, inputs)


def init_linear(
    module: nn.Module, name: str, in_size: int, out_size: int, gain: float, bias: bool = True
) -> None:
    """Give `module` the parameters ``{name}_weight`` (orthogonal) and ``{name}_bias`` (zero)."""
    weight = nn.Parameter(torch.empty(out_size, in_size))
    nn.init.orthogonal_(weight, gain)
    module.register_parameter(f"{name}_weight", weight)
    if bias:
        module.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(out_size)))
