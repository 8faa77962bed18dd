"""Figure 3: a hundred rounds, best-response agents, adaptation to one agent on one episode.

An agent dislikes the target by ``delta``, uniform on [0, 1.5], and the two bonuses on offer are 0.5
and 1: for a third of the agents the small bonus suffices, a third needs the large one, and for a
third neither suffices. In equilibrium the principal pays one level always, or never, depending on
the agent; the best single level for all of them gets 0.4 of the equilibrium's payoff.

The principal remembers what happened in an episode, so it may find out within its first one (0
shots); after one gradient step on that (1 shot) it should know from the first step on. *REINFORCE*
has the same memory, but neither a world model nor meta-learning. It is a strong baseline, since in
a hundred rounds memory alone suffices (in figure 2 there is nothing to remember). All play their
most probable level.

The landscape shows the payoff after one episode, which is what meta-training climbs, of principals
that sample from their policy: it has no jumps where another level becomes the most probable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from mermaide_pl.config.validation import NUM_SEEDS
from mermaide_pl.evaluation.methods import MERMAIDE, REINFORCE, label_of
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.experiments.paper.followers import (
    NUM_ARMS,
    followers,
    mean_equilibrium,
    play_adapted,
)
from mermaide_pl.experiments.paper.parameter_path import ParameterPath, Plane
from mermaide_pl.game import Game
from mermaide_pl.game.equilibrium import equilibrium_level
from mermaide_pl.meta_learning import GradientAdaptation, NoAdaptation, Objective, fit
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.metrics.intervals import student_mean
from mermaide_pl.objectives.advantages import GeneralisedAdvantages
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import Architecture, LearnedPlayer, NoWorldModel, SharedForecast
from mermaide_pl.reporting.figures import draw_meta_training
from mermaide_pl.reporting.figures.style import save_png, shots_label

POPULATION = followers(largest_delta=1.5)
GAME = Game(num_arms=NUM_ARMS, num_steps=100, bonuses=(0.0, 0.5, 1.0), cost=0.5)

_META_BATCH_SIZE = 32
_NUM_QUERY_EPISODES = 4


@dataclass(frozen=True)
class Effort:
    """Size of the experiment: trainings, agents, and points of the landscape."""

    num_seeds: int = 5  # trainings
    num_steps: int = 600  # steps of a training
    num_records: int = 30  # records of the parameters in a training, without that at the start
    num_agents: int = 500  # unseen agents to score on
    grid_size: int = 25  # points of the landscape in each direction
    num_grid_agents: int = 200  # unseen agents at each point


QUICK = Effort(
    num_seeds=2, num_steps=300, num_records=15, num_agents=200, grid_size=15, num_grid_agents=50
)


def run(out: Path, quick: bool, seed: int) -> str:
    """Train, score on unseen agents along the way, write the rows, and draw them.

    Trainings are kept in ``out/runs`` and not repeated.

    Args:
        out: folder of the results.
        quick: run fewer and shorter trainings, with fewer agents.
        seed: seed of the trainings and the agents.

    Returns:
        The result, in one sentence.
    """
    effort = QUICK if quick else Effort()
    by_seed, surface = compute(effort, out / "runs", seed)
    write_rows(out / "fig3_by_seed.csv", by_seed)
    write_rows(out / "fig3.csv", summarise(by_seed))
    write_rows(out / "fig3_landscape.csv", surface)
    rows = read_rows(out / "fig3.csv")
    figure = draw_meta_training(read_rows(out / "fig3_landscape.csv"), rows)
    save_png(figure, out / "fig3.png")
    return say(rows)


def compute(effort: Effort, runs: Path, seed: int) -> tuple[list[Row], list[Row]]:
    """Compute all rows that are drawn.

    Args:
        effort: size of the experiment.
        runs: folder of the trainings.
        seed: seed of the agents, and of the first training.

    Returns:
        Rows of `scores` for every training, and rows of `landscape` for the first of MERMAIDE.
    """
    unseen = POPULATION.sample(range(effort.num_agents), split="test", seed=seed)
    at_grid = POPULATION.sample(range(effort.num_grid_agents), split="test", seed=seed)
    by_seed: list[Row] = []
    surface: list[Row] = []
    with Progress(transient=True) as progress:
        training = progress.add_task("training and scoring", total=2 * effort.num_seeds)
        mapping = progress.add_task("landscape", total=effort.grid_size**2)
        for own_seed in ((seed + number) % NUM_SEEDS for number in range(effort.num_seeds)):
            for method in (MERMAIDE, REINFORCE):
                module, path = train(method, own_seed, effort, runs)
                by_seed += scores(method, own_seed, module, path, unseen)
                progress.advance(training)
                if not surface:
                    for row in landscape(module, path, at_grid, effort.grid_size):
                        surface.append(row)
                        progress.advance(mapping, row["kind"] == "grid")
    return by_seed, surface


def build(method: str) -> MermaideModule:
    """Build an untrained principal, `MERMAIDE` or `REINFORCE`, with equal episodes per step."""
    meta_learns = method == MERMAIDE
    return MermaideModule(
        game=GAME,
        architecture=Architecture(
            hidden_size=32,
            policy_size=32,
            world_model=SharedForecast() if meta_learns else NoWorldModel(),
        ),
        adaptation=GradientAdaptation(inner_lr=1.0) if meta_learns else NoAdaptation(),
        objective=Objective(
            advantages=GeneralisedAdvantages(0.97),
            inner_policy_weight=1.0,
            logit_penalty=0.0,
            zero_shot_weight=0.2,  # without it the first episode is not trained for
        ),
        num_query_episodes=_NUM_QUERY_EPISODES + (not meta_learns),
        num_zero_shot_episodes=0,
        meta_lr=5e-3,
    )


def train(
    method: str, seed: int, effort: Effort, runs: Path
) -> tuple[MermaideModule, ParameterPath]:
    """Train a principal and record its path, or read both from `runs`."""
    torch.manual_seed(seed)
    path = ParameterPath(every_n_steps=effort.num_steps // effort.num_records)
    data = TaskDataModule(
        POPULATION, meta_batch_size=_META_BATCH_SIZE, steps_per_epoch=effort.num_steps, seed=seed
    )
    name = f"{method}-steps{effort.num_steps}-records{effort.num_records}-seed{seed}"
    kept = fit.train(
        build(method),
        data,
        folder=runs / name,
        num_epochs=1,
        seed=seed,
        callbacks=[path],
        validates=False,
    )
    return MermaideModule.load_from_checkpoint(kept), path


def scores(
    method: str, seed: int, module: MermaideModule, path: ParameterPath, unseen: TaskBatch
) -> Iterator[Row]:
    """Scores of the principal at each point of its path, without and with adaptation.

    Args:
        method: name of the method in the rows.
        seed: seed of the training in the rows.
        module: the principal; it is given the parameters of each point in turn and keeps the last.
        path: path of N points.
        unseen: agents to score on.

    Yields:
        One row for each point and number of shots: means over the agents, per step of an episode.
    """
    equilibrium = {
        "equilibrium_payoff": mean_equilibrium(unseen, GAME),
        "equilibrium_rate": (equilibrium_level(unseen.delta, GAME) > 0).double().mean().item(),
    }
    episodes = module.inner_loop.num_shots + module.num_query_episodes
    for step, point in zip(path.steps, path.points, strict=True):
        vector_to_parameters(point.clone(), module.parameters())
        for shots in module.eval_shots:
            played = play_adapted(module, unseen, shots)
            yield {
                "method": method,
                "shots": shots,
                "agent_steps": step * _META_BATCH_SIZE * episodes * GAME.num_steps,
                "seed": seed,
                "payoff": played.returns.double().mean().item(),
                "rate": played.intervention_rate.double().mean().item(),
                **equilibrium,
            }


def landscape(
    module: MermaideModule, path: ParameterPath, tasks: TaskBatch, grid_size: int
) -> Iterator[Row]:
    """Expected payoff after one episode in the plane of the path, and the path in it.

    Args:
        module: a principal; its parameters are replaced.
        path: path of its N points.
        tasks: agents, the same at every point of the plane.
        grid_size: points in each direction.

    Yields:
        Rows of kind ``grid``, line by line from the lowest ``y``, then rows of kind ``path``, whose
        payoff is that of the true parameters, not of their projection.
    """
    points = torch.stack(path.points)
    plane = Plane.of_path(points)
    along = plane.coordinates(points)
    low, high = along.amin(0), along.amax(0)
    margin = 0.3 * (high - low)
    xs, ys = (
        torch.linspace(float(first), float(last), grid_size, dtype=torch.float64)
        for first, last in zip(low - margin, high + margin, strict=True)
    )
    grid = torch.cartesian_prod(ys, xs).flip(1)
    share_x, share_y = plane.explained
    equilibrium = mean_equilibrium(tasks, GAME)

    def row(kind: str, coordinates: Tensor, point: Tensor) -> Row:
        vector_to_parameters(point.float(), module.parameters())
        x, y = coordinates.tolist()
        payoff = _expected_payoff(module, tasks)
        return {
            "kind": kind,
            "x": x,
            "y": y,
            "payoff": payoff,
            "equilibrium_payoff": equilibrium,
            "share_x": share_x,
            "share_y": share_y,
        }

    for coordinates in grid:
        yield row("grid", coordinates, plane.at(coordinates))
    for coordinates, point in zip(along, points, strict=True):
        yield row("path", coordinates, point)


def _expected_payoff(module: MermaideModule, tasks: TaskBatch) -> float:
    """Mean return after adaptation on one episode, with sampled levels."""
    player = LearnedPlayer(module.principal, module.adapted_weights(tasks, 1))
    return module.scored_episodes(tasks, player, 1).returns.double().mean().item()


def summarise(by_seed: Sequence[Row]) -> list[Row]:
    """Means over seeds with 95% intervals.

    Args:
        by_seed: rows of `scores`.

    Returns:
        One row per method, number of shots and point of the path.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in by_seed:
        groups.setdefault((row["method"], row["shots"], row["agent_steps"]), []).append(row)
    rows = []
    for (method, shots, agent_steps), group in sorted(groups.items()):
        row = {"method": method, "shots": shots, "agent_steps": agent_steps}
        row["num_seeds"] = len(group)
        for quantity in ("payoff", "rate"):
            row |= student_mean([one[quantity] for one in group]).columns(quantity)
            row[f"equilibrium_{quantity}"] = group[0][f"equilibrium_{quantity}"]
        rows.append(row)
    return rows


def say(rows: Sequence[Row]) -> str:
    """Describe the result at the end of training in one sentence, from rows of `summarise`."""
    parts = []
    for method, shots in ((MERMAIDE, 1), (MERMAIDE, 0), (REINFORCE, 0)):
        last = [row for row in rows if (row["method"], row["shots"]) == (method, shots)][-1]
        payoff, rate = (
            last[f"{quantity}_mean"] / last[f"equilibrium_{quantity}"]
            for quantity in ("payoff", "rate")
        )
        parts.append(f"{label_of(method)} at {shots_label(shots)} {payoff:.0%} and {rate:.0%}")
    return f"fig3: payoff and intervention rate, of the equilibrium's: {', '.join(parts)}."
