"""Hyper-parameters of the largest likelihood, of all agents together or of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.stats import qmc
from torch import Tensor

from mermaide_pl.experiments.learners.likelihood import Likelihood

_STEP = 1e-4  # of a central difference, of the range of a hyper-parameter
_NUM_STARTS = {1: 16, 2: 32}  # by the number of free hyper-parameters
_MOST_STARTS = 64
_AT_ONCE = 256  # agents


def fit_pooled(likelihood: Likelihood, counted: Tensor) -> Tensor:
    """One set of hyper-parameters for all agents.

    Args:
        likelihood: of M agents.
        counted: choices that count, bool [M, B, T].

    Returns:
        float64 [P].
    """
    weights = counted.flatten(1).double()
    owners = torch.nonzero(weights.any(1)).flatten()

    def total(places: Tensor) -> Tensor:
        values = likelihood.values(places[:, 0]).repeat_interleave(len(owners), 0)
        logs = likelihood.logs(values, owners.repeat(len(places)))
        sums = (logs.view(len(places), len(owners), -1) * weights[owners]).sum((1, 2))
        return sums.unsqueeze(1)

    return likelihood.values(_maximise(total, 1, likelihood.num_parameters)[0])


def fit_each(
    likelihood: Likelihood,
    counted: Tensor,
    start: Tensor | None = None,
    advance: Callable[[int], None] = lambda agents: None,
) -> tuple[Tensor, Tensor]:
    """Hyper-parameters of each agent.

    Args:
        likelihood: of M agents.
        counted: choices that count, bool [M, B, T].
        start: places to begin at, float64 [M, P], instead of a search.
        advance: is told of agents that are done, by their number.

    Returns:
        Places between the bounds and values, float64 [M, P] each.
    """
    weights, found = counted.flatten(1).double(), []
    for owners in torch.split(torch.arange(len(counted)), _AT_ONCE):

        def of_each(places: Tensor, owners: Tensor = owners) -> Tensor:
            values = likelihood.values(places).flatten(0, 1)
            logs = likelihood.logs(values, owners.repeat(len(places)))
            return (logs.view(len(places), len(owners), -1) * weights[owners]).sum(2)

        chosen = None if start is None else start[owners]
        found.append(_maximise(of_each, len(owners), likelihood.num_parameters, chosen))
        advance(len(owners))
    places = torch.cat(found)
    return places, likelihood.values(places)


def _maximise(
    function: Callable[[Tensor], Tensor],
    groups: int,
    num_parameters: int,
    start: Tensor | None = None,
) -> Tensor:
    """Places in the unit cube of the largest values, float64 [G, P].

    The best of Sobol's points, then L-BFGS-B on the sum over all groups, which has a maximum where
    each has. Gradients are central differences, of all hyper-parameters and groups in one call.

    Args:
        function: maps places of S trials, float64 [S, G, P], to values [S, G].
        groups: G, each with a place of its own that no other depends on.
        num_parameters: P.
        start: places to begin at, float64 [G, P], instead of Sobol's.
    """
    if start is None:
        count = _NUM_STARTS.get(num_parameters, _MOST_STARTS)
        sobol = qmc.Sobol(num_parameters, rng=0).random(count)
        points = torch.from_numpy(sobol)
        reached = torch.cat([function(point.expand(1, groups, -1)) for point in points])
        start = points[reached.argmax(0)]
    steps = _STEP * torch.eye(num_parameters, dtype=torch.float64)

    def negative(flat: np.ndarray) -> tuple[float, np.ndarray]:
        place = torch.from_numpy(flat).view(groups, num_parameters)
        up, down = ((place + sign * steps[:, None]).clamp(0.0, 1.0) for sign in (1.0, -1.0))
        values = function(torch.cat([place[None], up, down]))
        above, below = values[1:].chunk(2)
        widths = (up - down).diagonal(dim1=0, dim2=2)
        slopes = (above - below).T / widths
        return -values[0].sum().item(), -slopes.flatten().numpy()

    found = minimize(
        negative,
        start.flatten().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, 1.0)] * start.numel(),
        options={"maxiter": 200, "ftol": 1e-8, "gtol": 1e-3, "maxcor": 20},
    )
    return torch.from_numpy(found.x).view(groups, num_parameters)
