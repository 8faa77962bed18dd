import math
from dataclasses import replace

import pytest
import torch
from meta_learner import ADAPTATIONS, BLIND, GAME, Learner, sample, support_of

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import GradientAdaptation
from mermaide_pl.meta_learning.adaptation import adapt, adapt_to_groups
from mermaide_pl.meta_learning.support import Support
from mermaide_pl.objectives import log_probabilities
from mermaide_pl.objectives.advantages import Outcome
from mermaide_pl.principals import LearnedPlayer, PrincipalOutput
from mermaide_pl.principals.recurrence import INITIAL_STATE


def test_adaptation_learns_only_from_what_the_principal_saw():
    learner = Learner(ADAPTATIONS["maml"])
    principal, tasks = learner.principal, sample(range(3))
    player = LearnedPlayer(principal, principal.weights())
    support = rollout(tasks, player, GAME, stream=Stream.SUPPORT, num_episodes=1)

    def adapted(**changes):
        seen = replace(support, **changes)
        return adapt(principal, learner.inner_loop, learner.objective, seen)[0]

    expected = adapted()
    hidden = adapted(
        rewards=torch.randn_like(support.rewards),
        agent_rewards=torch.randn_like(support.rewards),
        aligned=~support.aligned,
        arms=(support.arms + 1) % 4,
    )
    assert all(torch.equal(hidden[name], weight) for name, weight in expected.items())
    for change in (
        {"observed_arms": (support.observed_arms + 1) % 4},
        {"observed_agent_rewards": support.observed_agent_rewards + 1.0},
        {"levels": 1 - support.levels},
    ):
        other = adapted(**change)
        assert not torch.allclose(other["recurrence.weight_hh"], expected["recurrence.weight_hh"])


def test_later_inner_steps_keep_the_policy_that_played_and_its_advantages():
    learner = Learner(GradientAdaptation(inner_lr=0.5, num_inner_steps=3))
    principal, objective, tasks = learner.principal, learner.objective, sample(range(3))
    weights = principal.weights()
    support = rollout(
        tasks, LearnedPlayer(principal, weights), GAME, stream=Stream.SUPPORT, num_episodes=1
    )
    with torch.no_grad():
        before = principal(weights, support)
        behaviour = log_probabilities(before.level_logits, support.levels)
        costs = 0.5 * support.levels.double()
        mean_costs = 0.5 * before.level_logits.softmax(-1)[..., 1]
        seen = (support.observed_arms == 0).double()
        advantages = objective.advantages(Outcome(seen, costs, mean_costs, before.values, ~BLIND))

    def loss(fast: dict) -> torch.Tensor:
        output = principal(fast, support)
        return objective.inner_loss(output, behaviour, advantages)

    expected = learner.inner_loop(weights, loss, 3)
    fast, _ = adapt(principal, learner.inner_loop, objective, support)
    for name, weight in fast.items():
        torch.testing.assert_close(weight, expected[name], rtol=0.0, atol=1e-12)


def part(played: Trajectory, *chosen: slice) -> Trajectory:
    """Some of the episodes, and some of their steps."""
    index = (slice(None), *chosen)
    return played.map(lambda record: record[index])


@pytest.mark.parametrize("name", ["maml", "two shots, three steps", "adam", "with memory"])
def test_episodes_in_two_groups_are_the_same_episodes(name):
    learner = Learner(ADAPTATIONS[name], inner_policy_weight=0.0)
    support = support_of(learner, 5)
    rest = learner.principal, learner.inner_loop, learner.objective
    expected, _ = adapt(*rest, support)
    groups = [Support(part(support, chosen)) for chosen in (slice(2), slice(2, 5))]
    weights, outputs = adapt_to_groups(*rest, groups)
    assert [output.values.shape[1] for output in outputs] == [2, 3]
    for key, weight in weights.items():
        torch.testing.assert_close(weight, expected[key], rtol=0.0, atol=1e-10)


def one_after_the_other(principal, fast: dict, episodes) -> list[PrincipalOutput]:
    """Outputs in episodes that each begin where the one before ended, by hand."""
    outputs = []
    for played in episodes:
        outputs.append(principal(fast, played))
        fast = {**fast, INITIAL_STATE: outputs[-1].last_state[:, 0]}
    return outputs


@pytest.mark.parametrize("name", ["maml", "with memory", "memory of two shots"])
def test_groups_of_other_lengths_weigh_by_their_steps(name):
    learner = Learner(ADAPTATIONS[name], inner_policy_weight=0.0)
    principal, support = learner.principal, support_of(learner, 3)
    long, short = part(support, slice(2)), part(support, slice(2, 3), slice(6))
    groups = [Support(long), Support(short)]
    weights, _ = adapt_to_groups(principal, learner.inner_loop, learner.objective, groups)
    chains = [[long], [short]]
    if name == "memory of two shots":
        chains = [[part(long, slice(1)), part(long, slice(1, 2))], [short]]

    def outputs(fast: dict) -> list[list[PrincipalOutput]]:
        return [one_after_the_other(principal, fast, chain) for chain in chains]

    def loss(fast: dict) -> torch.Tensor:
        # 2 episodes of 12 steps and one of 6
        return -sum(one.log_arms.sum((1, 2)) for chain in outputs(fast) for one in chain) / 30.0

    expected = learner.inner_loop(principal.weights(), loss, 3)
    if name != "maml":
        ends = [chain[-1].last_state for chain in outputs(principal.weights())]
        expected[INITIAL_STATE] = torch.cat(ends, dim=1).mean(1)
    for key, weight in weights.items():
        torch.testing.assert_close(weight, expected[key], rtol=0.0, atol=1e-10)


@pytest.mark.parametrize(
    # how much less probable the levels were to whoever played, and what the policy's loss counts
    ("less", "counts"),
    [(1.0, 1.0), (2.0, 2.0), (0.5, 0.5), (8.0, 8.0), (100.0, 10.0), (1e30, 10.0)],
)
def test_levels_of_somebody_else_count_by_truncated_importance_weights(less, counts):
    learner = Learner(ADAPTATIONS["maml"], inner_policy_weight=0.3)
    principal, support = learner.principal, support_of(learner, 2)
    played = principal(principal.weights(), support).log_levels.detach()
    group = Support(support, played - math.log(less))
    weights, _ = adapt_to_groups(principal, learner.inner_loop, learner.objective, [group])
    counted = replace(learner.objective, inner_policy_weight=0.3 * counts)
    expected, _ = adapt(principal, learner.inner_loop, counted, support)
    for key, weight in weights.items():
        torch.testing.assert_close(weight, expected[key], rtol=0.0, atol=1e-9)


def test_the_truncation_stays_in_later_inner_steps():
    """Weights pi_phi / max(mu, pi_theta / 10), where mu is pi_theta / 100 or / 2, by the level."""
    learner = Learner(GradientAdaptation(inner_lr=0.5, num_inner_steps=3), forecast_weight=0.0)
    principal, support = learner.principal, support_of(learner, 2)
    before = principal(principal.weights(), support)
    played = before.log_levels.detach().exp()
    less = torch.where(support.levels == 0, 100.0, 2.0)
    group = Support(support, (played / less).log())
    weights, _ = adapt_to_groups(principal, learner.inner_loop, learner.objective, [group])

    seen = (support.observed_arms == 0).double()
    costs, mean_costs = 0.5 * support.levels, 0.5 * before.level_logits.softmax(-1)[..., 1]
    outcome = Outcome(seen, costs.double(), mean_costs.detach(), before.values.detach(), ~BLIND)
    advantages = learner.objective.advantages(outcome)

    def loss(fast: dict) -> torch.Tensor:
        counted = principal(fast, support).log_levels.exp() / torch.maximum(
            played / less, played / 10.0
        )
        return -(counted * advantages).mean((1, 2))

    expected = learner.inner_loop(principal.weights(), loss, 3)
    for key, weight in weights.items():
        torch.testing.assert_close(weight, expected[key], rtol=0.0, atol=1e-12)
