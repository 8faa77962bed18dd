"""The meta-iteration in JAX, tuned for the CPU.

Against `peers.jax_vmap`, which has everything else:

- The recurrence has its own backward pass, in which the gradients of its matrices are one product
  after the scan. JAX would add them up step by step, M matrices at a time.
- The Hessian-vector product is forward over reverse: `jax.linearize` of the inner gradient.
- The tasks are shared out among the devices; let there be one per core,
  ``XLA_FLAGS=--xla_force_host_platform_device_count=2``.
- Random bits come from XLA's own generator.
- Large arrays lie in huge pages and are not given back to the system, which saves nearly
  half of the time (`GLIBC_TUNABLES`, see `KEEP_MEMORY` in ``w1.py``).

Tried, and no faster: unrolled scans, input projections before the scan, single-threaded products.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from peers.jax_vmap import JaxVmap, Play, Weights, episode_loss, projections
from peers.workload import Workload


@jax.custom_vjp
def gru(weights: Weights, features: Array) -> Array:
    """As `peers.jax_vmap.gru`, with a backward pass by hand."""
    return _forward(weights, features)[0]


def _forward(weights: Weights, features: Array) -> tuple[Array, ...]:
    """Hidden states, reset gates, update gates, candidates and recalled states, each [T, B, H]."""

    def step(hidden: Array, features: Array) -> tuple[Array, tuple[Array, ...]]:
        (x_r, x_z, x_n), (h_r, h_z, recalled) = projections(weights, hidden, features)
        reset, update = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
        candidate = jnp.tanh(x_n + reset * recalled)
        hidden = candidate + update * (hidden - candidate)
        return hidden, (hidden, reset, update, candidate, recalled)

    size = weights["recurrence.weight_hh"].shape[0]
    return lax.scan(step, jnp.zeros((features.shape[1], size), features.dtype), features)[1]


def _forward_for_backward(weights: Weights, features: Array) -> tuple[Array, Any]:
    activations = _forward(weights, features)
    return activations[0], (weights, features, activations)


def _backward(residuals: Any, d_states: Array) -> tuple[Weights, Array]:
    weights, features, (states, reset, update, candidate, recalled) = residuals
    previous = jnp.pad(states[:-1], ((1, 0), (0, 0), (0, 0)))
    # a copy with contiguous rows: the product in the scan is twice as fast
    transposed = lax.optimization_barrier(weights["recurrence.weight_hh"].T)

    def step(d_hidden: Array, inputs: tuple[Array, ...]) -> tuple[Array, tuple[Array, Array]]:
        d_state, previous, reset, update, candidate, recalled = inputs
        d_hidden = d_hidden + d_state
        d_candidate = d_hidden * (1 - update) * (1 - candidate**2)
        d_reset = d_candidate * recalled * reset * (1 - reset)
        d_update = d_hidden * (previous - candidate) * update * (1 - update)
        d_recurrent = jnp.concatenate([d_reset, d_update, d_candidate * reset], axis=-1)
        return d_hidden * update + d_recurrent @ transposed, (d_recurrent, d_candidate)

    inputs = (d_states, previous, reset, update, candidate, recalled)
    start = jnp.zeros_like(states[0])
    _, (d_recurrent, d_candidate) = lax.scan(step, start, inputs, reverse=True)
    gates = 2 * states.shape[-1]
    d_projected = jnp.concatenate([d_recurrent[..., :gates], d_candidate], axis=-1)
    gradient = jax.tree.map(jnp.zeros_like, weights) | {
        "recurrence.weight_ih": jnp.einsum("tbi,tbj->ij", features, d_projected),
        "recurrence.weight_hh": jnp.einsum("tbi,tbj->ij", previous, d_recurrent),
        "recurrence.bias_ih": d_projected.sum((0, 1)),
        "recurrence.bias_hh": d_recurrent.sum((0, 1)),
    }
    return gradient, jnp.zeros_like(features)  # nothing reads the gradient of the features


gru.defvjp(_forward_for_backward, _backward)


class JaxTuned(JaxVmap):
    """A `peers.workload.Peer`; see the module."""

    random_bits = "rbg"

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None:
        super().__init__(workload, weights, seed)
        self._mesh = Mesh(np.array(jax.devices()), ("devices",))
        self.state = jax.device_put(self.state, NamedSharding(self._mesh, PartitionSpec()))

    def value_and_grad(
        self, plays: Callable[[Any], tuple[Play, Play]], weights: Weights, tasks: Any
    ) -> tuple[Array, Weights]:
        """See the base class; M must be a multiple of the number of devices."""
        loss = partial(episode_loss, workload=self.workload, recurrence=gru)
        inner_lr = self.workload.inner_lr

        def of_task(weights: Weights, task: Any) -> tuple[Array, Weights]:
            support, query = plays(task)
            played = support(weights)
            gradient, hessian_product = jax.linearize(lambda w: jax.grad(loss)(w, played), weights)
            adapted = jax.tree.map(lambda w, g: w - inner_lr * g, weights, gradient)
            value, outer = jax.value_and_grad(loss)(adapted, query(adapted))
            return value, jax.tree.map(lambda g, h: g - inner_lr * h, outer, hessian_product(outer))

        def of_device(weights: Weights, tasks: Any) -> tuple[Array, Weights]:
            values = jax.vmap(of_task, (None, 0))(weights, tasks)
            means = jax.tree.map(lambda part: part.mean(0), values)
            return lax.pmean(means, "devices")

        shared, split = PartitionSpec(), PartitionSpec("devices")
        sharded = jax.shard_map(
            of_device, mesh=self._mesh, in_specs=(shared, split), out_specs=shared, check_vma=False
        )
        return sharded(weights, tasks)
