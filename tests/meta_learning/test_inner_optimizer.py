import pytest
import torch

from mermaide_pl.meta_learning import GradientAdaptation

SGD, Adam = torch.optim.SGD, torch.optim.Adam


@pytest.mark.parametrize(
    "optimizer", [torch.optim.AdamW, torch.optim.NAdam, torch.optim.RMSprop, torch.optim.Adagrad]
)
def test_optimizers_that_cannot_be_differentiated_are_refused(optimizer):
    with pytest.raises(ValueError, match=rf"{optimizer.__name__} .*SGD, torch\.optim\.Adam$"):
        GradientAdaptation(inner_optimizer=optimizer)


@pytest.mark.parametrize(
    ("optimizer", "args", "message"),
    [
        (SGD, {"maximize": True}, "maximize .* allowed: dampening, momentum, nesterov"),
        (SGD, {"betas": [0.9, 0.99]}, "betas .* allowed: dampening, momentum, nesterov"),
        (Adam, {"maximize": True}, "maximize .* allowed: amsgrad, betas, eps, weight_decay"),
        (Adam, {"decoupled_weight_decay": True}, "decoupled_weight_decay .* allowed: amsgrad"),
        (SGD, {"momentun": 0.9}, "momentun .* allowed: dampening, momentum"),
        (SGD, {"momentum": -1.0}, "optimizer_args of SGD: .*momentum"),
        (SGD, {"nesterov": True}, "optimizer_args of SGD: Nesterov momentum requires"),
        (Adam, {"betas": [0.9, 1.5]}, "optimizer_args of Adam: .*beta"),
    ],
    ids=str,
)
def test_optimizer_arguments_are_checked(optimizer, args, message):
    with pytest.raises(ValueError, match=message):
        GradientAdaptation(inner_optimizer=optimizer, optimizer_args=args)
