"""The whole meta-iteration in one `jax.jit`, as it is commonly written in JAX.

`vmap` over tasks, `lax.scan` over steps, `jax.grad` of a function that calls `jax.grad`; default
settings. Matrices are kept as [inputs, outputs], as JAX libraries do, and episodes time first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from peers.workload import Recording, Workload

Weights: TypeAlias = dict[str, Array]


class Episodes(NamedTuple):
    """Recorded episodes of one task."""

    observed_arms: Array  # [T, B] int, principal labels
    levels: Array  # [T, B] int
    rewards: Array  # [T, B] float, principal's


Play: TypeAlias = Callable[[Weights], Episodes]
Recurrence: TypeAlias = Callable[[Weights, Array], Array]
"""Weights and features [T, B, F] to hidden states [T, B, H]."""


def projections(
    weights: Weights, hidden: Array, features: Array
) -> tuple[list[Array], list[Array]]:
    """Projections of features and state for the two gates and the candidate; each [..., H]."""
    of_features = features @ weights["recurrence.weight_ih"] + weights["recurrence.bias_ih"]
    of_state = hidden @ weights["recurrence.weight_hh"] + weights["recurrence.bias_hh"]
    return jnp.split(of_features, 3, axis=-1), jnp.split(of_state, 3, axis=-1)


def gru_cell(weights: Weights, hidden: Array, features: Array) -> Array:
    """One step of a gated recurrent unit in the convention of `torch.nn.GRU`; [..., H]."""
    (x_r, x_z, x_n), (h_r, h_z, h_n) = projections(weights, hidden, features)
    reset, update = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    candidate = jnp.tanh(x_n + reset * h_n)
    return candidate + update * (hidden - candidate)


def gru(weights: Weights, features: Array) -> Array:
    """A scan over steps; see `Recurrence`."""

    def step(hidden: Array, features: Array) -> tuple[Array, Array]:
        hidden = gru_cell(weights, hidden, features)
        return hidden, hidden

    size = weights["recurrence.weight_hh"].shape[0]
    return lax.scan(step, jnp.zeros((features.shape[1], size), features.dtype), features)[1]


def heads(
    weights: Weights, hidden: Array, features: Array, workload: Workload
) -> tuple[Array, Array]:
    """Level logits [..., L] and arm logits [..., L, A]."""
    state = jnp.concatenate([hidden, features], axis=-1)
    arm_logits = state @ weights["world_model.arm_weight"] + weights["world_model.arm_bias"]
    arm_logits = arm_logits.reshape(*state.shape[:-1], workload.num_levels, workload.num_arms)
    about_target = features[..., : workload.num_global_features + 1]
    forecast = jax.nn.softmax(arm_logits)[..., 0]
    inputs = jnp.concatenate([hidden, about_target, forecast], axis=-1)
    units = jnp.tanh(inputs @ weights["policy.policy_in_weight"] + weights["policy.policy_in_bias"])
    return units @ weights["policy.policy_out_weight"] + weights[
        "policy.policy_out_bias"
    ], arm_logits


def episode_loss(
    weights: Weights, episodes: Episodes, workload: Workload, recurrence: Recurrence
) -> Array:
    """Loss of one task on its episodes; see `peers.workload`."""
    dtype = episodes.rewards.dtype
    levels = jax.nn.one_hot(episodes.levels, workload.num_levels, dtype=dtype)
    arms = jax.nn.one_hot(episodes.observed_arms, workload.num_arms, dtype=dtype)
    time = jnp.arange(workload.num_steps, dtype=dtype) / workload.num_steps
    time = jnp.broadcast_to(time[:, None, None], (*episodes.levels.shape, 1))
    before = ((1, 0), (0, 0), (0, 0))
    features = jnp.concatenate(
        [jnp.pad(levels[:-1], before), time, jnp.pad(arms[:-1], before)], axis=-1
    )
    level_logits, arm_logits = heads(weights, recurrence(weights, features), features, workload)
    to_go = jnp.cumsum(episodes.rewards[::-1], axis=0)[::-1]
    advantages = to_go - to_go.mean(1, keepdims=True)
    log_probs = (jax.nn.log_softmax(level_logits) * levels).sum(-1)
    factual = (arm_logits * levels[..., None]).sum(-2)
    log_forecast = (jax.nn.log_softmax(factual) * arms).sum(-1)
    return -(log_probs * advantages).mean() - log_forecast.mean()


class Agent(NamedTuple):
    """A UCB agent and the principal's target."""

    base_rewards: Array  # [A] float
    beta: Array  # [] float
    target_arm: Array  # [] int, agent label


def draw_agent(key: Array, workload: Workload) -> Agent:
    """Uniform base rewards, exploration from the list, target among the non-best arms."""
    of_rewards, of_beta, of_target = jax.random.split(key, 3)
    dtype = workload.dtype
    base_rewards = jax.random.uniform(of_rewards, (workload.num_arms,), dtype)
    beta = jax.random.choice(of_beta, jnp.array(workload.betas, dtype))
    rank = jax.random.randint(of_target, (), 1, workload.num_arms)
    return Agent(base_rewards, beta, jnp.argsort(-base_rewards)[rank])


def play(weights: Weights, agent: Agent, key: Array, workload: Workload) -> Episodes:
    """Play B episodes with one agent."""
    B, T, A, L = workload.num_episodes, workload.num_steps, workload.num_arms, workload.num_levels
    dtype = workload.dtype
    keys = jax.random.split(key, 3)
    noise = workload.reward_noise * jax.random.normal(keys[0], (T, B), dtype)
    tie_breaks = jax.random.uniform(keys[1], (T, B, A), dtype)
    gumbels = jax.random.gumbel(keys[2], (T, B, L), dtype)
    bonuses = jnp.array(workload.bonuses, dtype)

    def step(carry: tuple[Array, ...], inputs: tuple[Array, ...]) -> tuple[Any, Any]:
        hidden, last_level, last_arm, counts, sums = carry
        t, noise, tie_breaks, gumbels = inputs
        time = jnp.full((B, 1), t / T, dtype)
        features = jnp.concatenate([last_level, time, last_arm], axis=-1)
        hidden = gru_cell(weights, hidden, features)
        level_logits, _ = heads(weights, hidden, features, workload)
        levels = jnp.argmax(level_logits + gumbels, axis=-1)
        pulls = jnp.maximum(counts, 1.0)
        bound = sums / pulls + agent.beta * jnp.sqrt(jnp.log(t + 1.0) / pulls)
        bound = jnp.where(counts == 0, jnp.inf, bound)
        is_best = bound == bound.max(-1, keepdims=True)
        arms = jnp.argmax(jnp.where(is_best, tie_breaks, -1.0), axis=-1)
        aligned = arms == agent.target_arm
        pulled = jax.nn.one_hot(arms, A, dtype=dtype)
        rewards = pulled @ agent.base_rewards + noise + bonuses[levels] * aligned
        counts, sums = counts + pulled, sums + pulled * rewards[:, None]
        seen = jnp.where(aligned, 0, jnp.where(arms == 0, agent.target_arm, arms))
        last_level = jax.nn.one_hot(levels, L, dtype=dtype)
        last_arm = jax.nn.one_hot(seen, A, dtype=dtype)
        return (hidden, last_level, last_arm, counts, sums), (seen, levels)

    sizes = (workload.hidden_size, L, A, A, A)
    start = tuple(jnp.zeros((B, size), dtype) for size in sizes)
    steps = (jnp.arange(T, dtype=dtype), noise, tie_breaks, gumbels)
    _, (arms, levels) = lax.scan(step, start, steps)
    return Episodes(arms, levels, (arms == 0) - workload.cost * bonuses[levels])


class State(NamedTuple):
    """State passed from one meta-iteration to the next."""

    weights: Weights
    first_moments: Weights  # of Adam
    second_moments: Weights
    count: Array  # [] float, steps done
    key: Array


class JaxVmap:
    """A `peers.workload.Peer`; see the module.

    Args:
        workload: sizes and constants.
        weights: initial meta weights by name.
        seed: of all random numbers.
    """

    random_bits = "threefry2x32"

    def __init__(self, workload: Workload, weights: dict[str, np.ndarray], seed: int) -> None:
        self.workload = workload
        kernels = {name: jnp.asarray(weight.T) for name, weight in weights.items()}
        zeros = jax.tree.map(jnp.zeros_like, kernels)
        key = jax.random.key(seed, impl=self.random_bits)
        self.state = State(kernels, zeros, zeros, jnp.zeros((), workload.dtype), key)
        self._advance = jax.jit(self._meta_iteration)
        self._recorded_gradient = jax.jit(partial(self.value_and_grad, _replays))

    def meta_step(self) -> float:
        """Do one meta-iteration and return the outer loss."""
        self.state, loss = self._advance(self.state)
        return float(jax.block_until_ready((self.state, loss))[1])

    def meta_gradient(self, support: Recording, query: Recording) -> dict[str, np.ndarray]:
        """Gradient of the outer loss on given episodes."""
        recorded = (_episodes(support), _episodes(query))
        _, gradient = self._recorded_gradient(self.state.weights, recorded)
        return {name: np.asarray(part).T for name, part in gradient.items()}

    def value_and_grad(
        self, plays: Callable[[Any], tuple[Play, Play]], weights: Weights, tasks: Any
    ) -> tuple[Array, Weights]:
        """Outer loss and its gradient; `plays` maps one of the M tasks to its two rollouts."""
        loss = partial(episode_loss, workload=self.workload, recurrence=gru)

        def task_loss(weights: Weights, task: Any) -> Array:
            support, query = plays(task)
            gradient = jax.grad(loss)(weights, support(lax.stop_gradient(weights)))
            adapted = jax.tree.map(
                lambda weight, part: weight - self.workload.inner_lr * part, weights, gradient
            )
            return loss(adapted, query(lax.stop_gradient(adapted)))

        def outer_loss(weights: Weights) -> Array:
            return jax.vmap(task_loss, (None, 0))(weights, tasks).mean()

        return jax.value_and_grad(outer_loss)(weights)

    def _plays(self, key: Array) -> tuple[Play, Play]:
        of_agent, of_support, of_query = jax.random.split(key, 3)
        agent = draw_agent(of_agent, self.workload)
        return tuple(
            partial(play, agent=agent, key=key, workload=self.workload)
            for key in (of_support, of_query)
        )

    def _meta_iteration(self, state: State) -> tuple[State, Array]:
        key, of_tasks = jax.random.split(state.key)
        tasks = jax.random.split(of_tasks, self.workload.num_tasks)
        loss, gradient = self.value_and_grad(self._plays, state.weights, tasks)
        count = state.count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state.first_moments, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, state.second_moments, gradient)

        def adam(weight: Array, m: Array, v: Array) -> Array:
            scale = jnp.sqrt(v / (1.0 - 0.999**count)) + 1e-8
            return weight - self.workload.meta_lr * m / (1.0 - 0.9**count) / scale

        weights = jax.tree.map(adam, state.weights, first, second)
        return State(weights, first, second, count, key), loss


def _episodes(recording: Recording) -> Episodes:
    """Those of all tasks, [M, T, B]."""
    parts = (recording.observed_arms, recording.levels, recording.rewards)
    return Episodes(*(jnp.asarray(part.swapaxes(1, 2)) for part in parts))


def _replays(recorded: tuple[Episodes, Episodes]) -> tuple[Play, Play]:
    support, query = recorded
    return (lambda _: support), (lambda _: query)
