"""The recurrent model: the world model of a principal, trained on the choices of many agents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.experiments.learners.choices import Choices
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.principals import Architecture, CountFeatures, SharedForecast
from mermaide_pl.principals.arm_forecast import ArmForecast


@dataclass(frozen=True)
class Training:
    """How the recurrent model is trained; the defaults are for some thousand agents.

    Args:
        hidden_size: H, units of the recurrent state.
        forecast_size: hidden units per arm.
        num_epochs: passes over the agents; the best on the agents that validate is kept.
        num_steps: steps of the optimizer at least, with more passes if the agents are few.
        batch_size: agents of a step.
        learning_rate: of the first step of Adam, falling linearly to 0.
        weight_decay: of Adam.
        validation: share of the agents that validate.
    """

    hidden_size: int = 48
    forecast_size: int = 16
    num_epochs: int = 25
    num_steps: int = 300
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-5
    validation: float = 0.1


def train(choices: Choices, seed: int, training: Training = Training()) -> ArmForecast:
    """Train on all agents but those that validate; every episode begins anew.

    Args:
        choices: of at least 2 agents.
        seed: of the weights, the batches and who validates.
        training: the settings.
    """
    unit = choices.rewards.abs().max().item() or 1.0
    game = Game(choices.num_arms, choices.arms.shape[2], observation=FullInformation())
    architecture = Architecture(
        training.hidden_size,
        history=CountFeatures(reward_unit=unit),
        world_model=SharedForecast(training.forecast_size),
    )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(choices), generator=generator)
    count = max(1, round(training.validation * len(choices)))
    validating, rest = choices.chosen(order[:count]), choices.chosen(order[count:])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ArmForecast(architecture, game)
    optimizer = torch.optim.Adam(
        model.parameters(), training.learning_rate, weight_decay=training.weight_decay
    )
    num_batches = math.ceil(len(rest) / training.batch_size)
    num_epochs = max(training.num_epochs, math.ceil(training.num_steps / num_batches))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, num_epochs)
    best, kept = float("inf"), model.state_dict()
    for _ in range(num_epochs):
        for batch in torch.split(
            torch.randperm(len(rest), generator=generator), training.batch_size
        ):
            loss = -_mean_log(model, rest.chosen(batch))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            loss = -_mean_log(model, validating)
        if loss.item() < best:
            best = loss.item()
            kept = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.load_state_dict(kept)
    return model


def _mean_log(model: ArmForecast, choices: Choices) -> Tensor:
    logs = _log_forecasts(model, choices).gather(2, choices.arms.flatten(1).unsqueeze(2))
    recorded = choices.recorded.flatten(1)
    return logs.squeeze(2)[recorded].mean()


def _log_forecasts(model: ArmForecast, choices: Choices) -> Tensor:
    episodes = (1, -1, choices.arms.shape[2])  # of all agents, for one set of weights
    arms, rewards = choices.arms.view(episodes), choices.rewards.float().view(episodes)
    logs: Tensor = model(arms, torch.zeros_like(arms), rewards)
    return logs.view(len(choices), -1, choices.num_arms)


@torch.no_grad()
def forecasts(model: ArmForecast, choices: Choices) -> Tensor:
    """Probabilities of all arms, float64 [M, N, A], each given the steps before it."""
    parts = torch.split(torch.arange(len(choices)), 256)
    return torch.cat([_log_forecasts(model, choices.chosen(part)) for part in parts]).double().exp()


def cross_validated(
    choices: Choices,
    folds: Tensor,
    seed: int,
    training: Training = Training(),
    advance: Callable[[int], None] = lambda folds: None,
) -> Tensor:
    """Forecasts of each agent by a model that was trained on the other folds.

    Args:
        choices: of M agents.
        folds: number of the fold of each agent, int64 [M]: of people, or of their schedules.
        seed: of the trainings.
        training: the settings.
        advance: is told of folds that are done, by their number.

    Returns:
        Probabilities, float64 [M, N, A].
    """
    found = torch.zeros(*choices.arms.flatten(1).shape, choices.num_arms, dtype=torch.float64)
    for fold in sorted(set(folds.tolist())):
        model = train(choices.chosen(torch.nonzero(folds != fold).flatten()), seed, training)
        held_out = torch.nonzero(folds == fold).flatten()
        found[held_out] = forecasts(model, choices.chosen(held_out))
        advance(1)
    return found
