import pytest
import torch
from torch import Tensor, nn

from mermaide_pl.principals import GRU, MinGRU
from mermaide_pl.principals.recurrence import INITIAL_STATE

M, B, T, H, F = 3, 2, 5, 4, 6
RECURRENCES = pytest.mark.parametrize("recurrence", [GRU(), MinGRU()], ids=["gru", "min gru"])


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-12)


def build(recurrence, *, lead: tuple[int, ...] = (), sizes: tuple[int, int] = (F, H)):
    """A layer, and random weights for it: meta weights, or with `lead` fast weights."""
    torch.manual_seed(0)
    layer = recurrence.build(*sizes).double()
    weights = {f"recurrence.{name}": randn(*lead, *w.shape) for name, w in layer.named_parameters()}
    assert INITIAL_STATE in weights
    return layer, weights


def double_check(function, *inputs: Tensor) -> None:
    inputs = tuple(tensor.requires_grad_() for tensor in inputs)
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


# the GRU of torch


@pytest.fixture
def reference():
    torch.manual_seed(0)
    return nn.GRU(F, H, batch_first=True, dtype=torch.float64)


def named(reference: nn.GRU) -> dict[str, Tensor]:
    return {f"recurrence.{n.removesuffix('_l0')}": w for n, w in reference.named_parameters()}


def test_a_gru_is_that_of_pytorch(reference):
    layer, weights = GRU().build(F, H), named(reference)
    features, start = randn(M, B, T, F), randn(M, B, H)
    expected, _ = reference(features.flatten(0, 1), start.view(1, M * B, H))
    expected = expected.view(M, B, T, H)
    close(layer.sequence(weights, features, start), expected)
    close(layer.step(weights, features[:, :, 0], start), expected[:, :, 0])


def test_a_gru_has_the_gradients_of_pytorch(reference):
    features, weights = randn(M, B, T, F), list(reference.parameters())
    scale, start = randn(M, B, T, H), torch.zeros(M, B, H).double()
    states = GRU().build(F, H).sequence(named(reference), features, start)
    gradients = torch.autograd.grad((scale * states).sum(), weights)
    expected = (scale * reference(features.flatten(0, 1))[0].view(M, B, T, H)).sum()
    for gradient, other in zip(gradients, torch.autograd.grad(expected, weights), strict=True):
        close(gradient, other)


# of every recurrence


@RECURRENCES
@pytest.mark.parametrize("lead", [(), (M,)], ids=["meta weights", "fast weights"])
def test_a_sequence_is_its_steps(recurrence, lead):
    layer, weights = build(recurrence, lead=lead)
    features, state = randn(M, B, T, F), layer.first_state(weights, M, B)
    states = layer.sequence(weights, features, state)
    assert states.shape == (M, B, T, H)
    for t in range(T):
        state = layer.step(weights, features[:, :, t], state)
        close(states[:, :, t], state)


@RECURRENCES
def test_fast_weights_equal_a_loop_over_tasks(recurrence):
    layer, weights = build(recurrence, lead=(M,))
    features, start = randn(M, B, T, F), randn(M, B, H)
    states = layer.sequence(weights, features, start)
    following = layer.step(weights, features[:, :, 0], start)
    for task in range(M):
        own, one = {name: w[task] for name, w in weights.items()}, slice(task, task + 1)
        close(states[one], layer.sequence(own, features[one], start[one]))
        close(following[one], layer.step(own, features[one, :, 0], start[one]))


@RECURRENCES
@pytest.mark.parametrize("lead", [(), (2,)], ids=["meta weights", "fast weights"])
@pytest.mark.parametrize("of", ["sequence", "step"])
def test_it_can_be_differentiated_twice(recurrence, lead, of):
    layer, weights = build(recurrence, lead=lead, sizes=(2, 2))

    def states(features: Tensor, *given: Tensor) -> Tensor:
        fast = dict(zip(weights, given, strict=True))
        return getattr(layer, of)(fast, features, layer.first_state(fast, 2, 1))

    between = (3,) if of == "sequence" else ()
    double_check(states, randn(2, 1, *between, 2), *weights.values())


@RECURRENCES
def test_episodes_begin_in_the_state_of_their_task(recurrence):
    layer, weights = build(recurrence, lead=(M,))
    begin = layer.first_state(weights, M, B)
    assert torch.equal(begin, weights[INITIAL_STATE].unsqueeze(1).expand(M, B, H))
    shared = {INITIAL_STATE: weights[INITIAL_STATE][0]}
    assert torch.equal(layer.first_state(shared, M, B), shared[INITIAL_STATE].expand(M, B, H))
