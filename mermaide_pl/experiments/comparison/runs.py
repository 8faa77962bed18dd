"""Train and score many methods under the same conditions; the tables are made of the scores."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import pytorch_lightning as pl

from mermaide_pl.config.input_paths import how_to_fetch
from mermaide_pl.config.output_paths import check_named, make_folder
from mermaide_pl.config.validation import check_number
from mermaide_pl.evaluation.loading import check_arms
from mermaide_pl.evaluation.methods import ORACLE
from mermaide_pl.evaluation.paired_evaluation import (
    NUM_TUNING_AGENTS,
    PairedEvaluation,
    PopulationScores,
    fixed_players,
    learned_players,
)
from mermaide_pl.evaluation.records import Row, write_rows
from mermaide_pl.evaluation.tables import SUMMARIES
from mermaide_pl.experiments.comparison.inner_loop_choice import choose_inner_loop
from mermaide_pl.experiments.comparison.recorded_runs import (
    FINE_TUNING,
    RUNS,
    SCORES,
    TRAINING,
    Key,
    RecordedRuns,
    read_training,
)
from mermaide_pl.experiments.comparison.settings import (
    YARDSTICKS,
    Comparison,
    Condition,
    load_comparison,
)
from mermaide_pl.experiments.comparison.table import report
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.fit import agent_steps, train
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations.files import load_population, load_populations
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.checkpoints import (
    CHECKPOINT_KEY,
    canonical,
    read_checkpoint,
    upgraded,
    write_checkpoint,
)
from mermaide_pl.runtime.run_folders import occupied

Finish: TypeAlias = "Callable[[Runs, float], None]"
"""Finishes the runs of a comparison within a time budget, in minutes."""
BUDGET_SPENT = "time budget spent; the same command resumes"
"""What is said when runs are left."""
_LOGGER = logging.getLogger(__name__)
_PRINCIPAL, _SETTINGS = "principal.ckpt", "settings.json"
_EARLIER_NAME = "method gradient_only"  # settings of an earlier version
_RENAMING = (
    "they have method names of an earlier version; rename the folders mermaide to mermaide_memory,"
    " then gradient_only to mermaide, as CHANGELOG.md says"
)


def compare(
    config: str | Path,
    out: str | Path,
    *,
    minutes: float,
    game_of: Callable[[Game], Game] = lambda game: game,
    finish: Finish | None = None,
) -> None:
    """Train and score every method under every condition, then write tables and figures.

    Finished runs are kept in ``runs.csv`` and not repeated: it may be stopped at any time, and the
    same command resumes it. If the rows of a run are deleted there, its principal is scored again.
    Settings shared by the runs are kept in ``settings.json``, and a configuration with other
    settings is refused; costs, seeds and new names may be added. Trainings in progress are kept in
    ``logs/NAME``, where NAME is that of `out`.

    Args:
        config: YAML file of a `Comparison`.
        out: folder for scores, principals, tables and figures.
        minutes: time budget; no training begins after it.
        game_of: replaces the game of the configuration.
        finish: finishes the runs that are left; None for `finish_in_turn`.

    Raises:
        ValueError: one line that names the wrong input.
    """
    check_number("--minutes", min(minutes, 1e9), low=0.0)
    check_named(out)
    given = load_comparison(config)
    given = replace(given, game=game_of(given.game))
    runs = Runs(given, Path(out))
    with occupied(out, runs.logs):
        runs.check()
        runs.keep()
        (finish or finish_in_turn)(runs, minutes)
        runs.keep()
        report(Path(out), list(given.methods))


def finish_in_turn(runs: Runs, minutes: float) -> None:
    """Finish the runs that are left in this process, one after the other.

    Args:
        runs: of the comparison.
        minutes: time budget; no run begins after it.
    """
    started, left = time.monotonic(), runs.left()
    for number, run in enumerate(left, start=1):
        spent = (time.monotonic() - started) / 60.0
        if spent >= minutes:
            _LOGGER.info(BUDGET_SPENT)
            return
        _LOGGER.info("[%d/%d] %s, after %.0f minutes", number, len(left), run.title, spent)
        make_folder(runs.out, runs.out)
        runs.finish(run)
        runs.keep()


@dataclass(frozen=True)
class Run:
    """One method under one condition with one seed.

    Args:
        condition: of training and scores.
        seed: of the training and of the agents it is scored on.
        method: name of the method, or `YARDSTICKS`.
        folder: for its principal, and for its scores until they are in the table.
    """

    condition: Condition
    seed: int
    method: str
    folder: Path

    @property
    def key(self) -> Key:
        """Its name in `RecordedRuns`."""
        return self.condition.name, f"seed{self.seed}", self.method

    @property
    def title(self) -> str:
        """What it is, for messages."""
        return f"{self.condition.name}, seed {self.seed}: {self.method}"


class Runs:
    """The runs of a comparison.

    Args:
        comparison: its settings.
        out: folder for scores and principals; `logs`, that of the trainings, has its name.
    """

    def __init__(self, comparison: Comparison, out: Path) -> None:
        self._given, self.out, self.logs = comparison, out, Path("logs") / out.name
        self._recorded = RecordedRuns(out)
        self._train = {
            name: load_population(path) for name, path in comparison.train_populations.items()
        }
        val = comparison.val_population
        self._val = {
            name: load_population(val) if val else train for name, train in self._train.items()
        }
        self._test = load_populations(comparison.test_populations)
        if taken := [name for name in SUMMARIES if name in self._test]:
            raise ValueError(f"a test population cannot be named {taken[0]}, a name for means")
        self._shared = comparison.shared_settings(self._train, self._val, self._test)
        for name, population in {**self._train, **self._val, **self._test}.items():
            check_arms(name, population, comparison.game)

    def all(self) -> Iterator[Run]:
        """All runs, seed by seed, so that an unfinished comparison has every method."""
        for condition in self._given.conditions():
            for seed in self._given.seeds:
                for method in (YARDSTICKS, *self._given.methods):
                    folder = self.out / condition.name / f"seed{seed}" / method
                    yield Run(condition, seed, method, folder)

    def left(self) -> list[Run]:
        """The runs that are not done."""
        return [run for run in self.all() if not self.is_done(run)]

    def is_done(self, run: Run) -> bool:
        """True if a run is trained and scored."""
        return run.key in self._recorded or (run.folder / SCORES).is_file()

    def check(self) -> None:
        """Read the records, and refuse a folder whose runs have other settings.

        Raises:
            ValueError: one line that names a damaged record or the first difference, or says how to
                fetch a principal that is to be scored again.
        """
        self._recorded.read()
        kept = self._kept_settings()
        for name, value in self._shared.items():
            if kept.get(name, value) != value:
                remedy = f"choose another --out, or move {self.out} elsewhere"
                if _EARLIER_NAME in kept and _EARLIER_NAME not in self._shared:
                    remedy = _RENAMING
                raise ValueError(
                    f"{self.out / _SETTINGS}: the runs there have other settings ({name}) than the"
                    f" configuration: {remedy}"
                )
        if not kept and len(self._recorded):
            raise ValueError(
                f"{self.out / _SETTINGS} does not exist, so that nothing says which settings the"
                f" runs in {self.out / RUNS} have: restore it, or choose another --out"
            )
        for run in self.all():
            principal = run.folder / _PRINCIPAL
            if (run.folder / TRAINING).is_file():
                if not self._is_of(run):
                    raise ValueError(
                        f"{principal} is of another game, method, population or number of agent"
                        " steps than the configuration: choose another --out, or move"
                        f" {run.folder} elsewhere"
                    )
            elif not self.is_done(run) and (remedy := how_to_fetch(principal)):
                raise ValueError(
                    f"{principal}, which has no scores, {remedy}; or choose another --out, and it"
                    " is trained there"
                )

    def keep(self) -> None:
        """Write the shared settings, if any run is done, and gather the scores of single runs."""
        if not any(self.is_done(run) for run in self.all()):
            return
        text = json.dumps({**self._kept_settings(), **self._shared}, indent=1)
        write_whole(self.out / _SETTINGS, text + "\n")
        self._recorded.gather()

    def _kept_settings(self) -> dict[str, Any]:
        path = self.out / _SETTINGS
        try:
            found = upgraded(dict(json.loads(path.read_bytes()) if path.is_file() else {}))
            for name in found.keys() & self._shared.keys():
                if (
                    name.startswith("method ") and "init_args" in found[name]
                ):  # as `Method` objects were kept
                    found[name] = self._shared[name] | found[name]["init_args"]
            return found
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {error}") from None

    def _is_of(self, run: Run) -> bool:
        """True if the kept principal of a run was trained by this configuration."""
        module, data = self._set_up(run)
        steps = read_training(run.folder)["agent_steps"]
        if steps != agent_steps(module, data, self._given.num_validations):
            return False
        kept = read_checkpoint(run.folder / _PRINCIPAL)
        ours = {CHECKPOINT_KEY: module.spec, "TaskDataModule": data.state_dict()}
        return ours == {name: kept.get(name) for name in ours}

    def finish(self, run: Run) -> None:
        """Train and score one method, or score schedules and oracle."""
        rows = self._scored_yardsticks(run) if run.method == YARDSTICKS else self._scored(run)
        columns = {
            "trained_on": run.condition.trained_on,
            "observation": run.condition.observation,
            "cost": run.condition.cost,
            "seed": run.seed,
        }
        write_rows(run.folder / SCORES, [columns | row for row in rows])

    def _set_up(self, run: Run) -> tuple[MermaideModule, TaskDataModule]:
        given = self._given
        pl.seed_everything(run.seed, verbose=False)
        module = given.methods[run.method](given.game_of(run.condition))
        per_step = given.meta_batch_size * module.num_episodes * given.game.num_steps
        data = TaskDataModule(
            self._train[run.condition.trained_on],
            self._val[run.condition.trained_on],
            meta_batch_size=given.meta_batch_size,
            steps_per_epoch=max(1, round(given.agent_steps / per_step / given.num_validations)),
            num_val_tasks=given.num_val_tasks,
            seed=run.seed,
        )
        return module, data

    def _trained(self, run: Run) -> MermaideModule:
        kept, record = run.folder / _PRINCIPAL, run.folder / TRAINING
        if record.is_file():
            return MermaideModule.load_from_checkpoint(kept).eval()
        module, data = self._set_up(run)
        logs = self.logs / run.condition.name / f"seed{run.seed}" / run.method
        best = train(
            module, data, folder=logs, num_epochs=self._given.num_validations, seed=run.seed
        )
        checkpoint = read_checkpoint(best)
        slim = {key: checkpoint[key] for key in ("state_dict", CHECKPOINT_KEY, "TaskDataModule")}
        write_checkpoint(canonical(slim), kept)
        write_whole(record, (logs / TRAINING).read_bytes())
        return MermaideModule.from_checkpoint(checkpoint, best).eval()

    def _evaluation(self, run: Run) -> PairedEvaluation:
        game, num_agents = self._given.game_of(run.condition), self._given.num_agents
        return PairedEvaluation(game, num_agents, NUM_TUNING_AGENTS, seed=run.seed)

    def _scored_yardsticks(self, run: Run) -> list[Row]:
        evaluation = self._evaluation(run)
        schedules = evaluation.schedules(self._train[run.condition.trained_on])
        rows = []
        for name, population in self._test.items():
            players = fixed_players({**schedules, ORACLE: evaluation.oracle(population)})
            rows += _rows(name, evaluation.scores(players, population))
        return rows

    def _scored(self, run: Run) -> list[Row]:
        module, evaluation = self._trained(run), self._evaluation(run)
        if module.inner_loop.num_shots == 0 and any(self._given.shots):
            self._fine_tune(module, run)
        players = learned_players({run.method: module}, self._given.shots)
        return [
            row
            for name, population in self._test.items()
            for row in _rows(name, evaluation.scores(players, population))
        ]

    def _fine_tune(self, module: MermaideModule, run: Run) -> None:
        """Set the inner loop with the highest validation return, and record all candidates."""
        tasks, game = range(self._given.num_val_tasks), module.game
        population = self._val[run.condition.trained_on].in_game(game)
        module.inner_loop, module.objective, tried = choose_inner_loop(
            module,
            population.sample(tasks, split="val", seed=run.seed, game=game),
            rates=self._given.fine_tuning_rates,
            policy_weights=self._given.fine_tuning_policy_weights,
        )
        write_rows(run.folder / FINE_TUNING, tried)


def _rows(population: str, scores: PopulationScores) -> list[Row]:
    """Rows of a population, with means over its agents."""
    return [
        {
            "method": method,
            "population": population,
            "shots": shots,
            "num_agents": len(each.returns),
            "return": float(each.returns.mean()),
            "alignment": float(each.alignment.mean()),
            "intervention_rate": float(each.intervention_rate.mean()),
        }
        for (method, shots), each in scores.items()
    ]
