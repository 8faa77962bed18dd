import pytest
import torch

from mermaide_pl.agents import UCB, BernoulliReward, GaussianReward
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Budget, FullInformation, Game, PartialInformation
from mermaide_pl.populations import (
    AgentFamily,
    GameRanges,
    Interval,
    Population,
    TaskBatch,
    Usually,
)
from mermaide_pl.populations.ranges import draw as values_drawn
from mermaide_pl.principals import AlwaysIntervene, NoIntervention

RANGES = GameRanges(
    num_arms=[2, 5, 9],
    num_steps=Interval(10, 40, log=True),
    num_levels=[2, 4],
    observations=[PartialInformation(), FullInformation()],
    endless=0.5,
    bonus=Interval(0.5, 4.0, log=True),
    cost=[0.1, 0.7],
    interventions=[0.25, 1],
    reward_noise=Interval(0.0, 0.4),
)
FAMILIES = [AgentFamily(UCB, {"beta": [0.1, 0.4]})]
COINS = BernoulliReward()
POPULATION = Population(FAMILIES, games=RANGES)


def draw(numbers=range(6), meta_batch=0, population=POPULATION, **others) -> TaskBatch:
    return population.sample(numbers, split="train", meta_batch=meta_batch, **others)


def test_sizes_are_drawn_for_a_meta_batch_and_lie_in_their_ranges():
    sizes = [draw(range(1), number).games.sizes for number in range(200)]
    assert {game.num_arms for game in sizes} == {2, 5, 9}
    assert {game.num_levels for game in sizes} == {2, 4}
    assert {game.endless for game in sizes} == {True, False}
    assert {type(game.observation) for game in sizes} == {PartialInformation, FullInformation}
    steps = [game.num_steps for game in sizes]
    assert min(steps) >= 10 and max(steps) <= 40
    # the median of a logarithmic interval is the geometric mean of its ends
    assert torch.tensor(steps).double().median().item() == pytest.approx(20.0, abs=3.0)
    assert draw(meta_batch=3).games.sizes == draw([17], meta_batch=3).games.sizes


def test_numbers_are_drawn_for_each_task_and_lie_in_their_ranges():
    tasks = draw(range(400))
    games = tasks.games
    bonuses = games.bonuses
    assert (bonuses[:, 0] == 0.0).all() and (bonuses.diff(dim=1) >= 0.0).all()
    assert 0.5 <= bonuses[:, -1].min() < 0.6 and 3.5 < bonuses[:, -1].max() <= 4.0
    assert sorted(games.cost.unique().tolist()) == pytest.approx([0.1, 0.7])
    steps = games.num_steps
    assert sorted(games.max_interventions.unique().tolist()) == [round(steps / 4), steps]
    scale = tasks.reward_model.scale
    assert 0.0 <= scale.min() < 0.02 and 0.38 < scale.max() <= 0.4


def test_a_task_has_the_same_numbers_in_every_batch():
    whole, part = draw(range(8)), draw([2, 5])
    for name in ("bonuses", "cost", "max_interventions"):
        assert torch.equal(getattr(whole.games, name)[[2, 5]], getattr(part.games, name))
    assert torch.equal(whole.reward_model.scale[[2, 5]], part.reward_model.scale)
    assert torch.equal(whole.base_rewards[[2, 5]], part.base_rewards)
    again = POPULATION.from_seeds(whole.seeds, sizes_seed=whole.sizes_seed)
    assert torch.equal(again.games.bonuses, whole.games.bonuses)


def test_agents_are_the_same_whether_games_are_drawn_or_not():
    game = Game(num_arms=5)
    open_ = Population(FAMILIES).sample(range(6), split="train", game=game)
    drawn = draw(population=Population(FAMILIES, games=GameRanges(cost=[0.3])), game=game)
    assert torch.equal(open_.base_rewards, drawn.base_rewards)
    assert torch.equal(open_.target_arm, drawn.target_arm)
    assert drawn.games.cost.tolist() == pytest.approx([0.3] * 6)
    assert torch.equal(drawn.games.bonuses, torch.tensor(game.bonuses).expand(6, -1))
    assert open_.games is None


def test_in_one_game_only_the_noise_of_the_rewards_is_drawn():
    game = Game(num_arms=4, num_steps=12)
    tasks = draw(population=POPULATION.in_game(game), game=game)
    games = tasks.game(Game())
    assert (games.num_arms, games.num_steps, games.num_levels) == (4, 12, 2)
    assert games.cost.tolist() == [0.5] * 6
    assert tasks.reward_model.scale.unique().numel() == 6
    assert tasks.base_rewards.shape == (6, 4)


@pytest.mark.parametrize("meta_batch", range(4))
def test_the_games_drawn_are_played(meta_batch):
    tasks = draw(meta_batch=meta_batch)
    games = tasks.game(Game())
    shared = {"stream": Stream.SCORE, "num_episodes": 2}
    played = rollout(tasks, AlwaysIntervene(), games, **shared)
    assert played.levels.shape == (6, 2, games.num_steps)
    spent = (played.levels > 0).sum(-1)
    assert torch.equal(spent, games.max_interventions.long().unsqueeze(1).expand(-1, 2))
    costs = games.cost * games.bonuses[:, -1] * games.max_interventions / games.num_steps
    expected = played.alignment - costs.unsqueeze(1)
    torch.testing.assert_close(played.returns, expected)
    alone = rollout(tasks, NoIntervention(), games, **shared)
    base = tasks.base_rewards.gather(1, alone.arms.flatten(1)).view_as(alone.agent_rewards)
    noise = (alone.agent_rewards - base).square().mean((1, 2)).sqrt()
    torch.testing.assert_close(noise, tasks.reward_model.scale, rtol=0.6, atol=0.02)


def test_a_usual_value_has_its_share():
    """The remaining uniform numbers are spread over the others from the first to the last."""
    uniforms = torch.tensor([0.0, 0.74, 0.75, 0.87, 0.88, 1.0 - 2.0**-24])
    drawn = values_drawn(Usually(10.0, 0.75, [2.0, 50.0]), uniforms)
    assert drawn.tolist() == [10.0, 10.0, 2.0, 2.0, 50.0, 50.0]
    drawn = values_drawn(Usually(1.0, 0.5, Interval(2.0, 4.0)), torch.tensor([0.4, 0.5, 0.75]))
    assert drawn.tolist() == [1.0, 2.0, 3.0]
    for share in (0.0, 1.0):
        drawn = values_drawn(Usually(1.0, share, [2.0, 2.0, 2.0]), uniforms)
        assert drawn.tolist() == [2.0 - share] * 6


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GameRanges(num_arms=[1, 2]), r"GameRanges\.num_arms .*at least 2"),
        (lambda: GameRanges(num_steps=[2.5]), r"GameRanges\.num_steps must be whole numbers"),
        (lambda: GameRanges(num_levels=[]), r"GameRanges\.num_levels: the list of values is empty"),
        (lambda: GameRanges(bonus=0.0), r"GameRanges\.bonus .*above 0"),
        (lambda: GameRanges(cost=-1.0), r"GameRanges\.cost .*at least 0"),
        (lambda: GameRanges(interventions=2.0), r"GameRanges\.interventions .*at most 1"),
        (lambda: GameRanges(endless=1.5), r"GameRanges\.endless"),
        (lambda: GameRanges(observations=[]), r"GameRanges\.observations: the list is empty"),
        (lambda: Usually(1.0, 1.5, [2.0]), r"Usually\.share .*at most 1"),
        (lambda: Usually(1.0, 0.5, []), r"Usually\.otherwise: the list of values is empty"),
        (lambda: GameRanges(cost=Usually(1.0, 0.5, [-1.0])), r"GameRanges\.cost .*at least 0"),
        (lambda: Interval(0.0, 1.0, log=True), r"Interval\.low of a logarithmic interval"),
        (lambda: Population(FAMILIES, 3, games=RANGES), "exclude each other"),
        (
            lambda: draw(population=Population(FAMILIES, games=RANGES, reward_model=COINS)),
            "BernoulliReward has no noise",
        ),
    ],
)
def test_settings_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("drawn", [{"bonus": 1.0}, {"num_levels": 2}, {"endless": 0.5}])
def test_bonuses_and_budgets_that_must_be_spent_are_not_drawn(drawn):
    game = Game(3, 20, target_budget=Budget(5, 9))
    with pytest.raises(ValueError, match=r"draws no num_levels, bonus, .* must spend a budget"):
        GameRanges(**drawn).sizes(0, game)
    games, _ = GameRanges(cost=[0.2, 0.7]).numbers([1, 2], GameRanges(cost=0.1).sizes(0, game))
    like = torch.zeros(2, 1)
    assert [bound.flatten().tolist() for bound in games.budget_bounds(like)] == [[5.0], [9.0] * 2]


def test_the_scale_of_gaussian_rewards_may_differ_between_tasks():
    scale, uniforms = torch.tensor([0.0, 0.5]), torch.full((2, 3), 0.8)
    found = GaussianReward(9.0).with_scale(scale).sample(torch.ones(2, 3), uniforms)
    assert torch.equal(found[0], torch.ones(3))
    torch.testing.assert_close(found[1], GaussianReward(0.5).sample(torch.ones(3), uniforms[1]))
