"""Budgets: which levels they leave, against all plays of short games."""

from functools import cache
from itertools import product

import pytest
import torch

from mermaide_pl.game import Budget, Game, GameBatch, allowed_levels, nearest_allowed

T = 5
TABLES = {
    "four levels": ((0, 1, 0, 1), (0, 0, 1, 1)),
    "in another order": ((0, 1, 0, 1, 2), (0, 1, 1, 0, 0)),
    "never both": ((0, 1, 0), (0, 0, 1)),
    "always both": ((0, 1), (0, 1)),
    "target alone or both": ((0, 1, 1), (0, 0, 1)),
    "others alone or both": ((0, 0, 1), (0, 1, 1)),
    "target only": ((0, 1, 2), None),
}
BUDGETS = [Budget(), Budget(0, 2), Budget(2, 2), Budget(3), Budget(1, 3), Budget(5, 5)]


def game_of(bonuses, other_bonuses, target, others) -> Game | None:
    try:
        return Game(
            2,
            T,
            bonuses,
            other_bonuses=other_bonuses,
            target_budget=target,
            other_budget=None if other_bonuses is None else others,
        )
    except ValueError as error:
        assert "cannot spend the budgets" in str(error)
        return None


def plays_within(signs, budgets, spent, left) -> bool:
    """Whether some play of the steps left ends within all bounds, by trying every one."""

    @cache
    def some(spent: tuple[int, ...], left: int) -> bool:
        if left == 0:
            return all(
                each.at_least <= n <= (T if each.at_most is None else each.at_most)
                for n, each in zip(spent, budgets, strict=True)
            )
        return any(
            some(tuple(n + p for n, p in zip(spent, pays, strict=True)), left - 1)
            for pays in {*signs}
        )

    return some(tuple(spent), left)


@pytest.mark.parametrize("name", TABLES)
def test_levels_that_are_left_are_those_from_which_some_play_keeps_the_budgets(name):
    playable = 0
    for target, others in product(BUDGETS, BUDGETS):
        bonuses, other_bonuses = TABLES[name]
        game = game_of(bonuses, other_bonuses, target, others)
        columns = [target] if other_bonuses is None else [target, others]
        pays = [bonuses] if other_bonuses is None else [bonuses, other_bonuses]
        signs = tuple(tuple(int(b > 0) for b in level) for level in zip(*pays, strict=True))
        within = plays_within(signs, columns, [0] * len(columns), T)
        assert (game is not None) == within, (target, others)
        if game is None or not game.has_budget:
            continue
        playable += 1
        for step in range(T):
            for spent in product(range(step + 1), repeat=len(columns)):
                if not plays_within(signs, columns, spent, T - step):
                    continue
                after = [[n + p for n, p in zip(spent, each, strict=True)] for each in signs]
                expected = [plays_within(signs, columns, n, T - step - 1) for n in after]
                given = torch.tensor([spent], dtype=torch.float64)
                assert allowed_levels(game, given, float(step))[0].tolist() == expected
                together = GameBatch.of(game, 1, given)
                assert allowed_levels(together, given, float(step))[0].tolist() == expected
                assert any(expected)
    assert playable > 1


def test_the_nearest_level_by_hand():
    signs = Game(bonuses=(0, 1, 0, 1), other_bonuses=(0, 0, 1, 1)).signs
    levels = torch.tensor([0, 1, 2, 3, 3, 1, 0, 2])
    allowed = torch.tensor(
        [
            [False, True, True, True],  # none: one of the two, not both; the first
            [False, False, True, True],  # the target: both
            [True, False, False, False],
            [True, True, True, False],  # both: the target
            [True, False, True, False],  # both, with the target's used up: the others
            [False, False, True, False],
            [False, False, False, True],
            [True, True, True, True],
        ]
    )
    assert nearest_allowed(levels, allowed, signs).tolist() == [1, 3, 0, 1, 2, 2, 3, 2]
    alone = Game(bonuses=(0, 1, 2)).signs
    used_up, must = torch.tensor([True, False, False]), torch.tensor([False, True, True])
    assert nearest_allowed(torch.tensor([0, 1, 2]), used_up, alone).tolist() == [0, 0, 0]
    assert nearest_allowed(torch.tensor([0, 1, 2]), must, alone).tolist() == [1, 1, 2]


def test_a_history_that_broke_a_budget_leaves_what_pays_nothing():
    game = Game(2, T, max_interventions=1)
    assert allowed_levels(game, torch.tensor([[3.0]]), 3.0).tolist() == [[True, False]]


def test_pay_off_tables_by_hand():
    game = Game(3, 4, (0, 2, 0, 1), cost=0.5, other_bonuses=(0, 0, 4, 1))
    levels, like = torch.tensor([[0, 1, 2, 3]]), torch.zeros(())
    assert game.payoffs == ((0, 0), (2, 0), (0, 4), (1, 1))
    assert game.bonus_of(levels, like).tolist() == [[0, 2, 0, 1]]
    assert game.other_bonus_of(levels, like).tolist() == [[0, 0, 4, 1]]
    aligned = torch.tensor([[True, True, False, False]])
    rewards = game.principal_rewards(aligned, game.outlay_of(levels, like))
    assert rewards.tolist() == [[1.0, 0.0, -2.0, -1.0]]
    assert game.interventions_of(levels, like).tolist() == [[[0, 0], [1, 0], [0, 1], [1, 1]]]
    assert (game.largest_bonus(like), game.largest_reward(like)) == (4.0, 2.0)
    assert game.steering_level == 1
    together = GameBatch.of(game, 2, torch.zeros(2))
    assert together.level_costs(torch.zeros(())).tolist() == [[[[0, 1, 2, 1]]]] * 2
    assert together.largest_bonus(torch.zeros(2)).tolist() == [4, 4]
    assert "others 0, 0, 4, 1" in str(game)


def test_a_target_budget_without_fewest_is_the_most_interventions():
    assert Game(target_budget=Budget(0, 5)) == Game(max_interventions=5)
    assert Game(target_budget=Budget()) == Game()


FOUR = {"bonuses": (0, 1, 0, 1), "other_bonuses": (0, 0, 1, 1)}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Budget(-1), r"Budget\.at_least .*at least 0, got -1"),
        (lambda: Budget(3, 2), r"Budget\.at_most .*at least 3, got 2"),
        (lambda: Game(other_bonuses=(0, 1, 2)), r"other_bonuses must start with 0 .* 2 levels"),
        (lambda: Game(other_bonuses=(1, 1)), r"other_bonuses must start with 0"),
        (lambda: Game(other_bonuses=(0, -1)), r"Game\.other_bonuses .*at least 0"),
        (lambda: Game(other_bonuses=(0, 0)), r"must each have one above 0"),
        (
            lambda: Game(bonuses=(0, 1, 0), other_bonuses=(0, 1, 0)),
            r"every level after the first must pay",
        ),
        (lambda: Game(**FOUR, max_interventions=3), r"give target_budget\.at_most"),
        (lambda: Game(max_interventions=3, target_budget=Budget(1)), r"target_budget\.at_most"),
        (lambda: Game(other_budget=Budget(1)), r"other_budget needs Game\.other_bonuses"),
        (
            lambda: Game(num_steps=9, target_budget=Budget(10)),
            r"9 steps .* cannot spend the budgets \(at least 10\)",
        ),
        (
            lambda: Game(endless=True, target_budget=Budget(10)),
            r"endless: a budget with at_least must be spent by a known end",
        ),
    ],
)
def test_tables_and_budgets_are_checked(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
