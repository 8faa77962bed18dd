"""The stacked inner loop against a loop over tasks, plain optimizers and finite differences."""

import copy
import doctest
import itertools
import math
import re
from dataclasses import replace

import higher
import pytest
import torch
from torch import Tensor, nn

from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import (
    GradientAdaptation,
    NoAdaptation,
    Objective,
    RecurrentAdaptation,
    inner_loop,
)
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.inner_loop import part_of
from mermaide_pl.objectives import LowVarianceCurvature, rewards_to_go
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    Architecture,
    LearnedPlayer,
    LinearForecast,
    Principal,
    SharedForecast,
    WorldModel,
)

M, B, T = 3, 2, 6
GAME = Game(num_arms=3, num_steps=T)
SGD, Adam = torch.optim.SGD, torch.optim.Adam
PARTS = ("initial_state", "recurrence", "world_model", "policy")
NAME = "policy.weight"
STATE = "recurrence.initial_state"
RECURRENCE = {f"recurrence.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}

INNER_LOOPS = {
    "sgd": GradientAdaptation(inner_lr=0.3, adapted=PARTS),
    "fixed rate": GradientAdaptation(inner_lr=0.3, learn_inner_lr=False),
    "momentum": GradientAdaptation(
        inner_lr=0.2, num_inner_steps=3, optimizer_args={"momentum": 0.9}
    ),
    "heads only": GradientAdaptation(
        inner_lr=0.3, num_inner_steps=2, adapted=("world_model", "policy")
    ),
    "recurrence only": GradientAdaptation(inner_lr=0.3, num_inner_steps=2, adapted=("recurrence",)),
    "policy only": GradientAdaptation(
        inner_lr=0.2, num_inner_steps=2, adapted=("policy",), optimizer_args={"momentum": 0.9}
    ),
    # the usual eps of 1e-8 makes steps of Adam too rough for finite differences
    "adam": GradientAdaptation(
        inner_lr=0.05, num_inner_steps=2, inner_optimizer=Adam, optimizer_args={"eps": 1e-3}
    ),
}


def one_task(trajectory: Trajectory, task: int) -> Trajectory:
    rows = slice(task, task + 1)
    return trajectory.map(lambda record: record[rows])


class Setup:
    """A tiny principal with recorded episodes of M agents."""

    def __init__(self, world_model: WorldModel) -> None:
        torch.manual_seed(0)
        architecture = Architecture(hidden_size=4, policy_size=3, world_model=world_model)
        self.principal = Principal(architecture, GAME).double()
        for weight in self.principal.parameters():  # away from the zeros of the initial biases
            weight.data += 0.3 * torch.randn_like(weight)
        self.weights = self.principal.weights()
        population = Population([AgentFamily(UCB, {"beta": 0.3})], num_arms=3)
        tasks = population.sample(range(M), split="train").to("cpu", torch.float64)
        player = LearnedPlayer(self.principal, self.weights)
        self.support, self.query = (
            rollout(tasks, player, GAME, stream=stream, num_episodes=B)
            for stream in (Stream.SUPPORT, Stream.QUERY)
        )

    def losses(self, principal: Principal, weights: dict, played: Trajectory) -> Tensor:
        """Loss of each task; it touches every weight."""
        output = principal(weights, played)
        to_go = rewards_to_go(played.rewards)
        behaviour = torch.full_like(output.log_levels, -math.log(2))
        return (
            LowVarianceCurvature()(output.log_levels, behaviour, to_go)
            - output.log_arms.mean((1, 2))
            + (output.values - to_go).square().mean((1, 2))
        )

    def adapt(self, inner_loop, weights: dict | None = None) -> dict[str, Tensor]:
        def loss(fast: dict) -> Tensor:
            return self.losses(self.principal, fast, self.support)

        return inner_loop(self.weights if weights is None else weights, loss, M)

    def outer(self, inner_loop, weights: dict | None = None) -> Tensor:
        """Query loss of the adapted principal, summed over tasks."""
        return self.losses(self.principal, self.adapt(inner_loop, weights), self.query).sum()


@pytest.fixture(
    scope="module", params=[LinearForecast(), SharedForecast(size=3)], ids=["linear", "shared"]
)
def setup(request):
    return Setup(request.param)


def inner_loop_of(settings: GradientAdaptation, setup: Setup):
    """An inner loop whose rates differ from one parameter to the next."""
    inner_loop = settings.build(setup.weights).double()
    inner_loop.log_rates.data += torch.linspace(-0.5, 0.5, len(inner_loop.log_rates)).double()
    return inner_loop


def does_adapt(settings: GradientAdaptation, name: str) -> bool:
    return ("initial_state" if name == STATE else name.split(".")[0]) in settings.adapted


class Copy(nn.Module):
    """Copies of the weights, in a module that `higher` can patch."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        for name, weight in weights.items():
            self.register_parameter(name.replace(".", "/"), copy.deepcopy(weight))

    def forward(self) -> dict[str, Tensor]:
        return {name.replace("/", "."): weight for name, weight in self.named_parameters()}


def loop_over_tasks(setup: Setup, settings: GradientAdaptation, log_rates: Tensor):
    """The textbook way: a copy of the weights and one `higher.innerloop_ctx` per task."""
    adapted, total = [], 0.0
    copies = [Copy(setup.weights) for _ in range(M)]
    for task, module in enumerate(copies):
        optimizer = settings.inner_optimizer(
            [
                {"params": [weight]}
                for name, weight in module.forward().items()
                if does_adapt(settings, name)
            ],
            lr=settings.inner_lr,
            **settings.optimizer_args,
        )
        support, query = one_task(setup.support, task), one_task(setup.query, task)
        with higher.innerloop_ctx(
            module,
            optimizer,
            copy_initial_weights=False,
            override={"lr": list(log_rates.exp())},
        ) as (fast_module, inner_optimizer):
            for _ in range(settings.num_inner_steps):
                loss = setup.losses(setup.principal, fast_module(), support)
                inner_optimizer.step(loss.sum())
            adapted.append(fast_module())
            total = total + setup.losses(setup.principal, adapted[-1], query).sum()
    leaves = [weight for module in copies for weight in module.parameters()]
    gradients = torch.autograd.grad(total, leaves, retain_graph=True)
    per_task = zip(*[iter(gradients)] * len(setup.weights), strict=True)
    return adapted, total, [sum(parts) for parts in zip(*per_task, strict=True)]


def close(actual: Tensor, expected: Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=atol)


@pytest.mark.parametrize("name", INNER_LOOPS)
def test_stacked_tasks_equal_a_loop_over_tasks(name, setup):
    settings = INNER_LOOPS[name]
    inner_loop = inner_loop_of(settings, setup)
    log_rates = inner_loop.log_rates.detach().clone().requires_grad_()
    expected, expected_loss, expected_gradients = loop_over_tasks(setup, settings, log_rates)

    adapted = setup.adapt(inner_loop)
    for task in range(M):
        for weight_name, weight in adapted.items():
            if not does_adapt(settings, weight_name):
                assert weight is setup.weights[weight_name]
                continue
            assert not torch.equal(weight[task], setup.weights[weight_name])
            close(weight[task], expected[task][weight_name])
    loss = setup.losses(setup.principal, adapted, setup.query).sum()
    close(loss, expected_loss)

    learned = list(inner_loop.parameters())
    assert len(learned) == settings.learn_inner_lr
    gradients = torch.autograd.grad(loss, [*setup.weights.values(), *learned])
    for gradient, expected_gradient in zip(gradients, expected_gradients, strict=False):
        close(gradient, expected_gradient)
        assert gradient.abs().max() > 1e-6
    if learned:
        (rate_gradient,) = torch.autograd.grad(expected_loss, log_rates)
        assert rate_gradient.abs().min() > 1e-6
        close(gradients[-1], rate_gradient)


@pytest.mark.parametrize("name", ["sgd", "momentum", "heads only", "recurrence only", "adam"])
def test_meta_gradient_equals_finite_differences(name, setup):
    inner_loop = inner_loop_of(INNER_LOOPS[name], setup)
    checked = {name: weight for name, weight in setup.weights.items() if weight.numel() <= 12}
    assert {part_of(name) for name in checked} == set(PARTS)
    leaves = [*checked.values(), inner_loop.log_rates]
    gradients = torch.autograd.grad(setup.outer(inner_loop), leaves)

    width = 1e-6
    for leaf, gradient in zip(leaves, gradients, strict=True):
        entries, central = leaf.data.view(-1), []
        for index in range(len(entries)):
            before = entries[index].item()
            outer = []
            for shifted in (before + width, before - width):
                entries[index] = shifted
                with torch.no_grad():
                    outer.append(setup.outer(inner_loop))
            entries[index] = before
            central.append((outer[0] - outer[1]) / (2.0 * width))
        close(gradient.flatten(), torch.stack(central), atol=2e-8)


@pytest.mark.parametrize(
    ("optimizer", "args"),
    [
        (SGD, {}),
        (SGD, {"momentum": 0.9}),
        (SGD, {"momentum": 0.9, "dampening": 0.3}),
        (SGD, {"momentum": 0.9, "nesterov": True}),
        (SGD, {"weight_decay": 0.1}),
        # `higher` adds eps before the bias correction (see below): too small here to matter
        (Adam, {"eps": 1e-20}),
        (Adam, {"eps": 1e-20, "betas": [0.5, 0.9]}),
        (Adam, {"eps": 1e-20, "weight_decay": 0.1}),
        (Adam, {"eps": 1e-20, "amsgrad": True}),
    ],
    ids=str,
)
def test_adapted_weights_equal_the_plain_optimizer(optimizer, args, setup):
    settings = GradientAdaptation(
        inner_lr=0.1,
        num_inner_steps=3,
        adapted=PARTS,
        inner_optimizer=optimizer,
        optimizer_args=args,
    )
    adapted = setup.adapt(settings.build(setup.weights).double())
    for task in range(M):
        principal = copy.deepcopy(setup.principal)
        plain = optimizer(principal.parameters(), lr=0.1, **args)
        for _ in range(3):
            plain.zero_grad()
            support = one_task(setup.support, task)
            setup.losses(principal, principal.weights(), support).sum().backward()
            plain.step()
        for name, weight in principal.weights().items():
            # the rate is stored as a float32 logarithm
            close(adapted[name][task], weight, atol=1e-6)


@pytest.mark.parametrize("first_order", [False, True])
def test_two_steps_by_hand(first_order):
    """Losses w^2 / 2 and w^2 from w = 1 at rate 1/2, so each step takes (1 - c / 2) w, c = 1, 2."""
    weights = {NAME: torch.ones(1, dtype=torch.float64, requires_grad=True)}
    settings = GradientAdaptation(0.5, num_inner_steps=2, first_order=first_order)
    inner_loop = settings.build(weights).double()
    curvature = torch.tensor([1.0, 2.0], dtype=torch.float64)
    adapted = inner_loop(weights, lambda fast: curvature * fast[NAME][:, 0] ** 2 / 2.0, 2)
    first, second = adapted[NAME][:, 0]
    close(first, first.new_tensor(0.25), atol=1e-7)
    close(second, second.new_tensor(0.0), atol=1e-7)
    by_weight, by_log_rate = torch.autograd.grad(first, [weights[NAME], inner_loop.log_rates])
    # (1 - a)^2 by a; of first order 1 - a g_0 - a g_1 with the gradients 1 and 1/2 as numbers
    assert by_weight.item() == pytest.approx(1.0 if first_order else 0.25, abs=1e-6)
    assert by_log_rate.item() == pytest.approx(-0.75 if first_order else -0.5, abs=1e-6)


def test_adam_adds_eps_before_the_bias_correction():
    # PyTorch has sqrt(v / (1 - beta2)) + eps, here it is (sqrt(v) + eps) / sqrt(1 - beta2)
    settings = GradientAdaptation(
        inner_lr=0.1, inner_optimizer=Adam, optimizer_args={"eps": 0.1, "betas": [0.9, 0.99]}
    )
    weights = {NAME: torch.tensor([1.0], dtype=torch.float64, requires_grad=True)}
    gradient = torch.tensor([0.5, -2.0], dtype=torch.float64)
    adapted = settings.build(weights)(weights, lambda fast: fast[NAME][:, 0] * gradient, 2)
    eps = 0.1 / math.sqrt(1.0 - 0.99)  # = 1
    expected = 1.0 - 0.1 * gradient / (gradient.abs() + eps)
    close(adapted[NAME][:, 0], expected, atol=1e-7)


def test_first_order_equals_the_loop_with_detached_gradients(setup):
    settings = GradientAdaptation(inner_lr=0.3, num_inner_steps=2, first_order=True, adapted=PARTS)
    inner_loop = inner_loop_of(settings, setup)
    log_rates = inner_loop.log_rates.detach().clone().requires_grad_()
    meta = {
        name: weight.detach().clone().requires_grad_() for name, weight in setup.weights.items()
    }
    total = 0.0
    for task in range(M):
        fast, support = meta, one_task(setup.support, task)
        for _ in range(2):
            loss = setup.losses(setup.principal, fast, support).sum()
            steps = torch.autograd.grad(loss, list(fast.values()), retain_graph=True)
            fast = {
                name: weight - rate * step  # `step` carries no graph
                for (name, weight), rate, step in zip(
                    fast.items(), log_rates.exp(), steps, strict=True
                )
            }
        total = total + setup.losses(setup.principal, fast, one_task(setup.query, task)).sum()
    expected = torch.autograd.grad(total, [*meta.values(), log_rates])

    loss = setup.outer(inner_loop)
    close(loss, total)
    leaves = [*setup.weights.values(), inner_loop.log_rates]
    gradients = torch.autograd.grad(loss, leaves)
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        close(gradient, expected_gradient)

    second_order = replace(settings, first_order=False)
    second_loop = inner_loop_of(second_order, setup)
    second_loss = setup.outer(second_loop)
    close(second_loss, loss)  # the same steps,
    differing = torch.autograd.grad(second_loss, list(setup.weights.values()))
    for gradient, other in zip(gradients, differing, strict=False):
        assert (gradient - other).abs().max() > 1e-4  # another gradient


@pytest.mark.parametrize("name", INNER_LOOPS)
def test_without_gradients_the_adapted_weights_are_the_same_numbers(name, setup):
    inner_loop = inner_loop_of(INNER_LOOPS[name], setup)
    adapted = setup.adapt(inner_loop)
    with torch.no_grad():
        for weight_name, weight in setup.adapt(inner_loop).items():
            assert torch.equal(weight, adapted[weight_name])
    for weight_name, weight in adapted.items():
        assert (weight.grad_fn is not None) == does_adapt(INNER_LOOPS[name], weight_name)
    assert all(weight.grad is None for weight in setup.weights.values())


def test_every_parameter_is_in_one_part(setup):
    assert GradientAdaptation().adapted == PARTS[1:]
    members = [{name for name in setup.weights if part_of(name) == part} for part in PARTS]
    assert members[0] == {STATE}
    assert members[1] == RECURRENCE
    assert members[2] == {name for name in setup.weights if name.startswith("world_model.")}
    assert members[3] == {
        f"policy.{layer}_{kind}"
        for layer in ("critic_in", "critic_out", "policy_in", "policy_out")
        for kind in ("weight", "bias")
    }
    assert set().union(*members) == setup.weights.keys()


def test_parameters_of_other_modules_are_in_one_part_too():
    names = ["0.weight", "encoder.layers.1.bias", "policy.0.weight", "world_model.a", STATE]
    parts = ["recurrence", "recurrence", "policy", "world_model", "initial_state"]
    assert [part_of(name) for name in names] == parts


def test_the_example_of_the_docstring_runs():
    found = doctest.testmod(inner_loop)
    assert found.attempted >= 10
    assert found.failed == 0


@pytest.mark.parametrize(
    "adapted", [parts for size in (1, 2, 3, 4) for parts in itertools.combinations(PARTS, size)]
)
def test_only_the_named_parts_adapt(adapted, setup):
    settings = GradientAdaptation(adapted=adapted)
    inner_loop = settings.build(setup.weights).double()
    expected = {name for name in setup.weights if does_adapt(settings, name)}
    assert inner_loop.rates().keys() == expected
    for name, weight in setup.adapt(inner_loop).items():
        assert (weight.dim() > setup.weights[name].dim()) == (name in expected)
        assert (weight is setup.weights[name]) != (name in expected)


@pytest.mark.parametrize("learn", [True, False])
def test_the_order_of_the_parts_does_not_matter(learn, setup):
    first, second = (
        GradientAdaptation(adapted=parts, learn_inner_lr=learn).build(setup.weights)
        for parts in (PARTS, PARTS[::-1])
    )
    assert list(first.rates()) == list(second.rates())


@pytest.mark.parametrize(
    ("adapted", "got"),
    [
        (("policy", "word_model"), "policy, word_model"),
        (("policy.policy",), "policy.policy"),
        (("weight_hh",), "weight_hh"),
        (("",), "nothing"),
        ((), "nothing"),
    ],
    ids=str,
)
def test_unknown_parts_and_no_part_are_refused(adapted, got):
    message = (
        "GradientAdaptation.adapted must hold one or more of initial_state, recurrence,"
        f" world_model, policy, got {got}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GradientAdaptation(adapted=adapted)


def test_a_state_that_would_be_overwritten_is_not_adapted():
    with pytest.raises(ValueError, match="adapting initial_state has no effect") as caught:
        GradientAdaptation(adapted=("initial_state", "policy"), carries_state=True)
    assert "\n" not in str(caught.value)


def test_nothing_leaks_from_one_call_into_the_next(setup):
    inner_loop = inner_loop_of(INNER_LOOPS["momentum"], setup)
    first, second = setup.adapt(inner_loop), setup.adapt(inner_loop)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_that_the_inner_loss_does_not_touch_stay_meta_weights(setup):
    inner_loop = inner_loop_of(INNER_LOOPS["momentum"], setup)

    def forecast_loss(fast: dict) -> Tensor:
        return -setup.principal(fast, setup.support).log_arms.mean((1, 2))

    adapted = inner_loop(setup.weights, forecast_loss, M)
    gradients = torch.autograd.grad(
        setup.losses(setup.principal, adapted, setup.query).sum(), list(setup.weights.values())
    )
    for (name, weight), gradient in zip(setup.weights.items(), gradients, strict=True):
        untouched = torch.equal(adapted[name], weight.expand(M, *weight.shape))
        assert untouched == name.startswith("policy.")
        assert gradient.abs().max() > 1e-6


def test_no_adaptation_returns_the_meta_weights(setup):
    inner_loop = NoAdaptation().build(setup.weights)

    def never(fast: dict) -> Tensor:
        raise AssertionError("no loss is needed")

    adapted = inner_loop(setup.weights, never, M)
    assert inner_loop.num_shots == 0
    assert list(inner_loop.parameters()) == []
    assert adapted.keys() == setup.weights.keys()
    assert all(adapted[name] is weight for name, weight in setup.weights.items())


@pytest.mark.parametrize("learn", [True, False])
def test_rates_are_reported_by_parameter(learn, setup):
    settings = GradientAdaptation(inner_lr=0.25, num_shots=4, learn_inner_lr=learn)
    inner_loop = settings.build(setup.weights)
    assert inner_loop.num_shots == 4
    assert inner_loop.rates() == {
        name: pytest.approx(0.25) for name in setup.weights if name != STATE
    }
    assert len(list(inner_loop.parameters())) == learn
    assert "log_rates" in inner_loop.state_dict()
    inner_loop.log_rates.data[0] = math.log(0.5)
    assert inner_loop.rates()["recurrence.weight_ih"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("inner_lr", 0.0, "above 0"),
        ("inner_lr", -0.1, "above 0"),
        ("inner_lr", math.nan, "a finite number"),
        ("num_shots", 0, "at least 1"),
        ("num_inner_steps", 0, "at least 1"),
    ],
)
def test_settings_are_checked(field, value, allowed):
    with pytest.raises(ValueError, match=rf"GradientAdaptation\.{field} .*{allowed}"):
        GradientAdaptation(**{field: value})


def test_recurrent_adaptation_carries_the_state_of_the_support_episodes(setup):
    """Query losses and gradients are those of episodes begun where the last one ended, by hand."""
    inner_loop = RecurrentAdaptation(num_shots=B).build(setup.weights)
    assert (inner_loop.num_shots, list(inner_loop.parameters())) == (B, [])
    weights, output = adapt(setup.principal, inner_loop, Objective(), setup.support)
    assert weights[STATE].shape == (M, 4)
    assert all(weights[name] is weight for name, weight in setup.weights.items() if name != STATE)

    principal, fast = setup.principal, dict(setup.weights)
    features = principal.encode(setup.support)
    state = principal.first_state(fast, M, 1)
    for episode in range(B):
        seen = features[:, episode : episode + 1]
        state = principal.recurrence.sequence(fast, seen, state)[:, :, -1]
    fast[STATE] = state[:, 0]
    close(weights[STATE], fast[STATE])
    leaves = list(setup.weights.values())
    losses = [setup.losses(principal, one, setup.query).sum() for one in (weights, fast)]
    gradients = [torch.autograd.grad(loss, leaves) for loss in losses]
    assert all(gradient.abs().max() > 1e-6 for gradient in gradients[0])
    for gradient, expected in zip(*gradients, strict=True):
        close(gradient, expected)
    assert output.last_state.requires_grad
