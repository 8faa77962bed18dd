import pytest
import torch

from mermaide_pl.game import Game
from mermaide_pl.observed_steps import ObservedSteps, support_of

GAME = Game(3, 4, (0.0, 0.5, 2.0), cost=0.5)
LIKE = torch.zeros(1, dtype=torch.float64)


def episode(length: int, arm: int = 0) -> ObservedSteps:
    steps = ObservedSteps()
    for step in range(length):
        steps.add(arm, step % 3, 0.25 * step)
    return steps


def test_what_is_made_of_the_steps():
    steps = ObservedSteps([2, 0, 1, 2], [1, 2, 0, 0], [0.5, 0.25, 0.0, 1.0])
    support = support_of([steps], 2, GAME, LIKE)
    assert support.arms.tolist() == [[[2, 0, 1, 2]]]
    assert support.observed_arms.tolist() == [[[0, 2, 1, 0]]]
    assert support.levels.tolist() == [[[1, 2, 0, 0]]]
    assert support.aligned.tolist() == [[[True, False, False, True]]]
    assert support.rewards.tolist() == [[[1.0 - 0.25, -1.0, 0.0, 1.0]]]
    assert support.agent_rewards.tolist() == [[[0.5, 0.25, 0.0, 1.0]]]
    assert support.observed_agent_rewards.dtype == LIKE.dtype


@pytest.mark.parametrize(
    ("lengths", "chosen"),
    [
        ([4, 4], [0, 1]),
        ([3, 4, 3], [1]),  # a whole one goes before more steps
        ([3, 1, 1, 3], [0, 3]),
        ([3, 1, 1], [0]),
        ([2, 1, 1], [0]),  # as many steps: the longer one
        ([3, 2, 2], [1, 2]),
    ],
)
def test_equally_long_episodes_are_stacked(lengths, chosen):
    episodes = [episode(length, arm=number % 3) for number, length in enumerate(lengths)]
    support = support_of(episodes, 1, GAME, LIKE)
    assert support.arms[0].tolist() == [episodes[number].arms for number in chosen]
    assert support.levels.shape == (1, len(chosen), lengths[chosen[0]])
