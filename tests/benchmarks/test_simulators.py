"""All rollouts of the peers play the package's game: the same alignment without and with bonus."""

from functools import partial

import numpy as np
import pytest
import torch
from peers import per_task
from peers.numpy_simulator import Agents, NumpySimulator
from peers.torch_principal import Episodes, TorchPrincipal, recorded_features
from peers.workload import Workload

from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import AlwaysIntervene, NoIntervention

# Each returns observed arms and levels, [M, B, T], of a principal with these weights.


def play_numpy(kernels: str, workload: Workload, weights: dict) -> tuple[np.ndarray, np.ndarray]:
    simulator = NumpySimulator(workload, weights, seed=0)
    agents = Agents.draw(workload, np.random.default_rng(1))
    played = simulator.play(getattr(simulator, kernels), agents)
    expected = (played.observed_arms == 0) - workload.cost * played.levels
    assert np.array_equal(played.rewards, expected.astype(workload.dtype))
    return played.observed_arms, played.levels


def play_torch(workload: Workload, weights: dict) -> tuple[np.ndarray, np.ndarray]:
    generator = torch.Generator().manual_seed(0)
    principal = TorchPrincipal(workload, weights)
    played = []
    for _ in range(workload.num_tasks):
        agent = per_task.Agent.draw(workload, generator)
        played.append(per_task.play(principal, agent, workload, generator))
        expected = (played[-1].observed_arms == 0).float() - workload.cost * played[-1].levels
        assert torch.equal(played[-1].rewards, expected)
    arms, levels, _ = (torch.stack(part).numpy() for part in zip(*played, strict=True))
    return arms, levels


def play_jax(workload: Workload, weights: dict) -> tuple[np.ndarray, np.ndarray]:
    jax = pytest.importorskip("jax")
    from peers import jax_vmap

    def one(key):
        of_agent, of_play = jax.random.split(key)
        agent = jax_vmap.draw_agent(of_agent, workload)
        return jax_vmap.play(kernels, agent, of_play, workload)

    kernels = {name: weight.T for name, weight in weights.items()}
    keys = jax.random.split(jax.random.key(0), workload.num_tasks)
    played = [np.asarray(part).swapaxes(1, 2) for part in jax.jit(jax.vmap(one))(keys)]
    expected = (played[0] == 0) - workload.cost * played[1]
    assert np.array_equal(played[2], expected.astype(workload.dtype))
    return played[0], played[1]


SIMULATORS = [
    pytest.param(partial(play_numpy, "shared"), 400, id="numpy, meta weights"),
    pytest.param(partial(play_numpy, "per_task"), 400, id="numpy, weights per task"),
    pytest.param(play_torch, 60, id="torch"),
    pytest.param(play_jax, 400, id="jax", marks=pytest.mark.slow),
]


def weights_playing(level: int, workload: Workload) -> dict[str, np.ndarray]:
    """Weights of a principal that always plays one level."""
    weights = workload.initial_weights(0)
    weights["policy.policy_out_bias"][level] = 100.0
    return weights


@pytest.mark.parametrize(("play", "num_tasks"), SIMULATORS)
@pytest.mark.parametrize(
    ("level", "schedule"), [(0, NoIntervention()), (1, AlwaysIntervene())], ids=["never", "always"]
)
def test_alignment_is_that_of_the_package(play, num_tasks, level, schedule):
    workload = Workload(num_tasks=num_tasks, num_episodes=4)
    arms, levels = play(workload, weights_playing(level, workload))
    assert (levels == level).all()
    population = Population([AgentFamily(UCB, {"beta": list(workload.betas)})])
    tasks = population.sample(range(400), split="train")
    reference = rollout(tasks, schedule, Game(), stream=Stream.SCORE, num_episodes=4).alignment
    ours, theirs = reference.mean(1).numpy(), (arms == 0).mean((1, 2))
    error = np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
    assert error < 0.02
    assert theirs.mean() == pytest.approx(ours.mean(), abs=4 * error)


@pytest.mark.parametrize(("play", "num_tasks"), SIMULATORS)
def test_every_arm_is_pulled_first_in_random_order(play, num_tasks):
    workload = Workload(num_tasks=num_tasks, num_episodes=4, num_steps=12)
    arms, _ = play(workload, workload.initial_weights(0))
    assert (np.sort(arms[..., :10], axis=-1) == np.arange(10)).all()
    counts = np.bincount(arms[..., 0].ravel(), minlength=10)
    expected = num_tasks * 4 / 10
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(("play", "num_tasks"), SIMULATORS)
def test_levels_are_sampled_from_the_policy(play, num_tasks):
    workload = Workload(num_tasks=num_tasks, num_episodes=4)
    weights = workload.initial_weights(0)
    weights["policy.policy_out_weight"][:] = 0.0
    weights["policy.policy_out_bias"][:] = np.log([0.7, 0.3])
    _, levels = play(workload, weights)
    assert levels.mean() == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize(("play", "num_tasks"), SIMULATORS)
def test_principal_plays_by_its_forward_pass_on_the_recording(play, num_tasks):
    workload = Workload(num_tasks=4, num_episodes=2, num_steps=15)
    weights = workload.initial_weights(0)
    weights["policy.policy_out_weight"] *= 1e8  # the most probable level is certain
    arms, levels = (torch.tensor(part).long() for part in play(workload, weights))
    assert 0 < levels.double().mean() < 1
    principal = TorchPrincipal(workload, weights)
    for task in range(workload.num_tasks):
        episodes = Episodes(arms[task], levels[task], rewards=torch.zeros(2, 15))
        logits, _ = principal(recorded_features(episodes, workload))
        assert torch.equal(logits.argmax(-1), episodes.levels)
