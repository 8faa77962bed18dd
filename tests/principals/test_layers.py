import copy

import pytest
import torch
from torch import Tensor, nn

from mermaide_pl.principals.layers import call_module, gru_sequence, gru_step, init_linear, linear

M, B, T, H, I = 3, 2, 5, 4, 6  # noqa: E741


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-12)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def reference():
    return nn.GRU(I, H, batch_first=True, dtype=torch.float64)


def test_gru_sequence_equals_pytorch(reference):
    inputs, start = randn(M, B, T, I), randn(M, B, H)
    projected = linear(inputs, reference.weight_ih_l0, reference.bias_ih_l0)
    states = gru_sequence(projected, start, reference.weight_hh_l0, reference.bias_hh_l0)
    expected, _ = reference(inputs.flatten(0, 1), start.view(1, M * B, H))
    assert states.shape == (M, B, T, H)
    close(states, expected.view(M, B, T, H))


def test_gru_sequence_has_the_gradients_of_pytorch(reference):
    inputs, weights = randn(M, B, T, I), list(reference.parameters())
    scale, start = randn(M, B, T, H), torch.zeros(M, B, H).double()
    weight_ih, weight_hh, bias_ih, bias_hh = weights
    states = gru_sequence(linear(inputs, weight_ih, bias_ih), start, weight_hh, bias_hh)
    gradients = torch.autograd.grad((scale * states).sum(), weights)
    expected = (scale * reference(inputs.flatten(0, 1))[0].view(M, B, T, H)).sum()
    for gradient, other in zip(gradients, torch.autograd.grad(expected, weights), strict=True):
        close(gradient, other)


def test_gru_step_equals_pytorch(reference):
    inputs, hidden = randn(M, B, I), randn(M, B, H)
    projected = linear(inputs, reference.weight_ih_l0, reference.bias_ih_l0)
    following = gru_step(projected, hidden, reference.weight_hh_l0, reference.bias_hh_l0)
    _, expected = reference(inputs.view(M * B, 1, I), hidden.view(1, M * B, H))
    close(following, expected.view(M, B, H))


def test_gru_sequence_with_fast_weights_equals_a_loop_over_tasks():
    projected, weight, bias = randn(M, B, T, 3 * H), randn(M, 3 * H, H), randn(M, 3 * H)
    start = randn(M, B, H)
    stacked = gru_sequence(projected, start, weight, bias)
    for task in range(M):
        one = slice(task, task + 1)
        alone = gru_sequence(projected[one], start[one], weight[task], bias[task])
        close(stacked[task], alone[0])


def test_gru_step_with_fast_weights_equals_a_loop_over_tasks():
    projected, hidden = randn(M, B, 3 * H), randn(M, B, H)
    weight, bias = randn(M, 3 * H, H), randn(M, 3 * H)
    stacked = gru_step(projected, hidden, weight, bias)
    for task in range(M):
        alone = gru_step(projected[task : task + 1], hidden[task], weight[task], bias[task])
        close(stacked[task], alone[0])


@pytest.mark.parametrize("between", [(), (B,), (B, T)], ids=len)
def test_linear_with_fast_weights_equals_a_loop_over_tasks(between):
    inputs, weight, bias = randn(M, *between, I), randn(M, H, I), randn(M, H)
    outputs = linear(inputs, weight, bias)
    assert outputs.shape == (M, *between, H)
    for task in range(M):
        close(outputs[task], nn.functional.linear(inputs[task], weight[task], bias[task]))


def test_linear_by_hand():
    inputs = torch.tensor([[[1.0, 2.0]], [[3.0, -1.0]]])  # [M, B, I]
    weight = torch.tensor([[[1.0, 10.0]], [[2.0, 5.0]]])  # [M, O, I]
    outputs = linear(inputs, weight, torch.tensor([[0.5], [-0.5]]))
    close(outputs, torch.tensor([[[21.5]], [[0.5]]]))


def double_check(function, *inputs: Tensor) -> None:
    inputs = tuple(tensor.requires_grad_() for tensor in inputs)
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_gru_sequence_can_be_differentiated_twice():
    double_check(gru_sequence, randn(1, 2, 3, 6), randn(1, 2, 2), randn(6, 2), randn(6))


def test_gru_sequence_with_fast_weights_can_be_differentiated_twice():
    double_check(gru_sequence, randn(2, 1, 3, 6), randn(2, 1, 2), randn(2, 6, 2), randn(2, 6))


def test_gru_step_can_be_differentiated_twice():
    double_check(gru_step, randn(2, 1, 6), randn(2, 1, 2), randn(2, 6, 2), randn(2, 6))


def test_init_linear_is_orthogonal_with_zero_bias():
    module = nn.Module()
    init_linear(module, "out", in_size=5, out_size=3, gain=0.5)
    parameters = dict(module.named_parameters())
    assert parameters.keys() == {"out_weight", "out_bias"}
    weight = parameters["out_weight"].detach()
    assert weight.shape == (3, 5)
    torch.testing.assert_close(weight @ weight.T, 0.25 * torch.eye(3))
    assert torch.equal(parameters["out_bias"].detach(), torch.zeros(3))


def test_a_module_is_called_with_the_weights_of_each_task():
    module = nn.Sequential(nn.Linear(I, H), nn.Tanh(), nn.LayerNorm(H)).double()
    meta, inputs = dict(module.named_parameters()), randn(M, B, I)
    close(call_module(module, meta, inputs), module(inputs))

    fast = {name: weight + 0.1 * randn(M, *weight.shape) for name, weight in meta.items()}
    for per_task in (list(meta), ["0.weight", "2.bias"]):
        given = {**meta, **{name: fast[name].detach().requires_grad_() for name in per_task}}
        outputs = call_module(module, given, inputs)
        gradients = torch.autograd.grad(outputs.sin().sum(), [given[name] for name in per_task])
        for task in range(M):
            alone = copy.deepcopy(module)
            own = dict(alone.named_parameters())
            for name in per_task:
                own[name].data.copy_(fast[name][task])
            expected = alone(inputs[task])
            close(outputs[task], expected)
            expected.sin().sum().backward()
            for name, gradient in zip(per_task, gradients, strict=True):
                close(gradient[task], own[name].grad)
