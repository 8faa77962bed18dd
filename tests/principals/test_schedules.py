import pytest
import torch

from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Budget, Game
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    AlwaysIntervene,
    InitialBurst,
    NoIntervention,
    Periodic,
    RandomlyIntervene,
    StaticSchedule,
)


def levels_of(player, num_tasks: int = 2, num_episodes: int = 3, bonuses=(0.0, 1.0), game=None):
    game = game or Game(num_arms=4, num_steps=10, bonuses=bonuses)
    tasks = Population([AgentFamily(UCB)], num_arms=4).sample(range(num_tasks), split="tune")
    return rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=num_episodes).levels


@pytest.mark.parametrize(
    ("player", "expected"),
    [
        (NoIntervention(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (AlwaysIntervene(), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (Periodic(1), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (Periodic(3), [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]),
        (Periodic(4), [1, 0, 0, 0, 1, 0, 0, 0, 1, 0]),
        (Periodic(99), [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (InitialBurst(0), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (InitialBurst(4), [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]),
        (InitialBurst(99), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (RandomlyIntervene(0.0), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        (RandomlyIntervene(1.0), [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
    ids=repr,
)
def test_levels_of_every_episode(player, expected):
    levels = levels_of(player)
    assert torch.equal(levels, torch.tensor(expected).expand(2, 3, 10))


def test_the_highest_level_is_played():
    levels = levels_of(InitialBurst(4), bonuses=(0.0, 0.3, 1.0, 2.0))
    assert levels[0, 0].tolist() == [3, 3, 3, 3, 0, 0, 0, 0, 0, 0]


def test_a_static_schedule_plays_its_levels():
    sequence = (2, 0, 1, 1, 0, 0, 2, 0, 0, 1)
    levels = levels_of(StaticSchedule(sequence), bonuses=(0.0, 0.3, 2.0))
    assert torch.equal(levels, torch.tensor(sequence).expand(2, 3, 10))
    for wrong in (sequence[1:], (3, *sequence[1:])):
        with pytest.raises(ValueError, match="the game 10 steps and levels up to 2"):
            levels_of(StaticSchedule(wrong), bonuses=(0.0, 0.3, 2.0))


@pytest.mark.parametrize(
    ("player", "expected"),
    [
        # what must be spent is spent in the last steps, whoever plays
        (NoIntervention(), [0, 0, 0, 0, 0, 0, 2, 3, 3, 3]),
        (AlwaysIntervene(), [1, 1, 1, 0, 0, 0, 2, 2, 2, 2]),
        (Periodic(4), [1, 0, 0, 0, 1, 0, 2, 2, 3, 2]),
        (InitialBurst(2), [1, 1, 0, 0, 0, 0, 2, 2, 2, 3]),
        (StaticSchedule((3,) * 10), [3, 3, 3, 2, 0, 0, 0, 0, 0, 0]),
        (StaticSchedule((2, 1, 0, 2, 1, 0, 2, 1, 0, 2)), [2, 1, 0, 2, 1, 0, 2, 1, 0, 2]),
    ],
    ids=repr,
)
def test_budgets_bind_schedules(player, expected):
    game = Game(
        4,
        10,
        (0.0, 1.0, 0.0, 1.0),
        other_bonuses=(0.0, 0.0, 1.0, 1.0),
        target_budget=Budget(3, 3),
        other_budget=Budget(4, 4),
    )
    assert levels_of(player, game=game).unique(dim=1).tolist() == [[expected]] * 2


def test_random_interventions_have_the_stated_rate():
    levels = levels_of(RandomlyIntervene(0.3), num_tasks=100, num_episodes=20).double()
    assert levels.mean().item() == pytest.approx(0.3, abs=0.013)  # 4 standard errors
    assert (levels.mean((0, 1)) - 0.3).abs().max() < 0.05  # at every step
    assert 0.05 < (levels[:, 0] - levels[:, 1]).square().mean() < 0.5  # episodes differ


def test_random_interventions_at_a_higher_rate_include_those_at_a_lower():
    few, many = levels_of(RandomlyIntervene(0.3)), levels_of(RandomlyIntervene(0.6))
    assert (few <= many).all()
    assert few.sum() < many.sum()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Periodic(0), r"Periodic\.period .*at least 1, got 0"),
        (lambda: InitialBurst(-1), r"InitialBurst\.length .*at least 0, got -1"),
        (lambda: RandomlyIntervene(1.5), r"RandomlyIntervene\.rate .*at most 1, got 1\.5"),
        (lambda: RandomlyIntervene(-0.1), r"RandomlyIntervene\.rate .*at least 0 .*got -0\.1"),
    ],
)
def test_settings_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()
