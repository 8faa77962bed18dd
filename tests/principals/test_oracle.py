import pytest
import torch

from mermaide_pl.agents import (
    EXP3,
    UCB,
    BestResponse,
    EpsilonGreedy,
    Family,
    GaussianReward,
    NoiseFreeReward,
)
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import AgentFamily, Population, TaskBatch
from mermaide_pl.principals import AlwaysIntervene, InitialBurst, NoIntervention, Oracle


def play(player, tasks, game, num_episodes=1):
    return rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=num_episodes)


def ucb_tasks(num_tasks: int) -> TaskBatch:
    return Population([AgentFamily(UCB, {"beta": 0.2})]).sample(range(num_tasks), split="tune")


def greedy_agent(base_rewards: list[float]) -> TaskBatch:
    """An agent without noise that tries every arm once and is greedy ever after; target 1."""
    rule = EpsilonGreedy(epsilon=0.0)
    return TaskBatch(
        [7],
        [Family(rule, torch.tensor([0]))],
        torch.tensor([base_rewards], dtype=torch.float64),
        torch.tensor([1]),
        NoiseFreeReward(),
    )


@pytest.mark.parametrize(
    ("kappa", "pays", "pulls"),
    [
        # delta * T = 51.5. After B bonuses the target's mean is 0.385 + B/n, above 0.9 while
        # n < B / 0.515, and one pull more shows the agent that it is not
        (0.0, 0, 1),
        (0.5, 26, 51),
        (0.8, 42, 82),
        (1.0, 52, 99),  # all but the one trial of the other arm
    ],
)
def test_enough_bonuses_buy_a_mean_tracker(kappa, pays, pulls):
    played = play(Oracle(kappa), greedy_agent([0.9, 0.385]), Game(num_arms=2, num_steps=100))
    assert (played.levels.sum().item(), played.aligned.sum().item()) == (pays, pulls)
    assert played.returns.item() == pytest.approx((pulls - 0.5 * pays) / 100.0)


@pytest.mark.parametrize(("n0", "pays"), [(0.0, 0), (0.5, 1), (2.0, 2), (2.5, 3)])
def test_it_pays_while_the_bonuses_granted_are_below_n0(n0, pays):
    played = play(Oracle(0.0, n0), greedy_agent([0.9, 0.385]), Game(num_arms=2, num_steps=100))
    assert played.levels.sum().item() == pays


def test_budget_is_counted_in_bonuses_and_the_highest_level_is_played():
    game = Game(num_arms=2, num_steps=100, bonuses=(0.0, 0.5, 2.0))
    played = play(Oracle(0.0, 5.0), greedy_agent([0.9, 0.385]), game)
    assert sorted(played.levels[played.levels > 0].tolist()) == [2, 2, 2]  # 2 + 2 + 2 > 5


def test_it_pays_only_for_pulls_of_the_target_and_all_of_them_while_it_can():
    game, tasks = Game(num_steps=100), ucb_tasks(50)
    played = play(Oracle(0.8, 3.0), tasks, game, num_episodes=2)
    paid = played.levels == 1
    assert not (paid & ~played.aligned).any()
    budget = (0.8 * tasks.delta * 100 + 3.0).view(-1, 1, 1)
    before = paid.cumsum(-1) - paid.long()
    assert torch.equal(paid, played.aligned & (before < budget))
    assert (paid.sum(-1, keepdim=True) > budget - 1.0).any()


def test_without_budget_it_leaves_the_agent_alone():
    game, tasks = Game(num_steps=50), ucb_tasks(20)
    oracle, none = play(Oracle(0.0, 0.0), tasks, game), play(NoIntervention(), tasks, game)
    assert torch.equal(oracle.arms, none.arms)
    assert oracle.levels.sum() == 0


def test_it_beats_the_schedules():
    game, tasks = Game(), ucb_tasks(300)
    others = [NoIntervention(), AlwaysIntervene(), InitialBurst(50), InitialBurst(100)]
    best = max(play(player, tasks, game).returns.mean().item() for player in others)
    assert play(Oracle(1.0, 15.0), tasks, game).returns.mean().item() > best + 0.05


def test_it_plays_the_equilibrium_against_agents_that_see_the_bonus():
    game = Game(num_arms=3, num_steps=5, bonuses=(0.0, 0.25, 0.5, 1.0), cost=1.5)
    base_rewards = torch.tensor(
        [[0.50, 0.375, 0.0], [0.75, 0.25, 0.0], [1.0, 0.25, 0.0], [0.5, 0.5, 0.0]]
    )
    tasks = TaskBatch(
        range(4),
        [Family(BestResponse(), torch.arange(4))],
        base_rewards,
        torch.ones(4, dtype=torch.long),
        GaussianReward(),
    )
    played = play(Oracle(), tasks, game, num_episodes=2)
    # delta 1/8 costs 0.375, delta 1/2 costs 0.75, delta 3/4 would cost 1.5, delta 0 costs nothing
    expected = torch.tensor([1, 2, 0, 0]).view(4, 1, 1).expand(4, 2, 5)
    assert torch.equal(played.levels, expected)
    torch.testing.assert_close(played.returns[:, 0], torch.tensor([0.625, 0.25, 0.0, 1.0]))


def test_families_side_by_side_get_what_they_get_alone():
    game = Game(num_arms=5, num_steps=40)
    rules = [AgentFamily(BestResponse), AgentFamily(UCB, {"beta": [0.1, 0.5]}), AgentFamily(EXP3)]
    population = Population(rules, num_arms=5)
    together = play(Oracle(1.0, 5.0), population.sample(range(12), split="tune"), game)
    for index in range(12):
        alone = play(Oracle(1.0, 5.0), population.sample([index], split="tune"), game)
        assert torch.equal(together.levels[index], alone.levels[0])


@pytest.mark.parametrize(("kappa", "n0", "name"), [(-0.1, 0.0, "kappa"), (1.0, -1.0, "n0")])
def test_settings_are_checked(kappa, n0, name):
    with pytest.raises(ValueError, match=rf"Oracle\.{name} .*at least 0"):
        Oracle(kappa, n0)
