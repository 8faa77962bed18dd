import pytest
import torch

from mermaide_pl.agents import EXP3


def learn(rule, pulls, num_arms=2, dtype=torch.float32):
    """Probabilities of the arms after one task saw the (arm, reward) pairs, and the state."""
    base_rewards = torch.zeros(1, num_arms, dtype=dtype)
    rule = rule.to(base_rewards)
    state = rule.init(base_rewards, torch.zeros(1, dtype=torch.long), 1)
    for arm, reward in pulls:
        rewards = torch.tensor([[reward]], dtype=dtype)
        state = rule.update(state, torch.tensor([[arm]]), rewards, torch.empty(1, 1, 1))
    return rule.probabilities(state, num_arms).flatten().tolist(), state


def test_probabilities_after_updates_worked_by_hand():
    # gamma = 1/2, two arms. First reward 1 at p = 1/2: weight exp(1/4 * 1 / 0.5) = 1.648721, so
    # p_0 = 0.5 * 0.622459 + 0.25. Then reward 1/2 for arm 1 at p_1 = 0.438770: weight
    # exp(1/4 * 0.5 / 0.438770) = 1.329618, so p_0 = 0.5 * 1.648721 / 2.978339 + 0.25.
    assert learn(EXP3(gamma=0.5), [])[0] == pytest.approx([0.5, 0.5])
    assert learn(EXP3(gamma=0.5), [(0, 1.0)])[0] == pytest.approx([0.561230, 0.438770], abs=2e-6)
    both = learn(EXP3(gamma=0.5), [(0, 1.0), (1, 0.5)])[0]
    assert both == pytest.approx([0.526785, 0.473215], abs=2e-6)


@pytest.mark.parametrize(("reward", "same_as"), [(0.5, 0.375), (-3.0, 0.0), (7.0, 1.0)])
def test_rewards_are_rescaled_by_their_range_and_clipped(reward, same_as):
    rescaled = learn(EXP3(reward_low=-1.0, reward_high=3.0), [(1, reward)], num_arms=3)[0]
    assert rescaled == pytest.approx(learn(EXP3(), [(1, same_as)], num_arms=3)[0])


@pytest.mark.parametrize(
    ("uniform", "arm"), [(2.0**-25, 0), (0.561, 0), (0.562, 1), (1.0 - 2.0**-24, 1)]
)
def test_arm_is_drawn_by_the_inverse_distribution_function(uniform, arm):
    rule = EXP3(gamma=0.5).to(torch.zeros(1))
    _, state = learn(rule, [(0, 1.0)])  # probabilities 0.56123, 0.43877
    assert rule.act(state, torch.zeros(1, 1), torch.full((1, 1, 1), uniform)).item() == arm


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_stay_finite_and_normalised_in_long_runs(dtype):
    # Unnormalised, the weight of arm 0 would pass exp(2000): at least gamma / A / 0.625 a step.
    probabilities, state = learn(EXP3(gamma=0.5), [(0, 1.0)] * 10_000, num_arms=4, dtype=dtype)
    assert torch.isfinite(state).all()
    assert state.exp().sum().item() == pytest.approx(1.0, abs=1e-6)
    assert probabilities == pytest.approx([0.625, 0.125, 0.125, 0.125], abs=1e-6)
