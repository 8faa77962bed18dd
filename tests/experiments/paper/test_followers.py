import pytest
import torch

from mermaide_pl.experiments.paper.followers import followers, mean_equilibrium, play_adapted
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import GradientAdaptation
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.principals import Architecture

GAME = Game(num_arms=2, num_steps=3, bonuses=(0.0, 0.5, 1.0), cost=0.8)


def test_distances_fill_their_range():
    delta = followers(1.5).sample(range(4000), split="test").delta
    for quantile in (0.0, 0.25, 0.5, 0.75, 1.0):
        assert delta.quantile(quantile).item() == pytest.approx(1.5 * quantile, abs=0.04)


def test_equilibrium_of_the_population_is_the_integral():
    # on [0, 1] half of the agents yield 0.6 and half 0.2; on [0, 2] the upper half yields 0
    for largest, expected in ((1.0, 0.4), (2.0, 0.2)):
        tasks = followers(largest).sample(range(20_000), split="test")
        assert mean_equilibrium(tasks, GAME) == pytest.approx(expected, abs=0.005)


def test_plays_what_each_agent_was_adapted_to():
    torch.manual_seed(0)
    module = MermaideModule(
        game=GAME,
        architecture=Architecture(hidden_size=4, policy_size=4),
        adaptation=GradientAdaptation(inner_lr=100.0, num_shots=5),
    )
    tasks = followers(1.0).sample(range(40), split="val")
    before, after = (play_adapted(module, tasks, shots) for shots in (0, 5))
    assert before.levels.shape == (40, 1, 3)
    assert len(before.levels[:, 0, 0].unique()) == 1  # nobody has been seen yet
    assert len(after.levels[:, 0, 0].unique()) > 1
    again = play_adapted(module, tasks, 5)
    assert torch.equal(after.levels, again.levels)
