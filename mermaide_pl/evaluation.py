"""The K-shot protocol: every principal against the same unseen agents, with intervals."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table as RichTable

from mermaide_pl.checkpoints import check_same_shape, read_checkpoint
from mermaide_pl.checks import check_number
from mermaide_pl.game import Game
from mermaide_pl.intervals import bootstrap_mean, bootstrap_normalised
from mermaide_pl.module import CHECKPOINT_KEY, MermaideModule
from mermaide_pl.native.build import Kernel, check_kernel
from mermaide_pl.principal import AlwaysIntervene, GreedyPlayer, NoIntervention, Player
from mermaide_pl.rollout import rollout
from mermaide_pl.spec import rebuild
from mermaide_pl.tasks import Population, TaskBatch
from mermaide_pl.trajectory import Trajectory
from mermaide_pl.yardsticks import best_of, oracle_grid, schedule_grids

NUM_TUNING_AGENTS = 300
LEARNED = "mermaide"
"""Method of a single learned principal, in rows."""
_CHUNK = 250  # agents played at once, bounds the memory

Row = dict[str, Any]


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
    num_agents: int = 500,
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
        num_agents: N, agents of each population.
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
        check_number("--shots", number, low=0)
    check_number("--num_agents", num_agents, low=2)
    check_number("num_episodes", num_episodes, low=1)
    check_number("--seed", seed, low=0, high=2**22 - 1)
    check_kernel(kernel)
    paths = ckpt_path if isinstance(ckpt_path, Mapping) else {LEARNED: ckpt_path}
    modules, train = _read_principals(paths, kernel)
    game = next(iter(modules.values())).game
    for name, population in populations.items():
        check_arms(name, population, game)
    if out is not None:
        _make_place(Path(out))
    console = Console()
    grids = schedule_grids(game)
    tuning_steps = sum(map(len, grids.values())) + len(populations) * len(oracle_grid(game))
    with Progress(console=console, transient=True) as progress:
        tuning = progress.add_task("tuning schedules and oracles", total=tuning_steps)
        playing = progress.add_task("playing", total=len(populations))
        tasks = train.sample(range(NUM_TUNING_AGENTS), split="tune", seed=seed)

        def tuned(grid: Sequence[Player], agents: TaskBatch) -> Player:
            return best_of(
                grid,
                agents,
                game,
                kernel=kernel,
                on_step=lambda: progress.advance(tuning),
            )

        fixed: dict[str, Player] = {
            "no intervention": NoIntervention(),
            "always": AlwaysIntervene(),
        }
        for label, grid in grids.items():
            fixed[label] = tuned(grid, tasks)
        rows = []
        for name, population in populations.items():
            own = population.sample(range(NUM_TUNING_AGENTS), split="tune", seed=seed)
            oracle = tuned(oracle_grid(game), own)
            rows += _score_population(
                modules, name, population, fixed, oracle, shots, num_agents, num_episodes, seed
            )
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


def check_arms(name: str, population: Population, game: Game) -> None:
    """Refuse agents with another number of arms than the game has.

    Raises:
        ValueError: naming the population.
    """
    if population.num_arms != game.num_arms:
        raise ValueError(
            f"population {name} has agents with {population.num_arms} arms, the checkpoint's"
            f" principal is for {game.num_arms}"
        )


def training_population(checkpoint: Mapping[str, Any], path: str | Path) -> Population:
    """The training population of a checkpoint that `read_checkpoint` has read from `path`.

    Raises:
        ValueError: one line, if the checkpoint does not say.
    """
    try:
        return rebuild(checkpoint["TaskDataModule"]["train_population"])
    except KeyError:
        raise ValueError(f"{path} does not name its training population") from None


def _read_principals(
    paths: Mapping[str, str | Path], kernel: Kernel
) -> tuple[dict[str, MermaideModule], Population]:
    """Principals that play by the rules of the last, and its training population."""
    checkpoints = {name: read_checkpoint(path) for name, path in paths.items()}
    modules = {
        name: MermaideModule.from_checkpoint(checkpoint, paths[name]).eval()
        for name, checkpoint in checkpoints.items()
    }
    last = list(paths)[-1]
    for name, module in modules.items():
        theirs, ours = (
            {"game": checkpoints[each][CHECKPOINT_KEY]["game"]} for each in (name, last)
        )
        check_same_shape(theirs, ours)
        module.game = module.principal.game = modules[last].game
        module.principal.kernel = kernel
    return modules, training_population(checkpoints[last], paths[last])


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


def adapted_player(module: MermaideModule, shots: int) -> Callable[[TaskBatch], Player]:
    """The learned principal for some agents, after `shots` support episodes with each."""
    return lambda tasks: GreedyPlayer(module.principal, module.adapted_weights(tasks, shots))


def _make_place(out: Path) -> None:
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder, it must be a file")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--out {out} cannot be written: {error}") from None


def _score_population(
    modules: Mapping[str, MermaideModule],
    name: str,
    population: Population,
    fixed: Mapping[str, Player],
    oracle: Player,
    shots: Sequence[int],
    num_agents: int,
    num_episodes: int,
    seed: int,
) -> list[Row]:
    chunks = unseen_agents(population, num_agents, seed)
    one = next(iter(modules.values()))
    game, kernel = one.game, one.principal.kernel

    def known(player: Player) -> Scores:
        return play_unseen(lambda _: player, chunks, game, num_episodes, kernel)

    def learned(module: MermaideModule, number: int) -> Scores:
        adapted = adapted_player(module, number)
        return play_unseen(adapted, chunks, game, num_episodes, kernel)

    scores = [(method, 0, known(player)) for method, player in fixed.items()]
    best = max((score.returns for _, _, score in scores), key=np.mean)
    none = scores[0][2].returns
    scores += [
        (method, number, learned(module, number))
        for method, module in modules.items()
        for number in shots
    ]
    best_possible = known(oracle)
    scores.append(("oracle", 0, best_possible))
    rows = []
    for method, number, score in scores:
        row: Row = {"method": method, "population": name, "shots": number, "num_agents": num_agents}
        intervals = {
            "return": bootstrap_mean(score.returns),
            "alignment": bootstrap_mean(score.alignment),
            "intervention_rate": bootstrap_mean(score.intervention_rate),
            "normalised_return": bootstrap_normalised(score.returns, none, best_possible.returns),
            "paired_gain": bootstrap_mean(score.returns - best),
        }
        for quantity, interval in intervals.items():
            for bound, value in zip(("mean", "low", "high"), interval, strict=True):
                row[f"{quantity}_{bound}"] = value
        rows.append(row)
    return rows


def print_table(
    rows: Sequence[Row], console: Console | None = None, *, learned: Collection[str] = (LEARNED,)
) -> None:
    """Print rows of `evaluate`, one table per population; `learned` methods have shots."""
    console = console or Console()
    quantities = ("return", "alignment", "intervention_rate", "normalised_return", "paired_gain")
    for population in dict.fromkeys(row["population"] for row in rows):
        chosen = [row for row in rows if row["population"] == population]
        title = (
            f"{population}: mean ± half of the 95% interval over {chosen[0]['num_agents']} agents"
        )
        table = RichTable(
            title=title,
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            title_justify="left",
        )
        table.add_column("method", no_wrap=True)
        for heading in (
            "return",
            "alignment",
            "interv.\nrate",
            "normalised\nreturn",
            "paired\ngain",
        ):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in chosen:
            cells = [_cell(row, quantity) for quantity in quantities]
            has_shots = row["method"] in learned
            label = f"{row['method']} {row['shots']}-shot" if has_shots else row["method"]
            table.add_row(label, *cells, style="bold" if has_shots else None)
        console.print(table)


def _cell(row: Row, quantity: str) -> str:
    mean, low, high = (row[f"{quantity}_{bound}"] for bound in ("mean", "low", "high"))
    half = (high - low) / 2
    # else it is a normalised return where the oracle gains little
    digits = 3 if abs(mean) < 10.0 and half < 1.0 else 1
    return f"{mean:.{digits}f}±{half:.{digits}f}".replace("±0.", "±.")
