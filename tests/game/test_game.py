import pytest
import torch

from mermaide_pl.game import FullInformation, Game, PartialInformation


def test_principal_pays_whether_or_not_the_target_was_pulled():
    game = Game(bonuses=(0.0, 0.5, 2.0), cost=0.3)
    aligned = torch.tensor([True, True, True, False, False, False])
    bonus = game.bonus_of(torch.tensor([0, 1, 2, 0, 1, 2]), torch.zeros(()))
    rewards = game.principal_rewards(aligned, bonus)
    torch.testing.assert_close(rewards, torch.tensor([1.0, 0.85, 0.4, 0.0, -0.15, -0.6]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bonuses_have_the_wanted_type(dtype):
    game = Game(bonuses=(0, 1, 3))
    bonus = game.bonus_of(torch.tensor([[2, 0], [1, 1]]), torch.zeros((), dtype=dtype))
    assert torch.equal(bonus, torch.tensor([[3.0, 0.0], [1.0, 1.0]], dtype=dtype))
    assert game.principal_rewards(bonus > 1, bonus).dtype == dtype


def test_the_default_game():
    game = Game()
    assert (game.num_arms, game.num_steps, game.num_levels) == (10, 200, 2)
    assert game.bonuses == (0.0, 1.0)
    assert Game(bonuses=[0, 2]).bonuses == (0.0, 2.0)


@pytest.mark.parametrize("observation", [PartialInformation(), FullInformation()])
def test_without_noise_the_arms_are_seen_as_they_are(observation):
    arms = torch.arange(6).view(3, 2)
    assert torch.equal(observation.arms(arms, torch.full((3, 2, 3), 0.01), 6), arms)


@pytest.mark.parametrize("observation", [PartialInformation, FullInformation])
def test_arms_are_flipped_to_another_one_by_hand(observation):
    seen = observation(arm_flip=0.25).arms(
        torch.tensor([[0, 1, 2, 2, 2]]),
        # below 0.25 flips; the second number chooses one of the two other arms
        torch.tensor(
            [[[0.9, 0.1, 0], [0.26, 0.9, 0], [0.24, 0.1, 0], [0.2, 0.6, 0], [0.2, 0.999, 0]]]
        ),
        3,
    )
    assert seen.tolist() == [[0, 1, 0, 1, 1]]


def test_flips_have_the_stated_rate_and_no_favourite():
    generator = torch.Generator().manual_seed(0)
    uniforms = torch.rand(400, 100, 3, generator=generator)
    arms = torch.full((400, 100), 2)
    seen = PartialInformation(arm_flip=0.3).arms(arms, uniforms, 5)
    frequencies = seen.flatten().bincount(minlength=5) / seen.numel()
    expected = torch.tensor([0.075, 0.075, 0.7, 0.075, 0.075])
    torch.testing.assert_close(frequencies, expected, rtol=0.0, atol=0.01)


@pytest.mark.parametrize("num_arms", [2, 3, 8, 10, 33])
def test_the_largest_uniform_number_gives_an_arm_that_exists(num_arms):
    uniforms = torch.full((1, num_arms, 3), 1.0 - 2.0**-24)
    arms = torch.arange(num_arms).unsqueeze(0)
    seen = PartialInformation(arm_flip=1.0).arms(arms, uniforms, num_arms)
    assert torch.equal(seen, (arms - 1) % num_arms)


def test_partial_information_hides_the_rewards():
    assert not PartialInformation.sees_agent_rewards
    rewards = torch.tensor([[1.0, -2.0]], dtype=torch.float64)
    seen = PartialInformation().agent_rewards(rewards, torch.full((1, 2, 3), 0.9))
    assert torch.equal(seen, torch.zeros(1, 2, dtype=torch.float64))


def test_full_information_shows_the_rewards_with_gaussian_noise():
    assert FullInformation.sees_agent_rewards
    rewards = torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64)
    # the third number: median, one and two standard deviations
    quantiles = torch.tensor([0.5, 0.8413447460685429, 0.022750131948179195]).double()
    uniforms = torch.stack([torch.zeros(3), torch.zeros(3), quantiles], dim=-1).unsqueeze(0)
    seen = FullInformation(reward_noise=0.1).agent_rewards(rewards, uniforms)
    expected = torch.tensor([[1.0, -1.9, 0.3]], dtype=torch.float64)
    torch.testing.assert_close(seen, expected, rtol=0.0, atol=1e-6)
    assert torch.equal(FullInformation().agent_rewards(rewards, uniforms), rewards)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Game(num_arms=1), r"Game\.num_arms .*at least 2, got 1"),
        (lambda: Game(num_steps=0), r"Game\.num_steps .*at least 1, got 0"),
        (lambda: Game(cost=-0.1), r"Game\.cost .*at least 0 and .*, got -0\.1"),
        (lambda: Game(cost=float("nan")), r"Game\.cost .*finite number"),
        (lambda: Game(bonuses=(0.0,)), r"Game\.bonuses must start with 0 .*at least 2 levels"),
        (lambda: Game(bonuses=()), r"Game\.bonuses must start with 0 .*at least 2 levels"),
        (lambda: Game(bonuses=(0.5, 1.0)), r"Game\.bonuses must start with 0"),
        (lambda: Game(bonuses=(0.0, 1.0, 0.0)), r"Game\.bonuses .*above 0, got 0\.0"),
        (lambda: Game(bonuses=(0.0, 1e39)), r"Game\.bonuses .*at most 1e\+18, got 1e\+39"),
        (lambda: Game(bonuses=(0.0, 1e-45)), r"Game\.bonuses .*above 0 .*got 1e-45"),
        (lambda: Game(bonuses=(0, 10**400)), r"Game\.bonuses .*at most 1e\+18, got 1000"),
        (lambda: Game(cost=1e39), r"Game\.cost .*at most 1e\+18, got 1e\+39"),
        (lambda: FullInformation(0.0, 1e39), r"FullInformation\.reward_noise .*at most 1e\+18"),
        (lambda: Game(bonuses=(0.0, -1.0)), r"Game\.bonuses .*above 0, got -1\.0"),
        (lambda: Game(bonuses=(0.0, 2.0, 1.0)), r"Game\.bonuses must be in rising order"),
        (lambda: Game(bonuses=0.5), r"Game\.bonuses must be a list of numbers, got 0\.5"),
        (lambda: Game(bonuses=(0.0, "1")), r"Game\.bonuses .*finite number.*, got '1'"),
        (lambda: Game(cost="a"), r"Game\.cost .*finite number.*, got 'a'"),
        (lambda: Game(endless="no"), r"Game\.endless must be True or False, got 'no'"),
        (lambda: Game(target_budget=(0, 5)), r"Game\.target_budget must be a Budget or None"),
        (lambda: PartialInformation(1.5), r"PartialInformation\.arm_flip .*at most 1, got 1\.5"),
        (lambda: FullInformation(-0.1), r"FullInformation\.arm_flip .*at least 0 .*got -0\.1"),
        (lambda: FullInformation(0.0, -1.0), r"FullInformation\.reward_noise .*at least 0"),
    ],
)
def test_rules_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()
