"""A game for each task has the numbers of the games one by one."""

import math

import pytest
import torch

from mermaide_pl.game import Game, GameBatch
from mermaide_pl.game.equilibrium import equilibrium_level, equilibrium_payoff
from mermaide_pl.game.trajectory import Trajectory

ONE_BY_ONE = [
    Game(3, 4, (0.0, 0.5, 2.0), cost=0.3, max_interventions=2),
    Game(3, 4, (0.0, 1.0, 1.5), cost=0.7),
    Game(3, 4, (0.0, 0.1, 0.2), cost=0.1, max_interventions=0),
]


def games() -> GameBatch:
    each = [GameBatch.of(game, 1, torch.zeros((), dtype=torch.float64)) for game in ONE_BY_ONE]
    numbers = [(game.bonuses, game.cost, game.max_interventions) for game in each]
    bonuses, cost, budget = (torch.cat(parts) for parts in zip(*numbers, strict=True))
    return GameBatch(Game(3, 4), bonuses=bonuses, cost=cost, max_interventions=budget)


def test_it_has_what_each_game_has():
    together, like = games(), torch.zeros(3, 2, dtype=torch.float64)
    assert (len(together), together.num_levels, together.num_arms) == (3, 3, 3)
    levels = torch.tensor([[0, 1, 2, 2]]).expand(3, 2, 4)
    aligned = torch.tensor([True, False, True, False]).expand(3, 2, 4)
    bonus = together.bonus_of(levels, like)
    rewards = together.principal_rewards(aligned, bonus)
    delta = torch.tensor([0.5, 1.2, 0.15], dtype=torch.float64)
    for task, game in enumerate(ONE_BY_ONE):
        assert torch.equal(bonus[task], game.bonus_of(levels[task], like))
        expected = game.principal_rewards(aligned[task], bonus[task])
        torch.testing.assert_close(rewards[task], expected, rtol=0.0, atol=1e-15)
        costs = together.level_costs(like)[task, 0, 0]
        torch.testing.assert_close(costs, game.level_costs(like), rtol=0.0, atol=1e-15)
        assert together.largest_bonus(like)[task] == game.largest_bonus(like)
        one = delta[task : task + 1]
        assert equilibrium_level(delta, together)[task] == equilibrium_level(one, game)
        assert equilibrium_payoff(delta, together)[task] == equilibrium_payoff(one, game)


def test_steps_within_the_budget_by_hand():
    together, levels = games(), torch.tensor([[[1, 0, 2, 1]]]).expand(3, 1, 4)
    zeros, target = torch.zeros(3, 1, 4), torch.zeros(3, dtype=torch.long)
    options = {"arms": levels, "observed_arms": levels, "observed_agent_rewards": zeros}
    played = Trajectory.of(together, target, levels=levels, agent_rewards=zeros, **options)
    # at most 2 interventions, any number, none
    expected = [[True, True, True, False], [True] * 4, [False] * 4]
    assert played.allowed_levels[:, 0, :, 1].tolist() == expected
    assert together.has_budget
    assert not GameBatch.of(ONE_BY_ONE[1], 3, zeros).has_budget


def test_another_number_of_tasks_is_refused():
    together = games()
    assert len(GameBatch.of(together, 3, torch.zeros(()))) == 3
    assert GameBatch.of(together, 3, torch.zeros(())).cost.dtype == torch.float32
    with pytest.raises(ValueError, match="there are 4 tasks and 3 games"):
        GameBatch.of(together, 4, torch.zeros(()))


def test_horizons_go_with_their_games():
    like = torch.zeros(3, 1, dtype=torch.float64)
    together = games()
    assert together.horizon(like) == ONE_BY_ONE[0].horizon(like) == 4.0
    together.horizons = torch.tensor([4.0, 7.0, math.inf])
    assert together.horizon(like[..., None]).tolist() == [[[4.0]], [[7.0]], [[math.inf]]]
    repeated = GameBatch.of(together.repeated(2), 6, like)
    assert repeated.horizon(like).flatten().tolist() == [4.0, 4.0, 7.0, 7.0, math.inf, math.inf]
    assert repeated.horizon(like).dtype == torch.float64
