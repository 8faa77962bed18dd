"""Adapts a principal to one agent and saves it: by playing, or from a recorded history."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mermaide_pl.config.input_paths import checkpoint_path
from mermaide_pl.config.output_paths import make_place
from mermaide_pl.config.serialization import describe
from mermaide_pl.config.validation import MAX_COUNT, check_count, check_number, check_seed
from mermaide_pl.deployment.live_settings import LiveSettings
from mermaide_pl.deployment.log_tables import source_of
from mermaide_pl.deployment.logged_episode import Episode, support_of
from mermaide_pl.deployment.logs import read_histories
from mermaide_pl.evaluation.loading import (
    check_arms,
    data_settings,
    game_of,
    principal_in,
    training_population,
)
from mermaide_pl.evaluation.protocol import evaluate
from mermaide_pl.evaluation.tables import Row
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.adaptation import adapt_to_groups
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.support import Support
from mermaide_pl.objectives import LowVarianceCurvature
from mermaide_pl.populations import Population, Split, TaskBatch, task_seed
from mermaide_pl.principals import Weights
from mermaide_pl.runtime.checkpoints import (
    CHECKPOINT_KEY,
    read_checkpoint,
    write_checkpoint,
)

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class OneAgent(Population):
    """Copies of one agent that differ only by their random numbers.

    Args:
        agent: its number in the test split.
    """

    agent: int = 0

    @classmethod
    def of(cls, population: Population, agent: int) -> OneAgent:
        """One agent of a population."""
        settings = {item.name: getattr(population, item.name) for item in fields(Population)}
        return cls(**settings, agent=agent)

    def sample(
        self, indices: Sequence[int], *, split: Split, seed: int = 0, **others: Any
    ) -> TaskBatch:
        """The agent, with the random numbers of these tasks of the population."""
        tasks = super().sample([self.agent] * len(indices), split="test", seed=seed, **others)
        tasks.seeds = [task_seed(index, split, seed) for index in indices]
        return tasks


def adapt_by_playing(
    ckpt_path: str | Path,
    name: str,
    population: Population,
    out: str | Path,
    *,
    agent: int = 0,
    shots: int = 1,
    num_episodes: int = 500,
    seed: int = 0,
    game_for: Callable[[Game], Game] = lambda game: game,
) -> list[Row]:
    """Adapt to one agent by playing with it, save the principal, and score it before and after.

    Args:
        ckpt_path: checkpoint of a principal.
        name: name of the population in the rows.
        population: agents.
        out: path of the adapted principal, a checkpoint like any other.
        agent: number of the agent in the test split.
        shots: K, support episodes.
        num_episodes: scored episodes before and after, with the agent and with the agents of the
            training population.
        seed: which agents are drawn.
        game_for: the game to be played, given that of the principal's training.

    Returns:
        Rows of `evaluate`, of the methods "before" and "after", on copies of the agent and on the
        training population.

    Raises:
        ValueError: one line that says which input is wrong.
    """
    check_number("--agent", agent, low=0, high=2**40 - 1)
    check_count("--shots", shots, low=1)
    check_count("--num_episodes", num_episodes, low=2)
    check_seed("--seed", seed)
    checkpoint, module = _principal(ckpt_path, out, game_for)
    check_arms(name, population, module.game)
    populations = {
        f"copies of agent {agent} of {name}": OneAgent.of(population, agent),
        "training agents": training_population(checkpoint, ckpt_path),
    }
    population = population.in_game(module.game)
    tasks = population.sample([agent], split="test", seed=seed, game=module.game)
    weights = module.adapted_weights(tasks, shots)
    _save(out, checkpoint, module.game, weights)
    return evaluate(
        {"before": ckpt_path, "after": out},
        populations,
        game=module.game,
        shots=(0, shots),
        num_agents=num_episodes,
        num_episodes=1,
        seed=seed,
    )


@dataclass(frozen=True)
class HeldOut:
    """Log-loss of the forecast in episodes not adapted on, before and after adaptation."""

    history: str  # what was read, for people
    game: Game  # that the history was recorded in
    target_arm: str | int  # as the history labels the arms
    num_steps: int
    log_loss_before: float  # nats per step
    log_loss_after: float  # nats per step


def adapt_from_histories(
    ckpt_path: str | Path,
    logs: str | Path | Any,
    out: str | Path,
    *,
    target_arm: str | int | None = None,
    arms: Sequence[str | int] | None = None,
    columns: Mapping[str, str] | None = None,
    game_for: Callable[[Game], Game] = lambda game: game,
) -> HeldOut:
    """Adapt to one agent from its recorded history, and save the principal.

    The world model adapts to the arms recorded; the policy too, by importance weights, where the
    probabilities of the levels are recorded. The log-loss is that of a principal adapted on all but
    the last fifth of the episodes, measured on those; of a single episode, on the first half,
    measured on the second. The principal that is saved is adapted on all.

    Args:
        ckpt_path: checkpoint of a principal with a world model.
        logs: the history, a file or a DataFrame of pandas, see `read_histories`.
        out: path of the adapted principal, a checkpoint like any other.
        target_arm: the principal's target, as `logs` labels the arms; None for the first arm.
        arms: labels of the arms in `logs`, if they are not 0 to A - 1. A universal principal takes
            their number from them.
        columns: names that columns have in place of the usual ones, such as ``{"arm": "choice"}``.
        game_for: the game of the history, given that of the principal's training. For a universal
            principal, episodes may be longer unless it changes the number of steps.

    Returns:
        Log-losses of the forecast before and after adaptation.

    Raises:
        ValueError: one line that says which input is wrong; `MistakesError` for several mistakes in
            the history. Nothing is saved then.
    """
    inputs = [Path(logs)] if isinstance(logs, str | os.PathLike) else []
    checkpoint, module = _principal(ckpt_path, out, game_for, *inputs)
    if module.principal.world_model is None:
        raise ValueError(f"{ckpt_path} has no world model, which adapting from a history needs")
    labels = _labels(arms, module)
    game = replace(labels.game(module), endless=module.game.endless)
    trained = game_of(checkpoint, ckpt_path)
    if labels.arms is not None:
        target_arm = labels.arms[0] if target_arm is None else str(target_arm)
    target = labels.position("--target_arm", 0 if target_arm is None else target_arm, game)
    plays_any = module.principal.plays_any_game
    may_be_longer = plays_any and game.num_steps == trained.num_steps
    history = read_histories(
        logs,
        replace(game, num_steps=MAX_COUNT) if may_be_longer else game,
        arms=labels.arms,
        columns=columns,
    )
    episodes = history.episodes
    highest = max(target, *(max(episode.arms) for episode in episodes))
    if plays_any and labels.arms is None and highest + 1 < game.num_arms == trained.num_arms:
        _LOGGER.warning(
            "%s: no arm above %d was pulled; if the agent has %d arms and not %d, say"
            " --game.num_arms %d",
            *(source_of(logs), highest, highest + 1, game.num_arms, highest + 1),
        )
    game = replace(game, num_steps=max(game.num_steps, *map(len, episodes)))
    supports = _supports(module, game, episodes, target)
    surrogate = module.objective.surrogate
    if supports[0].behaviour is not None and not isinstance(surrogate, LowVarianceCurvature):
        raise ValueError(
            f"{source_of(logs)}, column propensity: the surrogate {type(surrogate).__name__} of"
            f" {ckpt_path} has no importance weights of single steps; leave the column out"
        )
    log_losses = _held_out(module, game, episodes, target)
    _save(out, checkpoint, game, weights_from_histories(module, supports))
    shown = target if target_arm is None else target_arm
    return HeldOut(str(history), game, shown, log_losses.shape[1], *log_losses.mean(1).tolist())


def _labels(arms: Sequence[str | int] | None, module: MermaideModule) -> LiveSettings:
    """Labels of the arms, as texts, since a file holds texts."""
    labels = LiveSettings(arms=arms, num_steps=module.game.num_steps)
    if labels.arms is not None:
        labels = replace(labels, arms=[str(label) for label in labels.arms])
    return labels


@torch.no_grad()
def weights_from_histories(module: MermaideModule, supports: Sequence[Support]) -> Weights:
    """Weights [1, ...] adapted to one agent on recorded episodes.

    Without propensities only the forecast is learned from: the policy's loss has weight 0.

    Args:
        module: the principal.
        supports: from `support_of`.
    """
    objective = module.objective
    if supports[0].behaviour is None:
        objective = objective.forecast_alone()
    weights, _ = adapt_to_groups(
        module.principal, module.inner_loop, objective, supports, module.engine
    )
    return weights


def _supports(
    module: MermaideModule, game: Game, episodes: Sequence[Episode], target_arm: int
) -> list[Support]:
    like, in_order = next(module.principal.parameters()), module.inner_loop.chain_length > 1
    return support_of(episodes, target_arm, game, like, in_order=in_order)


def _held_out(
    module: MermaideModule, game: Game, episodes: Sequence[Episode], target_arm: int
) -> Tensor:
    """Log-loss before and after adaptation, of each step that is held out, float [2, steps]."""
    if len(episodes) == 1:
        skipped = len(episodes[0]) // 2
        seen, rest = [episodes[0].until(skipped)], list(episodes)
        if not skipped:
            raise ValueError("the history has a single step, at least 2 are needed")
    else:
        first = len(episodes) - max(1, len(episodes) // 5)
        skipped, seen, rest = 0, list(episodes[:first]), list(episodes[first:])

    def supports(chosen: Sequence[Episode]) -> list[Support]:
        return _supports(module, game, chosen, target_arm)

    @torch.no_grad()
    def log_losses(weights: Weights) -> Tensor:
        outputs = (module.forward_pass(weights, group.episodes) for group in supports(rest))
        log_arms = [output.log_arms for output in outputs]
        return -torch.cat([each[..., skipped:].flatten() for each in log_arms if each is not None])

    before = log_losses(module.principal.weights())
    after = log_losses(weights_from_histories(module, supports(seen)))
    return torch.stack([before, after])


def _principal(
    ckpt_path: str | Path,
    out: str | Path,
    game_for: Callable[[Game], Game],
    *inputs: str | Path,
) -> tuple[dict[str, Any], MermaideModule]:
    checkpoint = read_checkpoint(ckpt_path)
    module = principal_in(checkpoint, ckpt_path, game_for(game_of(checkpoint, ckpt_path)))
    if not module.inner_loop.num_shots:
        raise ValueError(f"{ckpt_path} cannot adapt, it was trained with NoAdaptation")
    if str(out).startswith("pretrained:"):  # it would be read from the package again
        raise ValueError(f"--out {out} must be a file, not the name of a pretrained principal")
    make_place(Path(out))
    for given in (checkpoint_path(ckpt_path), *inputs):
        if Path(out).exists() and Path(given).exists() and Path(out).samefile(given):
            what = "the history" if given in inputs else "the checkpoint"
            raise ValueError(f"--out {out} is {what} itself, choose another file")
    return checkpoint, module


def _save(out: str | Path, checkpoint: dict[str, Any], game: Game, weights: Weights) -> None:
    """Save a checkpoint with one task's weights and game; other settings stay."""
    state = dict(checkpoint["state_dict"])
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise ValueError("the adapted weights are not finite; nothing was saved")
        key = f"principal.{name}"
        state[key] = weight.reshape(state[key].shape).clone()
    settings = {**checkpoint[CHECKPOINT_KEY], "game": describe(game)}
    kept = {CHECKPOINT_KEY: settings, **data_settings(checkpoint)}
    write_checkpoint({"state_dict": state, **kept}, out)
