"""Bit-exact resume: atomic checkpoints, mid-epoch sampler state, and logs cut at the step."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities.exceptions import SIGTERMException

from mermaide_pl.runtime.atomic_files import set_aside
from mermaide_pl.runtime.checkpoints import read_checkpoint, write_checkpoint
from mermaide_pl.runtime.curves import forget_curves, keep_curves
from mermaide_pl.runtime.run_folders import checkpoint_folders, log_folders, occupied
from mermaide_pl.runtime.run_settings import RUN_KEY, batches_done, run_settings

_LOGGER = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoint plugin that writes atomically and refuses files that are damaged or hold code.

    A checkpoint of an earlier run that would be replaced is renamed, ``best.ckpt`` to
    ``best.ckpt.1`` and so on. Those in and below the folder that the run resumes from are its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._written: set[Path] = set()
        self._goes_on_in: Path | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Save a checkpoint (`write_checkpoint`); paths that are not local are left to Lightning.

        Raises:
            ValueError: one line that says why it cannot be written.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        earlier = None if self._is_own(path) or not path.is_file() else set_aside(path)
        try:
            write_checkpoint(checkpoint, path)
        except BaseException:
            if earlier is not None and not path.exists():
                earlier.rename(path)
            raise
        if earlier is not None:
            _LOGGER.info("the checkpoint of an earlier run is kept as %s", earlier)
        self._written.add(path)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load a checkpoint (`read_checkpoint`); paths that are not local are left to Lightning.

        Raises:
            ValueError: one line that says what is wrong with the file.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only=True)
        self._goes_on_in = Path(path).absolute().parent
        return read_checkpoint(path, map_location)

    def _is_own(self, path: Path) -> bool:
        folder = self._goes_on_in
        below = folder is not None and path.absolute().is_relative_to(folder)
        return below or path in self._written


class Resumption(pl.Callback):
    """Callback that keeps folder, curves and checkpoints of a run consistent, so it can resume.

    No other run can write to its folders meanwhile. Logs are on the disk before the checkpoint of
    the same step. A run that resumes from step N removes the entries of TensorBoard and CSV files
    from step N on, which are logged again; a new run in the same folder does so from step 0.
    """

    def __init__(self) -> None:
        self._folders = ExitStack()
        self._first_step: int | None = None
        self._is_training = False
        self._skipped: tuple[int, int] | None = None  # epoch, and its batches already done

    def take_folders(self, trainer: pl.Trainer) -> None:
        """Lock the folders of the run, before loggers or anything else begin to write.

        Raises:
            ValueError: one line, if another run holds one of them.
        """
        if getattr(trainer, "fast_dev_run", False) or not trainer.is_global_zero:
            return
        is_fit = trainer.state.fn == TrainerFn.FITTING
        folders = log_folders(trainer) + (checkpoint_folders(trainer) if is_fit else [])
        self._folders.enter_context(occupied(*folders))
        for logger in trainer.loggers:
            keep_curves(logger)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Install `WholeCheckpoints`, unless the user has a plugin of their own."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = WholeCheckpoints()
            # Lightning warns of every such folder, also where nothing is lost
            warnings.filterwarnings("ignore", message="Checkpoint directory .* exists")

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Record the position at which the run resumes."""
        self._first_step = checkpoint["global_step"]
        self._skipped = batches_done(checkpoint)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Drop the logged curves from that position on."""
        step = trainer.global_step if self._first_step is None else self._first_step
        if not trainer.is_global_zero:
            return
        _LOGGER.info("training %s", f"continues after step {step}" if step else "begins")
        for logger in trainer.loggers:
            forget_curves(logger, step)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Resume in the middle of an epoch with the next tasks, and handle SIGTERM."""
        if trainer.world_size > 1 and threading.current_thread() is threading.main_thread():
            # Lightning's own handler waits for the other processes, which wait for this one
            signal.signal(signal.SIGTERM, partial(_terminate_all, trainer.strategy.launcher))
        self._is_training = True
        # Lightning does not restore a loader's state if the schedule has asked for the number of
        # steps, and counts the batch of an unfinished step as done
        loader: Any = trainer.train_dataloader
        skip = getattr(getattr(loader, "sampler", None), "skip", None)
        if self._skipped is not None and skip is not None:
            epoch, batches = self._skipped
            skip(epoch, batches * loader.batch_size)
            warnings.filterwarnings(
                "ignore", message="You're resuming from a checkpoint that ended"
            )

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Flush the logs, and add the settings of data and trainer to the checkpoint."""
        checkpoint[RUN_KEY] = run_settings(trainer)
        for logger in trainer.loggers:
            logger.save()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Log which checkpoint is kept of a training that ends too early."""
        self._folders.close()
        if not (self._is_training and trainer.is_global_zero):
            return
        kept = [
            path
            for callback in trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint)
            for path in (callback.best_model_path, callback.last_model_path)
            if Path(path).name.startswith(ModelCheckpoint.CHECKPOINT_NAME_LAST)
        ]
        _LOGGER.info(
            "stopped in step %d; %s",
            trainer.global_step + 1,
            f"{kept[0]} is kept to resume from" if kept else "no checkpoint was written yet",
        )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Release the folders."""
        self._folders.close()


def take_folders(trainer: pl.Trainer) -> None:
    """Lock the folders of a run through its trainer's `Resumption` (`Resumption.take_folders`)."""
    for callback in vars(trainer)["callbacks"]:  # which has no type
        if isinstance(callback, Resumption):
            callback.take_folders(trainer)


def terminate(*_: object) -> NoReturn:
    """Handle SIGTERM like Ctrl-C: end immediately."""
    raise SIGTERMException


def _terminate_all(launcher: Any, *_: object) -> NoReturn:
    """Handle SIGTERM in a process that has started others."""
    if launcher is not None:
        launcher.kill(signal.SIGTERM)
    terminate()
