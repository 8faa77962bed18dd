"""The `mermaide` command."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from mermaide_pl.checkpoints import checkpoint_path, read_checkpoint
from mermaide_pl.checks import check_precision
from mermaide_pl.commands import COMMANDS
from mermaide_pl.commands.parser import fail
from mermaide_pl.datamodule import TaskDataModule
from mermaide_pl.experiments.fine_tuning import populations_to_report, report_fine_tuning
from mermaide_pl.module import MermaideModule
from mermaide_pl.population_files import POPULATION_HINT
from mermaide_pl.tasks import Population

_USAGE = """usage: mermaide COMMAND [options]

Meta-learn a principal that steers learning agents, and score it on agents it never met.

commands:
  fit       train a principal:            mermaide fit --config conf/quickstart.yaml
  validate  score it while developing:    mermaide validate --config CONFIG --ckpt_path CKPT
  test      score it on the test agents:  mermaide test --config CONFIG --ckpt_path CKPT
  evaluate  compare it with yardsticks:   mermaide evaluate --ckpt_path CKPT --population FILE.yaml
  adapt     adapt it to one agent:        mermaide adapt --ckpt_path CKPT --population FILE.yaml
  compare   train and score many:         mermaide compare --config conf/experiment/table.yaml
  figure    repeat a figure of the paper: mermaide figure fig2 --out results/fig2
  report    a page about a run:           mermaide report --logdir logs/quickstart
  check-agent  is my learner an agent?:   mermaide check-agent my_module.MyLearner

`mermaide COMMAND --help` lists the options of a command."""


# as every configuration in conf/ does, one folder for each run under logs; there without a name
_LOGGER = {
    "class_path": "pytorch_lightning.loggers.TensorBoardLogger",
    "init_args": {"save_dir": "logs", "name": ""},
}


class _Parser(LightningArgumentParser):
    """A parser that reports a mistake in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:  # a parser within another, which knows the file
            super().error(message, ex)
        if "_population" in message:
            message += POPULATION_HINT
        elif "Problems parsing config" in message:
            message += f" (of {', '.join(one for one in sys.argv if one.endswith('.yaml'))})"
        else:
            message += self._allowed_beside(message)
        sys.exit(fail(message))

    def _allowed_beside(self, message: str) -> str:
        """What may stand in place of an unknown option, or where that is listed."""
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
        """Predicting makes no sense here."""
        commands = LightningCLI.subcommands()
        del commands["predict"]
        return commands

    def _parse_ckpt_path(self) -> None:
        """The module reads its own settings from a checkpoint; the configuration is left alone."""

    def before_instantiate_classes(self) -> None:
        """Refuse what Lightning would silently change, or answer with a traceback."""
        given = self.config[self.subcommand]
        check_precision(given.trainer.precision)
        if given.get("ckpt_path") not in (None, "best", "last", "hpc", "registry"):
            read_checkpoint(given.ckpt_path)
            given.ckpt_path = str(checkpoint_path(given.ckpt_path))

    def before_fit(self) -> None:
        """If this is fine-tuning, find out what to report before hours of training."""
        self._reported: dict[str, Population] = {}
        if self.model.init_from is not None:
            self._reported = populations_to_report(self.model, self.datamodule)

    def after_fit(self) -> None:
        """Report what fine-tuning gained and lost."""
        if self._reported and self.trainer.is_global_zero:
            report_fine_tuning(self.model, self.trainer, self._reported)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a user's mistake ends with one line and exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return
    _keep_quiet()
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # learners of one's own are found where one works
    try:
        if arguments[0] in COMMANDS:
            COMMANDS[arguments[0]](arguments[1:])
        elif arguments[0] in _CLI.subcommands():
            sys.argv = ["mermaide", *arguments]
            _CLI(
                MermaideModule,
                TaskDataModule,
                parser_class=_Parser,
                seed_everything_default=0,
                trainer_defaults={"logger": _LOGGER},
                auto_configure_optimizers=False,
                save_config_kwargs={"overwrite": True},
            )
        else:
            allowed = ", ".join([*_CLI.subcommands(), *COMMANDS])
            sys.exit(fail(f"unknown command '{arguments[0]}', allowed: {allowed}"))
    except KeyboardInterrupt:
        print("mermaide: interrupted", file=sys.stderr)
        sys.exit(130)
    except (ValueError, MisconfigurationException) as error:
        if isinstance(error, ValueError) and not _raised_by_us(error):
            raise
        sys.exit(fail(error))


class _Said(logging.Handler):
    """Prints what the package has to say, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """To wherever standard output goes now."""
        print(f"mermaide: {record.getMessage()}", flush=True)


def _keep_quiet() -> None:
    """Drop Lightning's advertisements and what it says of itself; keep its warnings to the user."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", category=FutureWarning, module=name)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=name)
    ours = logging.getLogger("mermaide_pl")
    if not ours.handlers:
        ours.addHandler(_Said())
        ours.setLevel(logging.INFO)
    # tasks are drawn in microseconds
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")


def _raised_by_us(error: BaseException) -> bool:
    """Whether a line of this package raised the error: then it says what the user did wrong."""
    traceback: Any = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return str(traceback.tb_frame.f_globals.get("__name__", "")).startswith("mermaide_pl")
