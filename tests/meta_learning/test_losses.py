import math
from dataclasses import replace

import pytest
import torch
from meta_learner import BLIND, GAME, POPULATION, Learner, sample

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.losses import outcome_of
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.support import play_support
from mermaide_pl.objectives import DiCE, LowVarianceCurvature, PlainMAML
from mermaide_pl.objectives.advantages import GeneralisedAdvantages
from mermaide_pl.principals import Architecture, NoWorldModel, PrincipalOutput


def tiny_episode() -> tuple[PrincipalOutput, Trajectory]:
    """One task, one episode, two steps: target left alone, then a bonus for nothing."""
    logits = torch.tensor([[[[0.75, 0.25], [0.5, 0.5]]]], dtype=torch.float64).log()
    forecast = torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)
    output = PrincipalOutput(
        level_logits=logits,
        values=torch.tensor([[[0.0, 0.25]]], dtype=torch.float64),
        arm_logits=torch.stack([forecast, forecast]).view(1, 1, 2, 2, 2).log(),
        log_levels=torch.tensor([[[0.75, 0.5]]], dtype=torch.float64).log(),
        log_arms=torch.tensor([[[0.5, 0.1]]], dtype=torch.float64).log(),
        last_state=torch.zeros(1, 1, 1),
    )
    arms, rewards = torch.tensor([[[0, 1]]]), torch.tensor([[[1.0, -0.5]]], dtype=torch.float64)
    trajectory = Trajectory(
        arms, torch.tensor([[[0, 1]]]), arms == 0, rewards, rewards, arms, rewards, Game(2, 2)
    )
    return output, trajectory


FORECAST_LOSS = -(math.log(0.5) + math.log(0.1)) / 2.0
# to go 0.5 and -0.5, as shares of T = 2: 0.25 and -0.25, against values of 0 and 0.25
CRITIC_LOSS = (0.25**2 + 0.5**2) / 2.0
ENTROPY = (-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) + math.log(2.0)) / 2.0
LOGIT_PENALTY = (math.log(0.75) ** 2 + math.log(0.25) ** 2 + 2.0 * math.log(0.5) ** 2) / 4.0
# two advantages, normalised, are 1 and -1: the first is 1.5 - 1 lambda, the second -1
SURROGATE_LOSS = {
    LowVarianceCurvature: 0.0,
    DiCE: 0.0,
    PlainMAML: -(math.log(0.75) - math.log(0.5)) / 2.0,
}


@pytest.mark.parametrize("surrogate", SURROGATE_LOSS)
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_outer_loss_by_hand(surrogate, progress):
    objective = Objective(
        surrogate=surrogate(),
        advantages=GeneralisedAdvantages(1.0),
        forecast_weight=0.7,
        inner_policy_weight=9.0,  # of the inner loop only
        critic_weight=3.0,
        entropy_start=0.2,
        entropy_end=0.1,
        logit_penalty=0.3,
    )
    loss = objective.outer_loss(*tiny_episode(), BLIND[:1], progress)
    bonus = {0.0: 0.2, 0.5: 0.15, 1.0: 0.1}[progress]
    expected = SURROGATE_LOSS[surrogate] + 0.7 * FORECAST_LOSS + 3.0 * CRITIC_LOSS - bonus * ENTROPY
    expected += 0.3 * LOGIT_PENALTY
    assert loss.shape == (1,)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_outer_loss_is_of_what_truly_happened():
    output, trajectory = tiny_episode()
    objective = Objective(advantages=GeneralisedAdvantages(1.0), surrogate=PlainMAML())

    def loss(**changes) -> float:
        played = replace(trajectory, **changes)
        return objective.outer_loss(output, played, BLIND[:1], 0.0).item()

    flipped = ~trajectory.aligned
    assert loss(observed_arms=1 - trajectory.observed_arms) == loss()
    assert loss(aligned=flipped) != loss()
    # to go 0 and 0.5, as shares of T 0 and 0.25: what the critic says
    rewards = torch.tensor([[[-0.5, 0.5]]], dtype=torch.float64)
    assert loss() - loss(rewards=rewards) == pytest.approx(CRITIC_LOSS)


def test_the_logit_penalty_leaves_out_steps_after_the_budget():
    output, trajectory = tiny_episode()
    output = replace(output, level_logits=torch.tensor([[[[1.0, -1.0], [0.0, -100.0]]]]).double())
    none = replace(trajectory, game=Game(2, 2, max_interventions=0))
    later = replace(trajectory, levels=1 - trajectory.levels, game=Game(2, 2, max_interventions=1))

    def penalty(played: Trajectory) -> float:
        with_it, without = (Objective(logit_penalty=weight) for weight in (1.0, 0.0))
        losses = [each.outer_loss(output, played, BLIND[:1], 0.0) for each in (with_it, without)]
        return (losses[0] - losses[1]).item()

    assert penalty(none) == pytest.approx(0.0)
    assert penalty(later) == pytest.approx((1.0 + 1.0) / 4.0)
    assert penalty(trajectory) == pytest.approx((1.0 + 1.0 + 100.0**2) / 4.0)


def test_meta_loss_by_hand():
    objective = Objective(zero_shot_weight=0.25)
    adapted, unadapted = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 6.0])
    assert objective.meta_loss(adapted, unadapted).item() == 2.0 + 0.25 * 4.0
    assert objective.meta_loss(adapted, None).item() == 2.0


def test_outcome_by_hand():
    output, trajectory = tiny_episode()
    game = Game(2, 2, bonuses=(0.0, 2.0), cost=0.25)
    pulls = torch.tensor([[[False, True]]])
    outcome = outcome_of(output, pulls, replace(trajectory, game=game), BLIND[:1])
    assert outcome.pulls.tolist() == [[[0.0, 1.0]]]
    assert outcome.costs.tolist() == [[[0.0, 0.5]]]
    # chances of the bonus of 2 are 0.25 and 0.5
    assert outcome.mean_costs.flatten().tolist() == pytest.approx([0.125, 0.25])
    assert outcome.rewards.tolist() == [[[0.0, 0.5]]]
    assert outcome.values.tolist() == [[[0.0, 0.25]]]
    assert outcome.may_see_bonus.tolist() == [False]


def test_inner_loss_has_neither_critic_nor_entropy():
    output, trajectory = tiny_episode()
    behaviour = torch.zeros_like(trajectory.rewards)
    advantages = torch.tensor([[[2.0, -4.0]]], dtype=torch.float64)
    objective = Objective(forecast_weight=0.7, inner_policy_weight=0.4)
    loss = objective.inner_loss(output, behaviour, advantages)
    surrogate = -0.4 * (0.75 * 2.0 - 0.5 * 4.0) / 2.0
    assert loss.item() == pytest.approx(surrogate + 0.7 * FORECAST_LOSS, abs=1e-12)
    without = replace(output, log_arms=None)  # without a world model there is nothing beside it
    loss = objective.inner_loss(without, behaviour, advantages)
    assert loss.item() == pytest.approx(surrogate, abs=1e-12)
    alone = replace(objective, inner_policy_weight=0.0)
    loss = alone.inner_loss(without, behaviour, advantages)
    assert loss.item() == pytest.approx(surrogate / 0.4, abs=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "forecast_weight",
        "critic_weight",
        "entropy_start",
        "entropy_end",
        "inner_policy_weight",
        "logit_penalty",
        "zero_shot_weight",
    ],
)
def test_objective_is_checked(name):
    with pytest.raises(ValueError, match=rf"Objective\.{name} .*at least 0.* got -0\.5"):
        Objective(**{name: -0.5})


def test_a_gradient_step_on_nothing_is_refused():
    heads = GradientAdaptation(adapted=("policy",))
    says = r"^nothing adapts: with Objective\.inner_policy_weight 0 and forecast_weight"
    with pytest.raises(
        ValueError, match=says + r" 1 the inner loss has no gradient for .* = policy;"
    ):
        MermaideModule(GAME, Architecture(4, 4), heads)
    with pytest.raises(ValueError, match=says + r" 0 .* = recurrence, world_model, policy;"):
        MermaideModule(GAME, Architecture(4, 4), objective=Objective(forecast_weight=0.0))
    learner = Learner(heads)  # as a live principal that did not sample its levels
    support = play_support(learner.principal, learner.inner_loop, sample(range(3)), 1)
    with pytest.raises(ValueError, match=says):
        adapt(learner.principal, learner.inner_loop, learner.objective.forecast_alone(), support)
    blind = Architecture(4, 4, world_model=NoWorldModel())
    for architecture, objective in (
        (blind, Objective()),
        (Architecture(4, 4), Objective(inner_policy_weight=0.1)),
    ):
        module = MermaideModule(GAME, architecture, heads, objective)
        tasks = POPULATION.sample(range(2), split="train")
        adapted = module.adapted_weights(tasks, 1)
        before = module.principal.policy.policy_in_weight
        assert not torch.allclose(adapted["policy.policy_in_weight"][0], before)
