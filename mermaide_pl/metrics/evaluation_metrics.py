"""Torchmetrics over agents: thin stateful shells, summed over batches and devices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import BinaryCalibrationError

from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.metrics.intervals import NORMAL_QUANTILE
from mermaide_pl.metrics.normalised_return import undefined_because
from mermaide_pl.objectives import factual_arm_logits

_Named = tuple[str, MetricCollection]


class _Mean(Metric):
    """Mean of many values, summed up in double precision."""

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def _add(self, total: Tensor, count: int) -> None:
        self.total += total.double()
        self.count += count

    def compute(self) -> Tensor:
        """The mean, float []."""
        return (self.total / self.count).float()


class TrajectoryMean(_Mean):
    """Mean over all episodes of ``Trajectory.returns``, ``alignment`` or ``intervention_rate``.

    Args:
        quantity: name of the property, float [M, B].
    """

    def __init__(self, quantity: str) -> None:
        super().__init__()
        self._quantity = quantity

    def update(self, trajectory: Trajectory) -> None:
        """Add the episodes of a batch."""
        values: Tensor = getattr(trajectory, self._quantity)
        self._add(values.double().sum(), values.numel())


class NormalisedReturnMetric(Metric):
    """Return on a scale from no intervention (0) to the best of several oracles (1).

    See `normalised_return`. Which oracle is the best is known when all agents have been seen, so it
    depends neither on batches nor on devices.

    Args:
        num_oracles: O, the candidates.
    """

    full_state_update = False
    sums: Tensor
    squares: Tensor
    count: Tensor

    def __init__(self, num_oracles: int) -> None:
        super().__init__()
        for name, size in (("sums", 2 + num_oracles), ("squares", num_oracles)):
            empty = torch.zeros(size, dtype=torch.float64)
            self.add_state(name, empty, dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.yardsticks: dict[str, float] = {}  # mean returns by name, as last computed
        self.undefined: str | None = None  # why there was no number, as last computed

    def update(self, trajectory: Trajectory, none: Tensor, oracles: Tensor) -> None:
        """Add a batch: the principal's episodes, and returns [M, B] and [O, M, B]."""
        returns = torch.cat([trajectory.returns[None], none[None], oracles]).double().mean(2)
        self.sums += returns.sum(1)
        self.squares += (returns[2:] - returns[1]).square().sum(1)
        self.count += returns.shape[1]

    def compute(self) -> Tensor:
        """The share, float []; nan where it is undefined."""
        agents = float(self.count)
        if not agents:
            return torch.tensor(math.nan, device=self.sums.device)
        # a module that was converted has its states in another type
        played, none, *oracles = (self.sums.double() / self.count).tolist()
        best = max(range(len(oracles)), key=lambda number: oracles[number])
        oracle, gain = oracles[best], oracles[best] - none
        self.yardsticks = {"no intervention": none, "oracle": oracle}
        spread = max(0.0, float(self.squares[best]) / agents - gain**2)
        error = math.sqrt(spread / (agents - 1.0)) if agents > 1.0 else math.nan
        self.undefined = undefined_because(gain, NORMAL_QUANTILE * error)
        share = math.nan if self.undefined else (played - none) / gain
        return torch.tensor(share, dtype=torch.float32, device=self.sums.device)


class ForecastLogLoss(_Mean):
    """Cross-entropy of the forecast arm distribution, in nats per step."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add steps: probabilities [N, A] and observed arms [N]."""
        loss = torch.nn.functional.nll_loss(preds.clamp(min=1e-12).log(), target, reduction="sum")
        self._add(loss, target.numel())


class ForecastAccuracy(_Mean):
    """Share of steps at which the most probable arm was pulled, whatever the number of arms."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add steps: probabilities [N, A] and observed arms [N]."""
        self._add((preds.argmax(-1) == target).sum(), target.numel())


class ForecastCalibrationError(BinaryCalibrationError):
    """Expected calibration error of the most probable arm, whatever the number of arms."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add steps: probabilities [N, A] and observed arms [N]."""
        highest, arm = preds.max(-1)
        super().update(highest, (arm == target).long())


class EvaluationMetrics(nn.Module):
    """All metrics of an evaluation, one set for each number of shots.

    Args:
        shots: the numbers of support episodes that are evaluated.
        has_forecast: True if there is a world model to score.
        num_oracles: O, candidates for the oracle.
    """

    def __init__(self, shots: Sequence[int], has_forecast: bool, num_oracles: int) -> None:
        super().__init__()
        self._shots = tuple(shots)
        self._behaviour = nn.ModuleDict(
            {str(number): behaviour_metrics(num_oracles) for number in shots}
        )
        self._forecast = nn.ModuleDict(
            {str(number): forecast_metrics() for number in shots if has_forecast}
        )

    def update(
        self,
        shots: int,
        played: Trajectory,
        arm_logits: Tensor | None,
        none: Tensor,
        oracles: Tensor,
    ) -> None:
        """Add the episodes of a batch, with the baselines on the same episodes.

        Args:
            shots: support episodes that the principal adapted on.
            played: the principal's episodes, [M, B, T].
            arm_logits: the world model's forecasts in them, float [M, B, T, L, A].
            none: returns in the same without intervention, float [M, B].
            oracles: returns in the same with each oracle, float [O, M, B].
        """
        behaviour = cast(MetricCollection, self._behaviour[str(shots)])
        behaviour.update(trajectory=played, none=none, oracles=oracles)
        if arm_logits is not None:
            preds, target = forecast_inputs(arm_logits, played)
            cast(MetricCollection, self._forecast[str(shots)]).update(preds=preds, target=target)

    def compute(self) -> dict[str, Tensor]:
        """Every metric by name, e.g. ``return_1shot``; then start anew."""
        values = {}
        for group in (self._behaviour, self._forecast):
            for number, collection in cast(Iterable[_Named], group.items()):
                for name, value in collection.compute().items():
                    values[f"{name}_{number}shot"] = value
                # a state reset in inference mode could not be updated by the next run
                with torch.inference_mode(False):
                    collection.reset()
        return values

    @property
    def names(self) -> list[str]:
        """Names of the metrics that `compute` returns."""
        return [
            f"{name}_{number}shot"
            for group in (self._behaviour, self._forecast)
            for number, collection in cast(Iterable[_Named], group.items())
            for name in collection
        ]

    @property
    def yardsticks(self) -> dict[str, float]:
        """Mean returns of no intervention and the best oracle, as last computed."""
        return self._normalised_return.yardsticks

    @property
    def undefined(self) -> str | None:
        """Reason for an undefined normalised return, as last computed; None if it was defined."""
        return self._normalised_return.undefined

    @property
    def _normalised_return(self) -> NormalisedReturnMetric:
        behaviour = cast(MetricCollection, self._behaviour[str(self._shots[0])])
        return cast(NormalisedReturnMetric, behaviour["normalised_return"])


def behaviour_metrics(num_oracles: int) -> MetricCollection:
    """Metrics of the principal's play; `update` takes ``trajectory``, ``none`` and ``oracles``."""
    return MetricCollection(
        {
            "return": TrajectoryMean("returns"),
            "alignment": TrajectoryMean("alignment"),
            "intervention_rate": TrajectoryMean("intervention_rate"),
            "normalised_return": NormalisedReturnMetric(num_oracles),
        },
        compute_groups=False,
    )


def forecast_metrics() -> MetricCollection:
    """Metrics of the world model; `update` takes the two results of `forecast_inputs`."""
    return MetricCollection(
        {
            "forecast_accuracy": ForecastAccuracy(),
            "forecast_log_loss": ForecastLogLoss(),
            "forecast_calibration_error": ForecastCalibrationError(n_bins=15),
        },
        compute_groups=False,
    )


def forecast_inputs(arm_logits: Tensor, trajectory: Trajectory) -> tuple[Tensor, Tensor]:
    """Forecast for the levels played, [N, A] probabilities, and the observed arms [N]."""
    factual = factual_arm_logits(arm_logits.detach().float(), trajectory.levels).softmax(-1)
    return factual.flatten(0, 2), trajectory.observed_arms.flatten()
