"""The populations of the package are what their names promise, and are found by them."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from mermaide_pl.agents import (
    CATIE,
    EXP3,
    UCB,
    BestResponse,
    EpsilonGreedy,
    EpsilonSoftmaxQ,
    GaussianReward,
    GaussianThompson,
    LearningRule,
    NoiseFreeReward,
    Softmax,
)
from mermaide_pl.config.input_paths import COMPARISONS, CONFIGURATIONS, POPULATIONS
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import (
    NormalRewards,
    UniformRewards,
    UniformTarget,
    packaged,
)
from mermaide_pl.populations.files import (
    load_population,
    load_populations,
)
from mermaide_pl.principals import NoIntervention

ROOT = Path(__file__).parents[2]
NAMES, PACKAGED = POPULATIONS.names(), POPULATIONS.folder
# name to the one rule of its agents
RULES = {
    "train_ucb": UCB,
    "train_exp3": EXP3,
    "val_ucb": UCB,
    "unseen_ucb": UCB,
    "unseen_rewards": UCB,
    "epsilon_greedy": EpsilonGreedy,
    "exp3": EXP3,
    "softmax": Softmax,
    "thompson": GaussianThompson,
    "best_response": BestResponse,
}


def betas(stem: str) -> set[float]:
    return {beta for family in packaged(stem).families for beta in family.hyper_parameters["beta"]}


def test_the_folder_of_a_clone_holds_the_same_files():
    assert (ROOT / "conf" / "population").resolve() == PACKAGED
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["mermaide_pl"]
    for files in (POPULATIONS, CONFIGURATIONS, COMPARISONS):
        assert f"{files.folder.relative_to(ROOT / 'mermaide_pl')}/*.yaml" in patterns
    assert CONFIGURATIONS.folder.resolve() == ROOT / "conf"


def test_a_name_is_as_good_as_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ours = packaged("unseen_ucb")
    assert load_population("unseen_ucb") == load_population(PACKAGED / "unseen_ucb.yaml") == ours
    assert load_populations(["softmax", PACKAGED / "exp3.yaml"]) == {
        "softmax": packaged("softmax"),
        "exp3": packaged("exp3"),
    }


def test_a_file_comes_before_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("folder", "softmax").write_text("families: [{rule: UCB, hyper_parameters: {beta: 0.1}}]")
    assert POPULATIONS.path("softmax") == PACKAGED / "softmax.yaml"
    assert POPULATIONS.path("softmax", "folder") == Path("folder", "softmax")
    assert load_population(Path("folder", "softmax")).families[0].rule is UCB


def test_unknown_populations_are_refused_with_the_available_names():
    for load in (packaged, load_population):
        with pytest.raises(
            ValueError, match=r"population nobody does not exist .*best_response, catie, ep"
        ):
            load("nobody")


@pytest.mark.parametrize("name", NAMES)
def test_every_population_plays(name, monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "all")  # else the first use only
    loaded = packaged(name)
    assert loaded.num_arms is None
    game = Game(num_arms=7, num_steps=12)
    tasks = loaded.in_game(game).sample(range(8), split="test", game=game)
    played = rollout(tasks, NoIntervention(), game, stream=Stream.SCORE, num_episodes=1)
    assert played.arms.min() >= 0
    assert played.arms.max() <= 6
    assert played.agent_rewards.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_population_states_what_it_means(name):
    text, loaded = (PACKAGED / f"{name}.yaml").read_text(), packaged(name)
    stated = yaml.safe_load(text)
    assert {"families", "base_rewards", "reward_model"} <= set(stated)
    assert text.startswith("# ")
    for family, loaded_family in zip(stated["families"], loaded.families, strict=True):
        rule = loaded_family.rule
        assert family["rule"] == f"mermaide_pl.agents.{rule.__name__}"
        assert issubclass(rule, LearningRule)
        assert list(loaded_family.hyper_parameters) == list(family["hyper_parameters"])


@pytest.mark.parametrize("stem", RULES)
def test_agents_are_those_the_name_promises(stem):
    loaded = packaged(stem)
    assert {family.rule for family in loaded.families} == {RULES[stem]}
    assert loaded.target == UniformTarget()
    rewards = NormalRewards(0.5, 0.2) if stem == "unseen_rewards" else UniformRewards(0.0, 1.0)
    assert loaded.base_rewards == rewards
    noise = NoiseFreeReward() if stem == "best_response" else GaussianReward(0.1)
    assert loaded.reward_model == noise


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("lab", {"learning_rate": 0.4, "inverse_temperature": 257, "epsilon": 0.2}),
        ("online", {"learning_rate": 0.594, "inverse_temperature": 84.455, "epsilon": 0.0871}),
    ],
)
def test_people_have_the_published_parameters(name, parameters):
    (learner,) = packaged(f"epsilon_softmax_q_{name}").families
    assert (learner.rule, learner.hyper_parameters) == (EpsilonSoftmaxQ, parameters)
    catie = packaged("catie")
    (family,) = catie.families
    assert family.rule is CATIE
    assert family.hyper_parameters == {
        "tau": 0.29,
        "epsilon": 0.3,
        "phi": 0.71,
        "context": [0, 1, 2],
    }
    tasks = catie.sample(range(300), split="test")
    assert (tasks.base_rewards == 0).all()
    (sampled,) = tasks.families
    shares = torch.bincount(sampled.rule.context.flatten().long()) / 300
    # three standard errors
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.082)


def test_unseen_agents_are_not_among_those_trained_on():
    train, val, unseen = betas("train_ucb"), betas("val_ucb"), betas("unseen_ucb")
    assert not train & val
    assert not (train | val) & unseen
    assert {0.17, 0.67} <= train
    assert min(unseen) < min(train) < max(train) < max(unseen)
    assert betas("unseen_rewards") == train


@pytest.mark.parametrize("stem", ["exp3", "train_exp3"])
def test_exp3_knows_the_range_that_the_bonus_widens(stem):
    for family in packaged(stem).families:
        assert family.hyper_parameters["reward_low"] == 0.0
        assert family.hyper_parameters["reward_high"] == 1.0 + max(Game().bonuses)


def test_fine_tuning_meets_none_of_the_exp3_agents_to_come():
    (unseen,) = packaged("exp3").families
    ucb, *families = packaged("train_ucb_exp3").families
    assert families == packaged("train_exp3").families
    assert [replace(ucb, weight=1.0)] == packaged("train_ucb").families
    for family in families:
        gamma = family.hyper_parameters["gamma"]
        assert not any(
            gamma.low <= value <= gamma.high for value in unseen.hyper_parameters["gamma"]
        )


@pytest.mark.parametrize(
    ("games", "message"),
    [
        ("{cost: -1}", r"GameRanges\.cost must be .*at least 0 .*got -1\.0 \(in endless: 0\.0, "),
        ("{num_arms: many}", r"games: num_arms: must be one of float, list\[float\], Interval"),
        ("{num_arms: [2, x]}", r"games: num_arms: must be one of float, .*, got \[2\.0, 'x'\]"),
        ("[1, 2]", r"games: must be one of GameRanges, null, got \[1, 2\]"),
        ("{observations: [partial]}", r"games: observations: must be one of list\[Observation\]"),
        ("{speed: 3}", r"games: Option 'speed' is not accepted; .*; in games: num_arms, num_steps"),
        ("{cost: {low: 0.1}}", "games: cost: the following arguments are required: high"),
        ("{cost: {low: 0.1, high: 0}}", r"Interval\.high .*at least 0\.1, got 0\.0 \(in low: 0\.1"),
    ],
)
def test_a_mistake_in_its_games_is_one_line(games, message, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(f"families: [{{rule: BestResponse}}]\ngames: {games}\n")
    with pytest.raises(ValueError, match=message) as error:
        load_population(file)
    assert "Namespace" not in str(error.value)
    assert "\n" not in str(error.value)
