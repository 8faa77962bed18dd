import copy

import pytest
import torch
from torch import Tensor, nn

from mermaide_pl.principals.layers import call_module, init_linear, linear

M, B, T, H, I = 3, 2, 5, 4, 6  # noqa: E741


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-12)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


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
