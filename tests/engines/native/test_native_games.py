"""Games with budgets, without an end, or of each task: both engines play and learn the same."""

import pytest
import torch

from mermaide_pl.agents import UCB, BestResponse, EpsilonGreedy, GaussianRewardPerTask
from mermaide_pl.engines import Stream, TorchEngine, choose_engine, draw_noise
from mermaide_pl.engines.native.coverage import covers_rollout, network_shape
from mermaide_pl.engines.native.engine import features_of
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.engines.torch_rollout import Segment
from mermaide_pl.game import Budget, FullInformation, Game, GameBatch
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import GradientAdaptation
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population, TaskBatch
from mermaide_pl.principals import (
    AlwaysIntervene,
    Architecture,
    GreedyPlayer,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    Oracle,
    RandomlyIntervene,
    UniversalArchitecture,
    network_in,
)

M, A, T = 6, 4, 30
NATIVE = choose_engine("native")
SIZES = Game(A, T, (0.0, 0.4, 1.0), cost=0.3)


def games() -> GameBatch:
    generator = torch.Generator().manual_seed(0)
    draws = torch.rand(2, M, generator=generator, dtype=torch.float64)
    bonuses = torch.stack([torch.zeros_like(draws[0]), 0.1 + draws[0], 1.5 - draws[0]], dim=1)
    budget = torch.tensor([0.0, 3.0, 7.0, 12.0, 29.0, 50.0], dtype=torch.float64)
    return GameBatch(SIZES, bonuses=bonuses, cost=draws[1], max_interventions=budget)


FOUR_LEVELS = {"bonuses": (0.0, 1.0, 0.0, 0.7), "other_bonuses": (0.0, 0.0, 0.5, 1.2)}
ALLOCATIONS = {
    "exactly": Game(
        A,
        T,
        cost=0.0,
        observation=FullInformation(0.1, 0.2),
        target_budget=Budget(7, 7),
        other_budget=Budget(9, 9),
        **FOUR_LEVELS,
    ),
    "within bounds": Game(
        A, T, cost=0.1, target_budget=Budget(20, 25), other_budget=Budget(0, 6), **FOUR_LEVELS
    ),
    "never both": Game(
        A,
        T,
        bonuses=(0.0, 0.0, 1.0),
        other_bonuses=(0.0, 0.6, 0.0),
        target_budget=Budget(12, 12),
        other_budget=Budget(15, None),
    ),
    "others with the target alone": Game(
        A,
        T,
        bonuses=(0.0, 1.0, 2.0),
        other_bonuses=(0.0, 0.0, 0.5),
        other_budget=Budget(11, 20),
    ),
    "target alone": Game(A, T, (0.0, 0.5, 1.5), target_budget=Budget(21, 24)),
}
GAMES = {
    "one": SIZES,
    "budget": Game(A, T, (0.0, 0.5, 1.5), 0.3, FullInformation(0.1, 0.2), max_interventions=5),
    "endless": Game(A, T, (0.0, 1.0), endless=True),
    "of each task": games(),
    **ALLOCATIONS,
    "allocation of each task": GameBatch.of(
        ALLOCATIONS["exactly"], M, torch.zeros((), dtype=torch.double)
    ),
}
EVERY_GAME = pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
ARCHITECTURES = [Architecture(6, 5, critic_size=9), UniversalArchitecture(6, 5, 4, 3)]
LAST_STEP = Architecture(6, 5, LastStep(), LinearForecast())


def architecture_for(game):
    return ARCHITECTURES[0] if game.is_allocation else ARCHITECTURES[1]


EVERY_PAIR = pytest.mark.parametrize(
    ("game", "architecture"),
    [
        pytest.param(game, architecture, id=f"{name}-{type(architecture).__name__}{number}")
        for name, game in GAMES.items()
        for number, architecture in enumerate([*ARCHITECTURES, LAST_STEP])
        if not (game.is_allocation and architecture is ARCHITECTURES[1])
    ],
)


def sample(game) -> TaskBatch:
    families = [AgentFamily(UCB, {"beta": [0.1, 0.4]}), AgentFamily(EpsilonGreedy)]
    families.append(AgentFamily(BestResponse))
    tasks = Population(families, num_arms=A).sample(range(M), split="train")
    tasks = tasks.to("cpu", torch.float64)
    if isinstance(game, GameBatch):
        tasks.games = game
        scale = torch.linspace(0.0, 0.5, M, dtype=torch.float64)
        tasks.reward_model = GaussianRewardPerTask(scale)
    return tasks


def module_for(game, architecture, engine: str) -> MermaideModule:
    torch.manual_seed(0)
    built = game if isinstance(game, Game) else game.sizes
    adaptation = GradientAdaptation(inner_lr=0.5)
    module = MermaideModule(
        built, architecture, adaptation, num_query_episodes=2, engine=engine
    ).double()
    module.principal.policy.policy_out_weight.data.normal_()
    return module


def assert_same_episodes(played: Trajectory, expected: Trajectory) -> None:
    for item in Trajectory.records():
        actual, other = getattr(played, item.name), getattr(expected, item.name)
        torch.testing.assert_close(actual, other, rtol=1e-12, atol=1e-12)


@EVERY_PAIR
def test_the_meta_step_is_that_of_pytorch(game, architecture):
    steps, gradients = [], []
    for engine in ("native", "torch"):
        module = module_for(game, architecture, engine)
        step = module.take_step(sample(game), 0.3)
        step.loss.backward()
        steps.append(step)
        gradients.append({name: weight.grad for name, weight in module.named_parameters()})
    (native, reference), (actual, expected) = steps, gradients
    assert_same_episodes(native.support, reference.support)
    assert_same_episodes(native.query, reference.query)
    assert len(native.query.levels.unique()) == game.num_levels
    torch.testing.assert_close(native.loss, reference.loss, rtol=1e-11, atol=0.0)
    assert actual.keys() == expected.keys()
    for name, gradient in expected.items():
        assert (gradient is None) == (actual[name] is None)
        if gradient is not None:
            scale = max(gradient.abs().max().item(), 1e-6)
            torch.testing.assert_close(actual[name], gradient, rtol=0.0, atol=1e-9 * scale)


@EVERY_GAME
def test_features_are_those_of_the_history(game):
    principal = module_for(game, architecture_for(game), "torch").principal
    player = LearnedPlayer(principal, principal.weights())
    played = rollout(sample(game), player, game, stream=Stream.SCORE, num_episodes=2)
    network, _ = network_in(principal, principal.weights(), game)
    actual = features_of(network, network_shape(network), played)
    torch.testing.assert_close(actual, network.encode(played), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["budget", "of each task", *ALLOCATIONS, "allocation of each task"]
)
@pytest.mark.parametrize("player", ["sampling", "greedy", "always", "random", "oracle"])
def test_everybody_keeps_to_the_budgets(name, player):
    game, tasks = GAMES[name], sample(GAMES[name])
    principal = module_for(game, architecture_for(game), "torch").principal
    if not game.is_allocation:
        principal.policy.policy_skip_weight.data.fill_(9.0)  # intervenes whenever it may
    weights = principal.weights()
    players = {
        "sampling": LearnedPlayer(principal, weights),
        "greedy": GreedyPlayer(principal, weights),
        "always": AlwaysIntervene(),
        "random": RandomlyIntervene(0.9),
        "oracle": Oracle(5.0, 5.0),
    }
    built = (
        players[player].in_game(game, 2) if player in ("sampling", "greedy") else players[player]
    )
    assert covers_rollout(tasks, built, game)
    options = {"stream": Stream.SCORE, "num_episodes": 2}
    native = rollout(tasks, players[player], game, engine=NATIVE, **options)
    assert_same_episodes(
        native, rollout(tasks, players[player], game, engine=TorchEngine(), **options)
    )
    if game.is_allocation:
        spent = game.interventions_of(native.levels, tasks.base_rewards).sum(2)
        least, most = game.budget_bounds(spent)
        assert (spent >= least).all()
        assert (spent <= most).all()
        return
    spent = (native.levels > 0).sum(-1)
    budget = GameBatch.of(game, M, tasks.base_rewards).max_interventions.unsqueeze(1)
    assert (spent <= budget).all()
    limited = (budget > 0) & (budget < 8)
    assert (spent == budget)[limited.expand_as(spent)].any()  # it stops them


@EVERY_GAME
@pytest.mark.parametrize("engine", [NATIVE, TorchEngine()], ids=["native", "torch"])
@pytest.mark.parametrize("player", ["sampling", "greedy", "random", "oracle"])
def test_episodes_in_segments_are_those_played_at_once(game, engine, player):
    tasks, principal = sample(game), module_for(game, architecture_for(game), "torch").principal
    torch.manual_seed(3)
    for parameter in principal.parameters():  # the best level changes
        parameter.data.normal_()
    weights = principal.weights()
    builders = {
        "sampling": lambda weights, *more: LearnedPlayer(principal, weights, *more),
        "greedy": lambda weights, *more: GreedyPlayer(principal, weights, *more),
        "random": lambda *_: RandomlyIntervene(0.4),
        "oracle": lambda *_: Oracle(0.5, 3.0),
    }
    build = builders[player]
    noise = draw_noise(tasks, build(weights), game, stream=Stream.SCORE, num_episodes=2)
    whole = engine.play(tasks, build(weights), game, noise)
    assert len(whole.levels.unique()) > 1
    played = engine.play(tasks, build(weights), game, noise, Segment(end=7))
    for end in (19, T):
        state = engine.forward(principal, weights, played).last_state
        carried = {**weights, "recurrence.initial_state": state.flatten(0, 1)}
        going_on = build(carried, True)  # with weights of each episode
        played = engine.play(tasks, going_on, game, noise, Segment(played, end))
        assert played.levels.shape == (M, 2, end)
        assert_same_episodes(played, whole.steps(slice(end)))


@EVERY_PAIR
def test_outputs_from_a_step_on_are_those_of_the_whole(game, architecture):
    principal = module_for(game, architecture, "torch").principal
    weights = principal.weights()
    player = LearnedPlayer(principal, weights)
    played = rollout(sample(game), player, game, stream=Stream.SCORE, num_episodes=1)
    for engine in (NATIVE, TorchEngine()):
        whole = engine.forward(principal, weights, played)
        before = engine.forward(principal, weights, played.steps(slice(11)))
        carried = {**weights, "recurrence.initial_state": before.last_state[:, 0]}
        after = engine.forward(principal, carried, played, 11)
        for name in ("level_logits", "values", "arm_logits", "log_levels", "log_arms"):
            joined = torch.cat([getattr(before, name), getattr(after, name)], dim=2)
            torch.testing.assert_close(joined, getattr(whole, name), rtol=0.0, atol=1e-12)
        torch.testing.assert_close(after.last_state, whole.last_state, rtol=0.0, atol=1e-12)
