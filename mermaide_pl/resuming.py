"""What makes an interrupted and resumed run the run that was never interrupted."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
from lightning_fabric.plugins import TorchCheckpointIO
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from mermaide_pl.checkpoints import read_checkpoint, write_checkpoint

_LOGGER = logging.getLogger(__name__)


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints whole or not at all, and reads none that is damaged or holds code."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """See `write_checkpoint`; what is no local file is left to Lightning."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            write_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """See `read_checkpoint`; what is no local file is left to Lightning."""
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only=True)
        return read_checkpoint(path, map_location)


def terminate(*_: object) -> NoReturn:
    """Handle SIGTERM as Ctrl-C is handled: end here and now."""
    raise SIGTERMException


class Resumption(pl.Callback):
    """Keeps the logged curves in step with the checkpoints, and says how to go on after an end.

    What was logged is on the disk before a checkpoint is. A run that goes on from step N tells
    TensorBoard to forget what had been logged from step N on, for it is logged again; a run that
    begins anew does the same from step 0.
    """

    def __init__(self) -> None:
        self._first_step = 0
        self._loaders: list[dict[str, Any]] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take charge of the checkpoint files."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # none of the user's own
            trainer.strategy.checkpoint_io = WholeCheckpoints()

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note where the run goes on."""
        self._first_step = checkpoint["global_step"]
        self._loaders = checkpoint["loops"]["fit_loop"]["state_dict"].get("combined_loader", [])

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the curves from there on."""
        if trainer.is_global_zero:
            how = "goes on after" if self._first_step else "begins with"
            _LOGGER.info("training %s step %d", how, self._first_step or 1)
        start = Event(step=self._first_step, session_log=SessionLog(status=SessionLog.START))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero:
                logger.experiment.file_writer.add_event(start)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on in the middle of an epoch with the tasks that come next, and listen to SIGTERM."""
        if trainer.world_size > 1:
            # Lightning's own handler waits for the other processes, which wait for this one
            signal.signal(signal.SIGTERM, terminate)
        # as Lightning does, but not if the number of training steps was asked for before
        load = getattr(trainer.train_dataloader, "load_state_dict", None)
        for state in self._loaders:
            if load is not None:
                load(state)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write down what was logged so far."""
        for logger in trainer.loggers:
            logger.save()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Say what is kept of a training that ends too early."""
        if trainer.state.fn != "fit" or not trainer.is_global_zero:
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
            f"the same command with --ckpt_path last goes on from {kept[0]}"
            if kept
            else "no checkpoint was written yet that --ckpt_path last could go on from",
        )
