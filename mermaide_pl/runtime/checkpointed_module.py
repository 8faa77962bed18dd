"""A LightningModule whose checkpoints contain the settings it was built with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import pytorch_lightning as pl
from pytorch_lightning.trainer.states import TrainerFn

from mermaide_pl.config.serialization import check_types, describe, rebuild
from mermaide_pl.config.validation import one_line
from mermaide_pl.runtime.checkpoints import (
    CHECKPOINT_KEY,
    check_same_shape,
    prices_differ,
    read_checkpoint,
)
from mermaide_pl.runtime.run_settings import differences, run_settings, settings_in

_LOGGER = logging.getLogger(__name__)


class SelfDescribingModule(pl.LightningModule):
    """A module that saves its constructor arguments with its weights, so a file alone rebuilds it.

    Args:
        arguments: the ``locals()`` of the constructor, before it does anything else.
    """

    not_saved: ClassVar[tuple[str, ...]] = ()
    """Names of constructor arguments that are not saved in checkpoints."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.spec = {
            name: describe(value)
            for name, value in arguments.items()
            if name not in ("self", "__class__", *self.not_saved)
        }

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]
        cls, checkpoint_path: str | Path, map_location: Any = "cpu", **_: Any
    ) -> Self:
        """Load a checkpoint without running code from it.

        Raises:
            ValueError: one line that says what is wrong with the file.
        """
        return cls.from_checkpoint(read_checkpoint(checkpoint_path, map_location), checkpoint_path)

    @classmethod
    def from_checkpoint(cls, checkpoint: dict[str, Any], path: str | Path, **other: Any) -> Self:
        """Build the module of a checkpoint that `read_checkpoint` has read.

        Args:
            checkpoint: its content.
            path: of the file, for messages.
            other: arguments that override those in the checkpoint, or that are not saved in it.

        Raises:
            ValueError: one line that says what is wrong with the file.
        """
        try:
            spec = checkpoint[CHECKPOINT_KEY]
            if not isinstance(spec, dict):
                raise TypeError("its settings do not map names to values")
            if unknown := spec.keys() & set(cls.not_saved):
                raise KeyError(f"unknown setting {min(unknown)}")
            arguments = {name: rebuild(value) for name, value in spec.items()} | other
            check_types(cls.__init__, arguments)
            module = cls(**arguments)
            state = checkpoint["state_dict"]
            any_weight, _ = next(module.named_parameters())
            module.to(state[any_weight].dtype).load_state_dict(state)
            if not all(bool(weight.isfinite().all()) for weight in module.parameters()):
                raise ValueError("its weights are not finite")
        except (
            *(AttributeError, KeyError, OverflowError, TypeError, RuntimeError, ValueError),
        ) as error:
            reason = one_line(error)
            raise ValueError(f"{path} is not a checkpoint of this version: {reason}") from None
        return module

    def begin_with(self, path: str) -> None:
        """Load the weights of a checkpoint whose settings give the same parameter shapes.

        Raises:
            ValueError: one line that says what is wrong with the file, or which setting differs.
        """
        start = type(self).load_from_checkpoint(path)
        try:
            check_same_shape(start.spec, self.spec)
        except ValueError as error:
            raise ValueError(f"init_from {path}: {error}") from None
        if difference := prices_differ(start.spec, self.spec):
            _LOGGER.warning("init_from %s %s", path, difference)
        self.load_state_dict(start.state_dict())

    @classmethod
    def pretrained(cls, name: str) -> Self:
        """Load a pretrained principal of the package, ready to play.

        Args:
            name: NAME of its model card ``principals/pretrained/NAME.md`` in the package.

        Raises:
            ValueError: one line with the available names.
        """
        return cls.load_from_checkpoint(f"pretrained:{name}").eval()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the settings, as plain data."""
        checkpoint[CHECKPOINT_KEY] = self.spec

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another game or principal; warn about all other changed settings.

        Settings of data and trainer are compared only if the module is trained further.
        """
        theirs: dict[str, Any] = {"model": checkpoint.get(CHECKPOINT_KEY, {})}
        ours: dict[str, Any] = {"model": self.spec}
        check_same_shape(theirs["model"], self.spec)
        if self.trainer.state.fn == TrainerFn.FITTING:
            theirs |= settings_in(checkpoint)
            ours |= run_settings(self.trainer)
        # Lightning would round the weights to single precision, and convert the module later
        self.trainer.precision_plugin.convert_module(self)
        changed = differences(theirs, ours)
        if changed and self.trainer.is_global_zero:
            rates = changed.keys() & {"model.meta_lr", "model.inner_rates_lr"}
            advice = "; the outer rates continue as they were there" if rates else ""
            said = ", ".join(changed.values())
            _LOGGER.warning("not as in the checkpoint: %s%s", said, advice)
