"""A principal of another class in the meta-step."""

import pytest
import torch
from meta_learner import ADAPTATIONS, GAME, sample
from torch import nn

from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.meta_step import meta_step
from mermaide_pl.meta_learning.support import play_support
from mermaide_pl.objectives.advantages import CentredRewardsToGo
from mermaide_pl.principals import PrincipalOutput


class ConstantPolicy(nn.Module):
    """The smallest learned principal: one logit for each level, neither memory nor forecast."""

    def __init__(self, game):
        super().__init__()
        self.game = game
        self.logits = nn.Parameter(torch.tensor([0.2, -0.1], dtype=torch.float64))

    def weights(self):
        return dict(self.named_parameters())

    def forward(self, weights, trajectory):
        logits = weights["logits"].view(-1, 1, 1, 2).expand(*trajectory.levels.shape, 2)
        return PrincipalOutput.of(trajectory, logits)

    def first_state(self, weights, num_tasks, num_episodes):
        return weights["logits"].new_zeros(num_tasks, num_episodes)

    def step(self, weights, state, past):
        return state, weights["logits"].view(-1, 1, 2).expand(*state.shape, 2), None


def test_a_principal_of_another_class_adapts_by_the_gradient_worked_by_hand():
    principal, rate = ConstantPolicy(GAME), 0.5
    inner_loop = GradientAdaptation(inner_lr=rate, num_shots=2).build(principal.weights()).double()
    objective = Objective(advantages=CentredRewardsToGo())
    support = play_support(principal, inner_loop, sample(range(3)), 2)
    weights, output = adapt(principal, inner_loop, objective, support)
    assert output.log_arms is None and not output.values.any()

    policy, played = principal.logits.softmax(0), torch.eye(2).double()[support.levels]
    pulls = (support.observed_arms == 0).double()
    rewards = pulls - GAME.cost * support.levels  # the bonuses are 0 and 1
    to_go = rewards.flip(2).cumsum(2).flip(2)
    advantages = (to_go - to_go.mean(1, keepdim=True)).unsqueeze(-1)
    expected = principal.logits + rate * (advantages * (played - policy)).mean((1, 2))
    torch.testing.assert_close(weights["logits"], expected, rtol=0.0, atol=1e-7)
    assert (weights["logits"] - principal.logits).abs().amin(1).min() > 1e-3


@pytest.mark.parametrize("name", ["maml", "two shots, three steps", "first order", "no adaptation"])
def test_a_principal_of_another_class_takes_meta_steps(name):
    principal = ConstantPolicy(GAME)
    inner_loop = ADAPTATIONS[name].build(principal.weights()).double()
    tasks = sample(range(3))
    step = meta_step(principal, inner_loop, Objective(), tasks, num_query_episodes=2)
    gradients = torch.autograd.grad(step.loss, [principal.logits, *inner_loop.parameters()])
    assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("name", ["with memory", "memory of two shots", "memory alone"])
def test_a_principal_without_memory_cannot_carry_it(name):
    principal = ConstantPolicy(GAME)
    inner_loop = ADAPTATIONS[name].build(principal.weights()).double()
    with pytest.raises(
        ValueError, match=r"needs a last_state .*; allowed: carries_state=False"
    ) as said:
        meta_step(principal, inner_loop, Objective(), sample(range(3)), num_query_episodes=2)
    assert "\n" not in str(said.value)
