"""The `mermaide` command."""

from __future__ import annotations

import logging
import math
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

from mermaide_pl.checkpoints import checkpoint_path, read_checkpoint
from mermaide_pl.checks import check_number, check_precision, one_line
from mermaide_pl.datamodule import TaskDataModule
from mermaide_pl.evaluation import evaluate
from mermaide_pl.experiments import EXPERIMENTS
from mermaide_pl.experiments.comparison import compare
from mermaide_pl.module import MermaideModule
from mermaide_pl.native.build import Kernel
from mermaide_pl.population_files import POPULATION_HINT, load_population
from mermaide_pl.tasks import Population

_USAGE = """usage: mermaide COMMAND [options]

Meta-learn a principal that steers learning agents, and score it on agents it never met.

commands:
  fit       train a principal:            mermaide fit --config conf/quickstart.yaml
  validate  score it while developing:    mermaide validate --config CONFIG --ckpt_path CKPT
  test      score it on the test agents:  mermaide test --config CONFIG --ckpt_path CKPT
  evaluate  compare it with yardsticks:   mermaide evaluate --ckpt_path CKPT --population FILE.yaml
  compare   train and score many:         mermaide compare --config conf/experiment/table.yaml
  figure    repeat a figure of the paper: mermaide figure fig2 --out results/fig2

`mermaide COMMAND --help` lists the options of a command."""


class _Parser(LightningArgumentParser):
    """A parser that reports a mistake in one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if "_population" in message:
            message += POPULATION_HINT
        elif "Problems parsing config" in message:
            message += f" (of {', '.join(one for one in sys.argv if one.endswith('.yaml'))})"
        else:
            message += self._allowed_beside(message)
        sys.exit(_fail(message))

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


class _PlainParser(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        sys.exit(_fail(f"{message}; `{self.prog} --help` lists all options"))


def _fail(message: object) -> int:
    print(f"mermaide: error: {one_line(message)}", file=sys.stderr)
    return 2


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


def _evaluate(arguments: Sequence[str]) -> None:
    parser = _PlainParser(prog="mermaide evaluate", description=evaluate.__doc__)
    parser.add_argument(
        "--ckpt_path", type=str, required=True, help="checkpoint of a principal, or pretrained:NAME"
    )
    parser.add_argument(
        "--population", type=str, nargs="+", required=True, help="population files, one or more"
    )
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 1], help="support episodes")
    parser.add_argument("--num_agents", type=int, default=500, help="agents per population")
    parser.add_argument("--seed", type=int, default=0, help="which agents are drawn")
    parser.add_argument("--out", type=str, default="results.json", help="where the rows go")
    parser.add_argument(
        "--kernel", choices=get_args(Kernel), default="auto", help="what computes the episodes"
    )
    given = parser.parse_args(list(arguments))
    populations: dict[str, Population] = {}
    for path in given.population:
        if Path(path).stem in populations:
            raise ValueError(f"two populations are named {Path(path).stem}, the second is {path}")
        populations[Path(path).stem] = load_population(path)
    evaluate(
        given.ckpt_path,
        populations,
        shots=given.shots,
        num_agents=given.num_agents,
        seed=given.seed,
        out=given.out,
        kernel=given.kernel,
    )


def _compare(arguments: Sequence[str]) -> None:
    parser = _PlainParser(prog="mermaide compare", description=compare.__doc__)
    parser.add_argument("--config", type=str, required=True, help="what to compare")
    parser.add_argument("--out", type=str, default=None, help="folder, by default results/CONFIG")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="budget: no training begins after it"
    )
    given = parser.parse_args(list(arguments))
    compare(given.config, given.out or f"results/{Path(given.config).stem}", minutes=given.minutes)


def _figure(arguments: Sequence[str]) -> None:
    parser = _PlainParser(
        prog="mermaide figure",
        description="Repeat a figure of the paper: writes PNG and CSV files, says what came out.",
    )
    parser.add_argument("name", choices=list(EXPERIMENTS), help="which figure")
    parser.add_argument("--out", type=str, default=None, help="folder, by default results/NAME")
    parser.add_argument("--quick", action="store_true", help="in less than three minutes")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    given = parser.parse_args(list(arguments))
    check_number("--seed", given.seed, low=0, high=2**22 - 1)
    out = Path(given.out or f"results/{given.name}")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file, it must be a folder")
    out.mkdir(parents=True, exist_ok=True)
    print(EXPERIMENTS[given.name](out, given.quick, given.seed))
    print(f"results: {out}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a user's mistake ends with one line and exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        return
    _keep_quiet()
    try:
        if arguments[0] == "evaluate":
            _evaluate(arguments[1:])
        elif arguments[0] == "compare":
            _compare(arguments[1:])
        elif arguments[0] == "figure":
            _figure(arguments[1:])
        elif arguments[0] in _CLI.subcommands():
            sys.argv = ["mermaide", *arguments]
            _CLI(
                MermaideModule,
                TaskDataModule,
                parser_class=_Parser,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                save_config_kwargs={"overwrite": True},
            )
        else:
            allowed = ", ".join([*_CLI.subcommands(), "evaluate", "compare", "figure"])
            sys.exit(_fail(f"unknown command '{arguments[0]}', allowed: {allowed}"))
    except (ValueError, MisconfigurationException) as error:
        if isinstance(error, ValueError) and not _raised_by_us(error):
            raise
        sys.exit(_fail(error))


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
