"""The K-shot protocol: every principal against the same unseen agents, with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

from mermaide_pl.checkpoints import checkpoint_path
from mermaide_pl.checks import check_count, check_number
from mermaide_pl.game import Game
from mermaide_pl.intervals import bootstrap_mean, bootstrap_normalised
from mermaide_pl.module import MermaideModule
from mermaide_pl.native.build import Kernel, check_kernel
from mermaide_pl.principal import AlwaysIntervene, GreedyPlayer, NoIntervention, Player
from mermaide_pl.rollout import rollout
from mermaide_pl.score_table import LEARNED, Row, print_table
from mermaide_pl.tasks import Population, TaskBatch
from mermaide_pl.trained import check_arms, read_principals
from mermaide_pl.trajectory import Trajectory
from mermaide_pl.yardsticks import best_of, oracle_grid, schedule_grids

NUM_TUNING_AGENTS = 300
_CHUNK = 250  # agents played at once, bounds the memory


@dataclass(frozen=True)
class Scores:
    """What one principal did with each of N agents, mean over the agent's episodes."""

    returns: np.ndarray  # [N] float64
    alignment: np.ndarray  # [N] float64
    intervention_rate: np.ndarray  # [N] float64

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory]) -> Scores:
        """Collect the chunks of a population."""

        def per_agent(quantity: str) -> np.ndarray:
            chunks = [getattr(played, quantity).double().mean(1) for played in trajectories]
            return torch.cat(chunks).cpu().numpy()

        return cls(*(per_agent(name) for name in ("returns", "alignment", "intervention_rate")))


def evaluate(
    ckpt_path: str | Path | Mapping[str, str | Path],
    populations: Mapping[str, Population],
    *,
    shots: Sequence[int] = (0, 1),
    others: Mapping[str, Player] | None = None,
    num_agents: int = 500,
    num_tuning_agents: int | None = None,
    num_episodes: int = 2,
    seed: int = 0,
    out: str | Path | None = None,
    kernel: Kernel = "auto",
) -> list[Row]:
    """Compare a trained principal with fixed schedules and the oracle on unseen agents.

    Schedules are tuned on the training population of the checkpoint, the oracle (a yardstick, not a
    competitor) on each population itself; both on agents that are not scored.

    Args:
        ckpt_path: checkpoint of a principal; or those of several by their names in the rows, where
            all play by the rules of the last, and schedules are tuned on its training population.
        populations: name to population of unseen agents.
        shots: numbers of support episodes to adapt on; 0 is no adaptation.
        others: name to further principals, scored on the same agents and random numbers.
        num_agents: N, agents of each population.
        num_tuning_agents: agents that schedules, and the oracle of each population, are tuned on;
            by default `NUM_TUNING_AGENTS`. Fewer save time where agents are slow.
        num_episodes: scored episodes with each agent, after its support episodes.
        seed: which agents are drawn.
        out: JSON file for the rows, or None.
        kernel: what computes: native, torch, or auto, native where it can be.

    Returns:
        One row per method and population, as written to `out`.

    Raises:
        ValueError: one line that says which input is wrong.
    """
    for number in shots:
        check_count("--shots", number, low=0)
    check_count("--num_agents", num_agents, low=2)
    num_tuning_agents = NUM_TUNING_AGENTS if num_tuning_agents is None else num_tuning_agents
    check_count("--num_tuning_agents", num_tuning_agents, low=1)
    check_count("num_episodes", num_episodes, low=1)
    check_number("--seed", seed, low=0, high=2**22 - 1)
    check_kernel(kernel)
    paths = ckpt_path if isinstance(ckpt_path, Mapping) else {LEARNED: ckpt_path}
    if not (paths and populations):
        raise ValueError("evaluate needs at least one checkpoint and one population")
    modules, train = read_principals(paths, kernel)
    game = next(iter(modules.values())).game
    for name, population in populations.items():
        check_arms(name, population, game)
    if out is not None:
        make_place(Path(out), [checkpoint_path(path) for path in paths.values()])
    console, others = Console(), dict(others or {})
    fixed: dict[str, Player] = {"no intervention": NoIntervention(), "always": AlwaysIntervene()}
    grids, oracles = schedule_grids(game), oracle_grid(game)
    taken = [*fixed, *grids, "oracle"]
    _check_names("ckpt_path", modules, taken)
    _check_names("others", others, [*taken, *modules])
    with Progress(console=console, transient=True) as progress:
        tuning = progress.add_task(
            "tuning schedules and oracles",
            total=sum(map(len, grids.values())) + len(populations) * len(oracles),
        )
        playing = progress.add_task("playing", total=len(populations))

        def tuned(grid: Sequence[Player], agents: Population) -> Player:
            tasks = agents.sample(range(num_tuning_agents), split="tune", seed=seed)
            return best_of(
                grid, tasks, game, kernel=kernel, on_step=lambda: progress.advance(tuning)
            )

        fixed |= {label: tuned(grid, train) for label, grid in grids.items()}
        rows = []
        for name, population in populations.items():
            chunks = unseen_agents(population, num_agents, seed)

            playable = {
                (method, 0): the_same(player) for method, player in (fixed | others).items()
            }
            for method, module in modules.items():
                playable |= {(method, number): adapted_player(module, number) for number in shots}
            playable["oracle", 0] = the_same(tuned(oracles, population))
            scores = {
                key: play_unseen(player_for, chunks, game, num_episodes, kernel)
                for key, player_for in playable.items()
            }
            rows += _rows(name, scores, list(fixed))
            progress.advance(playing)
    if out is not None:
        Path(out).write_text(json.dumps(rows, indent=1) + "\n")
    print_table(rows, console, learned=modules)
    settings = ", ".join(str(fixed[label]) for label in grids)
    console.print(f"Schedules tuned on the training population: {settings}.")
    places = [
        f"checkpoint: {path}" if name == LEARNED else f"{name}: {path}"
        for name, path in paths.items()
    ]
    if out is not None:
        places.append(f"results: {out}")
    run = Path(list(paths.values())[-1]).parent.parent
    if any(run.glob("events.out.tfevents.*")):
        places.append(f"curves: tensorboard --logdir {run}")
    console.print("   ".join(places), soft_wrap=True)
    return rows


def unseen_agents(population: Population, num_agents: int, seed: int) -> list[TaskBatch]:
    """The agents on which principals are scored, in chunks that bound the memory."""
    return [
        population.sample(range(first, min(first + _CHUNK, num_agents)), split="test", seed=seed)
        for first in range(0, num_agents, _CHUNK)
    ]


def play_unseen(
    player_for: Callable[[TaskBatch], Player],
    chunks: Sequence[TaskBatch],
    game: Game,
    num_episodes: int,
    kernel: Kernel = "auto",
) -> Scores:
    """Play scored episodes; all principals meet the same random numbers.

    Args:
        player_for: the principal for some of the agents.
        chunks: agents.
        game: the rules.
        num_episodes: with each agent.
        kernel: what computes.
    """
    options: dict[str, Any] = {"stream": "query", "num_episodes": num_episodes, "kernel": kernel}
    return Scores.of([rollout(tasks, player_for(tasks), game, **options) for tasks in chunks])


def the_same(player: Player) -> Callable[[TaskBatch], Player]:
    """The same principal for any agents."""
    return lambda _: player


def adapted_player(module: MermaideModule, shots: int) -> Callable[[TaskBatch], Player]:
    """The learned principal for some agents, after `shots` support episodes with each."""
    return lambda tasks: GreedyPlayer(module.principal, module.adapted_weights(tasks, shots))


def make_folder(out: Path, given: str | Path | None = None) -> None:
    """Make a folder for results.

    Args:
        out: the folder.
        given: as the user named it.

    Raises:
        ValueError: if there can be no such folder.
    """
    if given == "":
        raise ValueError("--out is empty, it must be a folder")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, it must be a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error.strerror}") from None


def make_place(out: Path, inputs: Sequence[str | Path] = ()) -> None:
    """Make the folder of a file that will be written.

    Args:
        out: the file.
        inputs: files that it must not take the place of.

    Raises:
        ValueError: if there can be no such file.
    """
    for path in map(Path, inputs):
        if out.exists() and path.exists() and out.samefile(path):
            raise ValueError(f"--out {out} is an input itself, {path}: choose another file")
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder, it must be a file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error}") from None


def _check_names(what: str, methods: Mapping[str, object], taken: Sequence[str]) -> None:
    for name, method in methods.items():
        if name in taken:
            raise ValueError(f"{what}: '{name}' is the name of another row, as {', '.join(taken)}")
        if not isinstance(method, Player | MermaideModule):
            raise ValueError(f"{what}: '{name}' must be a Player, got {type(method).__name__}")


def _rows(
    population: str, scores: Mapping[tuple[str, int], Scores], fixed: Sequence[str]
) -> list[Row]:
    """Rows of a population, from the scores of each method at its number of shots."""
    none, oracle = (scores[name, 0].returns for name in ("no intervention", "oracle"))
    best = max((scores[name, 0].returns for name in fixed), key=np.mean)
    rows = []
    for (method, shots), score in scores.items():
        row: Row = {
            "method": method,
            "population": population,
            "shots": shots,
            "num_agents": len(none),
        }
        intervals = {
            "return": bootstrap_mean(score.returns),
            "alignment": bootstrap_mean(score.alignment),
            "intervention_rate": bootstrap_mean(score.intervention_rate),
            "normalised_return": bootstrap_normalised(score.returns, none, oracle),
            "paired_gain": bootstrap_mean(score.returns - best),
        }
        for quantity, interval in intervals.items():
            for bound, value in zip(("mean", "low", "high"), interval, strict=True):
                row[f"{quantity}_{bound}"] = value
        rows.append(row)
    return rows
