"""The fused rollout plays exactly the episodes of the loop in PyTorch."""

import shutil
from dataclasses import dataclass, fields, replace

import pytest
import torch

from mermaide_pl.agents import (
    CATIE,
    EXP3,
    UCB,
    AttentiveLearner,
    BernoulliReward,
    BestResponse,
    BetaThompson,
    DiscountedUCB,
    EpsilonGreedy,
    EpsilonSoftmaxQ,
    GaussianReward,
    GaussianThompson,
    GeneratedLearner,
    NoiseFreeReward,
    NoisyUCB,
    Perception,
    RescorlaWagner,
    Softmax,
)
from mermaide_pl.agents.base import HyperParameter, hyper_parameter
from mermaide_pl.engines import Stream, TorchEngine, choose_engine
from mermaide_pl.engines.native import binary_interface, build, compilation, coverage
from mermaide_pl.engines.native import rollout as native_rollout
from mermaide_pl.engines.native.binary_interface import RULES, Rule
from mermaide_pl.engines.native.coverage import covers_rollout
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import (
    AlwaysIntervene,
    Architecture,
    CountFeatures,
    GreedyPlayer,
    InitialBurst,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoCritic,
    NoIntervention,
    NoWorldModel,
    Oracle,
    Periodic,
    Principal,
    RandomlyIntervene,
)

M, T, A = 60, 50, 4
NATIVE = choose_engine("native")  # refuses to compare PyTorch with itself
FAMILIES = [
    AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}),
    AgentFamily(EpsilonGreedy, {"epsilon": [0.1, 0.3], "decay": 0.01}),
    AgentFamily(GaussianThompson, {"prior_mean": 0.4, "prior_scale": Interval(0.2, 0.5)}),
    AgentFamily(Softmax, {"temperature": [0.05, 0.2]}),
    AgentFamily(EXP3, {"gamma": [0.1, 0.4], "reward_high": 2.0}),
    AgentFamily(BestResponse),
    AgentFamily(DiscountedUCB, {"beta": Interval(0.1, 0.7), "discount": [0.9, 0.98]}),
    AgentFamily(
        NoisyUCB,
        {
            "beta": Interval(0.1, 0.7),
            "lapse_rate": [0.0, 0.3],
            "temperature": [0.0, 0.1],
            "prior_pulls": [0.0, 0.7],
        },
    ),
    AgentFamily(
        RescorlaWagner,
        {
            "learning_rate": Interval(0.05, 0.5),
            "temperature": [0.05, 0.2],
            "perseveration": [-0.1, 0.2],
            "initial_value": 0.3,
        },
    ),
    AgentFamily(
        EpsilonSoftmaxQ,
        {
            "learning_rate": Interval(0.1, 1.0),
            "inverse_temperature": [0.0, 5.0, 257.0],
            "epsilon": [0.0, 0.2],
        },
    ),
    AgentFamily(
        CATIE,
        {
            "tau": [0.29, 0.9],
            "epsilon": [0.0, 0.3, 1.0],
            "phi": [0.1, 0.71],
            "context": [0, 1, 2],
            "threshold": [0.3, 0.6],
            "tries_first": [0, 1],
        },
        weight=3.0,
    ),
    *(
        AgentFamily(
            rule,
            {
                "beta": [0.0, 0.3],
                "temperature": [0.01, 0.1],
                "posterior_scale": [0.0, 0.4],
                "lapse_rate": [0.0, 0.3],
                "decay": [0.0, 0.1],
                "learning_rate": [0.0, 0.0, 0.2],
                "discount": [1.0, 0.95],
                "initial_value": Interval(0.0, 1.2),
                "prior_pulls": [0.0, 0.7],
                "learns_preferences": [0, 0, 1],
                "perseveration": [0.0, 0.2],
                "perception": [0, 1, 2, 3],
                "cap": Interval(0.4, 1.5),
                "tries_first": [0, 1],
                "knowledge": Interval(0.0, 1.0),
                "forgets_at": [0.0, 17.4],
                **others,
            },
            weight=3.0,
        )
        for rule, others in (
            (GeneratedLearner, {}),
            (AttentiveLearner, {"attention": Interval(0.1, 1.0)}),
        )
    ),
]
OBSERVATIONS = [
    PartialInformation(),
    PartialInformation(arm_flip=0.2),
    FullInformation(),
    FullInformation(arm_flip=0.2, reward_noise=0.3),
]
REWARDS = [GaussianReward(0.1), BernoulliReward(), NoiseFreeReward()]
ARCHITECTURES = [
    Architecture(6, 5),
    Architecture(18, 17, LastStep(), LinearForecast()),
    Architecture(8, 16, CountFeatures(), NoWorldModel(), NoCritic()),
]


def sample(families=FAMILIES, dtype=torch.float64, reward_model=REWARDS[0], num_tasks=M):
    population = Population(families, num_arms=A, reward_model=reward_model)
    return population.sample(range(num_tasks), split="train").to("cpu", dtype)


def game_with(observation=OBSERVATIONS[0]) -> Game:
    return Game(A, T, (0.0, 0.1, 1.0), cost=0.3, observation=observation)


def principal_for(architecture, game, dtype=torch.float64) -> Principal:
    torch.manual_seed(0)
    principal = Principal(architecture, game).to(dtype)
    principal.policy.policy_out_weight.data.normal_()  # a policy with preferences
    return principal


def both_ways(tasks, player, game, num_episodes=3, **options) -> tuple[Trajectory, Trajectory]:
    assert covers_rollout(tasks, player, game)
    options |= {"stream": Stream.SCORE, "num_episodes": num_episodes}
    fused = rollout(tasks, player, game, engine=NATIVE, **options)
    return fused, rollout(tasks, player, game, engine=TorchEngine(), **options)


def assert_same(fused: Trajectory, loop: Trajectory) -> None:
    for item in Trajectory.records():
        actual, expected = getattr(fused, item.name), getattr(loop, item.name)
        assert actual.dtype == expected.dtype
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reward_model", REWARDS, ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("observation", OBSERVATIONS, ids=str)
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda one: type(one.history).__name__)
def test_learned_principals_play_the_same_episodes(architecture, observation, reward_model):
    game = game_with(observation)
    tasks, principal = sample(reward_model=reward_model), principal_for(architecture, game)
    fused, loop = both_ways(tasks, LearnedPlayer(principal, principal.weights()), game)
    assert len(fused.levels.unique()) == game.num_levels
    assert_same(fused, loop)


@pytest.mark.parametrize("player_class", [LearnedPlayer, GreedyPlayer])
@pytest.mark.parametrize("common_random_numbers", [False, True])
def test_every_task_plays_with_its_own_weights(player_class, common_random_numbers):
    game, tasks = game_with(), sample()
    principal = principal_for(Architecture(6, 5), game)
    weights = {
        name: weight + 0.3 * torch.randn(M, *weight.shape, dtype=weight.dtype)
        for name, weight in principal.weights().items()
    }
    assert_same(
        *both_ways(
            tasks,
            player_class(principal, weights),
            game,
            common_random_numbers=common_random_numbers,
        )
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.rule.__name__)
def test_one_family_alone_with_many_episodes(family):
    game, tasks = game_with(), sample([family], num_tasks=3)
    principal = principal_for(Architecture(6, 5), game)
    player = LearnedPlayer(principal, principal.weights())
    assert_same(*both_ways(tasks, player, game, num_episodes=37))


@pytest.mark.parametrize(
    "player",
    [
        NoIntervention(),
        AlwaysIntervene(),
        Periodic(3),
        InitialBurst(20),
        RandomlyIntervene(0.4),
        Oracle(1.0, 2.0),
        Oracle(0.5, 0.0),
    ],
    ids=str,
)
def test_schedules_and_oracles_play_the_same_episodes(player):
    game = game_with(OBSERVATIONS[3])
    assert_same(*both_ways(sample(), player, game))


def test_single_precision_rounds_differently_but_plays_the_same_game():
    game = game_with()
    tasks = sample(FAMILIES[:1], torch.float32, num_tasks=200)
    principal = principal_for(Architecture(), game, torch.float32)
    player = LearnedPlayer(principal, principal.weights())
    fused, loop = both_ways(tasks, player, game)
    same = (fused.arms == loop.arms).all(-1).float().mean()
    assert same > 0.99  # episodes part where a draw falls between two roundings


def test_what_the_kernel_does_not_know_is_played_by_pytorch():
    class Cautious(UCB):
        pass

    class Stubborn(LearnedPlayer):
        pass

    class Late(AlwaysIntervene):
        def act(self, step):
            return super().act(step) * (step > 3)

    class Principality(Principal):
        pass

    game, tasks = game_with(), sample(num_tasks=2)
    principal = principal_for(Architecture(6, 5), game)
    player = LearnedPlayer(principal, principal.weights())
    assert covers_rollout(tasks, player, game)
    assert not covers_rollout(sample([AgentFamily(BetaThompson)], num_tasks=2), player, game)
    assert not covers_rollout(sample([AgentFamily(Cautious)], num_tasks=2), player, game)
    assert not covers_rollout(tasks, Stubborn(principal, principal.weights()), game)
    assert not covers_rollout(sample(dtype=torch.float32, num_tasks=2), player, game)
    assert not covers_rollout(tasks, Late(), game)
    assert not covers_rollout(tasks, player, game_with(OBSERVATIONS[2]))
    other = Principality(Architecture(6, 5), game).double()
    assert not covers_rollout(tasks, LearnedPlayer(other, other.weights()), game)


@pytest.mark.parametrize(
    "game",
    [Game(A, T + 1, (0.0, 0.1, 1.0), 0.3), Game(A, T, (0.0, 0.2, 2.0), 0.3)],
)
def test_a_principal_plays_another_game_as_pytorch_has_it(game):
    """It encodes the past by the game that is played."""
    principal, tasks = principal_for(Architecture(6, 5), game_with()), sample()
    player = LearnedPlayer(principal, principal.weights())
    assert covers_rollout(tasks, player, game)
    played = rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=2, engine=NATIVE)
    again = rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=2, engine=TorchEngine())
    assert torch.equal(played.levels, again.levels)


def test_every_rule_of_the_library_is_played_above():
    assert {family.rule for family in FAMILIES} == set(coverage.RULES)


GENERATED = {  # each mechanism alone, and with a width
    "none": {},
    "no first round": {"tries_first": 0},
    "bound": {"beta": 0.4},
    "bound without a first round": {"beta": 0.4, "tries_first": 0},
    "prior": {"beta": 0.2, "prior_pulls": 0.6, "initial_value": 0.9},
    "knowledge": {"beta": 0.2, "prior_pulls": 0.6, "knowledge": 0.8, "tries_first": 0},
    "knowledge of moving values": {"learning_rate": 0.3, "knowledge": 1.0, "tries_first": 0},
    "discount": {"beta": 0.2, "discount": 0.9},
    "temperature": {"temperature": 0.1},
    "posterior": {"posterior_scale": 0.5},
    "lapses that decay": {"lapse_rate": 0.8, "decay": 0.2},
    "moving values": {"learning_rate": 0.3, "initial_value": 1.1, "tries_first": 0},
    "preferences": {"learns_preferences": 1, "learning_rate": 0.5, "temperature": 0.7},
    "perseveration": {"perseveration": 0.3, "beta": 0.3},
    "clipped": {"perception": Perception.CLIPPED, "cap": 0.6, "beta": 0.3},
    "tossed": {"perception": Perception.TOSSED, "cap": 1.4, "beta": 0.3},
    "squashed": {"perception": Perception.SQUASHED, "cap": 0.7, "beta": 0.3},
    "forgets": {"forgets_at": 20, "beta": 0.3, "perseveration": 0.1, "decay": 0.1},
}


@pytest.mark.parametrize("rule", [GeneratedLearner, AttentiveLearner])
@pytest.mark.parametrize("mechanism", GENERATED)
def test_every_mechanism_alone_is_played_alike(mechanism, rule):
    tasks = sample([AgentFamily(rule, GENERATED[mechanism])], num_tasks=20)
    assert_same(*both_ways(tasks, RandomlyIntervene(0.3), game_with()))


def test_perceptions_have_the_same_numbers():
    ours = {one.name: one.value for one in Perception}
    assert {one.name: one.value for one in binary_interface.Perception} == ours


def test_no_hyper_parameter_is_lost():
    assert [rule.__name__ for rule in coverage.RULES] == list(RULES)
    for rule, known in coverage.RULES.items():
        assert tuple(field.name for field in fields(rule)) == known.hyper_parameters


@dataclass
class FiveUCB(UCB):
    """Plays by the last of five hyper-parameters."""

    one: HyperParameter = hyper_parameter(1.0)
    two: HyperParameter = hyper_parameter(2.0)
    three: HyperParameter = hyper_parameter(3.0)
    four: HyperParameter = hyper_parameter(4.0)


@pytest.mark.slow  # compiles the kernel
def test_a_rule_may_have_five_hyper_parameters(monkeypatch, tmp_path):
    sources = shutil.copytree(compilation._SOURCE.parent, tmp_path / "sources")
    header, names = sources / "binary_interface.h", ("one", "two", "three", "four", "beta")
    lines = header.read_text()
    assert lines.count("RULE(UCB, uniform, beta)") == 1
    header.write_text(lines.replace("(UCB, uniform, beta)", f"(UCB, uniform, {', '.join(names)})"))
    rules = {FiveUCB if kind is UCB else kind: r for kind, r in coverage.RULES.items()}
    monkeypatch.setitem(rules, FiveUCB, Rule(names))
    for module in (coverage, native_rollout):
        monkeypatch.setattr(module, "RULES", rules)
    monkeypatch.setitem(RULES, "UCB", Rule(names))
    monkeypatch.setattr(compilation, "_SOURCE", sources / compilation._SOURCE.name)
    monkeypatch.setattr(compilation, "_OPTIONS", (*compilation._OPTIONS, "-O0"))
    # it knows the rules as they are
    monkeypatch.setattr(compilation, "try_out", lambda path, file: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.library.cache_clear()
    try:
        five = AgentFamily(FiveUCB, {"beta": Interval(0.1, 0.7)})
        tasks = sample([five, *FAMILIES[1:]])
        assert_same(*both_ways(tasks, RandomlyIntervene(0.4), game_with()))
        assert len(list((tmp_path / "mermaide_pl").glob("*.so"))) == 1
    finally:
        build.library.cache_clear()


@pytest.mark.parametrize("engine", [NATIVE, TorchEngine()], ids=["native", "torch"])
@pytest.mark.parametrize("observation", [OBSERVATIONS[0], OBSERVATIONS[2]], ids=["partial", "full"])
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=["default", "last step", "blind"])
@pytest.mark.parametrize("unit", [2.0**-7, 4.0, 100.0])
def test_the_same_game_in_other_units_is_played_alike(engine, observation, architecture, unit):
    """Rewards and bonuses times a unit, costs divided by it: the same arms, levels and returns."""
    game = Game(A, T, (0.0, 0.25, 0.5), cost=0.6, observation=observation)
    told = Game(A, T, (0.0, 0.25 * unit, 0.5 * unit), cost=0.6 / unit, observation=observation)
    principal, other = (principal_for(architecture, each) for each in (game, told))
    weights = principal.weights()
    plain = sample([AgentFamily(UCB, {"beta": 0.4}), AgentFamily(BestResponse)])
    scaled = sample(
        [AgentFamily(UCB, {"beta": 0.4 * unit}), AgentFamily(BestResponse)],
        reward_model=GaussianReward(0.1 * unit),
    )
    scaled.base_rewards = plain.base_rewards * unit
    played, again = (
        rollout(
            tasks,
            LearnedPlayer(owner, weights),
            each,
            stream=Stream.SCORE,
            num_episodes=2,
            engine=engine,
        )
        for tasks, owner, each in ((plain, principal, game), (scaled, other, told))
    )
    assert len(set(played.levels.flatten().tolist())) > 1
    assert torch.equal(again.arms, played.arms)
    assert torch.equal(again.levels, played.levels)
    torch.testing.assert_close(again.rewards, played.rewards, rtol=1e-12, atol=1e-12)
    outputs = engine.forward(principal, weights, played)
    others = engine.forward(other, weights, again)
    exact = unit != 100.0  # powers of two do not round
    tolerance = 0.0 if exact else 1e-11
    torch.testing.assert_close(others.level_logits, outputs.level_logits, rtol=0.0, atol=tolerance)


def test_a_principal_of_an_earlier_version_measures_in_its_own_units():
    game = game_with(OBSERVATIONS[2])
    told = Game(A, T, (0.0, 1.0, 10.0), cost=0.03, observation=OBSERVATIONS[2])
    for history in (CountFeatures(1.0), LastStep(1.0)):
        one, other = (principal_for(Architecture(6, 5, history), each) for each in (game, told))
        played = rollout(
            sample(), LearnedPlayer(one, one.weights()), game, stream=Stream.SCORE, num_episodes=1
        )
        retold = replace(played, game=told)
        assert torch.equal(one.encode(played)[..., :3], other.encode(retold)[..., :3])
        measured = principal_for(Architecture(6, 5, type(history)()), told)
        assert not torch.allclose(measured.encode(retold), other.encode(retold))
        for principal in (one, other, measured):  # both engines agree
            weights, played = principal.weights(), replace(played, game=principal.game)
            native = NATIVE.forward(principal, weights, played).level_logits
            expected = principal(weights, played).level_logits
            torch.testing.assert_close(native, expected, rtol=0.0, atol=1e-12)
