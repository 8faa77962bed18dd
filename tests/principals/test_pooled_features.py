"""Features of one number for every game."""

import math
from dataclasses import replace

import pytest
import torch

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, GameBatch
from mermaide_pl.populations import packaged
from mermaide_pl.principals import HistoryState, PooledFeatures, RandomlyIntervene
from mermaide_pl.principals.pooled_features import standard_units

GAME = Game(3, 4, (0.0, 0.5, 1.5), 0.4, FullInformation(), max_interventions=3)


def played() -> tuple[torch.Tensor, ...]:
    """Target paid 0.5, another arm with 1.5 offered, the target unpaid, and one step more."""
    arms, levels = torch.tensor([[[0, 1, 0, 0]]]), torch.tensor([[[1, 2, 0, 0]]])
    return arms, levels, torch.tensor([[[1.0, 0.2, 0.4, 0.0]]], dtype=torch.float64)


def eighth(number: float) -> float:
    return math.log(number) / 8.0


def overall(*, share: float, left: float, allowed: float) -> list[float]:
    """Global features before the last step; the largest bonus, 1.5, counts as one."""
    return [
        *(0.0, 0.0),  # last bonus, as far as it was paid
        *(share, eighth(1.0 + left), eighth(4.0)),  # steps left, log steps left and played
        *(0.5 / 1.5 / 4, 2.0 / 1.5 / 4, 0.5 / 1.5 / 2),  # paid, offered, mean of a target pull
        *(eighth(1 + 0.5 / 1.5), eighth(1 + 2.0 / 1.5)),
        *(0.6 / 1.6, math.log(3.0) / 4.0),  # price, arms
        *(allowed / left, eighth(1.0 + allowed)),
        *(1.0, 0.4 / 1.5),  # rewards are seen, the last one
    ]


# last | log pulls | share | uncertainty | waiting | relative to its interval | mean reward
TARGET = [1.0, eighth(3), 2 / 4, 2**-0.5, 0.0, 2 / 16, 0.7 / 1.5]
PULLED = [0.0, eighth(2), 1 / 4, 1.0, eighth(2), 2 / 16, 0.2 / 1.5]
NEVER = [0.0, 0.0, 0.0, 1.0, eighth(4), 0.0, 0.0]
MEAN = [(one + other) / 2 for one, other in zip(PULLED, NEVER, strict=True)]
MOST = [max(pair) for pair in zip(PULLED, NEVER, strict=True)]
ARMS = [*MEAN, *PULLED, *MOST, *TARGET, 1.0, *PULLED, 0.0, *NEVER, 0.0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [  # two interventions were made, one step is left
        ({}, {"share": 1 / 4, "left": 1.0, "allowed": 1.0}),
        ({"max_interventions": 2}, {"share": 1 / 4, "left": 1.0, "allowed": 0.0}),
        ({"max_interventions": None}, {"share": 1 / 4, "left": 1.0, "allowed": 1.0}),
        ({"endless": True}, {"share": 1.0, "left": 1000.0, "allowed": 1.0}),
        (
            {"endless": True, "max_interventions": None},
            {"share": 1.0, "left": 1000.0, "allowed": 1000.0},
        ),
    ],
)
def test_by_hand(changes, expected):
    past = HistoryState.of_sequence(*played(), replace(GAME, **changes))
    features = PooledFeatures().features(past)[0, 0, 3]
    values = torch.tensor([*overall(**expected), *ARMS], dtype=torch.float64)
    means, deviations = (
        torch.cat([each, each[-8:].repeat(2)]) for each in standard_units(values)
    )  # of each arm
    torch.testing.assert_close(features * deviations + means, values, rtol=0.0, atol=1e-14)


def test_features_are_standardised_over_the_games_of_training():
    """With agents that are paid at random: all but whether an arm is the target, for its own."""
    population, means, squares = packaged("train_universal"), [], []
    for batch in range(100):
        tasks = population.sample(
            range(4), split="train", seed=batch, game=Game(), meta_batch=batch
        )
        player = RandomlyIntervene((batch + 0.5) / 100)
        played = rollout(tasks, player, tasks.games, stream=Stream.SCORE, num_episodes=1)
        seen = played.observed_arms, played.levels, played.observed_agent_rewards
        features = PooledFeatures().features(HistoryState.of_sequence(*seen, played.game))
        means.append(features[..., :44].mean((0, 1, 2)))
        squares.append(features[..., :44].square().mean((0, 1, 2)))
    mean = torch.stack(means).mean(0)
    deviation = (torch.stack(squares).mean(0) - mean.square()).sqrt()
    assert mean.abs().max() < 3.0
    assert deviation.min() > 0.3
    assert deviation.max() < 3.0


@pytest.mark.parametrize("endless", [False, True])
def test_step_by_step_equals_the_sequence_where_each_task_has_a_game(endless):
    generator = torch.Generator().manual_seed(0)
    shape = (3, 2, 9)
    arms, levels = (torch.randint(n, shape, generator=generator) for n in (4, 3))
    rewards = torch.randn(shape, generator=generator, dtype=torch.float64)
    games = GameBatch(
        Game(4, 9, observation=FullInformation(), endless=endless),
        bonuses=torch.tensor([[0.0, 0.5, 1.0], [0.0, 2.0, 1.0], [0.0, 0.1, 7.0]]).double(),
        cost=torch.tensor([0.2, 0.5, 3.0]).double(),
        max_interventions=torch.tensor([2.0, 9.0, 6.0]).double(),
    )
    features = PooledFeatures().features(HistoryState.of_sequence(arms, levels, rewards, games))
    past = HistoryState.empty(rewards, games, 3, 2)
    for step in range(9):
        running = PooledFeatures().features(past)
        torch.testing.assert_close(running, features[:, :, step], rtol=0.0, atol=1e-14)
        past.add(arms[..., step], levels[..., step], rewards[..., step])
    assert features.isfinite().all()
    assert not torch.equal(features[0], features[1])


def test_tasks_may_have_horizons_of_their_own():
    """Each as its own game would say, step by step; an infinite one is that of an endless game."""
    shared = Game(3, 9, (0.0, 0.5), 0.4, FullInformation())
    games = [
        replace(shared, num_steps=5, max_interventions=1),
        replace(shared, num_steps=70),
        replace(shared, endless=True, max_interventions=2),
        replace(shared, endless=True),
    ]
    like = torch.zeros(4, 1, 1, dtype=torch.float64)
    together = batch_of(shared, games, like)
    past = HistoryState.empty(like, together, 4, 1)
    past.step = torch.zeros_like(like)
    alone = [HistoryState.empty(like, game, 1, 1) for game in games]
    for arm, level in ((0, 1), (2, 1), (1, 0), (0, 0)):
        features = PooledFeatures().features(past)
        for row, own in enumerate(alone):
            expected = PooledFeatures().features(own)[0]
            torch.testing.assert_close(features[row], expected, rtol=0.0, atol=1e-14)
            own.add(torch.tensor([[arm]]), torch.tensor([[level]]), like[0] + 0.3)
        every = torch.ones(4, 1, dtype=torch.int64)
        past.add(arm * every, level * every, like[..., 0] + 0.3)


def batch_of(shared: Game, games: list[Game], like: torch.Tensor) -> GameBatch:
    batch = GameBatch.of(shared, len(games), like)
    return GameBatch(
        shared,
        bonuses=batch.bonuses,
        cost=batch.cost,
        max_interventions=like.new_tensor(
            [
                math.inf if game.max_interventions is None else game.max_interventions
                for game in games
            ]
        ),
        horizons=like.new_tensor([math.inf if game.endless else game.num_steps for game in games]),
    )
