"""A recurrent model as an agent: its arms come with its probabilities, in a population."""

import pytest
import torch
import yaml

from mermaide_pl.config.serialization import rebuild
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import CHOICE_ENGINEERING, FullInformation, Game
from mermaide_pl.populations.files import load_population
from mermaide_pl.principals import Architecture, CountFeatures, HumanFitted, RandomlyIntervene
from mermaide_pl.principals.arm_forecast import ArmForecast

MODEL = Architecture(6, history=CountFeatures(reward_unit=1.0))


@pytest.fixture
def model() -> ArmForecast:
    torch.manual_seed(0)
    model = ArmForecast(MODEL, Game(2, 100, observation=FullInformation()))
    for weight in model.parameters():
        weight.data.normal_(std=1.5)
    return model


@pytest.fixture
def file(model, tmp_path) -> str:
    model.save(tmp_path / "recurrent.ckpt")
    return str(tmp_path / "recurrent.ckpt")


def population(tmp_path, **init_args):
    family = {"rule": {"class_path": "mermaide_pl.principals.HumanFitted", "init_args": init_args}}
    content = {
        "families": [family],
        "base_rewards": {
            "class_path": "mermaide_pl.populations.ConstantRewards",
            "init_args": {"value": 0.0},
        },
        "target": {"class_path": "mermaide_pl.populations.FixedTarget", "init_args": {"arm": 0}},
        "reward_model": {"class_path": "mermaide_pl.agents.NoiseFreeReward"},
    }
    (tmp_path / "people.yaml").write_text(yaml.safe_dump(content))
    return load_population(tmp_path / "people.yaml")


def test_agents_of_a_population_choose_by_the_models_forecasts(model, file, tmp_path):
    people = population(tmp_path, file=file)
    assert rebuild(people.spec) == people
    tasks = people.sample(range(300), split="test", game=CHOICE_ENGINEERING)
    played = rollout(
        tasks, RandomlyIntervene(0.3), CHOICE_ENGINEERING, stream=Stream.SCORE, num_episodes=2
    )
    arms, rewards = played.arms, played.agent_rewards
    with torch.no_grad():
        chances = model(arms, torch.zeros_like(arms), rewards).exp()[..., 0]
    assert chances.std() > 0.1
    # how often arm 0 is chosen where it has so much chance: within 4 standard errors
    for low in torch.arange(0.0, 1.0, 0.1).tolist():
        here = (chances >= low) & (chances < low + 0.1)
        if (count := here.sum().item()) > 500:
            share, mean = (arms[here] == 0).double().mean(), chances[here].double().mean()
            assert share.item() == pytest.approx(mean.item(), abs=4 * 0.5 / count**0.5)


def test_its_probabilities_step_by_step_are_those_of_whole_episodes(model, file):
    rule = HumanFitted(file).for_tasks(["a", "b"], {}).to(torch.zeros(2, 2, dtype=torch.float64))
    arms, rewards = torch.randint(2, (2, 3, 12)), torch.rand(2, 3, 12).double()
    expected = model.double()(arms, torch.zeros_like(arms), rewards).exp()
    state = rule.init(torch.zeros(2, 2, dtype=torch.float64), torch.zeros(2).long(), 3)
    for step in range(12):
        chances = rule.choice_probabilities(*rule.decision_variables(state))
        torch.testing.assert_close(chances, expected[:, :, step])
        below, above = chances[..., :1] * 0.999, chances[..., :1] * 1.001
        assert (rule.act(state, torch.zeros(2, 3), below) == 0).all()
        assert (rule.act(state, torch.zeros(2, 3), above) == 1).all()
        state = rule.update(state, arms[..., step], rewards[..., step], below)


def test_mistakes_are_one_line(file, tmp_path):
    for given, message in (
        ({"file": str(tmp_path / "none.ckpt")}, "none.ckpt does not exist"),
        ({"file": file, "files": file}, "unexpected keyword argument 'files'"),
        ({}, "missing a required argument: 'file'"),
        ({"file": 3}, "file must be a str"),
    ):
        with pytest.raises(ValueError, match=message) as told:
            population(tmp_path, **given)
        assert "\n" not in str(told.value)
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other.ckpt holds no forecast of arms"):
        HumanFitted(str(tmp_path / "other.ckpt"))
    with pytest.raises(ValueError, match="among 2 arms, the game has 3"):
        HumanFitted(file).for_tasks(["a"], {}).init(torch.zeros(1, 3), torch.zeros(1).long(), 1)
