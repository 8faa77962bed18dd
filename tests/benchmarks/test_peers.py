"""All peers compute the meta-gradient of one reference, which is checked by finite differences."""

import sys
from importlib import import_module

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peers.workload import Recording, Workload
from torch import Tensor

PEERS = {
    "ours_native": "ours:OursNative",
    "ours_torch": "ours:OursTorch",
    "higher": "higher_per_task:HigherPerTask",
    "learn2learn": "learn2learn_style:Learn2LearnStyle",
    "torchopt": "torchopt_per_task:TorchOptPerTask",
    "jax": "jax_vmap:JaxVmap",
    "jax_tuned": "jax_tuned:JaxTuned",
}
PARAMS = [
    pytest.param(path, id=name, marks=[pytest.mark.slow] if "jax" in name else [])
    for name, path in PEERS.items()  # JAX compiles for several seconds
]
# a large inner rate, so that second derivatives are a large part of the meta-gradient
SMALL = {"num_tasks": 4, "num_episodes": 2, "num_steps": 12, "inner_lr": 0.3}


@pytest.fixture(params=PARAMS)
def make_peer(request):
    """The peer's class, skipped where its library is not installed."""
    module, name = request.param.split(":")
    if "jax" in module:
        pytest.importorskip("jax")
    if "torchopt" in module:
        pytest.importorskip("torchopt")
    if name == "OursNative":
        from mermaide_pl.engines.native.build import library

        if isinstance(library(), str):
            pytest.skip(library())
    return getattr(import_module(f"peers.{module}"), name)


def some_weights(workload: Workload) -> dict[str, np.ndarray]:
    """Weights away from zero, so that no gradient is small."""
    rng = np.random.default_rng(1)
    return {
        name: (weight + 0.2 * rng.standard_normal(weight.shape)).astype(workload.dtype)
        for name, weight in workload.initial_weights(0).items()
    }


def reference_loss(weights: dict, recording: Recording, task: int, workload: Workload) -> Tensor:
    """Loss of one task, with torch's own GRU and features set one by one."""
    L, A, T = workload.num_levels, workload.num_arms, workload.num_steps
    arms, levels, rewards = (
        part[task] for part in (recording.observed_arms, recording.levels, recording.rewards)
    )
    features = torch.zeros(*arms.shape, L + 1 + A, dtype=torch.float64)
    for b, t in np.ndindex(*arms.shape):
        features[b, t, L] = t / T
        if t:
            features[b, t, levels[b, t - 1]] = 1.0
            features[b, t, L + 1 + arms[b, t - 1]] = 1.0
    gru = [weights[name] for name in weights if name.startswith("recurrence.")]
    start = features.new_zeros(1, len(features), workload.hidden_size)
    states, _ = torch.gru(features, start, gru, True, 1, 0.0, False, False, True)
    loss = features.new_zeros(())
    to_go = np.flip(np.cumsum(np.flip(rewards.astype(float), -1), -1), -1)
    for b, t in np.ndindex(*arms.shape):
        state, feature = states[b, t], features[b, t]
        of_arms = weights["world_model.arm_weight"] @ torch.cat([state, feature])
        of_arms = (of_arms + weights["world_model.arm_bias"]).view(L, A)
        inputs = torch.cat([state, feature[: L + 2], of_arms.softmax(1)[:, 0]])
        units = weights["policy.policy_in_weight"] @ inputs + weights["policy.policy_in_bias"]
        logits = weights["policy.policy_out_weight"] @ torch.tanh(units)
        logits = logits + weights["policy.policy_out_bias"]
        level, advantage = levels[b, t], to_go[b, t] - to_go[:, t].mean()
        loss = loss - F.log_softmax(logits, 0)[level] * advantage
        loss = loss - F.log_softmax(of_arms[level], 0)[arms[b, t]]
    return loss / arms.size


def reference_outer_loss(
    weights: dict, support: Recording, query: Recording, workload: Workload
) -> Tensor:
    outer = []
    for task in range(workload.num_tasks):
        loss = reference_loss(weights, support, task, workload)
        inner = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        adapted = {
            name: weight - workload.inner_lr * gradient
            for (name, weight), gradient in zip(weights.items(), inner, strict=True)
        }
        outer.append(reference_loss(adapted, query, task, workload))
    return torch.stack(outer).mean()


def as_tensors(weights: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {n: torch.from_numpy(w).double().requires_grad_() for n, w in weights.items()}


@pytest.fixture(scope="module")
def problem():
    """Workload in float64, weights, recordings and the reference's meta-gradient."""
    workload = Workload(**SMALL, dtype="float64")
    weights = some_weights(workload)
    support, query = Recording.random(workload, 1), Recording.random(workload, 2)
    tensors = as_tensors(weights)
    loss = reference_outer_loss(tensors, support, query, workload)
    gradient = dict(zip(tensors, torch.autograd.grad(loss, list(tensors.values())), strict=True))
    return workload, weights, support, query, gradient


def test_reference_against_finite_differences(problem):
    workload, weights, support, query, gradient = problem
    rng = np.random.default_rng(3)
    for name in weights:
        direction = rng.standard_normal(weights[name].shape)
        at = [
            reference_outer_loss(
                as_tensors({**weights, name: weights[name] + step * direction}),
                support,
                query,
                workload,
            ).item()
            for step in (1e-5, -1e-5)
        ]
        slope = (at[0] - at[1]) / 2e-5
        assert slope == pytest.approx((gradient[name].numpy() * direction).sum(), rel=1e-6)


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    """A type that JAX must be told of beforehand."""
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.config.update("jax_enable_x64", request.param == "float64")
        request.addfinalizer(lambda: jax.config.update("jax_enable_x64", False))
    return request.param


def test_meta_gradient(make_peer, dtype, problem):
    # the package keeps its inner rate as a float32 logarithm
    exact = 1e-7 if make_peer.__name__.startswith("Ours") else 1e-12
    tolerance = exact if dtype == "float64" else 5e-6
    _, weights, support, query, reference = problem
    workload = Workload(**SMALL, dtype=dtype)
    weights = {name: weight.astype(dtype) for name, weight in weights.items()}
    support, query = (
        Recording(played.observed_arms, played.levels, played.rewards.astype(dtype))
        for played in (support, query)
    )
    peer = make_peer(workload, weights, seed=0)
    for _ in range(2):  # the second time too: nothing was changed
        gradient = peer.meta_gradient(support, query)
        assert gradient.keys() == reference.keys()
        for name, expected in reference.items():
            assert gradient[name].dtype == dtype
            error = np.abs(gradient[name] - expected.numpy()).max()
            assert error <= tolerance * expected.abs().max().item(), name


def test_meta_step_learns(make_peer):
    workload = Workload(num_tasks=4, num_episodes=2, num_steps=20, meta_lr=0.01)
    peer = make_peer(workload, workload.initial_weights(0), seed=0)
    losses = [peer.meta_step() for _ in range(40)]
    assert all(isinstance(loss, float) and np.isfinite(loss) for loss in losses)
    assert np.mean(losses[-8:]) < np.mean(losses[:8]) - 0.1
