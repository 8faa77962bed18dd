import math

import pytest
import torch

from mermaide_pl.deployment.logged_episode import Episode, support_of
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.game.trajectory import Trajectory

GAME = Game(num_arms=3, num_steps=4, bonuses=(0.0, 0.5, 1.0), cost=0.4)


def test_support_by_hand():
    episodes = [
        Episode([2, 0], [2, 0], [1.5, 0.5], [0.25, 1.0]),
        Episode([0, 1], [0, 1], [0.1, 0.2], [0.5, 0.125]),
        Episode([1], [1], [0.0], [0.5]),
    ]
    like = torch.zeros((), dtype=torch.float64)
    longer, shorter = support_of(episodes, 2, GAME, like, in_order=True)
    played = longer.episodes
    assert played.arms.tolist() == [[[2, 0], [0, 1]]]
    assert played.observed_arms.tolist() == [[[0, 2], [2, 1]]]  # the target and arm 0 swap labels
    assert played.levels.tolist() == [[[2, 0], [0, 1]]]
    assert played.aligned.tolist() == [[[True, False], [False, False]]]
    # 1 for a pull of the target, minus 0.4 times the bonus
    expected = torch.tensor([[[0.6, 0.0], [0.0, -0.2]]], dtype=torch.float64)
    torch.testing.assert_close(played.rewards, expected)
    assert played.agent_rewards.tolist() == [[[1.5, 0.5], [0.1, 0.2]]]
    assert played.observed_agent_rewards.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    logs = [[[math.log(0.25), 0.0], [math.log(0.5), math.log(0.125)]]]
    torch.testing.assert_close(longer.behaviour, torch.tensor(logs, dtype=torch.float64))
    assert shorter.episodes.observed_arms.tolist() == [[[1]]]
    assert (longer.num_steps, shorter.num_steps) == (4, 1)
    full = Game(num_arms=3, num_steps=4, bonuses=GAME.bonuses, observation=FullInformation())
    (seen, _) = support_of(episodes, 2, full, like, in_order=True)
    assert torch.equal(seen.episodes.observed_agent_rewards, played.agent_rewards)
    for field in Trajectory.records():
        value = getattr(played, field.name)
        assert value.dtype in (torch.int64, torch.bool, torch.float64)


def test_the_order_of_the_episodes_is_kept():
    lengths = [3, 3, 1, 3, 2, 2]
    episodes = [Episode([0] * length, [1] * length, None, None) for length in lengths]
    groups = support_of(episodes, 0, GAME, torch.zeros(()), in_order=True)
    assert [tuple(group.episodes.arms.shape[1:]) for group in groups] == [
        (2, 3),
        (1, 1),
        (1, 3),
        (2, 2),
    ]
    groups = support_of(episodes, 0, GAME, torch.zeros(()), in_order=False)
    assert [tuple(group.episodes.arms.shape[1:]) for group in groups] == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_that_the_agent_does_not_have(target):
    with pytest.raises(ValueError, match=r"target_arm .*at most 2, got"):
        support_of([Episode([0], [0], None, None)], target, GAME, torch.zeros(()), in_order=True)


def test_steps_are_added_and_left_out():
    episode = Episode([], [], [], None)
    for step in range(3):
        episode.add(step, 2 - step, 0.5 * step)
    assert episode == Episode([0, 1, 2], [2, 1, 0], [0.0, 0.5, 1.0], None)
    assert episode.until(1) == Episode([0], [2], [0.0], None)
