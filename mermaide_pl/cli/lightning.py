"""`mermaide fit`, `validate` and `test`: Lightning's own commands, on our module and agents."""

from __future__ import annotations

import errno
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import MISSING, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytorch_lightning as pl
import yaml
from jsonargparse import Namespace, set_loader
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from mermaide_pl.cli.early_checks import ROLES, given_options
from mermaide_pl.config.input_paths import POPULATIONS, checkpoint_path
from mermaide_pl.config.serialization import describe
from mermaide_pl.config.trusted_imports import explained, imports, only_trusted
from mermaide_pl.config.validation import check_precision
from mermaide_pl.config.yaml_files import current_names, load_yaml, read_yaml
from mermaide_pl.evaluation.fine_tuning_report import (
    check_start,
    populations_to_report,
    report_fine_tuning,
)
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import Population
from mermaide_pl.populations.files import POPULATION_HINT
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.checkpoints import read_checkpoint
from mermaide_pl.runtime.distributed import check_world, one_fate

_PARSER_MODE = "mermaide_fit"

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# as in every configuration of conf/: one folder per run under logs, without a subfolder by name
_LOGGER = {
    "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
    "init_args": {"save_dir": "logs", "name": ""},
}


def _with_files(value: Any, key: str = "") -> Any:
    """Replace names of packaged populations in a configuration by their files.

    A population with families is one of its own: what it leaves out is as in `Population`, and not
    as in the population of an earlier configuration.
    """
    if isinstance(value, dict):
        given = {name: _with_files(item, name) for name, item in value.items()}
        return {**_population_defaults(), **given} if "families" in given else given
    if isinstance(value, str) and key.endswith("_population"):
        return str(POPULATIONS.path(value)) if value in POPULATIONS.names() else value
    return value


def _population_defaults() -> dict[str, Any]:
    """What a population is that says nothing but its families, as plain data."""
    return {
        item.name: describe(item.default)
        for item in fields(Population)
        if item.default is not MISSING
    }


set_loader(_PARSER_MODE, lambda text: _with_files(load_yaml(text)), (yaml.YAMLError,))


class _Parser(LightningArgumentParser):
    """A parser that reports a mistake in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = explained(message)
        if not self.exit_on_error:  # a nested parser; the outer one knows the file
            super().error(message, ex)
        unread = re.search(
            r"Parser key \"([\w.]+)\": (?:Unable to load config '|- Expected a path but )"
            r"(?![{\[])(.*?)(?:'| either not accessible)",  # a file's name, not YAML itself
            message,
        )
        is_class = " is not part of mermaide_pl" in message
        if unread and not is_class and not Path(unread[2]).is_file():
            is_population = unread[1].endswith("_population")
            missing = POPULATIONS.missing if is_population else "{} does not exist".format
            message = f"{unread[1]}: {missing(unread[2])}"
        elif "_population" in message:
            message += POPULATION_HINT if "not accepted" in message else ""
        elif "Problems parsing config" in message:
            message += f" (of {', '.join(one for one in sys.argv if one.endswith('.yaml'))})"
        else:
            message += self._allowed_beside(message)
        raise ValueError(message)

    def _allowed_beside(self, message: str) -> str:
        """Name the options allowed in place of an unknown one, or the command that lists all."""
        unknown = re.search(r"does not accept option '([\w.]+)'", message)
        if unknown is None:
            return f"; `mermaide {sys.argv[1]} --help` lists all options"
        commands: Any = self._subcommands_action
        actions = commands.choices[sys.argv[1]]._actions
        prefix, beside = unknown[1] + ".", set[str]()
        while not beside:
            prefix = prefix[: prefix[:-1].rfind(".") + 1]
            beside = {
                action.dest.removeprefix(prefix).split(".")[0]
                for action in actions
                if action.dest.startswith(prefix)
            }
        return f", allowed: {', '.join(sorted(beside))}"


class _CLI(LightningCLI):
    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The command that was asked for alone, since building a parser is slow."""
        command = sys.argv[1]
        return {command: LightningCLI.subcommands()[command]}

    def _parse_ckpt_path(self) -> None:
        """Do nothing: the module reads its own settings from the checkpoint."""

    def before_instantiate_classes(self) -> None:
        """Refuse values that Lightning would silently change or answer with a traceback."""
        given = self.config[self.subcommand]
        commands: Any = self.parser._subcommands_action
        for name in commands.choices[self.subcommand].groups:
            if given.get(name) is not None and not isinstance(given[name], Namespace):
                raise ValueError(f"{name} must map names to values, got {given[name]!r:.60}")
        check_precision(given.trainer.precision)
        if given.get("ckpt_path") not in (None, *ROLES):
            read_checkpoint(given.ckpt_path)
            given.ckpt_path = str(checkpoint_path(given.ckpt_path))
        if given.get("ckpt_path") == "last":  # `Resumption` logs where the training begins
            warnings.filterwarnings("ignore", message=".*there is no last checkpoint")

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the command so that all processes fail together, with one line."""
        trainer = self.trainer
        check_world(trainer.strategy, trainer.num_devices, trainer.num_nodes)
        sys.argv += imports()
        with one_fate(trainer.strategy):
            try:
                super()._run_subcommand(subcommand)
            except OSError as error:
                if error.filename is not None or error.errno not in _DISK_ERRORS:
                    raise
                # TensorBoard, the only logger with its own writer, does not name the file
                folder = getattr(trainer.logger, "log_dir", None) or trainer.default_root_dir
                raise ValueError(
                    f"the curves in {Path(folder)} cannot be written: {error.strerror}"
                ) from None

    def instantiate_classes(self) -> None:
        """Build model, data and trainer; values that Lightning refuses are user errors too."""
        try:
            super().instantiate_classes()
        except (TypeError, ValueError) as error:
            raise ValueError(explained(str(error))) from error
        game = self.model.game
        for name in ("train_population", "val_population", "test_population"):
            num_arms = getattr(self.datamodule, name).arms_in(game)
            if num_arms != game.num_arms:
                raise ValueError(
                    f"data.{name}: its agents have {num_arms} arms, model.game has {game.num_arms}"
                )

    def before_fit(self) -> None:
        """Prepare the report of fine-tuning, so that its errors appear before hours of training."""
        self._reported: dict[str, Population] = {}
        if self.model.init_from is not None:
            check_start(self.model.init_from, self.trainer)
            self._reported = populations_to_report(self.model, self.datamodule)

    def after_fit(self) -> None:
        """Report gain on the new agents and loss on the old ones after fine-tuning."""
        if self._reported:
            report_fine_tuning(self.model, self.trainer, self._reported)


class _SavedConfig(SaveConfigCallback):
    """Callback that writes Lightning's ``config.yaml`` atomically to the folder of the run."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write the configuration."""
        folder = trainer.log_dir  # finding it is a collective operation
        if folder is None or "://" in folder:
            super().setup(trainer, pl_module, stage)
        elif trainer.is_global_zero:
            content = self.parser.dump(self.config, skip_unset=False)
            write_whole(Path(folder, self.config_filename), content)


class _Unstarted(_CLI):
    """Builds trainer, module and data of a run, and leaves running them to the caller."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Do nothing: the caller runs the command."""


def run(command: str, arguments: Sequence[str]) -> None:
    """Train a principal, or score it."""
    _parse(_CLI, command, arguments)


def configured(arguments: Sequence[str]) -> tuple[pl.Trainer, MermaideModule, TaskDataModule]:
    """Build the trainer, module and data of `mermaide fit` with these arguments; set its seed.

    Raises:
        ValueError: one line that says which argument is wrong.
    """
    cli = _parse(_Unstarted, "fit", arguments)
    return cli.trainer, cli.model, cli.datamodule


def _parse(cli: type[_CLI], command: str, arguments: Sequence[str]) -> _CLI:
    words = [re.sub(r"^--game(?=[.=]|$)", "--model.game", word) for word in arguments]
    arguments = _with_population_files(current_names(words))
    # Lightning reads the arguments there, also to start the processes of further devices
    sys.argv = [sys.argv[0], command, *arguments]
    with only_trusted(_of_the_trainer(arguments)):
        try:
            return cli(
                MermaideModule,
                TaskDataModule,
                parser_class=_Parser,
                seed_everything_default=0,
                trainer_defaults={"logger": _LOGGER},
                auto_configure_optimizers=False,
                # a folder has the configuration of its training
                save_config_callback=_SavedConfig if command == "fit" else None,
                save_config_kwargs={"overwrite": True},
                parser_kwargs={
                    "prog": "mermaide",
                    "parser_mode": _PARSER_MODE,
                    "allow_abbrev": False,
                },
            )
        except ImportError as error:
            if not isinstance(error, ValueError):
                raise
            # an import that is not allowed, where jsonargparse does not take it for a mistake
            raise ValueError(explained(str(error))) from None


def _with_population_files(arguments: list[str]) -> list[str]:
    """Replace names of packaged populations in command-line arguments by their files."""
    found = []
    for before, word in pairwise(["", *arguments]):
        option, sign, value = word.rpartition("=")
        key = option if sign else before
        found.append(f"{option}{sign}{_with_files(value, key)}")
    return found


def _of_the_trainer(arguments: Sequence[str]) -> set[str]:
    """Import paths in the trainer's slots; users may write callbacks and loggers of their own."""
    said: list[object] = []
    for option, value in given_options(arguments):
        slots: Any = value if option.startswith("--trainer") else None
        if option in ("-c", "--config"):
            content = read_yaml(value, "configuration")
            slots = content.get("trainer") if isinstance(content, dict) else None
        if isinstance(slots, str) and slots.endswith((".yaml", ".yml")):
            slots = read_yaml(slots, "configuration")
        said.append(slots)
    return set(re.findall(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", str(said)))
