"""The loop over tasks with the differentiable optimizers of TorchOpt."""

from __future__ import annotations

import numpy as np
import torchopt
from torch import Tensor

from peers.per_task import PerTaskPeer, Play
from peers.workload import Workload


class TorchOptPerTask(PerTaskPeer):
    """`torchopt.MetaSGD` steps the principal itself; its state is put back after each task."""

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None:
        super().__init__(workload, weights, seed)
        self._inner = torchopt.MetaSGD(self.principal, lr=workload.inner_lr)

    def outer_loss(self, support: Play, query: Play) -> Tensor:
        """See the base class."""
        meta_weights = torchopt.extract_state_dict(self.principal, by="reference")
        inner_state = torchopt.extract_state_dict(self._inner, by="reference")
        self._inner.step(self._loss(self.principal, support(self.principal.parameters())))
        loss = self._loss(self.principal, query(self.principal.parameters()))
        torchopt.recover_state_dict(self.principal, meta_weights)
        torchopt.recover_state_dict(self._inner, inner_state)
        return loss
