"""The path of the parameters over meta-training, and the plane that explains most of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from mermaide_pl.config.validation import check_number


class ParameterPath(pl.Callback):
    """Records all meta-learned parameters, weights and inner rates, before and during training.

    Args:
        every_n_steps: training steps from one record to the next.
    """

    def __init__(self, every_n_steps: int) -> None:
        check_number("ParameterPath.every_n_steps", every_n_steps, low=1)
        self._every_n_steps = every_n_steps
        self.steps: list[int] = []  # [N], training steps done
        self.points: list[Tensor] = []  # [N] of float [P], in the order of module.parameters()

    def state_dict(self) -> dict[str, Any]:
        """The path so far."""
        return {"steps": list(self.steps), "points": list(self.points)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the path of a kept training."""
        self.steps, self.points = list(state_dict["steps"]), list(state_dict["points"])

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Record the starting point."""
        self._record(0, pl_module)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Record at regular intervals."""
        if trainer.global_step % self._every_n_steps == 0:
            self._record(trainer.global_step, pl_module)

    def _record(self, step: int, module: pl.LightningModule) -> None:
        self.steps.append(step)
        self.points.append(parameters_to_vector(module.parameters()).detach().cpu().clone())


@dataclass(frozen=True)
class Plane:
    """The plane through the end of a path that explains most of its movement.

    Source: Li et al., "Visualizing the loss landscape of neural nets", NeurIPS 2018, section 7.2:
    the directions are the first two principal components of ``theta_0 - theta_n, ...,
    theta_{n-1} - theta_n``, which are not centred. The path starts at negative coordinates.
    """

    origin: Tensor  # [P] float64, the end of the path
    directions: Tensor  # [2, P] float64, orthonormal
    explained: tuple[float, float]  # shares of the squared distances to the end

    @classmethod
    def of_path(cls, points: Tensor) -> Plane:
        """The plane of a path.

        Args:
            points: points of the path in order, float [N, P], N > 2.
        """
        differences = (points[:-1] - points[-1]).double()
        _, lengths, components = torch.linalg.svd(differences, full_matrices=False)
        directions = components[:2]
        start = directions @ differences[0]
        directions = torch.where(start > 0.0, -1.0, 1.0).unsqueeze(1) * directions
        first, second = (lengths.square() / lengths.square().sum())[:2].tolist()
        return cls(points[-1].double(), directions, (first, second))

    def coordinates(self, points: Tensor) -> Tensor:
        """Coordinates of the points' projections, float64 [N, 2], from [N, P]."""
        return (points.double() - self.origin) @ self.directions.T

    def at(self, coordinates: Tensor) -> Tensor:
        """The points of the plane with these coordinates, float64 [N, P], from [N, 2]."""
        return self.origin + coordinates @ self.directions
