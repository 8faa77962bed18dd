import pytest
import torch
from meta_learner import ADAPTATIONS, GAME, Learner, sample

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.support import Support, play_support
from mermaide_pl.principals import LearnedPlayer
from mermaide_pl.principals.recurrence import INITIAL_STATE


@pytest.mark.parametrize("name", ["memory of two shots", "memory alone"])
def test_support_episodes_are_played_one_after_the_other_as_in_training(name):
    learner, tasks = Learner(ADAPTATIONS[name]), sample(range(3))
    principal = learner.principal
    support = play_support(principal, learner.inner_loop, tasks, 3)
    fast, ends = principal.weights(), []
    for number in range(3):
        if number == 2:  # trained on chains of two: the third begins another
            ends, fast = [fast[INITIAL_STATE]], principal.weights()
        player = LearnedPlayer(principal, fast)
        played = rollout(
            tasks,
            player,
            GAME,
            stream=Stream.SUPPORT,
            num_episodes=1,
            number=number or None,
        )
        assert torch.equal(support.levels[:, number], played.levels[:, 0])
        assert torch.equal(support.arms[:, number], played.arms[:, 0])
        end = principal(fast, played).last_state[:, 0].detach()
        fast = {**fast, INITIAL_STATE: end}
    weights, _ = adapt(principal, learner.inner_loop, learner.objective, support)
    expected = (ends[0] + fast[INITIAL_STATE]) / 2.0
    torch.testing.assert_close(weights[INITIAL_STATE], expected, rtol=0.0, atol=1e-12)
    once = play_support(principal, learner.inner_loop, tasks, 1)
    assert torch.equal(once.levels, support.levels[:, :1])


def test_support_episodes_that_carry_nothing_stand_alone():
    learner, tasks = Learner(ADAPTATIONS["maml"]), sample(range(3))
    support = play_support(learner.principal, learner.inner_loop, tasks, 2)
    player = LearnedPlayer(learner.principal, learner.principal.weights())
    played = rollout(tasks, player, GAME, stream=Stream.SUPPORT, num_episodes=2)
    assert torch.equal(support.levels, played.levels)
    assert torch.equal(support.arms, played.arms)


def test_one_by_one_each_episode_keeps_its_own_probabilities():
    numbers = torch.arange(12.0).view(2, 3, 2)  # two tasks, three episodes of two steps
    levels = numbers.long()
    episodes = Trajectory(levels, levels, levels > 5, numbers, numbers, levels, numbers, GAME)
    support = Support(episodes, -numbers)
    assert support.num_steps == 6
    parts = support.one_by_one()
    assert [part.num_steps for part in parts] == [2, 2, 2]
    assert parts[1].episodes.levels.tolist() == [[[2, 3]], [[8, 9]]]
    assert parts[1].behaviour.tolist() == [[[-2.0, -3.0]], [[-8.0, -9.0]]]
    assert [part.behaviour for part in Support(episodes).one_by_one()] == [None] * 3
