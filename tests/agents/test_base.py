import pytest
import torch

from mermaide_pl.agents import (
    EXP3,
    UCB,
    AttentiveLearner,
    BestResponse,
    BetaThompson,
    EpsilonGreedy,
    GaussianThompson,
    GeneratedLearner,
    Softmax,
)
from mermaide_pl.agents.base import PullTally, random_argmax

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("rule", "name", "values"),
    [
        (UCB, "beta", [-0.01, NAN, INF]),
        (EpsilonGreedy, "epsilon", [-0.01, 1.01, NAN]),
        (EpsilonGreedy, "decay", [-0.01, NAN, INF]),
        (GaussianThompson, "prior_mean", [NAN, INF]),
        (GaussianThompson, "prior_scale", [0.0, -1.0, NAN, INF]),
        (GaussianThompson, "noise_scale", [0.0, -1.0, NAN, INF]),
        (BetaThompson, "prior_alpha", [0.99, -1.0, NAN, INF]),
        (BetaThompson, "prior_beta", [0.99, -1.0, NAN, INF]),
        (BetaThompson, "reward_low", [1.0, 2.0, NAN]),
        (BetaThompson, "reward_high", [0.0, -1.0, NAN, INF]),
        (EXP3, "gamma", [0.0, -0.1, 1.01, NAN]),
        (EXP3, "reward_low", [1.0, 2.0, NAN]),
        (EXP3, "reward_high", [0.0, -1.0, NAN, INF]),
        (Softmax, "temperature", [0.0, -0.1, NAN, INF]),
        (GeneratedLearner, "beta", [-0.01, NAN, INF]),
        (GeneratedLearner, "temperature", [-0.01, NAN, INF]),
        (GeneratedLearner, "posterior_scale", [-0.01, NAN, INF]),
        (GeneratedLearner, "lapse_rate", [-0.01, 1.01, NAN]),
        (GeneratedLearner, "decay", [-0.01, NAN, INF]),
        (GeneratedLearner, "learning_rate", [-0.01, 1.01, NAN]),
        (GeneratedLearner, "discount", [0.0, 1.01, NAN]),
        (GeneratedLearner, "initial_value", [NAN, INF]),
        (GeneratedLearner, "prior_pulls", [-0.01, NAN, INF]),
        (GeneratedLearner, "learns_preferences", [-1.0, 0.5, 2.0, NAN]),
        (GeneratedLearner, "perseveration", [NAN, INF]),
        (GeneratedLearner, "perception", [-1.0, 0.5, 4.0, NAN]),
        (GeneratedLearner, "cap", [0.0, -1.0, NAN, INF]),
        (GeneratedLearner, "tries_first", [-1.0, 0.5, 2.0, NAN]),
        (GeneratedLearner, "forgets_at", [-1.0, 1e8, NAN, INF]),
        (AttentiveLearner, "attention", [-0.01, NAN, INF]),
    ],
)
def test_hyper_parameters_out_of_range_are_refused_by_name(rule, name, values):
    for value in values:
        with pytest.raises(ValueError, match=rf"{rule.__name__}\..*{name}"):
            rule(**{name: value})
    allowed = getattr(rule(), name).item()
    with pytest.raises(ValueError, match=rf"{rule.__name__}\..*{name}"):
        rule(**{name: [allowed, values[0]]})


@pytest.mark.parametrize(
    ("rule", "edges"),
    [
        (UCB, {"beta": 0.0}),
        (EpsilonGreedy, {"epsilon": 0.0, "decay": 0.0}),
        (EpsilonGreedy, {"epsilon": 1.0}),
        (BetaThompson, {"prior_alpha": 1.0, "prior_beta": 1.0}),
        (EXP3, {"gamma": 1.0}),
    ],
)
def test_edges_of_the_ranges_are_allowed(rule, edges):
    made = rule(**edges)
    assert {name: getattr(made, name).item() for name in edges} == edges


@pytest.mark.parametrize(
    ("value", "held"),
    [(0.3, [0.3]), ([0.1, 0.2], [0.1, 0.2]), (torch.tensor([0.5, 1.0]), [0.5, 1.0])],
)
def test_hyper_parameters_are_held_in_float64_one_per_task(value, held):
    beta = UCB(beta=value).beta
    assert beta.dtype == torch.float64
    assert beta.shape == (len(held), 1, 1)
    assert beta.flatten().tolist() == held


@pytest.mark.parametrize(
    "rule",
    [
        UCB,
        EpsilonGreedy,
        GaussianThompson,
        BetaThompson,
        EXP3,
        Softmax,
        BestResponse,
        AttentiveLearner,
    ],
)
def test_moving_a_rule_gives_a_copy_and_leaves_the_rule_alone(rule):
    made = rule()
    before = {name: value.clone() for name, value in vars(made).items()}
    moved = made.to(torch.zeros(1, dtype=torch.float32))
    assert moved is not made
    assert type(moved) is rule
    assert vars(made).keys() == vars(moved).keys() == before.keys()
    for name, value in before.items():
        kept, other = getattr(made, name), getattr(moved, name)
        assert kept.dtype == torch.float64
        assert torch.equal(kept, value)
        assert other.dtype == torch.float32
        assert torch.equal(other, value.float())


@pytest.mark.parametrize(
    ("rule", "num_uniforms"),
    [
        (UCB, 3),
        (EpsilonGreedy, 1 + 3),
        (GaussianThompson, 3),
        (BetaThompson, 3 * 2 * 5 + 1),
        (EXP3, 1),
        (Softmax, 3),
        (BestResponse, 0),
        (GeneratedLearner, 2 + 3),
    ],
)
def test_number_of_uniforms_per_step(rule, num_uniforms):
    assert rule().num_uniforms(3) == num_uniforms


def test_tally_counts_pulls_and_sums_rewards():
    tally = PullTally.empty(torch.zeros(2, 3), num_episodes=1)
    tally = tally.add(torch.tensor([[0], [2]]), torch.tensor([[0.5], [2.0]]))
    tally = tally.add(torch.tensor([[0], [1]]), torch.tensor([[1.5], [-1.0]]))
    assert tally.step == 3
    assert tally.counts.tolist() == [[[2.0, 0.0, 0.0]], [[0.0, 1.0, 1.0]]]
    assert tally.sums.tolist() == [[[2.0, 0.0, 0.0]], [[0.0, -1.0, 2.0]]]
    assert tally.means().tolist() == [[[1.0, 0.0, 0.0]], [[0.0, -1.0, 2.0]]]


def test_random_argmax_takes_the_best_and_among_the_best_the_largest_uniform():
    values = torch.tensor([[1.0, 3.0, 2.0], [3.0, 1.0, 3.0], [-1.0, -5.0, -1.0]])
    uniforms = torch.tensor([[0.9, 0.1, 0.8], [0.4, 0.9, 0.6], [0.7, 0.9, 0.2]])
    assert random_argmax(values, uniforms).tolist() == [1, 2, 0]


def test_random_argmax_breaks_ties_evenly():
    uniforms = torch.rand(30_000, 4, generator=torch.Generator().manual_seed(0))
    picks = random_argmax(torch.tensor([1.0, 0.0, 1.0, 1.0]).expand(30_000, 4), uniforms)
    shares = torch.bincount(picks, minlength=4) / 30_000
    # Standard error 0.0027; four of them.
    torch.testing.assert_close(shares, torch.tensor([1, 0, 1, 1]) / 3, atol=0.011, rtol=0.0)
