import pytest
import torch

from mermaide_pl.agents import UCB, BestResponse, NoiseFreeReward
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.baselines import best_of
from mermaide_pl.game import Game
from mermaide_pl.populations import AgentFamily, FixedRewards, Population, SecondBestTarget
from mermaide_pl.principals import (
    AlwaysIntervene,
    InitialBurst,
    NoIntervention,
    Oracle,
    Periodic,
    RandomlyIntervene,
)
from mermaide_pl.principals.grids import burst_grid, oracle_grid, periodic_grid, random_grid

LEARNERS = Population([AgentFamily(UCB, {"beta": [0.2, 0.5]})], num_arms=3)
# a follower that must be paid 0.2 on each step
FOLLOWER = Population(
    [AgentFamily(BestResponse)],
    num_arms=2,
    base_rewards=FixedRewards((0.5, 0.3)),
    target=SecondBestTarget(),
    reward_model=NoiseFreeReward(),
)


def game(num_steps: int = 20, num_arms: int = 3, **settings) -> Game:
    return Game(num_arms=num_arms, num_steps=num_steps, **settings)


def learners(num_tasks: int = 12):
    return LEARNERS.sample(range(num_tasks), split="tune")


def test_bursts_by_hand():
    assert burst_grid(game(200)) == [InitialBurst(length) for length in range(0, 200, 10)]
    assert burst_grid(game(4)) == [InitialBurst(length) for length in range(5)]
    assert burst_grid(game(1)) == [InitialBurst(0), InitialBurst(1)]


def test_periods_by_hand():
    assert periodic_grid(game(8)) == [Periodic(period) for period in (2, 3, 5, 7)]
    periods = [player.period for player in periodic_grid(game(200))]
    assert periods[:6] == [2, 3, 5, 7, 10, 14]
    assert 100 < periods[-1] < 200
    assert periodic_grid(game(1)) == [Periodic(2)]


def test_rates_by_hand():
    rates = [player.rate for player in random_grid(game())]
    assert rates == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert all(type(player) is RandomlyIntervene for player in random_grid(game()))


def test_oracles_spend_from_nothing_to_more_than_delta_allows():
    oracles = oracle_grid()
    assert all(type(oracle) is Oracle for oracle in oracles)
    kappas = {oracle.kappa for oracle in oracles}
    assert {0.0, 1.0} < kappas
    assert max(kappas) > 1.0
    assert oracles[0] == Oracle(0.0)
    head_starts = {oracle.head_start for oracle in oracles[1:]}
    assert len(oracles) == 1 + len(kappas) * len(head_starts)
    assert 0.0 < min(head_starts) < max(head_starts) <= 1.0


def test_where_no_bonus_pays_burst_and_oracle_leave_the_agent_alone():
    rules = game(cost=20.0)
    assert best_of(burst_grid(rules), learners(), rules) == InitialBurst(0)
    assert best_of(oracle_grid(), learners(), rules) == Oracle(0.0)


def test_head_starts_are_shares_of_what_an_episode_can_cost():
    tasks = learners()

    def budgets(**settings) -> torch.Tensor:
        return Oracle(0.0, head_start=0.25).plan(tasks, game(**settings))[0]

    once = budgets()
    assert torch.equal(budgets(num_steps=40), 2.0 * once)
    assert torch.equal(budgets(bonuses=(0.0, 0.2, 0.5)), 0.5 * once)


@pytest.mark.parametrize("grid", [burst_grid, periodic_grid, random_grid, lambda _: oracle_grid()])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 50])
def test_every_grid_has_players_for_every_game(grid, num_steps):
    players = grid(game(num_steps))
    assert players
    assert all(one != other for i, one in enumerate(players) for other in players[:i])


def test_the_best_has_the_highest_mean_return():
    tasks, rules = learners(), game(cost=0.4)
    players = [NoIntervention(), *burst_grid(rules), *random_grid(rules), *oracle_grid()]
    returns = [
        rollout(tasks, player, rules, stream=Stream.TUNE, num_episodes=2).returns.mean().item()
        for player in players
    ]
    assert len(set(returns)) > 10
    best = best_of(players, tasks, rules, num_episodes=2)
    assert best is players[returns.index(max(returns))]


def test_tuning_plays_other_episodes_than_scoring():
    rules, differs = game(cost=0.4), False
    players = random_grid(rules)
    for first in range(0, 20, 4):
        tasks = LEARNERS.sample(range(first, first + 4), split="tune")
        returns = {
            stream: [
                rollout(tasks, player, rules, stream=stream, num_episodes=1).returns.mean().item()
                for player in players
            ]
            for stream in (Stream.TUNE, Stream.SCORE)
        }
        tuned, scored = (players[each.index(max(each))] for each in returns.values())
        assert best_of(players, tasks, rules) is tuned
        differs |= tuned is not scored
    assert differs


@pytest.mark.parametrize(("cost", "best"), [(0.0, AlwaysIntervene), (5.0, NoIntervention)])
def test_free_bonuses_are_given_and_dear_ones_are_not(cost, best):
    rules = game(cost=cost)
    for players in (
        [NoIntervention(), AlwaysIntervene()],
        [AlwaysIntervene(), NoIntervention()],
    ):
        assert type(best_of(players, learners(), rules)) is best


def test_the_first_one_among_equals():
    tasks = FOLLOWER.sample(range(3), split="tune")
    rules = game(num_arms=2, bonuses=(0.0, 0.25), cost=1.0)
    oracles = oracle_grid()
    assert best_of(oracles, tasks, rules) is oracles[0]  # they play the equilibrium, all of them
    assert best_of(oracles[::-1], tasks, rules) is oracles[-1]


def test_the_tuned_oracle_reaches_the_equilibrium_of_a_follower():
    tasks = FOLLOWER.sample(range(3), split="tune")
    rules = game(num_arms=2, bonuses=(0.0, 0.25), cost=1.0)
    oracle = best_of(oracle_grid(), tasks, rules)
    played = rollout(tasks, oracle, rules, stream=Stream.SCORE, num_episodes=1)
    assert played.returns.tolist() == [[0.75]] * 3


def test_each_candidate_is_announced():
    calls = []
    players = burst_grid(game())
    best_of(players, learners(2), game(), on_step=lambda: calls.append(1))
    assert len(calls) == len(players) == 20


def test_tuning_twice_chooses_the_same():
    rules = game(cost=0.4)
    players = [*burst_grid(rules), *random_grid(rules)]
    assert best_of(players, learners(), rules) is best_of(players, learners(), rules)
