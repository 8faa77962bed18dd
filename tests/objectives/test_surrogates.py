"""The meta-gradient estimators against the exact derivatives of a game that can be enumerated.

The agent pulls its target arm more often the more often it was paid for it. The policy sees the
last arm and the number of its own interventions. With T steps there are 4^T episodes; "expected"
below means: every one of them, weighted by its probability.
"""

import itertools
import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from mermaide_pl.objectives import (
    DiCE,
    LowVarianceCurvature,
    PlainMAML,
    Surrogate,
    log_probabilities,
    rewards_to_go,
)

SURROGATES = [PlainMAML(), DiCE(), LowVarianceCurvature()]
COST = 0.3
INNER_LR = 0.7


def named(surrogate: Surrogate) -> str:
    return type(surrogate).__name__


@dataclass
class TinyGame:
    """All N = 4^T episodes of the game; the policy's weights are a vector of P = 6 numbers."""

    num_steps: int

    def __post_init__(self) -> None:
        T = self.num_steps
        plays = list(itertools.product(itertools.product((0, 1), (0, 1)), repeat=T))
        played = torch.tensor(plays)  # [N, T, 2]
        self.levels, aligned = played[..., 0], played[..., 1].double()
        paid = aligned * self.levels
        before_paid, before_levels = (
            quantity.cumsum(1) - quantity for quantity in (paid, self.levels.double())
        )
        chance = 0.15 + 0.35 * before_paid + 0.05 * torch.arange(T)
        self.chance = torch.where(aligned > 0, chance, 1.0 - chance).prod(1)  # [N]
        self.rewards = aligned - COST * self.levels  # [N, T]
        last = torch.cat([torch.full((len(plays), 1), 0.5).double(), aligned[:, :-1]], dim=1)
        self.features = torch.stack([torch.ones_like(last), last, before_levels], dim=-1)
        self.theta = torch.tensor([0.3, -0.2, 0.8, 0.1, -0.6, 0.4], dtype=torch.float64)

    def log_probs(self, theta: Tensor) -> Tensor:
        """Log-probability of every level played, [N, T]."""
        logits = torch.tanh(self.features @ theta.view(3, 2))
        return log_probabilities(logits, self.levels)

    def probabilities(self, theta: Tensor) -> Tensor:
        """Of the episodes, [N]."""
        return self.log_probs(theta).sum(1).exp() * self.chance

    def exact_return(self, theta: Tensor) -> Tensor:
        """Expected sum of rewards."""
        return (self.probabilities(theta) * self.rewards.sum(1)).sum()

    def advantages(self) -> Tensor:
        """Rewards to go, [N, T]."""
        return rewards_to_go(self.rewards)

    def loss(
        self,
        surrogate: Surrogate,
        theta: Tensor,
        behaviour: Tensor | None = None,
        advantages: Tensor | None = None,
    ) -> Tensor:
        """Expected surrogate, episodes played by the weights `behaviour`; a sum over steps."""
        behaviour = self.theta if behaviour is None else behaviour
        advantages = self.advantages() if advantages is None else advantages
        # every episode as a task of its own, to weight it; the surrogate divides by T
        per_episode = surrogate(
            self.log_probs(theta).unsqueeze(1),
            self.log_probs(behaviour).detach().unsqueeze(1),
            advantages.unsqueeze(1),
        )
        return self.num_steps * (self.probabilities(behaviour).detach() * per_episode).sum()

    def outer_products(self) -> Tensor:
        """Expected ``g_s g_{s'}^T R_{max(s, s')}`` of every pair of steps, [T, T, P, P]."""
        scores = jacobian(self.log_probs, self.theta)  # [N, T, P]
        steps = torch.arange(self.num_steps)
        later = torch.maximum(steps.unsqueeze(1), steps)  # [T, T]
        weights = self.probabilities(self.theta)[:, None, None] * self.advantages()[:, later]
        return torch.einsum("nst,nsi,ntj->stij", weights, scores, scores)

    def left_out(self, surrogate: Surrogate) -> Tensor:
        """Terms that the surrogate's Hessian of the return omits, by its docstring, [P, P]."""
        products = self.outer_products()
        if isinstance(surrogate, DiCE):
            return torch.zeros_like(products[0, 0])
        if isinstance(surrogate, LowVarianceCurvature):
            same = torch.eye(self.num_steps, dtype=torch.bool)
            products = products.masked_fill(same[:, :, None, None], 0.0)
        return products.sum((0, 1))


@pytest.fixture(scope="module", params=[2, 3], ids="T={}".format)
def game(request):
    return TinyGame(request.param)


def close(actual: Tensor, expected: Tensor, atol: float = 1e-12) -> None:
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=atol)


def test_the_enumeration_is_complete(game):
    close(game.probabilities(game.theta).sum(), torch.tensor(1.0, dtype=torch.float64))
    assert len(game.levels) == 4**game.num_steps


def test_expected_scores_vanish(game):
    # E[grad log P(episode)] = 0: policy and probabilities belong together
    scores = jacobian(lambda theta: game.log_probs(theta).sum(1), game.theta)
    close(game.probabilities(game.theta) @ scores, torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("surrogate", SURROGATES, ids=named)
def test_first_derivative_is_the_policy_gradient(surrogate, game):
    exact = jacobian(game.exact_return, game.theta)
    assert exact.abs().max() > 0.05
    close(jacobian(lambda theta: game.loss(surrogate, theta), game.theta), -exact)


def test_second_derivative_of_dice_is_the_hessian(game):
    exact = hessian(game.exact_return, game.theta)
    close(hessian(lambda theta: game.loss(DiCE(), theta), game.theta), -exact)


@pytest.mark.parametrize("surrogate", [PlainMAML(), LowVarianceCurvature()], ids=named)
def test_second_derivative_lacks_what_the_docstring_says(surrogate, game):
    left_out = game.left_out(surrogate)
    assert left_out.abs().max() > 0.01
    expected = hessian(game.exact_return, game.theta) - left_out
    close(hessian(lambda theta: game.loss(surrogate, theta), game.theta), -expected)


def test_plain_maml_keeps_only_the_curvature_of_the_log_policy(game):
    weights = game.probabilities(game.theta).unsqueeze(1) * game.advantages()
    curvature = hessian(lambda theta: (weights * game.log_probs(theta)).sum(), game.theta)
    close(hessian(lambda theta: game.loss(PlainMAML(), theta), game.theta), -curvature)


def test_low_variance_curvature_keeps_products_within_a_step(game):
    plain, low_variance = (
        hessian(lambda theta, of=surrogate: game.loss(of, theta), game.theta)
        for surrogate in (PlainMAML(), LowVarianceCurvature())
    )
    within = game.outer_products().diagonal(dim1=0, dim2=1).sum(-1)
    close(low_variance - plain, -within)


def test_one_step_low_variance_curvature_is_exact():
    game = TinyGame(1)
    exact = hessian(game.exact_return, game.theta)
    close(hessian(lambda theta: game.loss(LowVarianceCurvature(), theta), game.theta), -exact)
    plain = hessian(lambda theta: game.loss(PlainMAML(), theta), game.theta)
    assert (plain + exact).abs().max() > 0.01


def test_third_derivative_of_dice_is_exact():
    game = TinyGame(2)

    def third(function):
        return jacobian(lambda theta: hessian(function, theta, create_graph=True), game.theta)

    exact = third(game.exact_return)
    assert exact.abs().max() > 0.01
    close(third(lambda theta: game.loss(DiCE(), theta)), -exact)


def adapted_return(game: TinyGame, theta: Tensor) -> Tensor:
    """Return after one exact gradient step, as a function of the weights before it."""
    theta = theta.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(game.exact_return(theta), theta)
    return game.exact_return(theta.detach() + INNER_LR * gradient)


@pytest.mark.parametrize("surrogate", SURROGATES, ids=named)
def test_meta_gradient_through_one_inner_step(surrogate, game):
    theta = game.theta.clone().requires_grad_()
    (step,) = torch.autograd.grad(game.loss(surrogate, theta), theta, create_graph=True)
    adapted = theta - INNER_LR * step
    (meta_gradient,) = torch.autograd.grad(game.exact_return(adapted), theta)

    width = 1e-5
    central = [
        (adapted_return(game, game.theta + shift) - adapted_return(game, game.theta - shift))
        / (2.0 * width)
        for shift in width * torch.eye(6, dtype=torch.float64)
    ]
    adapted_gradient = jacobian(game.exact_return, adapted.detach())
    lost = INNER_LR * game.left_out(surrogate) @ adapted_gradient
    if not isinstance(surrogate, DiCE):
        assert lost.abs().max() > 1e-3
    close(meta_gradient, torch.stack(central) - lost, atol=1e-9)


def test_dice_stays_exact_away_from_the_policy_that_played(game):
    moved = game.theta + torch.tensor([0.5, -0.3, 0.2, 0.4, -0.1, 0.6], dtype=torch.float64)
    gain = game.exact_return(moved) - game.exact_return(game.theta)
    close(game.loss(DiCE(), moved), -gain)
    close(
        jacobian(lambda theta: game.loss(DiCE(), theta), moved),
        -jacobian(game.exact_return, moved),
    )


def test_plain_maml_is_off_policy_away_from_the_policy_that_played(game):
    moved = game.theta + 0.5
    gradient = jacobian(lambda theta: game.loss(PlainMAML(), theta), moved)
    assert (gradient + jacobian(game.exact_return, moved)).abs().max() > 0.01


@pytest.mark.parametrize("surrogate", [DiCE(), LowVarianceCurvature()], ids=named)
def test_a_baseline_changes_no_derivative_of_the_ratio_estimators(surrogate, game):
    # anything known before the level is played may be subtracted
    baseline = torch.sin(game.features @ torch.tensor([0.4, 1.3, -0.7], dtype=torch.float64))
    less = game.advantages() - baseline

    for derivative in (jacobian, hessian):
        close(
            derivative(lambda theta: game.loss(surrogate, theta, advantages=less), game.theta),
            derivative(lambda theta: game.loss(surrogate, theta), game.theta),
        )


def doubles(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


LOG_PROBS = doubles([[[0.5, 0.2], [0.8, 0.4]], [[0.3, 0.9], [0.6, 0.1]]]).log()
BEHAVIOUR = doubles([[[0.25, 0.4], [0.8, 0.2]], [[0.6, 0.9], [0.2, 0.4]]]).log()
ADVANTAGES = doubles([[[2.0, -1.0], [0.5, 3.0]], [[1.0, -2.0], [4.0, 8.0]]])


@pytest.mark.parametrize(
    ("surrogate", "expected"),
    [
        (
            PlainMAML(),
            [
                -(2 * math.log(0.5) - math.log(0.2) + 0.5 * math.log(0.8) + 3 * math.log(0.4)) / 4,
                -(math.log(0.3) - 2 * math.log(0.9) + 4 * math.log(0.6) + 8 * math.log(0.1)) / 4,
            ],
        ),
        # ratios pi/mu: [2, 1/2], [1, 2] and [1/2, 1], [3, 1/4]
        (LowVarianceCurvature(), [-(4.0 - 0.5 + 0.5 + 6.0) / 4, -(0.5 - 2.0 + 12.0 + 2.0) / 4]),
        # D_t: 1 | 2, 1; 1 | 1, 2 and 1 | 1/2, 1/2; 1 | 3, 3/4
        (DiCE(), [-(2.0 + 1.0 + 0.0 + 3.0) / 4, -(-0.5 + 0.0 + 8.0 - 18.0) / 4]),
    ],
    ids=named,
)
def test_mean_over_episodes_and_steps_of_each_task(surrogate, expected):
    loss = surrogate(LOG_PROBS, BEHAVIOUR, ADVANTAGES)
    close(loss, doubles(expected))
