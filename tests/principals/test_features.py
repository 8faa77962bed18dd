import math
from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor

from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.principals import CountFeatures, HistoryState, LastStep, PooledFeatures

HISTORIES = pytest.mark.parametrize(
    "history", [LastStep(), CountFeatures(), PooledFeatures()], ids=["last", "tallies", "pooled"]
)
OBSERVATIONS = pytest.mark.parametrize(
    "observation", [PartialInformation(), FullInformation()], ids=["partial", "full"]
)


def game_of(observation, num_arms: int = 4, num_steps: int = 7) -> Game:
    return Game(num_arms, num_steps, bonuses=(0.0, 0.5, 1.5), observation=observation)


def episodes(game: Game, M: int = 3, B: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Random arms, levels and observed rewards [M, B, T]."""
    generator = torch.Generator().manual_seed(0)
    shape = (M, B, game.num_steps)
    arms = torch.randint(game.num_arms, shape, generator=generator)
    levels = torch.randint(game.num_levels, shape, generator=generator)
    rewards = torch.randn(shape, generator=generator, dtype=torch.float64)
    return arms, levels, rewards * game.observation.sees_agent_rewards


@HISTORIES
@OBSERVATIONS
def test_step_by_step_equals_the_sequence(history, observation):
    game = game_of(observation)
    arms, levels, rewards = episodes(game)
    sequence = HistoryState.of_sequence(arms, levels, rewards, game)
    features = history.features(sequence)
    num_global, num_per_arm = history.sizes(game)
    assert features.shape == (*arms.shape, num_global + game.num_arms * num_per_arm)

    past = HistoryState.empty(rewards, game, *arms.shape[:2])
    for step in range(game.num_steps):
        for item in fields(HistoryState)[1:]:
            expected = getattr(sequence, item.name)[:, :, step]
            value = getattr(past, item.name)
            if item.name == "step":  # one number for all of a running game
                value = torch.full_like(expected, value)
            torch.testing.assert_close(value, expected, rtol=0.0, atol=1e-14)
        running = history.features(past)
        torch.testing.assert_close(running, features[:, :, step], rtol=0.0, atol=1e-14)
        past.add(arms[..., step], levels[..., step], rewards[..., step])


@HISTORIES
@OBSERVATIONS
def test_a_step_knows_nothing_of_itself_and_the_future(history, observation):
    game = game_of(observation)
    arms, levels, rewards = episodes(game)
    before = history.features(HistoryState.of_sequence(arms, levels, rewards, game))
    arms[..., 3:], levels[..., 3:], rewards[..., 3:] = 0, 2, 9.0
    after = history.features(HistoryState.of_sequence(arms, levels, rewards, game))
    assert torch.equal(before[:, :, :4], after[:, :, :4])
    assert not torch.equal(before[:, :, 4], after[:, :, 4])


@HISTORIES
@OBSERVATIONS
def test_agent_rewards_enter_only_under_full_information(history, observation):
    game = game_of(observation)
    arms, levels, _ = episodes(game)
    rewards = torch.ones(arms.shape)
    features = history.features(HistoryState.of_sequence(arms, levels, rewards, game))
    others = history.features(HistoryState.of_sequence(arms, levels, 5.0 * rewards, game))
    assert torch.equal(features, others) != observation.sees_agent_rewards


@HISTORIES
@OBSERVATIONS
def test_features_of_the_arms_move_with_the_arms(history, observation):
    game = game_of(observation)
    arms, levels, rewards = episodes(game)
    order = torch.tensor([0, 3, 1, 2])  # arm a is called order[a] now; the target keeps its name
    num_global, num_per_arm = history.sizes(game)

    def encode(labels: Tensor) -> tuple[Tensor, Tensor]:
        features = history.features(HistoryState.of_sequence(labels, levels, rewards, game))
        overall, per_arm = features.tensor_split([num_global], dim=-1)
        return overall, per_arm.unflatten(-1, (game.num_arms, num_per_arm))

    overall, per_arm = encode(arms)
    renamed_overall, renamed_per_arm = encode(order[arms])
    torch.testing.assert_close(overall, renamed_overall, rtol=0.0, atol=1e-14)
    assert torch.equal(per_arm, renamed_per_arm[..., order, :])


def played() -> tuple[Tensor, Tensor, Tensor]:
    """Target paid 0.5, the other arm with 1.5 offered, the target unpaid, and one step more."""
    arms, levels = torch.tensor([[[0, 1, 0, 0]]]), torch.tensor([[[1, 2, 0, 0]]])
    return arms, levels, torch.tensor([[[1.0, 0.2, 0.4, 0.0]]])


def test_past_by_hand():
    game = game_of(FullInformation(), num_arms=2, num_steps=4)
    past = HistoryState.of_sequence(*played(), game)
    expected = {
        "step": [[0.0], [1.0], [2.0], [3.0]],
        "last_arm": [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]],
        "last_level": [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
        "last_reward": [[0.0], [1.0], [0.2], [0.4]],
        "pulls": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [2.0, 1.0]],
        "reward_sums": [[0.0, 0.0], [1.0, 0.0], [1.0, 0.2], [1.4, 0.2]],
        "latest": [[0.0, 0.0], [1.0, 0.0], [1.0, 2.0], [3.0, 2.0]],
        "paid": [[0.0], [0.5], [0.5], [0.5]],
        "offered": [[0.0], [0.5], [2.0], [2.0]],
        "interventions": [[0.0], [1.0], [2.0], [2.0]],
    }
    assert {"game", *expected} == {item.name for item in fields(HistoryState)}
    for name, values in expected.items():
        torch.testing.assert_close(getattr(past, name)[0, 0], torch.tensor(values))


def test_last_step_by_hand():
    game = game_of(FullInformation(), num_arms=2, num_steps=4)
    expected = torch.tensor(
        [
            # last level | t/T | last reward || last arm
            [0.0, 0.0, 0.0, 0.00, 0.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.25, 1.0, 1.0, 0.0],
            [0.0, 0.0, 1.0, 0.50, 0.2, 0.0, 1.0],
            [1.0, 0.0, 0.0, 0.75, 0.4, 1.0, 0.0],
        ]
    )
    features = LastStep(reward_unit=1.0).features(HistoryState.of_sequence(*played(), game))
    assert torch.equal(features[0, 0], expected)


def test_tallies_by_hand():
    game = game_of(FullInformation(), num_arms=2, num_steps=4)
    # before the last step: three steps gone by, the target pulled in the first and the third
    features = CountFeatures(reward_unit=1.0).features(HistoryState.of_sequence(*played(), game))
    features = features[0, 0, 3]
    log = {number: math.log(number) / math.log(5.0) for number in (1, 2, 3)}
    # last level | t/T | steps left | paid/T | offered/T | paid per target pull | last reward
    overall = [1.0, 0.0, 0.0, 3 / 4, log[2], 0.5 / 4, 2.0 / 4, 0.5 / 2, 0.4]
    # last | target | pulls | share | uncertainty | waiting | relative to its interval | mean
    target = [1.0, 1.0, log[3], 2 / 4, 2**-0.5, log[1], 1 * 2 / 4 / 4, 1.4 / 2]
    other = [0.0, 0.0, log[2], 1 / 4, 1.0, log[2], 2 * 1 / 4 / 4, 0.2]
    torch.testing.assert_close(features, torch.tensor(overall + target + other))
    # the largest bonus, 1.5, counts as one
    for number in (5, 6, 7, 8):
        overall[number] /= 1.5
    target[-1], other[-1] = target[-1] / 1.5, other[-1] / 1.5
    features = CountFeatures().features(HistoryState.of_sequence(*played(), game))[0, 0, 3]
    torch.testing.assert_close(features, torch.tensor(overall + target + other))


@pytest.mark.parametrize("history", [CountFeatures, LastStep])
def test_the_unit_is_checked(history):
    with pytest.raises(ValueError, match=rf"{history.__name__}\.reward_unit .*above 0, got 0"):
        history(reward_unit=0.0)


def test_tallies_before_the_first_step():
    game = game_of(FullInformation(), num_arms=2)
    features = CountFeatures().features(HistoryState.empty(torch.zeros(()), game))
    arm = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]  # uncertainty 1
    overall = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]  # all steps are left
    expected = torch.tensor([*overall, 0.0, 1.0, *arm[1:], 0.0, 0.0, *arm[1:]])
    torch.testing.assert_close(features, expected)


def test_a_long_overdue_arm_saturates():
    game = Game(num_arms=2, num_steps=200)
    past = HistoryState.empty(torch.zeros(()), game)
    past = replace(
        past,
        step=torch.tensor([99.0]),
        pulls=torch.tensor([79.0, 20.0]),
        latest=torch.tensor([99.0, 40.0]),
    )
    per_arm = CountFeatures().features(past)[-14:].view(2, 7)
    # 1 step waited at a mean interval of 100/79, and 60 steps at one of 5: 12 is cut to 4
    torch.testing.assert_close(per_arm[:, -1], torch.tensor([0.79 / 4.0, 1.0]))


@pytest.mark.parametrize(
    ("observation", "last_step", "tallies"),
    [(PartialInformation(), (3, 1), (7, 7)), (FullInformation(), (4, 1), (8, 8))],
    ids=["partial", "full"],
)
def test_sizes_of_the_default_game(observation, last_step, tallies):
    game = Game(observation=observation)
    assert (LastStep().sizes(game), CountFeatures().sizes(game)) == (last_step, tallies)
