import numpy as np
import pytest
import torch

from mermaide_pl.agents import UCB, EpsilonGreedy
from mermaide_pl.deployment.gym_env import BanditVectorEnv
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import CountFeatures, FunctionPlayer, InitialBurst

GAME = Game(4, 12, (0.0, 0.5, 1.0), cost=0.3, observation=FullInformation(0.2, 0.3))
POPULATION = Population([AgentFamily(UCB), AgentFamily(EpsilonGreedy)], num_arms=4)
TASKS = POPULATION.sample(range(5), split="test")


def play(player, game=GAME):
    return rollout(TASKS, player, game, stream=Stream.SCORE, num_episodes=3)


def test_a_function_of_the_time_is_a_schedule():
    time = GAME.num_levels  # the place of t/T among the features

    def burst(features: np.ndarray) -> np.ndarray:
        return 2 * (features[:, time] < 0.3)  # steps 0 to 3 of 12

    expected = play(InitialBurst(4))
    found = play(FunctionPlayer(burst))
    for name in ("levels", "arms", "rewards", "observed_agent_rewards"):
        assert torch.equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("observation", [FullInformation(0.2, 0.3), PartialInformation(0.1)])
def test_it_sees_what_the_environment_shows(observation):
    game = Game(4, 12, (0.0, 0.5, 1.0), observation=observation)
    weights = np.random.default_rng(0).normal(size=(sum_of_sizes(game), game.num_levels))
    seen = []

    def policy(features: np.ndarray) -> np.ndarray:
        seen.append(features.copy())
        return (features @ weights).argmax(1)

    environment = BanditVectorEnv(6, POPULATION, game=game)
    features, infos = environment.reset(seed=1)
    arms = []
    for _ in range(game.num_steps):
        features, *_, later = environment.step(policy(features))
        arms.append(later["arm"])
    shown, seen = seen, []
    tasks = POPULATION.sample(infos["task"].tolist(), split="train")
    played = rollout(tasks, FunctionPlayer(policy), game, stream=Stream.SCORE, num_episodes=1)
    np.testing.assert_array_equal(np.stack(arms, axis=1), played.arms[:, 0])
    np.testing.assert_array_equal(np.stack(seen), np.stack(shown))
    assert seen[0].dtype == np.float32 and len(np.unique(played.levels)) > 1


def sum_of_sizes(game: Game) -> int:
    num_global, per_arm = CountFeatures().sizes(game)
    return num_global + per_arm * game.num_arms


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda features: np.full(15, 3), r"FunctionPlayer must be from 0 to 2, got 3 to 3"),
        (lambda features: np.zeros(15), r"must be 15 integers, got float64 of shape \(15,\)"),
        (lambda features: 1, r"must be 15 integers, got int64 of shape \(\)"),
    ],
)
def test_what_is_no_level_is_refused(function, message):
    with pytest.raises(ValueError, match=message):
        play(FunctionPlayer(function))
