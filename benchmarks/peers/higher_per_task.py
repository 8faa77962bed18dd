"""The loop over tasks with `higher.innerloop_ctx`."""

from __future__ import annotations

import higher
import numpy as np
import torch
from torch import Tensor

from peers.per_task import PerTaskPeer, Play
from peers.workload import Workload


class HigherPerTask(PerTaskPeer):
    """One functional copy of the principal and one differentiable optimizer per task."""

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None:
        super().__init__(workload, weights, seed)
        self._inner = torch.optim.SGD(self.principal.parameters(), lr=workload.inner_lr)

    def outer_loss(self, support: Play, query: Play) -> Tensor:
        """See the base class."""
        with higher.innerloop_ctx(self.principal, self._inner, copy_initial_weights=False) as (
            fast,
            inner,
        ):
            inner.step(self._loss(fast, support(fast.parameters())))
            return self._loss(fast, query(fast.parameters()))
