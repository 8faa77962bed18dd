import math

import pytest
import torch

from mermaide_pl.game import Game
from mermaide_pl.principals import LinearForecast, NoWorldModel, SharedForecast

GAME = Game(num_arms=3, num_steps=5, bonuses=(0.0, 1.0))
H, SIZES = 2, (1, 2)  # hidden units; global features and features per arm
WORLD_MODELS = pytest.mark.parametrize(
    "world_model", [LinearForecast(), SharedForecast(size=4)], ids=["linear", "shared"]
)


def build(world_model):
    torch.manual_seed(0)
    forecast = world_model.build(H, SIZES, GAME)
    for weight in forecast.parameters():
        weight.data = torch.randn_like(weight)
    return forecast, {f"world_model.{name}": w for name, w in forecast.named_parameters()}


@WORLD_MODELS
def test_fast_weights_equal_a_loop_over_tasks(world_model):
    forecast, weights = build(world_model)
    weights = {name: torch.randn(3, *weight.shape) for name, weight in weights.items()}
    hidden, features = torch.randn(3, 2, 4, H), torch.randn(3, 2, 4, 7)
    stacked = forecast(weights, hidden, features)
    assert stacked.shape == (3, 2, 4, GAME.num_levels, GAME.num_arms)
    for task in range(3):
        own = {name: weight[task] for name, weight in weights.items()}
        alone = forecast(own, hidden[task : task + 1], features[task : task + 1])
        torch.testing.assert_close(stacked[task], alone[0])


def test_linear_forecast_by_hand():
    forecast, weights = build(LinearForecast())
    weights = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    # output number 3 * level + arm; inputs: 2 hidden, 1 global, 3 arms x 2
    weights["world_model.arm_weight"][4, 0] = 10.0
    weights["world_model.arm_weight"][4, 8] = 1.0
    weights["world_model.arm_bias"][2] = 0.5
    hidden, features = torch.tensor([[0.3, 0.0]]), torch.arange(7.0).unsqueeze(0)
    logits = forecast(weights, hidden, features)
    assert logits.tolist() == [[[0.0, 0.0, 0.5], [0.0, 9.0, 0.0]]]


def test_shared_forecast_by_hand():
    forecast, weights = build(SharedForecast(size=1))
    weights = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    weights["world_model.common_weight"][0] = torch.tensor([1.0, 0.0, 2.0])  # h_1 and the global
    weights["world_model.arm_weight"][0] = torch.tensor([0.0, 1.0])
    weights["world_model.out_weight"][:, 0] = torch.tensor([1.0, -3.0])  # of the two levels
    hidden = torch.tensor([[0.1, 7.0]])
    features = torch.tensor([[0.2, 9.0, 0.3, 9.0, -0.5, 9.0, 0.0]])
    units = [math.tanh(0.5 + arm) for arm in (0.3, -0.5, 0.0)]
    expected = torch.tensor([[units, [-3.0 * unit for unit in units]]])
    torch.testing.assert_close(forecast(weights, hidden, features), expected)


def test_shared_forecast_treats_all_arms_alike():
    forecast, weights = build(SharedForecast(size=4))
    hidden, features = torch.randn(2, H), torch.randn(2, 7)
    order = torch.tensor([2, 0, 1])
    per_arm = features[:, 1:].view(2, 3, 2)[:, order].flatten(1)
    moved = forecast(weights, hidden, torch.cat([features[:, :1], per_arm], dim=1))
    torch.testing.assert_close(moved, forecast(weights, hidden, features)[..., order])


def test_no_weight_of_a_forecast_is_without_effect():
    for world_model in (LinearForecast(), SharedForecast(size=4)):
        forecast, weights = build(world_model)
        logits = forecast(weights, torch.randn(2, H), torch.randn(2, 7))
        chances = logits.log_softmax(-1)[..., 0].sum()
        for name, weight in forecast.named_parameters():
            (gradient,) = torch.autograd.grad(chances, weight, retain_graph=True)
            assert gradient.abs().max() > 1e-4, name


def test_shared_forecast_has_no_more_weights_for_more_arms():
    few, many = (
        SharedForecast().build(H, SIZES, Game(num_arms=arms)).state_dict() for arms in (3, 30)
    )
    assert {name: w.shape for name, w in few.items()} == {n: w.shape for n, w in many.items()}


def test_no_world_model_builds_nothing():
    assert NoWorldModel().build(H, SIZES, GAME) is None


def test_size_is_checked():
    with pytest.raises(ValueError, match=r"SharedForecast\.size .*at least 1, got 0"):
        SharedForecast(size=0)
