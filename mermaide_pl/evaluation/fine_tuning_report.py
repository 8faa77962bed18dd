"""Fine-tuning report: the gain on new agents and the forgetting on old ones."""

from __future__ import annotations

import logging
from pathlib import Path

import pytorch_lightning as pl

from mermaide_pl.config.input_paths import checkpoint_path
from mermaide_pl.evaluation.loading import training_population
from mermaide_pl.evaluation.protocol import evaluate
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population
from mermaide_pl.runtime.checkpoints import read_checkpoint
from mermaide_pl.runtime.run_folders import checkpoint_folders, occupied

_LOGGER = logging.getLogger(__name__)
REPORT = "finetuning.json"


def check_start(init_from: str | Path, trainer: pl.Trainer) -> None:
    """Refuse an initial checkpoint that the checkpoints of this run would overwrite.

    Raises:
        ValueError: one line that names another folder as the remedy.
    """
    folder = checkpoint_path(init_from).resolve().parent
    if folder in [place.resolve() for place in checkpoint_folders(trainer)]:
        raise ValueError(
            f"--model.init_from {init_from} lies where this run writes its checkpoints; choose"
            " another folder with --trainer.logger.name"
        )


def populations_to_report(module: MermaideModule, data: TaskDataModule) -> dict[str, Population]:
    """Populations on which gain and forgetting are measured, by name.

    Args:
        module: the module that is fine-tuned; its `init_from` is the initial checkpoint.
        data: holds the new agents.

    Returns:
        "new agents", the training population; "test agents", the test population if it is another
        one; and "old agents", the training population of the initial checkpoint if it is another
        one. All are drawn from the test split.

    Raises:
        ValueError: one line, if the initial checkpoint does not name its training population.
    """
    assert module.init_from is not None
    old = training_population(read_checkpoint(module.init_from), module.init_from)
    found: dict[str, Population] = {}
    for name, population in (
        ("new agents", data.train_population),
        ("test agents", data.test_population),
        ("old agents", old),
    ):
        if population not in found.values():
            found[name] = population
    return found


def report_fine_tuning(
    module: MermaideModule, trainer: pl.Trainer, populations: dict[str, Population]
) -> None:
    """Compare the best checkpoint of a fit with its initial checkpoint.

    To be called in all processes; only the first plays. Prints one table per population and writes
    the rows of `evaluate` to `REPORT` in the folder of the run. The methods are called "before" and
    "after"; schedules are tuned on the new training population.

    Args:
        module: the trained module; its `init_from` is the initial checkpoint.
        trainer: the trainer that fitted it.
        populations: as `populations_to_report` returns them.
    """
    folder = Path(trainer.log_dir or trainer.default_root_dir)  # all processes must ask
    if not trainer.is_global_zero:
        return
    kept = trainer.checkpoint_callback
    best = getattr(kept, "best_model_path", "")
    if not best:
        _LOGGER.info("no checkpoint was kept, so fine-tuning is not compared")
        return
    assert module.init_from is not None
    with occupied(folder):
        evaluate(
            {"before": module.init_from, "after": best},
            populations,
            shots=module.eval_shots,
            out=folder / REPORT,
            engine=module.engine_name,
        )
