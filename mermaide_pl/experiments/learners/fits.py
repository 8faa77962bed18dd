"""Fits of all models to recorded choices, and how well they forecast choices not fitted to."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import torch
from scipy.stats import spearmanr
from torch import Tensor

from mermaide_pl.evaluation.records import Row
from mermaide_pl.experiments.learners import recurrent
from mermaide_pl.experiments.learners.choices import Choices, folds_of
from mermaide_pl.experiments.learners.fitted_rules import RULES
from mermaide_pl.experiments.learners.likelihood import Likelihood
from mermaide_pl.experiments.learners.maximum_likelihood import fit_each, fit_pooled
from mermaide_pl.experiments.learners.recovery import recover

RECURRENT = "recurrent"
"""Name of the recurrent model beside the rules'."""
FITTED_SHARE = 0.8
"""Share of an agent's choices, the first ones, that forecasts of its others are fitted to."""
_AT_BOUND = 1e-3  # of the range of a hyper-parameter


def aic(log_likelihood: float, num_parameters: int) -> float:
    """Akaike's criterion ``2 P - 2 ln L``; smaller is better.

    Source: Akaike, "A new look at the statistical model identification", IEEE Transactions on
    Automatic Control 19 (1974).
    """
    return 2.0 * num_parameters - 2.0 * log_likelihood


def bic(log_likelihood: float, num_parameters: int, num_choices: int) -> float:
    """Schwarz's criterion ``P ln n - 2 ln L``; smaller is better.

    Source: Schwarz, "Estimating the dimension of a model", Annals of Statistics 6 (1978).
    """
    return num_parameters * math.log(num_choices) - 2.0 * log_likelihood


@dataclass
class Fits:
    """Results of `fit_models`.

    Args:
        agents: a row for each agent and model.
        summary: a record for each model, of all agents.
        recovery: a row for each hyper-parameter of a rule and simulated agent.
        forecasts: of each model, of choices not fitted to: probabilities float64 [M, N, A].
        forecast: which choices these are, bool [M, N].
    """

    forecast: Tensor
    agents: list[Row] = field(default_factory=list)
    summary: list[dict[str, Any]] = field(default_factory=list)
    recovery: list[Row] = field(default_factory=list)
    forecasts: dict[str, Tensor] = field(default_factory=dict)


def model_names(num_agents: int, num_folds: int) -> list[str]:
    """Models that can be fitted to so many agents; the recurrent one needs one for each fold."""
    return [*RULES, *([RECURRENT] if num_agents >= num_folds else [])]


def fit_models(
    choices: Choices,
    names: Sequence[str],
    *,
    num_folds: int = 5,
    num_recovered: int = 100,
    seed: int = 0,
    advance: Callable[[str, int], None] = lambda name, agents: None,
    keep: Callable[[Fits], None] = lambda fits: None,
) -> Fits:
    """Fit models to all agents together, and rules to each as well.

    *Pooled*, an agent's choices are forecast by a model that was fitted to the agents of the other
    folds; with fewer agents than folds they are not. *For each*, the last fifth of an agent's
    choices is forecast by the rule as fitted to its others. Either forecast is of the next choice,
    given all before it.

    Args:
        choices: of M agents.
        names: of `RULES`, or `RECURRENT`.
        num_folds: folds of agents, at least 2.
        num_recovered: agents that are simulated to find their hyper-parameters again, at most M.
        seed: of the folds, the recurrent model, and the simulated agents.
        advance: is told of the work that is done with a model, `work` in all.
        keep: is given the results so far after each model.

    Raises:
        ValueError: if the recurrent model has fewer agents than folds.
    """
    folds = folds_of(len(choices), num_folds, seed) if len(choices) >= num_folds else None
    recorded, earlier = choices.recorded.flatten(1), choices.earlier(FITTED_SHARE).flatten(1)
    fits = Fits(recorded if folds is not None else recorded & ~earlier)
    for name in names:

        def step(number: int, name: str = name) -> None:
            advance(name, number)

        if name != RECURRENT:
            _fit_rule(fits, name, choices, folds, num_recovered, seed, step)
        elif folds is None:
            raise ValueError(
                f"the recurrent model needs an agent for each of {num_folds} folds, the history has"
                f" {len(choices)}"
            )
        else:
            _fit_recurrent(fits, choices, folds, seed, step)
        keep(fits)
    return fits


def work(choices: Choices, name: str, num_folds: int, num_recovered: int) -> int:
    """What `advance` of `fit_models` will be told of a model in all, in agents."""
    fold_work = len(choices) * num_folds if len(choices) >= num_folds else 0
    if name == RECURRENT:
        return fold_work
    return fold_work + 3 * len(choices) + min(num_recovered, len(choices))


def _fit_rule(
    fits: Fits,
    name: str,
    choices: Choices,
    folds: Tensor | None,
    num_recovered: int,
    seed: int,
    advance: Callable[[int], None],
) -> None:
    likelihood = Likelihood(RULES[name], choices)
    counted, earlier = choices.recorded, choices.earlier(FITTED_SHARE)
    size, later = likelihood.num_parameters, (counted & ~earlier).flatten(1)
    pooled = fit_pooled(likelihood, counted)
    pooled_sum = likelihood.logs(pooled.expand(len(choices), -1)).sum().item()
    advance(len(choices))
    if folds is not None:
        by_fold = torch.empty(len(choices), size, dtype=torch.float64)
        for fold in sorted(set(folds.tolist())):
            others = (folds != fold).view(-1, 1, 1)
            by_fold[folds == fold] = fit_pooled(likelihood, counted & others)
            advance(len(choices))
        fits.forecasts[name] = likelihood.probabilities(by_fold)
    places, early = fit_each(likelihood, earlier, advance=advance)
    places, values = fit_each(likelihood, counted, places, advance)
    at_bound = (places < _AT_BOUND) | (places > 1.0 - _AT_BOUND)
    if folds is None:
        fits.forecasts[name] = likelihood.probabilities(early)
    sums, logs = likelihood.logs(values).sum(1), likelihood.logs(early)
    unknown = likelihood.unknown(values)
    numbers = counted.flatten(1).sum(1)
    for index, agent in enumerate(choices.agents):
        number, total = int(numbers[index]), sums[index].item()
        found = dict(zip(likelihood.names, values[index].tolist(), strict=True))
        found |= {key: each[index].item() for key, each in unknown.items()}
        fits.agents.append(
            {
                "agent": agent,
                "model": name,
                "choices": number,
                "log_likelihood": total,
                "aic": aic(total, size),
                "bic": bic(total, size, number),
                "held_out_choices": int(later[index].sum()),
                "held_out_log_probability": _mean(logs[index], later[index]),
                "parameters": " ".join(f"{key}={value:.6g}" for key, value in found.items()),
                "at_bound": " ".join(compress(likelihood.names, at_bound[index].tolist())),
            }
        )
    total, number = sums.sum().item(), int(numbers.sum())
    chances = likelihood.probabilities(early).gather(2, choices.arms.flatten(1).unsqueeze(2))
    fits.summary.append(
        {
            "model": name,
            "agents": len(choices),
            "choices": number,
            "num_parameters": size,
            "pooled": {
                "parameters": dict(zip(likelihood.names, pooled.tolist(), strict=True)),
                "log_likelihood": pooled_sum,
                "aic": aic(pooled_sum, size),
                "bic": bic(pooled_sum, size, number),
                **(_scores(fits, name, choices) if folds is not None else {}),
            },
            "each": {
                "log_likelihood": total,
                "aic": aic(total, size * len(choices)),
                "bic": sum(row["bic"] for row in fits.agents[-len(choices) :]),
                "held_out_log_probability": _mean(logs, later),
                "held_out_probability": _mean(chances.squeeze(2), later),
                "at_bound": dict(zip(likelihood.names, at_bound.sum(0).tolist(), strict=True)),
            },
            "recovery": _recovery(fits, name, likelihood, values, num_recovered, seed, advance),
        }
    )


def _fit_recurrent(
    fits: Fits, choices: Choices, folds: Tensor, seed: int, advance: Callable[[int], None]
) -> None:
    fits.forecasts[RECURRENT] = recurrent.cross_validated(
        choices, folds, seed, advance=lambda number: advance(number * len(choices))
    )
    logs = _chosen(fits.forecasts[RECURRENT], choices).log()
    recorded = choices.recorded.flatten(1)
    for index, agent in enumerate(choices.agents):
        number = int(recorded[index].sum())
        fits.agents.append(
            {
                "agent": agent,
                "model": RECURRENT,
                "choices": number,
                "log_likelihood": "",
                "aic": "",
                "bic": "",
                "held_out_choices": number,
                "held_out_log_probability": _mean(logs[index], recorded[index]),
                "parameters": "",
                "at_bound": "",
            }
        )
    fits.summary.append(
        {
            "model": RECURRENT,
            "agents": len(choices),
            "choices": int(recorded.sum()),
            "pooled": _scores(fits, RECURRENT, choices),
        }
    )


def _recovery(
    fits: Fits,
    name: str,
    likelihood: Likelihood,
    values: Tensor,
    number: int,
    seed: int,
    advance: Callable[[int], None],
) -> dict[str, float | None]:
    """Correlation of each hyper-parameter with what is recovered; None where there is none."""
    if not number:
        return {}
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed))[:number]
    chosen = Likelihood(likelihood.fitted, likelihood.choices.chosen(order), likelihood.scale)
    true, found = values[order], recover(chosen, values[order], seed, advance)
    for index, place in enumerate(order.tolist()):
        for parameter, one, other in zip(
            likelihood.names, true[index].tolist(), found[index].tolist(), strict=True
        ):
            fits.recovery.append(
                {
                    "agent": likelihood.choices.agents[place],
                    "model": name,
                    "parameter": parameter,
                    "simulated": one,
                    "recovered": other,
                }
            )
    pairs = zip(likelihood.names, true.unbind(1), found.unbind(1), strict=True)
    return {name: rank_correlation(one, other) for name, one, other in pairs}


def rank_correlation(one: Tensor, other: Tensor) -> float | None:
    """Spearman's correlation of two samples, float [n]; None if one does not vary."""
    if min(len(set(one.tolist())), len(set(other.tolist()))) < 2:
        return None
    return float(spearmanr(one.numpy(), other.numpy()).statistic)


def _scores(fits: Fits, name: str, choices: Choices) -> dict[str, float]:
    chances, recorded = _chosen(fits.forecasts[name], choices), choices.recorded.flatten(1)
    return {
        "held_out_log_probability": _mean(chances.log(), recorded),
        "held_out_probability": _mean(chances, recorded),
    }


def _chosen(forecasts: Tensor, choices: Choices) -> Tensor:
    """Forecast probabilities of the arms chosen, float64 [M, N]."""
    chances = forecasts.gather(2, choices.arms.flatten(1).unsqueeze(2)).squeeze(2)
    return chances.clamp(min=torch.finfo(chances.dtype).tiny)


def _mean(values: Tensor, counted: Tensor) -> float:
    """Mean over the choices that count, nan if there are none."""
    return values[counted].mean().item()
