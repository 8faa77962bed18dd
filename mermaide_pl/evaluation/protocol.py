"""The K-shot protocol: score every principal on the same unseen agents, with intervals."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from mermaide_pl.config.input_paths import checkpoint_path
from mermaide_pl.config.output_paths import make_place
from mermaide_pl.config.validation import check_count, check_seed
from mermaide_pl.engines import EngineName, choose_engine
from mermaide_pl.evaluation.loading import check_arms, read_principals
from mermaide_pl.evaluation.methods import NO_INTERVENTION, ORACLE, PRINCIPAL
from mermaide_pl.evaluation.paired_evaluation import (
    NUM_TUNING_AGENTS,
    UNTUNED,
    PairedEvaluation,
    PopulationScores,
    fixed_players,
    learned_players,
)
from mermaide_pl.evaluation.tables import REASON, Row, print_table
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.metrics.intervals import bootstrap_mean
from mermaide_pl.metrics.normalised_return import normalised_return
from mermaide_pl.populations import Population
from mermaide_pl.principals import Player
from mermaide_pl.principals.grids import schedule_grids
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.console import console as literal_console
from mermaide_pl.runtime.distributed import processes


def evaluate(
    ckpt_path: str | Path | Mapping[str, str | Path],
    populations: Mapping[str, Population],
    *,
    game: Game | None = None,
    shots: Sequence[int] = (0, 1),
    others: Mapping[str, Player] | None = None,
    num_agents: int = 500,
    num_tuning_agents: int | None = None,
    num_episodes: int = 2,
    seed: int = 0,
    out: str | Path | None = None,
    engine: EngineName = "auto",
    devices: int = 1,
    num_nodes: int = 1,
) -> list[Row]:
    """Compare a trained principal with fixed schedules and the oracle on unseen agents.

    Equation:
        phi_m = `adapt` of theta on K support episodes with agent m; theta if K = 0

        return                G = mean_m G_m,  G_m = mean of R_0 / T over the scored episodes
        alignment             mean_m mean_t 1[a_t = a*]
        intervention rate     mean_m mean_t 1[u_t > 0]
        normalised return     mean_m (G_m - G_m^none) / mean_m (G_m^oracle - G_m^none)
        paired gain           mean_m (G_m - G_m^best)

    over N agents of the test split, on common random numbers for all methods. A trained principal
    plays ``argmax_u pi_phi(u | h_t)``; none is no intervention, and best the fixed schedule, none
    and always included, with the highest G. Each number has its 95% percentile bootstrap interval
    over the agents. The symbols are those of `mermaide_pl.meta_learning`.

    Source: evaluation on unseen agents before and after K-shot adaptation is the paper's, by its
    Algorithm 2; normalised return, paired gain and intervals are this project's.

    Schedules are tuned on the training population of the checkpoint, the oracle (a strong
    reference, neither a competitor nor an upper bound) on each population itself; both on agents
    that are not scored. An undefined number is None, null in the file.

    Args:
        ckpt_path: checkpoint of a principal; or checkpoints of several by their names in the rows:
            all play the same game, and schedules are tuned on the training population of the last.
        populations: name to population of unseen agents.
        game: the rules; by default those by which the last principal was trained.
        shots: numbers of support episodes to adapt on; 0 is no adaptation.
        others: name to other players, scored on the same agents and random numbers.
        num_agents: N, agents of each population.
        num_tuning_agents: agents that schedules, and the oracle of each population, are tuned on;
            by default `NUM_TUNING_AGENTS`. Fewer save time if agents are slow.
        num_episodes: scored episodes with each agent, after its support episodes.
        seed: seed of the agents.
        out: JSON file for the rows, or None.
        engine: computes the rollouts and forward passes: ``native``, ``torch``, or ``auto``, the
            native one where it can be used.
        devices: processes on each machine; with more than one, the script is started in each.
        num_nodes: number of machines.

    Returns:
        One row per method and population, as written to `out`; the same in every process.

    Raises:
        ValueError: one line that names the wrong input.
    """
    _check_numbers(shots, num_agents, num_tuning_agents, num_episodes, seed)
    computes = choose_engine(engine)
    paths = ckpt_path if isinstance(ckpt_path, Mapping) else {PRINCIPAL: ckpt_path}
    if not (paths and populations):
        raise ValueError("evaluate needs at least one checkpoint and one population")
    modules, train = read_principals(paths, engine, game)
    game = next(iter(modules.values())).game
    for name, population in populations.items():
        check_arms(name, population, game)
    if out is not None:
        make_place(Path(out), [checkpoint_path(path) for path in paths.values()])
    others = dict(others or {})
    taken = [*UNTUNED, *schedule_grids(game), ORACLE]
    _check_names("ckpt_path", modules, taken)
    _check_names("others", others, [*taken, *modules])
    with processes(devices, num_nodes) as share:
        console = literal_console(quiet=share.rank > 0)
        with Progress(console=console, transient=True) as progress:
            evaluation = PairedEvaluation(
                game,
                num_agents,
                NUM_TUNING_AGENTS if num_tuning_agents is None else num_tuning_agents,
                num_episodes,
                seed,
                computes,
                share,
                progress,
            )
            schedules = evaluation.schedules(train)
            players = fixed_players({**schedules, **others}) | learned_players(modules, shots)
            rows = []
            for name, population in populations.items():
                oracle = fixed_players({ORACLE: evaluation.oracle(population)})
                scores = evaluation.scores(players | oracle, population)
                rows += _rows(name, scores, list(schedules))
        if share.rank == 0:
            print_table(rows, console, learned=modules)
            console.print(f"Game: {game}.", highlight=False)
            if out is not None:
                write_whole(out, json.dumps(rows, indent=1) + "\n")
            tuned = [player for name, player in schedules.items() if name not in UNTUNED]
            _print_places(console, tuned, paths, out)
    return rows


def _print_places(
    console: Console,
    schedules: Sequence[Player],
    paths: Mapping[str, str | Path],
    out: str | Path | None,
) -> None:
    """Print the tuned schedules and the paths of checkpoint, results and curves."""
    settings = ", ".join(map(str, schedules))
    console.print(f"Schedules tuned on the training population: {settings}.")
    places = [
        f"checkpoint: {path}" if name == PRINCIPAL else f"{name}: {path}"
        for name, path in paths.items()
    ]
    if out is not None:
        places.append(f"results: {out}")
    run = Path(list(paths.values())[-1]).parent.parent
    if any(run.glob("events.out.tfevents.*")):
        places.append(f"curves: tensorboard --logdir {run}")
    console.print("   ".join(places), soft_wrap=True)


def _check_numbers(
    shots: Sequence[int],
    num_agents: int,
    num_tuning_agents: int | None,
    num_episodes: int,
    seed: int,
) -> None:
    for number in shots:
        check_count("--shots", number, low=0)
    check_count("--num_agents", num_agents, low=2)
    if num_tuning_agents is not None:
        check_count("--num_tuning_agents", num_tuning_agents, low=1)
    check_count("num_episodes", num_episodes, low=1)
    check_seed("--seed", seed)


def _check_names(what: str, methods: Mapping[str, object], taken: Sequence[str]) -> None:
    for name, method in methods.items():
        if name in taken:
            raise ValueError(f"{what}: '{name}' is the name of another row, as {', '.join(taken)}")
        if not isinstance(method, Player | MermaideModule):
            raise ValueError(f"{what}: '{name}' must be a Player, got {type(method).__name__}")


def _rows(population: str, scores: PopulationScores, fixed: Sequence[str]) -> list[Row]:
    """Rows of one population, from its scores by method and number of shots."""
    none, oracle = (scores[name, 0].returns for name in (NO_INTERVENTION, ORACLE))
    best = max((scores[name, 0].returns for name in fixed), key=np.mean)
    rows = []
    for (method, shots), score in scores.items():
        row: Row = {
            "method": method,
            "population": population,
            "shots": shots,
            "num_agents": len(none),
        }
        share = normalised_return(score.returns, none, oracle)
        intervals = {
            "return": bootstrap_mean(score.returns),
            "alignment": bootstrap_mean(score.alignment),
            "intervention_rate": bootstrap_mean(score.intervention_rate),
            "normalised_return": share.estimate,
            "paired_gain": bootstrap_mean(score.returns - best),
        }
        for quantity, interval in intervals.items():
            for column, value in interval.columns(quantity).items():
                row[column] = None if math.isnan(value) else value
        row[REASON] = share.undefined
        rows.append(row)
    return rows
