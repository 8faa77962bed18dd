import math
from dataclasses import fields, replace

import pytest
import torch

from mermaide_pl.agents import UCB, BestResponse, EpsilonGreedy
from mermaide_pl.engines import AUTO, Engine, Stream, TorchEngine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.adaptation import (
    GradientAdaptation,
    NoAdaptation,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.meta_step import (
    MetaStep,
    Objective,
    Support,
    adapt,
    adapt_to_groups,
    meta_step,
    play_support,
)
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.objectives import DiCE, LowVarianceCurvature, PlainMAML, log_probabilities
from mermaide_pl.objectives.advantages import GeneralisedAdvantages, Outcome
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import (
    Architecture,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoWorldModel,
    Principal,
    PrincipalOutput,
    SharedForecast,
    Tallies,
)

GAME = Game(num_arms=4, num_steps=12, observation=FullInformation(0.1, 0.1))
POPULATION = Population(
    [AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}), AgentFamily(EpsilonGreedy)], num_arms=4
)
ADAPTATIONS = {
    "maml": GradientAdaptation(inner_lr=0.5),
    "two shots, three steps": GradientAdaptation(num_shots=2, num_inner_steps=3),
    "first order": GradientAdaptation(first_order=True),
    "fixed rate": GradientAdaptation(learn_inner_lr=False),
    "heads only": GradientAdaptation(adapted=("policy",)),
    "adam": GradientAdaptation(inner_lr=0.01, inner_optimizer=torch.optim.Adam),
    "weight decay": GradientAdaptation(num_inner_steps=2, optimizer_args={"weight_decay": 0.1}),
    "with memory": GradientAdaptation(inner_lr=0.5, carries_state=True),
    "memory of two shots": GradientAdaptation(0.5, num_shots=2, carries_state=True),
    "memory alone": RecurrentAdaptation(num_shots=2),
    "no adaptation": NoAdaptation(),
}


BLIND = torch.zeros(3, dtype=torch.bool)  # no agent of the population sees the bonus


def sample(indices):
    return POPULATION.sample(indices, split="train").to("cpu", torch.float64)


class Learner:
    """A principal with an inner loop."""

    def __init__(self, adaptation, architecture=None, **objective) -> None:
        torch.manual_seed(0)
        architecture = architecture or Architecture(6, 5)
        self.principal = Principal(architecture, GAME).double()
        for weight in self.principal.parameters():
            weight.data += 0.2 * torch.randn_like(weight)
        self.inner_loop = adaptation.build(self.principal.weights()).double()
        self.objective = Objective(**{"inner_policy_weight": 1.0} | objective)
        self.engine: Engine = AUTO
        self.parameters = {
            **dict(self.principal.named_parameters()),
            **dict(self.inner_loop.named_parameters()),
        }

    def __call__(self, indices, num_query_episodes: int = 2, progress: float = 0.3) -> MetaStep:
        return meta_step(
            self.principal,
            self.inner_loop,
            self.objective,
            sample(indices),
            num_query_episodes=num_query_episodes,
            progress=progress,
            engine=self.engine,
        )

    def gradients(self, indices) -> dict[str, torch.Tensor]:
        gradients = torch.autograd.grad(self(indices).loss, list(self.parameters.values()))
        return dict(zip(self.parameters, gradients, strict=True))


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("surrogate", [PlainMAML(), DiCE(), LowVarianceCurvature()])
def test_loss_and_gradients_are_finite(name, surrogate):
    learner = Learner(ADAPTATIONS[name], surrogate=surrogate)
    assert learner(range(3)).loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in learner.gradients(range(3)).values())


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("zero_shot_weight", [0.0, 1.0])
@pytest.mark.parametrize("history", [LastStep(), Tallies()])
@pytest.mark.parametrize("world_model", [SharedForecast(), LinearForecast(), NoWorldModel()])
def test_every_parameter_gets_a_gradient(name, zero_shot_weight, history, world_model):
    learner = Learner(
        ADAPTATIONS[name],
        Architecture(6, 5, history, world_model),
        zero_shot_weight=zero_shot_weight,
    )
    learner(range(4)).loss.backward()
    for parameter_name, parameter in learner.parameters.items():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 1e-9, parameter_name


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_equal_inputs_give_equal_numbers(name):
    first, again = (Learner(ADAPTATIONS[name]) for _ in range(2))
    assert torch.equal(first(range(4)).loss, again(range(4)).loss)
    gradients, others = first.gradients(range(4)), again.gradients(range(4))
    assert all(torch.equal(gradients[key], others[key]) for key in gradients)


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("history", [LastStep(), Tallies()])
@pytest.mark.parametrize("world_model", [SharedForecast(), LinearForecast(), NoWorldModel()])
def test_the_native_engine_takes_the_step_of_pytorch(name, history, world_model):
    steps = []
    for engine in (AUTO, TorchEngine()):
        learner = Learner(ADAPTATIONS[name], Architecture(6, 5, history, world_model))
        learner.engine = engine
        steps.append({"loss": learner(range(4)).loss, **learner.gradients(range(4))})
    native, reference = steps
    for key, value in reference.items():
        torch.testing.assert_close(native[key], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ADAPTATIONS)
def test_sixteen_tasks_equal_two_halves_of_eight(name):
    learner = Learner(ADAPTATIONS[name])
    whole = learner.gradients(range(16))
    halves = [learner.gradients(range(8)), learner.gradients(range(8, 16))]
    for key, gradient in whole.items():
        mean = (halves[0][key] + halves[1][key]) / 2.0
        torch.testing.assert_close(gradient, mean, rtol=0.0, atol=1e-10)
    loss = (learner(range(8)).loss + learner(range(8, 16)).loss) / 2.0
    torch.testing.assert_close(learner(range(16)).loss, loss, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in ADAPTATIONS if name != "no adaptation"])
def test_loss_is_the_outer_loss_of_support_and_query(name):
    learner = Learner(ADAPTATIONS[name], zero_shot_weight=0.25)
    shots = learner.inner_loop.num_shots
    step, tasks = learner(range(3), num_query_episodes=30), sample(range(3))
    principal, objective = learner.principal, learner.objective
    weights = principal.weights()
    player = LearnedPlayer(principal, weights)
    support = play_support(principal, learner.inner_loop, tasks, shots)
    fast, unadapted = adapt(principal, learner.inner_loop, objective, support)
    adapted, settings = (
        LearnedPlayer(principal, fast),
        {"num_episodes": 30, "common_random_numbers": True},
    )
    query = rollout(tasks, adapted, GAME, stream=Stream.QUERY, **settings)
    unadapted_query = rollout(tasks, player, GAME, stream=Stream.QUERY, **settings)
    for played, expected in ((step.support, support), (step.query, query)):
        for item in fields(Trajectory):
            assert torch.equal(getattr(played, item.name), getattr(expected, item.name))
    assert not torch.equal(query.levels, unadapted_query.levels)  # adaptation acts in the game
    first = support.episodes(slice(1 if learner.inner_loop.chain_length > 1 else shots))
    thoughts = principal(weights, first)
    for item in fields(PrincipalOutput):
        expected, same = getattr(thoughts, item.name), getattr(unadapted, item.name)
        torch.testing.assert_close(same, expected, rtol=0.0, atol=1e-12)
    zero_shot = objective.outer_loss(thoughts, first, GAME, BLIND, 0.3).mean()
    adapted = objective.outer_loss(principal(fast, query), query, GAME, BLIND, 0.3).mean()
    loss = 0.25 * zero_shot + adapted
    torch.testing.assert_close(step.loss, loss, rtol=0.0, atol=1e-12)
    leaves = list(learner.parameters.values())
    expected = torch.autograd.grad(loss, leaves)
    for gradient, other in zip(torch.autograd.grad(step.loss, leaves), expected, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0.0, atol=1e-10)


def test_the_loss_before_adaptation_may_be_taken_on_episodes_of_its_own():
    learner = Learner(GradientAdaptation(inner_lr=0.5), zero_shot_weight=0.25)
    principal, objective, tasks = learner.principal, learner.objective, sample(range(3))
    options = {"num_query_episodes": 2, "progress": 0.3}
    step = meta_step(
        principal, learner.inner_loop, objective, tasks, num_zero_shot_episodes=5, **options
    )
    first = rollout(
        tasks,
        LearnedPlayer(principal, principal.weights()),
        GAME,
        stream=Stream.ZERO_SHOT,
        num_episodes=5,
        common_random_numbers=True,
    )
    before = objective.outer_loss(principal(principal.weights(), first), first, GAME, BLIND, 0.3)
    without = replace(objective, zero_shot_weight=0.0)
    rest = meta_step(principal, learner.inner_loop, without, tasks, **options).loss
    torch.testing.assert_close(step.loss, 0.25 * before.mean() + rest, rtol=0.0, atol=1e-12)


def test_without_adaptation_there_is_no_support():
    step = Learner(NoAdaptation())(range(3), num_query_episodes=4)
    assert step.support is None
    assert step.query.arms.shape == (3, 4, 12)
    assert step.output.values.shape == (3, 4, 12)


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
        assert not torch.allclose(other["weight_hh"], expected["weight_hh"])


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


def support_of(learner: Learner, num_episodes: int) -> Trajectory:
    player = LearnedPlayer(learner.principal, learner.principal.weights())
    return rollout(sample(range(3)), player, GAME, stream=Stream.SUPPORT, num_episodes=num_episodes)


def part(played: Trajectory, *chosen: slice) -> Trajectory:
    """Some of the episodes, and some of their steps."""
    index = (slice(None), *chosen)
    return Trajectory(*(getattr(played, item.name)[index] for item in fields(Trajectory)))


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
        fast = {**fast, "initial_state": outputs[-1].last_state[:, 0]}
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
        expected["initial_state"] = torch.cat(ends, dim=1).mean(1)
    for key, weight in weights.items():
        torch.testing.assert_close(weight, expected[key], rtol=0.0, atol=1e-10)


@pytest.mark.parametrize("name", ["memory of two shots", "memory alone"])
def test_support_episodes_are_played_one_after_the_other_as_in_training(name):
    learner, tasks = Learner(ADAPTATIONS[name]), sample(range(3))
    principal = learner.principal
    support = play_support(principal, learner.inner_loop, tasks, 3)
    fast, ends = principal.weights(), []
    for number, stream in enumerate(("support", "support1", "support2")):
        if number == 2:  # trained on chains of two: the third begins another
            ends, fast = [fast["initial_state"]], principal.weights()
        player = LearnedPlayer(principal, fast)
        played = rollout(tasks, player, GAME, stream=stream, num_episodes=1)
        assert torch.equal(support.levels[:, number], played.levels[:, 0])
        assert torch.equal(support.arms[:, number], played.arms[:, 0])
        fast = {**fast, "initial_state": principal(fast, played).last_state[:, 0].detach()}
    weights, _ = adapt(principal, learner.inner_loop, learner.objective, support)
    expected = (ends[0] + fast["initial_state"]) / 2.0
    torch.testing.assert_close(weights["initial_state"], expected, rtol=0.0, atol=1e-12)
    once = play_support(principal, learner.inner_loop, tasks, 1)
    assert torch.equal(once.levels, support.levels[:, :1])


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
        arms, torch.tensor([[[0, 1]]]), arms == 0, rewards, rewards, arms, rewards
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
    loss = objective.outer_loss(*tiny_episode(), Game(2, 2), BLIND[:1], progress)
    bonus = {0.0: 0.2, 0.5: 0.15, 1.0: 0.1}[progress]
    expected = SURROGATE_LOSS[surrogate] + 0.7 * FORECAST_LOSS + 3.0 * CRITIC_LOSS - bonus * ENTROPY
    expected += 0.3 * LOGIT_PENALTY
    assert loss.shape == (1,)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


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
    says = r"^nothing would adapt: with Objective\.inner_policy_weight 0 and forecast_weight"
    with pytest.raises(
        ValueError, match=says + r" 1 the inner loss reaches no part of .* = policy;"
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


def test_training_on_followers_learns_to_pay_them():
    """A bonus of 1 wins every follower over, so always paying is best, a return of 1 - 0.5.

    Taken for blind, they teach to leave them alone: a return of 0.15.
    """
    torch.manual_seed(0)
    followers = Population([AgentFamily(BestResponse)], num_arms=5)
    module = MermaideModule(Game(5, 20), Architecture(16, 16))
    optimizer = torch.optim.Adam(module.parameters(), 5e-3)
    for number in range(30):
        tasks = followers.sample(range(16 * number, 16 * (number + 1)), split="train")
        step = module.take_step(tasks, progress=0.0)
        optimizer.zero_grad()
        step.loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
    assert step.query.returns.mean() > 0.45
