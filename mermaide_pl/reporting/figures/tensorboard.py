"""TensorBoard callbacks: log the settings of a run, and figures while it trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from mermaide_pl.config.validation import check_count
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import TaskBatch
from mermaide_pl.populations.summary import family_rows, surroundings
from mermaide_pl.reporting.figures.episode import draw_episode
from mermaide_pl.reporting.figures.intervention_rate import draw_intervention_rate
from mermaide_pl.reporting.figures.learning_curves import draw_learning_curves
from mermaide_pl.reporting.figures.style import shots_label
from mermaide_pl.runtime.console import markdown
from mermaide_pl.runtime.run_summary import setting_rows


class SettingsLogger(pl.Callback):
    """Logs settings and populations of a run; does nothing without a TensorBoardLogger.

    ``run/settings`` and ``run/populations`` are tables in the TEXT tab. The HPARAMS tab has one
    line for the run: its settings, and the returns of the latest validation, which TensorBoard
    reads from the curves, so that no sub-run and no further point is written.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the tables, and start the line of the run in the HPARAMS tab."""
        assert isinstance(pl_module, MermaideModule)
        texts = {"settings": _settings_table(pl_module)}
        data: Any = getattr(trainer, "datamodule", None)
        if isinstance(data, TaskDataModule):
            texts["populations"] = _population_tables(data)
        experiment, begin, _ = _session(pl_module)
        for writer in _writers(trainer):
            for name, text in texts.items():
                writer.add_text(f"run/{name}", text)
            for summary in (experiment, begin):
                writer.file_writer.add_summary(summary)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """End the line; until then TensorBoard shows the run as unfinished."""
        assert isinstance(pl_module, MermaideModule)
        for writer in _writers(trainer):
            writer.file_writer.add_summary(_session(pl_module)[2])


class FigureLogger(pl.Callback):
    """Logs three figures at the end of validation; does nothing without a TensorBoardLogger.

    ``figures/learning_curves`` is the mean return over all validation agents, from the logged
    metrics. ``figures/intervention_rate`` and ``figures/episode`` show the first validation batch
    of process zero; the episode is the first agent's first, at the largest number of shots.

    Args:
        every_n_validations: draw at every n-th validation; the curves have all of them.
    """

    def __init__(self, every_n_validations: int = 1) -> None:
        check_count("FigureLogger.every_n_validations", every_n_validations, low=1)
        self._every_n_validations = every_n_validations
        self._agent_steps = 0  # played in training so far, support and query, all processes
        self._progress: list[int] = []  # agent steps at each validation, [N]
        self._returns: dict[int, list[float]] = {}  # shots to mean return, [N]

    def state_dict(self) -> dict[str, Any]:
        """The curves so far, as plain numbers and lists."""
        return {
            "agent_steps": self._agent_steps,
            "progress": list(self._progress),
            "shots": list(self._returns),
            "returns": [list(values) for values in self._returns.values()],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the curves of the run that is resumed."""
        self._agent_steps = state_dict["agent_steps"]
        self._progress = list(state_dict["progress"])
        curves = zip(state_dict["shots"], state_dict["returns"], strict=True)
        self._returns = {shots: list(values) for shots, values in curves}

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: TaskBatch,
        batch_idx: int,
    ) -> None:
        """Count the steps that agents have played."""
        assert isinstance(pl_module, MermaideModule)
        per_task = pl_module.num_episodes * batch.game(pl_module.game).num_steps
        self._agent_steps += trainer.world_size * len(batch) * per_task

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Extend the curves, then draw."""
        assert isinstance(pl_module, MermaideModule)
        if trainer.sanity_checking:
            return
        self._record(trainer, pl_module)
        writers = _writers(trainer)
        due = len(self._progress) % self._every_n_validations == 0
        if not (writers and due):
            return
        step = max(trainer.global_step - 1, 0)  # as the metrics of this validation
        for name, figure in self._draw(pl_module).items():
            for writer in writers:
                writer.add_figure(f"figures/{name}", figure, step, close=True)

    def _record(self, trainer: pl.Trainer, module: MermaideModule) -> None:
        if self._progress[-1:] == [self._agent_steps]:  # validated again without training between
            del self._progress[-1]
            for values in self._returns.values():
                del values[-1]
        self._progress.append(self._agent_steps)
        for shots in module.eval_shots:
            value = trainer.callback_metrics[f"val/return_{shots}shot"].item()
            self._returns.setdefault(shots, []).append(value)

    def _draw(self, module: MermaideModule) -> dict[str, Figure]:
        curves = {shots_label(shots): values for shots, values in self._returns.items()}
        played = {shots_label(shots): module.last_evaluation[shots] for shots in module.eval_shots}
        most = max(module.eval_shots)
        return {
            "learning_curves": draw_learning_curves(self._progress, curves, module.val_yardsticks),
            "intervention_rate": draw_intervention_rate(played),
            "episode": draw_episode(module.last_evaluation[most], module.last_forecast[most]),
        }


def _writers(trainer: pl.Trainer) -> list[Any]:
    """TensorBoard's own writers in the first process; none in the others."""
    loggers = [item for item in trainer.loggers if isinstance(item, TensorBoardLogger)]
    return [logger.experiment for logger in loggers] if trainer.is_global_zero else []


def _session(module: MermaideModule) -> tuple[Any, Any, Any]:
    """Summaries for the HPARAMS tab: its columns, and the start and the end of the run."""
    returns = [
        f"val/{quantity}_{shots}shot"
        for quantity in ("return", "normalised_return")
        for shots in module.eval_shots
    ]
    metrics = dict.fromkeys(["val/return", *returns])
    return hparams(setting_rows(module.spec), metrics)  # type: ignore[no-untyped-call]


def _settings_table(module: MermaideModule) -> str:
    return _markdown(("setting", "value"), setting_rows(module.spec).items())


def _population_tables(data: TaskDataModule) -> str:
    populations = {"Training": data.train_population, "Validation": data.val_population}
    head = ("learning rule", "hyper-parameters", "share")
    return "\n\n".join(
        f"### {name} agents\n\n{markdown(surroundings(population))}\n\n"
        + _markdown(head, family_rows(population))
        for name, population in populations.items()
    )


def _markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[markdown(str(cell)) for cell in line] for line in (head, *rows)]
    lines = (cells[0], ["---"] * len(head), *cells[1:])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
