"""The loop over tasks as in the MAML of learn2learn, written out.

learn2learn itself does not install on current Pythons (its C sources want a header that Python 3.11
removed), so these are its steps: clone the weights in the graph, take the gradient with
`create_graph=True`, update in the graph, call the module with the updated weights.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call

from peers.per_task import PerTaskPeer, Play
from peers.torch_principal import Network


class Learn2LearnStyle(PerTaskPeer):
    """Weights updated by hand, with `torch.func.functional_call`."""

    def outer_loss(self, support: Play, query: Play) -> Tensor:
        """See the base class."""
        cloned = {name: weight.clone() for name, weight in self.principal.named_parameters()}
        loss = self._loss(self._with(cloned), support(cloned.values()))
        gradients = torch.autograd.grad(loss, list(cloned.values()), create_graph=True)
        adapted = {
            name: weight - self.workload.inner_lr * gradient
            for (name, weight), gradient in zip(cloned.items(), gradients, strict=True)
        }
        return self._loss(self._with(adapted), query(adapted.values()))

    def _with(self, weights: dict[str, Tensor]) -> Network:
        return partial(functional_call, self.principal, weights)
