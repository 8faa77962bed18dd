"""The choice engineering game: whoever plays, each alternative is paid 25 times."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mermaide_pl.agents import RescorlaWagner
from mermaide_pl.engines import Stream, TorchEngine, choose_engine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import CHOICE_ENGINEERING, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import AgentFamily, Interval, packaged
from mermaide_pl.principals import (
    AlwaysIntervene,
    Architecture,
    FunctionPlayer,
    GreedyPlayer,
    InitialBurst,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoIntervention,
    Oracle,
    Principal,
    RandomlyIntervene,
    StaticSchedule,
    UniversalArchitecture,
)

M = 12
TASKS = packaged("train_choice_engineering").sample(range(M), split="test", game=CHOICE_ENGINEERING)
TASKS = TASKS.to("cpu", torch.float64)


def learned(seed: int, architecture=Architecture(6, 5)) -> Principal:
    torch.manual_seed(seed)
    principal = Principal(architecture, CHOICE_ENGINEERING).double()
    principal.policy.policy_out_weight.data.normal_(std=3.0)
    principal.policy.policy_out_bias.data.normal_(std=3.0)
    return principal


PLAYERS = {
    **{f"sampling {seed}": LearnedPlayer(p := learned(seed), p.weights()) for seed in range(4)},
    **{f"greedy {seed}": GreedyPlayer(p := learned(seed), p.weights()) for seed in range(4)},
    "last step": LearnedPlayer(
        p := learned(9, Architecture(6, 5, LastStep(), LinearForecast())), p.weights()
    ),
    "none": NoIntervention(),
    "always": AlwaysIntervene(),
    "burst": InitialBurst(40),
    "random": RandomlyIntervene(0.3),
    "all both": StaticSchedule((3,) * 100),
    "others first": StaticSchedule((2,) * 60 + (1,) * 40),
    "oracle": Oracle(head_start=0.3),
}


def play(player, engine, tasks=TASKS) -> Trajectory:
    return rollout(
        tasks, player, CHOICE_ENGINEERING, stream=Stream.SCORE, num_episodes=3, engine=engine
    )


@pytest.mark.parametrize("name", PLAYERS)
def test_everyone_pays_each_alternative_25_times(name):
    native, loop = (play(PLAYERS[name], each) for each in (choose_engine("native"), TorchEngine()))
    for item in Trajectory.records():
        mine, theirs = getattr(native, item.name), getattr(loop, item.name)
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
    spent = CHOICE_ENGINEERING.interventions_of(native.levels, native.rewards).sum(2)
    assert (spent == 25.0).all()
    assert torch.equal(native.returns, native.alignment.double())
    paid = (native.aligned & (native.levels % 2 == 1)) | (~native.aligned & (native.levels > 1))
    assert torch.equal(native.agent_rewards, paid.double())


def test_a_function_pays_25_times_too():
    player = FunctionPlayer(lambda features: np.full(len(features), 2))
    spent = CHOICE_ENGINEERING.interventions_of(play(player, TorchEngine()).levels, torch.zeros(()))
    assert (spent.sum(2) == 25.0).all()


def test_an_oracle_pays_the_target_where_it_is_chosen_and_the_other_where_that_is_unseen():
    values = {"learning_rate": Interval(0.1, 0.7), "temperature": Interval(0.1, 0.5)}
    family = AgentFamily(RescorlaWagner, {**values, "initial_value": 0.5})
    population = replace(packaged("train_choice_engineering"), families=[family])
    tasks = population.sample(range(M), split="test", game=CHOICE_ENGINEERING)
    tasks = tasks.to("cpu", torch.float64)
    returns = {
        name: play(PLAYERS[name], TorchEngine(), tasks).returns.mean()
        for name in ("oracle", "none", "random", "burst")
    }
    assert returns["oracle"] > max(returns["none"], returns["random"], returns["burst"]) + 0.05


def test_features_tell_what_is_left_of_each_budget():
    player = StaticSchedule((1,) * 25 + (0,) * 50 + (2,) * 25)
    principal = learned(0)
    for history in (LastStep(), principal.history):
        principal.history = history
        told = principal.encode(play(player, TorchEngine()))[0, 0]
        first = history.sizes(CHOICE_ENGINEERING)[0] - 5  # the last reward is the last one
        assert told[0, first : first + 4].tolist() == [0.25] * 4
        assert told[10, first : first + 4].tolist() == pytest.approx([15 / 90, 25 / 90] * 2)
        assert told[75, first : first + 4].tolist() == [0.0, 1.0, 0.0, 1.0]


def test_a_universal_principal_says_that_it_cannot_play_it():
    trained = UniversalArchitecture().build(Game()).double()
    for play_it in (
        lambda: UniversalArchitecture().build(CHOICE_ENGINEERING),
        lambda: play(LearnedPlayer(trained, trained.weights()), TorchEngine()),
        lambda: play(LearnedPlayer(trained, trained.weights()), choose_engine("native")),
    ):
        with pytest.raises(ValueError, match="pay the target alone") as told:
            play_it()
        assert "\n" not in str(told.value)
