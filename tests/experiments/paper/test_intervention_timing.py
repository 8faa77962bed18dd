import re

import pytest
import torch

from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.evaluation.timing import (
    episode_of,
    median_agent,
    play,
    rates_by_quarter,
)
from mermaide_pl.experiments.paper import EXPERIMENTS, intervention_timing
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.objectives import factual_arm_logits
from mermaide_pl.populations import packaged
from mermaide_pl.principals import Architecture, NoWorldModel


def untrained(architecture: Architecture) -> MermaideModule:
    """A principal whose policy is at odds with itself, so that it does both."""
    torch.manual_seed(1)
    module = MermaideModule(architecture=architecture).eval()
    with torch.no_grad():
        for weight in module.principal.parameters():
            weight.normal_(std=0.3)
    return module


@pytest.fixture(scope="module")
def module() -> MermaideModule:
    return untrained(Architecture(hidden_size=8, policy_size=8))


@pytest.fixture(scope="module")
def results(module, tmp_path_factory):
    """Folder with the results of an untrained principal, and the sentence about them."""
    out = tmp_path_factory.mktemp("fig6")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervention_timing.MermaideModule, "pretrained", lambda name: module)
        return out, EXPERIMENTS["fig6"](out, True, 3)


def trajectory(levels: torch.Tensor, rewards: torch.Tensor) -> Trajectory:
    return Trajectory(levels, levels, levels > 5, rewards, rewards, levels, rewards, Game())


def test_the_median_agent_by_hand():
    rewards = torch.tensor([0.3, 0.9, 0.1, 0.5]).view(4, 1, 1).expand(4, 1, 8)
    played = trajectory(torch.zeros(4, 1, 8, dtype=torch.int64), rewards)
    assert median_agent(played) == 0  # of 0.1, 0.3, 0.5, 0.9 the lower one in the middle
    first_three = trajectory(played.levels[:3], rewards[:3])
    assert median_agent(first_three) == 0


def test_rates_by_quarter_by_hand():
    levels = torch.tensor([[[1, 1, 0, 0, 2, 0, 0, 0]], [[1, 0, 0, 0, 1, 1, 0, 0]]])
    assert rates_by_quarter(trajectory(levels, levels.float())) == [0.75, 0.0, 0.75, 0.0]


def test_the_annotated_episode_is_the_one_that_was_played_among_others(module):
    population = packaged("unseen_ucb")
    among_others = play(module, population.sample(range(5), split="test", seed=3))
    alone, arm_logits = episode_of(module, population, 4, 3)
    assert torch.equal(alone.arms[0], among_others.arms[4])
    assert torch.equal(alone.levels[0], among_others.levels[4])
    assert arm_logits is not None
    assert arm_logits.shape == (1, 1, 200, 2, 10)


def test_it_writes_what_it_draws(results):
    names = {path.name for path in results[0].iterdir()}
    assert names == {"fig6.png", "fig6_rates.csv", "fig6_episode.png", "fig6_episode.csv"}


def test_rates_are_those_of_the_agents_played(module, results):
    rows = read_rows(results[0] / "fig6_rates.csv")
    assert [row["population"] for row in rows[::200]] == list(intervention_timing._NAMES)
    played = play(module, packaged("exp3").sample(range(100), split="test", seed=3))
    chosen = [row for row in rows if row["population"] == "exp3"]
    for quantity, happened in (
        ("intervention_rate", played.levels > 0),
        ("alignment", played.aligned),
    ):
        means = [row[f"{quantity}_mean"] for row in chosen]
        assert means == pytest.approx(happened.double().mean((0, 1)).tolist(), abs=1e-9)
    assert 0.0 < sum(row["intervention_rate_mean"] for row in chosen) < 200.0


def test_the_sentence_says_what_the_rates_are(results):
    out, sentence = results
    rows = read_rows(out / "fig6_rates.csv")
    for name in intervention_timing._NAMES:
        rates = [row["intervention_rate_mean"] for row in rows if row["population"] == name]
        quarters = [sum(rates[first : first + 50]) / 50 for first in (0, 50, 100, 150)]
        (said,) = re.findall(rf"{name} ([0-9. ]+)", sentence)
        assert [float(rate) for rate in said.split()] == pytest.approx(quarters, abs=0.0051)


def test_the_episode_is_that_of_the_median_agent_with_its_forecast(module, results):
    population = packaged("unseen_ucb")
    played = play(module, population.sample(range(100), split="test", seed=3))
    number = median_agent(played)
    rows = read_rows(results[0] / "fig6_episode.csv")
    assert [row["arm"] for row in rows] == played.arms[number, 0].tolist()
    assert [row["level"] for row in rows] == played.levels[number, 0].tolist()
    assert [row["aligned"] for row in rows] == played.aligned[number, 0].int().tolist()
    episode, arm_logits = episode_of(module, population, number, 3)
    forecast = factual_arm_logits(arm_logits, episode.levels).softmax(-1)[0, 0, :, 0]
    said = [row["forecast_of_target"] for row in rows]
    assert said == pytest.approx(forecast.tolist(), abs=6e-5)


def test_a_principal_without_a_world_model_has_an_episode_too(tmp_path, monkeypatch):
    blind = untrained(Architecture(hidden_size=8, policy_size=8, world_model=NoWorldModel()))
    monkeypatch.setattr(intervention_timing.MermaideModule, "pretrained", lambda name: blind)
    monkeypatch.setattr(intervention_timing, "_NAMES", ("unseen_ucb",))
    intervention_timing.run(tmp_path, True, 3)
    assert "nan" in (tmp_path / "fig6_episode.csv").read_text()
    assert (tmp_path / "fig6_episode.png").stat().st_size > 0
