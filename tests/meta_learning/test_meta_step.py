from dataclasses import fields, replace

import pytest
import torch
from meta_learner import ADAPTATIONS, BLIND, GAME, Learner, sample

from mermaide_pl.agents import BestResponse
from mermaide_pl.engines import AUTO, Stream, TorchEngine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import GradientAdaptation, NoAdaptation
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.meta_step import meta_step
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.support import play_support
from mermaide_pl.objectives import DiCE, LowVarianceCurvature, PlainMAML
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    Architecture,
    CountFeatures,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoWorldModel,
    PrincipalOutput,
    SharedForecast,
)


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("surrogate", [PlainMAML(), DiCE(), LowVarianceCurvature()])
def test_loss_and_gradients_are_finite(name, surrogate):
    learner = Learner(ADAPTATIONS[name], surrogate=surrogate)
    assert learner(range(3)).loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in learner.gradients(range(3)).values())


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("zero_shot_weight", [0.0, 1.0])
@pytest.mark.parametrize("history", [LastStep(), CountFeatures()])
@pytest.mark.parametrize("world_model", [SharedForecast(), LinearForecast(), NoWorldModel()])
def test_every_parameter_gets_a_gradient(name, zero_shot_weight, history, world_model):
    learner = Learner(
        ADAPTATIONS[name],
        Architecture(6, 5, history, world_model),
        zero_shot_weight=zero_shot_weight,
    )
    learner(range(4)).loss.backward()
    for parameter_name, parameter in learner.parameters.items():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 1e-9, parameter_name


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_equal_inputs_give_equal_numbers(name):
    first, again = (Learner(ADAPTATIONS[name]) for _ in range(2))
    assert torch.equal(first(range(4)).loss, again(range(4)).loss)
    gradients, others = first.gradients(range(4)), again.gradients(range(4))
    assert all(torch.equal(gradients[key], others[key]) for key in gradients)


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("history", [LastStep(), CountFeatures()])
@pytest.mark.parametrize("world_model", [SharedForecast(), LinearForecast(), NoWorldModel()])
def test_the_native_engine_takes_the_step_of_pytorch(name, history, world_model):
    steps = []
    for engine in (AUTO, TorchEngine()):
        learner = Learner(ADAPTATIONS[name], Architecture(6, 5, history, world_model))
        learner.engine = engine
        steps.append({"loss": learner(range(4)).loss, **learner.gradients(range(4))})
    native, reference = steps
    for key, value in reference.items():
        torch.testing.assert_close(native[key], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_sixteen_tasks_equal_two_halves_of_eight(name):
    learner = Learner(ADAPTATIONS[name])
    whole = learner.gradients(range(16))
    halves = [learner.gradients(range(8)), learner.gradients(range(8, 16))]
    for key, gradient in whole.items():
        mean = (halves[0][key] + halves[1][key]) / 2.0
        torch.testing.assert_close(gradient, mean, rtol=0.0, atol=1e-10)
    loss = (learner(range(8)).loss + learner(range(8, 16)).loss) / 2.0
    torch.testing.assert_close(learner(range(16)).loss, loss, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in ADAPTATIONS if name != "no adaptation"])
def test_loss_is_the_outer_loss_of_support_and_query(name):
    learner = Learner(ADAPTATIONS[name], zero_shot_weight=0.25)
    shots = learner.inner_loop.num_shots
    step, tasks = learner(range(3), num_query_episodes=30), sample(range(3))
    principal, objective = learner.principal, learner.objective
    weights = principal.weights()
    player = LearnedPlayer(principal, weights)
    support = play_support(principal, learner.inner_loop, tasks, shots)
    fast, unadapted = adapt(principal, learner.inner_loop, objective, support)
    adapted, settings = (
        LearnedPlayer(principal, fast),
        {"num_episodes": 30, "common_random_numbers": True},
    )
    query = rollout(tasks, adapted, GAME, stream=Stream.QUERY, **settings)
    unadapted_query = rollout(tasks, player, GAME, stream=Stream.QUERY, **settings)
    for played, expected in ((step.support, support), (step.query, query)):
        for item in Trajectory.records():
            assert torch.equal(getattr(played, item.name), getattr(expected, item.name))
    assert not torch.equal(query.levels, unadapted_query.levels)  # adaptation acts in the game
    first = support.episodes(slice(1 if learner.inner_loop.chain_length > 1 else shots))
    outputs = principal(weights, first)
    for item in fields(PrincipalOutput):
        expected, same = getattr(outputs, item.name), getattr(unadapted, item.name)
        torch.testing.assert_close(same, expected, rtol=0.0, atol=1e-12)
    zero_shot = objective.outer_loss(outputs, first, BLIND, 0.3).mean()
    adapted = objective.outer_loss(principal(fast, query), query, BLIND, 0.3).mean()
    loss = 0.25 * zero_shot + adapted
    torch.testing.assert_close(step.loss, loss, rtol=0.0, atol=1e-12)
    leaves = list(learner.parameters.values())
    expected = torch.autograd.grad(loss, leaves)
    for gradient, other in zip(torch.autograd.grad(step.loss, leaves), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0.0, atol=1e-10)


def test_the_loss_before_adaptation_may_be_taken_on_episodes_of_its_own():
    learner = Learner(GradientAdaptation(inner_lr=0.5), zero_shot_weight=0.25)
    principal, objective, tasks = learner.principal, learner.objective, sample(range(3))
    options = {"num_query_episodes": 2, "progress": 0.3}
    step = meta_step(
        principal, learner.inner_loop, objective, tasks, num_zero_shot_episodes=5, **options
    )
    first = rollout(
        tasks,
        LearnedPlayer(principal, principal.weights()),
        GAME,
        stream=Stream.ZERO_SHOT,
        num_episodes=5,
        common_random_numbers=True,
    )
    before = objective.outer_loss(principal(principal.weights(), first), first, BLIND, 0.3)
    without = replace(objective, zero_shot_weight=0.0)
    rest = meta_step(principal, learner.inner_loop, without, tasks, **options).loss
    torch.testing.assert_close(step.loss, 0.25 * before.mean() + rest, rtol=0.0, atol=1e-12)


def test_without_adaptation_there_is_no_support():
    step = Learner(NoAdaptation())(range(3), num_query_episodes=4)
    assert step.support is None
    assert step.query.arms.shape == (3, 4, 12)
    assert step.output.values.shape == (3, 4, 12)


def test_training_on_followers_learns_to_pay_them():
    """A bonus of 1 wins every follower over, so always paying is best, a return of 1 - 0.5.

    Taken for blind, they teach to leave them alone: a return of 0.15.
    """
    torch.manual_seed(0)
    followers = Population([AgentFamily(BestResponse)], num_arms=5)
    module = MermaideModule(Game(5, 20), Architecture(16, 16))
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    for number in range(30):
        tasks = followers.sample(range(16 * number, 16 * (number + 1)), split="train")
        step = module.take_step(tasks, progress=0.0)
        optimizer.zero_grad()
        step.loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    assert step.query.returns.mean() > 0.45
