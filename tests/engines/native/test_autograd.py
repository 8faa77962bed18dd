from dataclasses import replace

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream
from mermaide_pl.engines.native.autograd import Recorded, forward
from mermaide_pl.engines.native.build import library
from mermaide_pl.engines.native.coverage import network_shape
from mermaide_pl.engines.native.engine import features_of
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.objectives import forecast_log_likelihood, log_probabilities
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    Architecture,
    CountFeatures,
    HistoryState,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoCritic,
    NoWorldModel,
    PooledFeatures,
    Principal,
    SharedForecast,
)

M, B, T, A = 3, 2, 5, 3
FORECASTS = {"none": NoWorldModel(), "linear": LinearForecast(), "shared": SharedForecast(3)}
GATES = ("recurrence.weight", "recurrence.bias")
# sizes around a whole number of vectors, and a state that is one
SIZES = [(5, 4), (16, 17), (33, 8)]


def test_the_kernel_is_there():
    """The tests below would say nothing without it."""
    assert not isinstance(library(), str), library()


class Twin:
    """A principal with random weights, seen as a function of its weights."""

    def __init__(self, forecast="shared", critic=None, size=(5, 4), stacked=False, tasks=M):
        torch.manual_seed(0)
        self.game = Game(A, T, (0.0, 0.5, 1.0))
        architecture = Architecture(*size, CountFeatures(), FORECASTS[forecast])
        if critic is not None:
            architecture = replace(architecture, critic=critic)
        self.principal = Principal(architecture, self.game).double()
        self.shape = network_shape(self.principal)
        self.names = [name for name in self.shape.names() if name]
        assert set(self.names) == set(self.principal.weights())
        num_global, num_per_arm = self.principal.history.sizes(self.game)
        self.record(tasks, B, num_global + A * num_per_arm)
        self.weights = []
        for name in self.names:
            weight = self.principal.weights()[name].detach()
            lead = (tasks,) if stacked else ()
            noise = 0.4 * torch.randn(*lead, *weight.shape, dtype=weight.dtype)
            self.weights.append((weight + noise).requires_grad_())

    def record(self, tasks, episodes, num_features):
        axes = tasks, episodes, T
        self.features = torch.randn(*axes, num_features).double()
        self.levels, self.arms = torch.randint(3, axes), torch.randint(A, axes)

    def native(self, *weights):
        recorded = Recorded(self.features, self.levels, self.arms)
        outputs = forward(self.shape, dict(zip(self.names, weights, strict=True)), recorded)
        return tuple(output for output in outputs if output is not None)

    def reference(self, *weights):
        named = dict(zip(self.names, weights, strict=True))
        first = self.principal.first_state(named, *self.levels.shape[:2])
        hidden = self.principal.recurrence.sequence(named, self.features, first)
        last = hidden[:, :, -1]
        state, arm_logits = self.principal._state(named, hidden, self.features)
        outputs = [self.principal.policy.level_logits(named, state)]
        if self.shape.has_critic:
            outputs.append(self.principal.policy.values(named, state))
        log_levels = log_probabilities(outputs[0], self.levels)
        if arm_logits is None:
            return *outputs, log_levels, last
        log_arms = forecast_log_likelihood(arm_logits, self.levels, self.arms)
        return *outputs, arm_logits, log_levels, log_arms, last


def close(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("stacked", [False, True], ids=["meta weights", "fast weights"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("forecast", FORECASTS)
def test_outputs_and_both_derivatives_are_those_of_pytorch(forecast, size, stacked):
    twin = Twin(forecast, size=size, stacked=stacked)
    native, reference = twin.native(*twin.weights), twin.reference(*twin.weights)
    close(native, reference)
    cotangents = [torch.randn_like(output).requires_grad_() for output in native]
    directions = [torch.randn_like(weight) for weight in twin.weights]

    def derivatives(outputs):
        first = torch.autograd.grad(outputs, twin.weights, cotangents, create_graph=True)
        inputs = [*twin.weights, *cotangents]  # biases of the outputs have no second derivative
        again = torch.autograd.grad(first, inputs, directions, materialize_grads=True)
        return *first, *again

    close(derivatives(native), derivatives(reference))


@pytest.mark.parametrize("critic", [None, NoCritic()], ids=["critic", "no critic"])
@pytest.mark.parametrize("forecast", FORECASTS)
def test_derivatives_are_those_of_finite_differences(forecast, critic):
    twin = Twin(forecast, critic, tasks=2)
    assert gradcheck(twin.native, twin.weights)
    assert gradgradcheck(twin.native, twin.weights)


def test_only_the_weights_in_question_get_a_gradient():
    twin = Twin(stacked=True)
    heads = [i for i, name in enumerate(twin.names) if name.startswith("policy.policy")]
    chosen = [twin.weights[i] for i in heads]
    (all_of_them,) = (torch.autograd.grad(twin.native(*twin.weights)[0].sum(), chosen),)
    fixed = [w if i in heads else w.detach() for i, w in enumerate(twin.weights)]
    close(torch.autograd.grad(twin.native(*fixed)[0].sum(), chosen), all_of_them)


def test_meta_weights_and_fast_weights_mix():
    twin = Twin(stacked=True)
    shared = [
        (weight[0] if name.startswith(GATES) else weight).detach().requires_grad_()
        for name, weight in zip(twin.names, twin.weights, strict=True)
    ]
    assert {weight.dim() for weight in shared} >= {1, 2, 3}
    native, reference = twin.native(*shared), twin.reference(*shared)
    close(native, reference)
    cotangents = [torch.randn_like(output) for output in native]
    close(
        torch.autograd.grad(native, shared, cotangents),
        torch.autograd.grad(reference, shared, cotangents),
    )


def test_expanded_and_transposed_weights_are_read_right():
    twin = Twin()
    expanded = [weight.detach().expand(M, *weight.shape) for weight in twin.weights]
    close(twin.native(*expanded), twin.native(*twin.weights))
    turned = [
        weight.detach().mT.contiguous().mT if weight.dim() == 2 else weight.detach()
        for weight in twin.weights
    ]
    assert not turned[0].is_contiguous()
    close(twin.native(*turned), twin.native(*twin.weights))


def test_many_episodes_are_played_in_blocks():
    """A thread's workspace holds 16 episodes."""
    twin = Twin("linear", stacked=True)
    twin.record(M, 37, twin.features.shape[-1])
    native, reference = twin.native(*twin.weights), twin.reference(*twin.weights)
    close(native, reference)
    cotangents = [torch.randn_like(output) for output in native]
    close(
        torch.autograd.grad(native, twin.weights, cotangents),
        torch.autograd.grad(reference, twin.weights, cotangents),
    )


def test_the_number_of_threads_changes_nothing():
    twin = Twin(stacked=True, tasks=7)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            outputs = twin.native(*twin.weights)
            total = sum(output.square().sum() for output in outputs)
            results.append([*outputs, *torch.autograd.grad(total, twin.weights)])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_not_a_number_stays_not_a_number():
    twin = Twin()
    weights = [weight.detach().clone() for weight in twin.weights]
    weights[twin.names.index("recurrence.weight_hh")][0, 0] = torch.nan
    *steps, last = twin.native(*weights)
    assert last.isnan().all()
    for output in steps:
        assert output[:, :, 1:].isnan().all()


def test_large_numbers_saturate():
    twin = Twin()
    weights = [1e4 * weight.detach() for weight in twin.weights]
    native, reference = twin.native(*weights), twin.reference(*weights)
    for one, other in zip(native, reference, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-3)


def test_single_precision_is_as_good_as_that_of_pytorch():
    twin = Twin(size=(32, 32), stacked=True)
    exact = twin.reference(*twin.weights)
    twin.features = twin.features.float()
    single = [weight.detach().float() for weight in twin.weights]
    for output, expected in zip(twin.native(*single), exact, strict=True):
        torch.testing.assert_close(output.double(), expected, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("history", [LastStep(), CountFeatures(), PooledFeatures()])
@pytest.mark.parametrize("observation", [PartialInformation(), FullInformation(0.2, 0.3)])
def test_features_are_those_of_the_history(history, observation):
    game = Game(A, 40, (0.0, 0.5, 1.0), observation=observation)
    principal = Principal(Architecture(6, 5, history), game).double()
    tasks = Population([AgentFamily(UCB)], num_arms=A).sample(range(M), split="val")
    player = LearnedPlayer(principal, principal.weights())
    played = rollout(
        tasks.to("cpu", torch.float64), player, game, stream=Stream.SCORE, num_episodes=B
    )
    seen = played.observed_arms, played.levels, played.observed_agent_rewards
    expected = history.features(HistoryState.of_sequence(*seen, game))
    actual = features_of(principal, network_shape(principal), played)
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("changed", ["dtype", "tasks", "size", "levels", "arms", "range", "steps"])
def test_what_the_kernel_would_read_wrongly_is_refused(changed):
    twin = Twin(stacked=True)
    weights = [weight.detach() for weight in twin.weights]
    if changed == "dtype":
        weights[3] = weights[3].float()
    elif changed == "tasks":
        weights[2] = weights[2][:2]
    elif changed == "size":
        weights[2] = weights[2][..., :-1]
    elif changed == "levels":
        twin.levels = twin.levels.int()
    elif changed == "arms":
        twin.arms = twin.arms[:, :1]
    elif changed == "range":
        twin.arms[0, 0, 0] = A
    else:
        twin.features = twin.features[:, :, 1:]
    with pytest.raises(ValueError, match=r"must (be|lie)"):
        twin.native(*weights)


def test_a_weight_that_nothing_depends_on_has_no_gradient():
    """As in PyTorch: an inner optimizer with weight decay would move it if it were zero."""
    twin = Twin()
    levels, values, *_, last = twin.native(*twin.weights)
    heads = ("policy", "world_model")
    outputs = (levels, "policy.critic"), (values, "policy.policy"), (last, heads)
    for output, others in outputs:
        gradients = torch.autograd.grad(
            output.sum(), twin.weights, allow_unused=True, retain_graph=True
        )
        absent = [n for n, g in zip(twin.names, gradients, strict=True) if g is None]
        assert absent == [n for n in twin.names if n.startswith(others)]


def test_features_of_part_of_an_episode_are_those_of_the_history():
    game = Game(A, 40)
    principal = Principal(Architecture(6, 5), game)
    tasks = Population([AgentFamily(UCB)], num_arms=A).sample(range(M), split="val")
    player = LearnedPlayer(principal, principal.weights())
    played = rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=B)
    played = played.map(lambda record: record[..., :30])
    seen = played.observed_arms, played.levels, played.observed_agent_rewards
    expected = CountFeatures().features(HistoryState.of_sequence(*seen, game))
    actual = features_of(principal, network_shape(principal), played)
    torch.testing.assert_close(actual, expected)
