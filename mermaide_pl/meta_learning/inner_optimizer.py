"""The optimizers allowed in the inner loop: those that `higher` can differentiate."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mermaide_pl.config.validation import check_number


def check_differentiable(optimizer: type[torch.optim.Optimizer], args: dict[str, Any]) -> None:
    """Refuse optimizers that `higher` cannot differentiate, or would silently compute otherwise.

    Raises:
        ValueError: naming what is allowed.
    """
    allowed = {
        torch.optim.SGD: {"momentum", "dampening", "nesterov", "weight_decay"},
        torch.optim.Adam: {"betas", "eps", "weight_decay", "amsgrad"},
    }
    if optimizer not in allowed:
        raise ValueError(
            f"inner_optimizer {optimizer.__name__} cannot be differentiated through,"
            " allowed: torch.optim.SGD, torch.optim.Adam"
        )
    unknown = sorted(set(args) - allowed[optimizer])
    if unknown:
        raise ValueError(
            f"optimizer_args {', '.join(unknown)} of inner_optimizer {optimizer.__name__} not"
            f" supported, allowed: {', '.join(sorted(allowed[optimizer]))}"
        )
    for name, value in args.items():
        for number in value if isinstance(value, list | tuple) else [value]:
            if not isinstance(number, int | float):
                raise ValueError(f"optimizer_args {name} must be a number, got {number!r:.60}")
            check_number(f"optimizer_args {name}", number)
    try:
        optimizer([nn.Parameter(torch.zeros(1))], **{"lr": 0.1, **args})
    except (TypeError, ValueError) as error:
        raise ValueError(f"optimizer_args of {optimizer.__name__}: {error}") from None
