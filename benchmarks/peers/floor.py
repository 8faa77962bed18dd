"""Lower bound on the time of a meta-iteration: its matrix products at the machine's own rate."""

from __future__ import annotations

import time
from dataclasses import dataclass

from peers.workload import Workload


@dataclass(frozen=True)
class Matrix:
    """One weight matrix of the network."""

    outputs: int
    inputs: int
    active: int  # inputs that depend on weights: features do not, and need no gradient


def matrices(workload: Workload) -> dict[str, Matrix]:
    """The weight matrices, with the inputs that carry gradients."""
    H = workload.hidden_size
    active = {
        "recurrence.weight_ih": 0,  # features only
        "recurrence.weight_hh": H,
        "world_model.arm_weight": H,  # state, then features
        "policy.policy_in_weight": H + workload.num_levels,  # state, then features, then forecasts
        "policy.policy_out_weight": workload.policy_size,
    }
    shapes = workload.weight_shapes
    return {name: Matrix(*shapes[name], inputs) for name, inputs in active.items()}


def flops(workload: Workload) -> dict[str, int]:
    """Floating-point operations of the products of a meta-iteration, one multiply-add being two.

    With ``y = W x`` per episode step, ``g`` the gradient to ``y``, dots for derivatives along the
    tangent (weights ``V``), *full* = outputs x inputs and *active* = outputs x active inputs:

    ========================= ========================================== ==================
    rollouts                  W x, support and query                     2 full
    inner, outer gradient     g x^T; W^T g                               full + active each
    Hessian-vector, forward   V x; W x.                                  full + active
    Hessian-vector, backward  g. x^T; g x.^T; W^T g.; V^T g              full + 3 active
    ========================= ========================================== ==================

    Repeated forward passes on recorded episodes are not counted: a rollout could keep activations.
    Element-wise operations are not counted either.
    """
    episode_steps = workload.num_tasks * workload.num_episodes * workload.num_steps
    of_network = matrices(workload).values()
    full = 2 * episode_steps * sum(matrix.outputs * matrix.inputs for matrix in of_network)
    active = 2 * episode_steps * sum(matrix.outputs * matrix.active for matrix in of_network)
    return {
        "rollouts": 2 * full,
        "inner gradient": full + active,
        "outer gradient": full + active,
        "hessian-vector, forward": full + active,
        "hessian-vector, backward": full + 3 * active,
    }


def product_rate(threads: int, size: int = 2048, repeats: int = 8) -> float:
    """Floating-point operations per second of a large float32 product, the best of `repeats`."""
    import torch  # here, so that it does not count as memory of every contestant

    torch.set_num_threads(threads)
    left, right = torch.randn(size, size), torch.randn(size, size)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)
