"""The one record of a rollout's random numbers."""

from itertools import combinations

import pytest
import torch

from mermaide_pl.agents import UCB, EpsilonGreedy
from mermaide_pl.engines import Stream, draw_noise
from mermaide_pl.engines.noise import Part, by_step, uniforms
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.game.randomness import task_uniforms
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    AlwaysIntervene,
    FunctionPlayer,
    InitialBurst,
    NoIntervention,
    Oracle,
    Periodic,
    RandomlyIntervene,
)

GAME = Game(num_arms=4, num_steps=7, observation=FullInformation(0.1, 0.2))
MIXED = Population([AgentFamily(UCB), AgentFamily(EpsilonGreedy)], num_arms=4)
M, B, T = 6, 3, 7


def noise(player=None, indices=range(M), game=GAME, **options):
    tasks = MIXED.sample(indices, split="train")
    return draw_noise(tasks, player, game, **{"stream": Stream.QUERY, "num_episodes": B, **options})


def test_the_shapes_are_those_of_the_record():
    tasks = MIXED.sample(range(M), split="train")
    drawn = noise(RandomlyIntervene(0.5))
    for numbers, family in zip(drawn.agents, tasks.families, strict=True):
        draws = family.rule.num_uniforms(GAME.num_arms)
        assert numbers.shape == (len(family.rows), B, T, draws)
    assert drawn.rewards.shape == drawn.principal.shape == (M, B, T)
    assert drawn.observation.shape == (M, B, T, 3)
    assert drawn.num_episodes == B


def test_each_part_has_the_numbers_of_its_stream_alone():
    seeds = MIXED.sample(range(M), split="train").seeds
    drawn = noise(RandomlyIntervene(0.5))
    assert torch.equal(drawn.rewards, task_uniforms(seeds, "query/reward", (B, T)))
    assert torch.equal(drawn.observation, task_uniforms(seeds, "query/observation", (B, T, 3)))
    assert torch.equal(drawn.principal, task_uniforms(seeds, "query/principal", (B, T)))
    parts = [uniforms([5], Stream.QUERY, part, (200,)) for part in Part]
    for one, other in combinations(parts, 2):
        assert not torch.equal(one, other)


def test_streams_differ_but_for_scoring_which_meets_no_agent_of_training():
    numbers = {stream: uniforms([5], stream, Part.AGENT, (50,)) for stream in Stream}
    for one, other in combinations(Stream, 2):
        same = {one, other} == {Stream.QUERY, Stream.SCORE}
        assert torch.equal(numbers[one], numbers[other]) == same
    scored = {split: set(MIXED.sample(range(300), split=split).seeds) for split in ("val", "test")}
    trained = set(MIXED.sample(range(300), split="train").seeds)
    assert not trained & (scored["val"] | scored["test"])


def test_the_number_of_an_episode_gives_others():
    drawn = [uniforms([5], Stream.SUPPORT, Part.AGENT, (50,), number) for number in (None, 1, 2)]
    for one, other in combinations(drawn, 2):
        assert not torch.equal(one, other)


@pytest.mark.parametrize("player", [None, RandomlyIntervene(0.5), Oracle()])
def test_agents_meet_the_same_numbers_whoever_plays(player):
    """Methods are compared by common random numbers."""
    expected, drawn = noise(NoIntervention()), noise(player)
    assert torch.equal(drawn.rewards, expected.rewards)
    assert torch.equal(drawn.observation, expected.observation)
    for one, other in zip(drawn.agents, expected.agents, strict=True):
        assert torch.equal(one, other)


def test_more_tasks_and_episodes_leave_the_numbers_as_they_are():
    few, many = noise(indices=range(2)), noise(num_episodes=B + 2)
    assert torch.equal(many.rewards[:2, :B], few.rewards)
    assert torch.equal(many.observation[:2, :B], few.observation)


def test_common_random_numbers_are_drawn_once_for_all_episodes():
    drawn = noise(RandomlyIntervene(0.5), common_random_numbers=True)
    assert drawn.rewards.shape == (M, 1, T)
    assert all(numbers.shape[1] == 1 for numbers in drawn.agents)
    # what the principal does, and what it sees, still differ
    assert drawn.principal.shape == (M, B, T)
    assert not torch.equal(drawn.principal[:, 0], drawn.principal[:, 1])
    assert not torch.equal(drawn.observation[:, 0], drawn.observation[:, 1])
    assert torch.equal(drawn.rewards[:, 0], noise().rewards[:, 0])


@pytest.mark.parametrize(
    "player",
    [
        NoIntervention(),
        AlwaysIntervene(),
        Periodic(3),
        InitialBurst(2),
        Oracle(),
        FunctionPlayer(lambda features: features[:, 0]),
    ],
)
def test_a_player_that_is_not_random_costs_no_numbers(player):
    assert (noise(player).principal == 0.5).all()


def test_only_noisy_observations_cost_numbers():
    for observation, number in (
        (PartialInformation(), 0),
        (FullInformation(), 0),
        (PartialInformation(0.1), 3),
        (FullInformation(0.1), 3),
        (FullInformation(0.0, 0.1), 3),
    ):
        game = Game(num_arms=4, num_steps=T, observation=observation)
        assert noise(game=game).observation.shape == (M, B, T, number)


def test_by_step_by_hand():
    numbers = torch.arange(12.0).view(1, 2, 3, 2)
    steps = by_step(numbers)
    assert steps.is_contiguous()
    assert steps[1].tolist() == [[[2.0, 3.0], [8.0, 9.0]]]
