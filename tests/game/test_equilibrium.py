"""The closed form against playing every level."""

import itertools

import pytest
import torch

from mermaide_pl.agents import BestResponse, Family, NoiseFreeReward
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import TIE_TOLERANCE, Game
from mermaide_pl.game.equilibrium import (
    equilibrium_level,
    equilibrium_payoff,
    population_equilibrium,
)
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals.players import Player

GAMES = [
    Game(num_arms=4, num_steps=1, bonuses=bonuses, cost=cost)
    for bonuses, cost in itertools.product(
        # with a level that is never worth its price, and levels alike
        [(0.0, 1.0), (0.0, 0.25, 0.5, 0.75), (0.0, 0.2, 0.7, 3.0), (0.0, 0.4, 0.4)],
        [0.0, 0.5, 1.0, 2.5],
    )
]


def test_what_is_put_on_the_others_counts_against_the_target():
    game = Game(3, 1, (0.0, 1.0, 1.0), cost=0.2, other_bonuses=(0.0, 0.6, 0.0))
    delta = torch.tensor([0.0, 0.3, 0.7, 1.5], dtype=torch.float64)
    # level 1 gains 0.4 for 0.32, level 2 gains 1 for 0.2
    assert equilibrium_level(delta, game).tolist() == [0, 2, 2, 0]
    assert equilibrium_payoff(delta, game).tolist() == pytest.approx([1.0, 0.8, 0.8, 0.0])


class FixedLevel(Player):
    def __init__(self, level: int) -> None:
        self.level = level

    def start(self, table) -> None:
        self.shape = table.uniforms.shape[1:]

    def act(self, step: int) -> torch.Tensor:
        return torch.full(self.shape, self.level)

    def observe(self, levels, arms, agent_rewards) -> None:
        """It has made up its mind."""


def followers(base_rewards: torch.Tensor, target_arm: torch.Tensor) -> TaskBatch:
    M = len(base_rewards)
    families = [Family(BestResponse(), torch.arange(M))]
    return TaskBatch(range(M), families, base_rewards, target_arm, NoiseFreeReward())


@pytest.fixture(scope="module")
def tasks():
    generator = torch.Generator().manual_seed(0)
    base_rewards = torch.rand(300, 4, generator=generator, dtype=torch.float64)
    return followers(base_rewards, torch.randint(4, (300,), generator=generator))


def payoffs(tasks: TaskBatch, game: Game) -> torch.Tensor:
    """Played payoff of each level against each agent, [M, L]."""
    played = [
        rollout(tasks, FixedLevel(level), game, stream=Stream.SCORE, num_episodes=1).returns[:, 0]
        for level in range(game.num_levels)
    ]
    return torch.stack(played, dim=1)


@pytest.mark.parametrize("game", GAMES, ids=lambda game: f"{game.bonuses} at {game.cost}")
def test_no_level_beats_the_closed_form(game, tasks):
    payoff = payoffs(tasks, game)
    level = equilibrium_level(tasks.delta, game)
    assert torch.equal(payoff.gather(1, level.unsqueeze(1)).squeeze(1), payoff.amax(1))
    # and no cheaper one is as good
    bonus = torch.tensor(game.bonuses, dtype=torch.float64)
    as_good = payoff == payoff.amax(1, keepdim=True)
    cheapest = torch.where(as_good, bonus, torch.inf).amin(1)
    assert torch.equal(bonus[level], cheapest)


@pytest.mark.parametrize("game", GAMES, ids=lambda game: f"{game.bonuses} at {game.cost}")
def test_population_level_has_the_best_mean(game, tasks):
    mean = payoffs(tasks, game).mean(0)
    level, payoff = population_equilibrium(tasks.delta, game)
    assert payoff == pytest.approx(mean.max().item(), abs=1e-12)
    assert mean[level].item() == pytest.approx(payoff, abs=1e-12)


def test_levels_by_hand():
    game = Game(bonuses=(0.0, 0.25, 0.5, 1.0), cost=1.5)
    delta = torch.tensor([0.0, 0.1, 0.25, 0.26, 0.5, 0.51, 1.5])
    # 1 - 1.5 b: 1, 0.625, 0.25, -0.5; bonus 1 costs more than the target is worth
    assert equilibrium_level(delta, game).tolist() == [0, 1, 1, 2, 2, 0, 0]


def test_population_by_hand():
    game = Game(bonuses=(0.0, 0.25, 1.0), cost=0.5)
    level, payoff = population_equilibrium(torch.tensor([0.0, 0.2, 0.3, 0.9]), game)
    # none: 1/4; 0.25: 2/4 - 0.125; 1: 1 - 0.5
    assert (level, payoff) == (2, 0.5)
    level, payoff = population_equilibrium(torch.tensor([0.0, 0.2, 0.25, 2.0]), game)
    assert (level, payoff) == (1, pytest.approx(0.625))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agents_on_the_edge_follow_as_the_closed_form_says(dtype):
    # bonuses that exactly make up for the distance, in numbers that are not exact in binary
    tenths = torch.arange(11, dtype=torch.float64) / 10.0
    best, target = torch.meshgrid(tenths, tenths, indexing="ij")
    keep = best > target
    base_rewards = torch.stack([best[keep], target[keep]], dim=1).to(dtype)
    tasks = followers(base_rewards, torch.ones(len(base_rewards), dtype=torch.long))
    game = Game(num_arms=2, num_steps=1, bonuses=tuple(step / 10 for step in range(11)), cost=0.5)
    level = equilibrium_level(tasks.delta, game)
    payoff = payoffs(tasks, game)
    torch.testing.assert_close(payoff.gather(1, level.unsqueeze(1)).squeeze(1), payoff.amax(1))
    # in whole tenths there is no rounding: the level that makes up for the distance
    tenths_apart = (10.0 * (best - target)[keep]).round().long()
    assert torch.equal(level, tenths_apart)


@pytest.mark.parametrize(("distance", "level"), [(0.5, 1), (1.5, 0), (-0.5, 1)])
def test_distances_within_the_tolerance_of_a_bonus_are_made_up_for(distance, level):
    delta = torch.tensor([0.7 + distance * TIE_TOLERANCE], dtype=torch.float64)
    game = Game(num_arms=2, num_steps=1, bonuses=(0.0, 0.7))
    assert equilibrium_level(delta, game).tolist() == [level]
    assert population_equilibrium(delta, game)[0] == level
    tasks = followers(torch.stack([delta, torch.zeros(1)], dim=1), torch.tensor([1]))
    played = rollout(tasks, FixedLevel(1), game, stream=Stream.SCORE, num_episodes=1)
    assert played.aligned.item() == (level == 1)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-7), (torch.float64, 1e-15)], ids=str
)
def test_payoffs_are_worked_out_in_the_type_of_delta(dtype, tolerance):
    # 0.7 and 0.3 are not exact in binary
    game = Game(bonuses=(0.0, 0.7), cost=0.3)
    level, payoff = population_equilibrium(torch.tensor([0.1, 0.2], dtype=dtype), game)
    assert (level, payoff) == (1, pytest.approx(1.0 - 0.3 * 0.7, abs=tolerance, rel=0.0))


def test_payoff_of_the_equilibrium_by_hand():
    game = Game(num_arms=2, num_steps=1, bonuses=(0.0, 0.5, 1.0), cost=0.8)
    delta = torch.tensor([0.0, 0.2, 0.5, 0.7, 1.0, 1.1], dtype=torch.float64)
    expected = torch.tensor([1.0, 0.6, 0.6, 0.2, 0.2, 0.0], dtype=torch.float64)
    torch.testing.assert_close(equilibrium_payoff(delta, game), expected)
    # too dear to be worth it
    dear = Game(num_arms=2, num_steps=1, bonuses=(0.0, 0.5, 1.0), cost=1.25)
    expected = torch.tensor([1.0, 0.375, 0.375, 0.0, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(equilibrium_payoff(delta, dear), expected)
