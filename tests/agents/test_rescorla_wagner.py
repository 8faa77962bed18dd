import pytest
import torch

from mermaide_pl.agents import RescorlaWagner


def state_of(values, latest=None):
    values = torch.tensor([[values]])
    habit = torch.zeros_like(values)
    if latest is not None:
        habit[..., latest] = 1.0
    return values, habit


def test_values_follow_the_prediction_error():
    base_rewards = torch.zeros(1, 2)
    rule = RescorlaWagner(learning_rate=0.25, initial_value=0.4).to(base_rewards)
    state = rule.init(base_rewards, torch.zeros(1, dtype=torch.int64), 1)
    torch.testing.assert_close(state[0], torch.full((1, 1, 2), 0.4))
    # 0.4 + 0.25 (1 - 0.4) = 0.55; then 0.55 + 0.25 (0 - 0.55) = 0.4125
    for reward, value in ((1.0, 0.55), (0.0, 0.4125)):
        state = rule.update(state, torch.tensor([[1]]), torch.tensor([[reward]]), torch.empty(0))
        torch.testing.assert_close(state[0], torch.tensor([[[0.4, value]]]))
        assert state[1].tolist() == [[[0.0, 1.0]]]


@pytest.mark.parametrize(("habit", "share"), [(0.0, 1 / 3), (0.1, 0.5756), (-0.1, 0.1554)])
def test_choice_probabilities_worked_by_hand(habit, share):
    # exp(0.1 * k / 0.1) for values 0.2, 0.2, 0.2 of which the last was pulled: e / (e + 2) = 0.5761
    num_draws = 100_000
    rule = RescorlaWagner(temperature=0.1, perseveration=habit)
    values, latest = state_of([0.2, 0.2, 0.2], latest=2)
    uniforms = torch.rand(1, num_draws, 3, generator=torch.Generator().manual_seed(0))
    state = values.expand(1, num_draws, 3), latest.expand(1, num_draws, 3)
    arms = rule.act(state, torch.empty(0), uniforms.clamp_(min=2.0**-25))
    # Standard error 0.0016 at most; four of them.
    assert (arms == 2).float().mean().item() == pytest.approx(share, abs=0.0065)


def test_rewards_of_long_ago_lose_their_weight(play):
    """Unlike a mean, the value of an arm that no longer pays comes down at a fixed rate."""
    rule = RescorlaWagner(learning_rate=0.5, temperature=0.001, initial_value=1.0)
    _, rewards = play(rule, torch.tensor([[0.2, 0.6]]), num_steps=60)
    assert rewards[..., 30:].mean().item() == pytest.approx(0.6, abs=0.05)
