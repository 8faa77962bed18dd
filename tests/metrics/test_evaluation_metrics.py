import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.metrics.evaluation_metrics import (
    EvaluationMetrics,
    ForecastLogLoss,
    NormalisedReturnMetric,
    TrajectoryMean,
    behaviour_metrics,
    forecast_inputs,
    forecast_metrics,
)
from mermaide_pl.objectives import forecast_log_likelihood

M, B, T, L, A = 3, 2, 5, 2, 4
NUM_ORACLES = 3


def trajectory(rewards: Tensor, aligned: Tensor, levels: Tensor) -> Trajectory:
    """A record with these and zeros elsewhere; all [M, B, T]."""
    zeros = torch.zeros_like(levels)
    return Trajectory(
        arms=zeros,
        levels=levels,
        aligned=aligned,
        rewards=rewards,
        agent_rewards=torch.zeros_like(rewards),
        observed_arms=zeros,
        observed_agent_rewards=torch.zeros_like(rewards),
        game=Game(),
    )


def by_hand() -> Trajectory:
    """Two tasks, one episode of four steps."""
    return trajectory(
        rewards=torch.tensor([[[1.0, 0.5, -0.5, 0.0]], [[0.0, 0.0, 1.0, 1.0]]]),
        aligned=torch.tensor([[[1, 1, 0, 0]], [[0, 0, 1, 1]]]).bool(),
        levels=torch.tensor([[[0, 1, 1, 0]], [[0, 0, 0, 2]]]),
    )


def random_trajectory(seed: int, num_tasks: int = M) -> Trajectory:
    generator = torch.Generator().manual_seed(seed)
    shape = (num_tasks, B, T)

    def integers(high: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    return Trajectory(
        arms=integers(A),
        levels=integers(L),
        aligned=integers(2).bool(),
        rewards=torch.randn(shape, generator=generator),
        agent_rewards=torch.randn(shape, generator=generator),
        observed_arms=integers(A),
        observed_agent_rewards=torch.randn(shape, generator=generator),
        game=Game(),
    )


def with_rewards(rewards: list[float]) -> Trajectory:
    values = torch.tensor(rewards).view(-1, 1, 1)
    return trajectory(values, values > 0, (values > 0).long())


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [("returns", 3.0 / 8.0), ("alignment", 0.5), ("intervention_rate", 3.0 / 8.0)],
)
def test_trajectory_mean_by_hand(quantity, expected):
    metric = TrajectoryMean(quantity)
    metric.update(by_hand())
    assert metric.compute().item() == expected


@pytest.mark.parametrize("quantity", ["returns", "alignment", "intervention_rate"])
def test_trajectory_mean_agrees_with_the_record(quantity):
    metric = TrajectoryMean(quantity)
    batches = [random_trajectory(0, 3), random_trajectory(1, 1), random_trajectory(2, 7)]
    for batch in batches:
        metric.update(batch)
    expected = torch.cat([getattr(batch, quantity) for batch in batches]).mean()
    torch.testing.assert_close(metric.compute(), expected)


def test_a_long_sum_keeps_its_digits():
    metric = TrajectoryMean("returns")
    # in float32 the ones are lost, together and one by one
    metric.update(with_rewards([2.0**24, 1.0]))
    for _ in range(8):
        metric.update(with_rewards([1.0]))
    assert metric.total.item() == 2.0**24 + 9.0


def returns(*values: float) -> Tensor:
    """Returns of two tasks, one episode each, [2, 1]."""
    return torch.tensor(values).view(-1, 1)


def test_normalised_return_by_hand():
    metric = NormalisedReturnMetric(num_oracles=1)
    metric.update(with_rewards([0.5]), returns(0.25), returns(0.75)[None])
    assert metric.compute().item() == 0.5
    # a ratio of means, not the mean of the ratios 0.5 and 1
    metric.update(with_rewards([1.0]), returns(0.0), returns(1.0)[None])
    assert metric.compute().item() == pytest.approx((1.5 - 0.25) / (1.75 - 0.25))


def test_one_oracle_is_the_best_over_all_batches():
    metric = NormalisedReturnMetric(num_oracles=3)
    # the best of each batch, the third and the first, are not the best of both
    metric.update(with_rewards([0.5]), returns(0.0), torch.stack([*map(returns, (0.0, 0.7, 0.8))]))
    metric.update(with_rewards([0.5]), returns(0.2), torch.stack([*map(returns, (1.0, 0.9, 0.1))]))
    assert metric.compute().item() == pytest.approx((1.0 - 0.2) / (1.6 - 0.2))
    assert metric.yardsticks == pytest.approx({"no intervention": 0.1, "oracle": 0.8})


def test_normalised_return_of_the_yardsticks_themselves():
    none, oracle = random_trajectory(0), random_trajectory(1)
    oracle = replace(oracle, rewards=oracle.rewards + 9.0)
    for played, expected in ((none, 0.0), (oracle, 1.0)):
        metric = NormalisedReturnMetric(num_oracles=2)
        metric.update(played, none.returns, torch.stack([none.returns, oracle.returns]))
        assert metric.compute().item() == expected


@pytest.mark.parametrize("oracle", [0.5, 0.4])
def test_normalised_return_is_nan_where_nothing_can_be_gained(oracle):
    metric = NormalisedReturnMetric(num_oracles=2)
    metric.update(with_rewards([0.7]), returns(0.5), returns(oracle).expand(2, 1, 1))
    assert metric.compute().isnan()


def test_normalised_return_is_nan_within_the_noise_of_the_gain_and_says_so():
    metric = NormalisedReturnMetric(num_oracles=1)
    metric.update(with_rewards([0.7, 0.7]), returns(0.0, 0.0), returns(1.0, 0.0)[None])
    assert metric.compute().isnan()
    assert metric.undefined.startswith("the oracle's gain over no intervention, 0.500 ± 0.980")
    metric.update(with_rewards([0.7, 0.7]), returns(0.0, 0.0), returns(1.0, 1.0)[None])
    assert metric.compute().item() == pytest.approx(0.7 / 0.75)
    assert metric.undefined is None


def test_log_loss_by_hand():
    metric = ForecastLogLoss()
    metric.update(torch.tensor([[0.5, 0.5], [0.25, 0.75]]), torch.tensor([0, 1]))
    metric.update(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    expected = -(math.log(0.5) + math.log(0.75)) / 3.0
    assert metric.compute().item() == pytest.approx(expected)


def test_log_loss_of_the_impossible_is_large_but_finite():
    metric = ForecastLogLoss()
    metric.update(torch.tensor([[1.0, 0.0]]), torch.tensor([1]))
    assert metric.compute().item() == pytest.approx(-math.log(1e-12))


def test_log_loss_is_the_cross_entropy_that_is_minimised():
    played = random_trajectory(0)
    arm_logits = torch.randn(M, B, T, L, A, generator=torch.Generator().manual_seed(3))
    preds, target = forecast_inputs(arm_logits, played)
    metric = ForecastLogLoss()
    metric.update(preds, target)
    likelihood = forecast_log_likelihood(arm_logits, played.levels, played.observed_arms)
    torch.testing.assert_close(metric.compute(), -likelihood.mean())


def test_forecast_inputs_step_by_step():
    played = random_trajectory(0)
    arm_logits = torch.randn(M, B, T, L, A, generator=torch.Generator().manual_seed(3))
    preds, target = forecast_inputs(arm_logits.requires_grad_(), played)
    assert preds.shape == (M * B * T, A)
    assert not preds.requires_grad
    steps = [(m, b, t) for m in range(M) for b in range(B) for t in range(T)]
    for row, (m, b, t) in enumerate(steps):
        factual = arm_logits[m, b, t, played.levels[m, b, t]].detach().softmax(-1)
        torch.testing.assert_close(preds[row], factual)
        assert target[row] == played.observed_arms[m, b, t]


def test_forecast_inputs_are_computed_in_single_precision():
    logits = torch.zeros(M, B, T, L, A, dtype=torch.bfloat16)
    preds, _ = forecast_inputs(logits, random_trajectory(0))
    assert preds.dtype == torch.float32


def test_forecast_metrics_by_hand():
    # confidences 0.6, 0.6, 0.9 and 0.9; right, wrong, right and right
    preds = torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.9, 0.1]])
    metrics = forecast_metrics()
    metrics.update(preds=preds, target=torch.tensor([0, 1, 1, 0]))
    values = {name: value.item() for name, value in metrics.compute().items()}
    assert values == pytest.approx(
        {
            "forecast_accuracy": 0.75,
            "forecast_log_loss": -(math.log(0.6) + math.log(0.4) + 2.0 * math.log(0.9)) / 4.0,
            # half of the steps said 0.6 and hit 0.5, the other half said 0.9 and hit 1
            "forecast_calibration_error": 0.5 * 0.1 + 0.5 * 0.1,
        }
    )


def test_accuracy_counts_steps_and_not_arms():
    metrics = forecast_metrics()
    preds = torch.tensor([[0.8, 0.1, 0.1]] * 4)
    metrics.update(preds=preds, target=torch.tensor([0, 0, 0, 1]))
    assert metrics.compute()["forecast_accuracy"].item() == 0.75


def test_behaviour_metrics_by_hand():
    metrics = behaviour_metrics(num_oracles=1)
    played = by_hand()
    none, oracles = played.returns, played.returns[None] + 1.0
    metrics.update(trajectory=played, none=none, oracles=oracles)
    assert {name: value.item() for name, value in metrics.compute().items()} == {
        "return": 0.375,
        "alignment": 0.5,
        "intervention_rate": 0.375,
        "normalised_return": 0.0,
    }


def evaluation_inputs(seed: int) -> tuple[Trajectory, Tensor, Tensor, Tensor]:
    """One batch of updates: the principal's episodes, its forecasts, and both yardsticks."""
    played, none, *oracles = (
        random_trajectory(5 * seed + player) for player in range(2 + NUM_ORACLES)
    )
    generator = torch.Generator().manual_seed(seed)
    arm_logits = torch.randn(M, B, T, L, A, generator=generator)
    return played, arm_logits, none.returns, torch.stack([each.returns + 2.0 for each in oracles])


def test_evaluation_metrics_are_kept_apart_by_shots():
    metrics = EvaluationMetrics((0, 2), has_forecast=True, num_oracles=NUM_ORACLES)
    expected = {}
    for shots, seeds in ((0, (0, 1)), (2, (2, 3))):
        behaviour, forecast = behaviour_metrics(NUM_ORACLES), forecast_metrics()
        for seed in seeds:
            played, arm_logits, none, oracles = evaluation_inputs(seed)
            metrics.update(shots, played, arm_logits, none, oracles)
            behaviour.update(trajectory=played, none=none, oracles=oracles)
            preds, target = forecast_inputs(arm_logits, played)
            forecast.update(preds=preds, target=target)
        values = {**behaviour.compute(), **forecast.compute()}
        expected |= {f"{name}_{shots}shot": value.item() for name, value in values.items()}
    assert {name: value.item() for name, value in metrics.compute().items()} == expected
    assert len(expected) == 2 * 7


def test_evaluation_metrics_without_a_forecast():
    metrics = EvaluationMetrics((0,), has_forecast=False, num_oracles=NUM_ORACLES)
    played, _, none, oracles = evaluation_inputs(0)
    metrics.update(0, played, None, none, oracles)
    quantities = ("return", "alignment", "intervention_rate", "normalised_return")
    assert set(metrics.compute()) == {f"{quantity}_0shot" for quantity in quantities}


def test_evaluation_metrics_start_anew_whatever_the_mode():
    used, fresh = (
        EvaluationMetrics((0,), has_forecast=True, num_oracles=NUM_ORACLES) for _ in range(2)
    )
    used.update(0, *evaluation_inputs(0))
    with torch.inference_mode():  # as `trainer.validate` ends
        used.compute()
    for metrics in (used, fresh):  # and as the next run begins
        metrics.update(0, *evaluation_inputs(1))
    assert used.compute() == fresh.compute()


def updates_of(metric: Metric, seed: int) -> tuple:
    """Arguments for one `update`."""
    if isinstance(metric, TrajectoryMean):
        return (random_trajectory(seed, 1 + seed),)
    if isinstance(metric, NormalisedReturnMetric):
        played, none, *oracles = (
            random_trajectory(10 * seed + player, 1 + seed) for player in range(2 + NUM_ORACLES)
        )
        return played, none.returns, torch.stack([each.returns + 2.0 for each in oracles])
    generator = torch.Generator().manual_seed(seed)
    preds = torch.randn(5 + seed, A, generator=generator).softmax(-1)
    return preds, torch.randint(A, (5 + seed,), generator=generator)


METRICS: dict[str, Callable[[], Metric]] = {
    "returns": lambda: TrajectoryMean("returns"),
    "alignment": lambda: TrajectoryMean("alignment"),
    "intervention rate": lambda: TrajectoryMean("intervention_rate"),
    "normalised return": lambda: NormalisedReturnMetric(NUM_ORACLES),
    "log loss": ForecastLogLoss,
    "accuracy": lambda: forecast_metrics()["forecast_accuracy"],
    "calibration": lambda: forecast_metrics()["forecast_calibration_error"],
}


@pytest.mark.parametrize("name", METRICS)
def test_two_shards_make_one(name):
    one, shards = METRICS[name](), (METRICS[name](), METRICS[name]())
    for seed in range(4):
        arguments = updates_of(one, seed)
        one.update(*arguments)
        shards[seed % 2].update(*arguments)
    alone = [shard.clone().compute().item() for shard in shards]  # a result would be cached
    assert alone[0] != alone[1]
    shards[0].merge_state(shards[1])
    torch.testing.assert_close(shards[0].compute(), one.compute())


@pytest.mark.parametrize("name", METRICS)
def test_reset_clears_the_state(name):
    metric, fresh = METRICS[name](), METRICS[name]()
    metric.update(*updates_of(metric, 0))
    metric.reset()
    for each in (metric, fresh):
        each.update(*updates_of(each, 1))
    assert metric.compute() == fresh.compute()
