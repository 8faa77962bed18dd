"""The `mermaide` command."""

from __future__ import annotations

import argparse
import codecs
import locale
import logging
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Sequence

from mermaide_pl import __version__
from mermaide_pl.cli.commands import command
from mermaide_pl.cli.parser import fail, is_first_process
from mermaide_pl.config.validation import one_line, raised_by_us
from mermaide_pl.runtime.console import let_streams_replace, say

_USAGE = """usage: mermaide COMMAND [options]

Meta-learn a principal that steers learning agents, and score it on agents not seen in training.

commands:
  fit       train a principal:            mermaide fit --config quickstart
  validate  score it while developing:    mermaide validate --config CONFIG --ckpt_path CKPT
  test      score it on the test agents:  mermaide test --config CONFIG --ckpt_path CKPT
  evaluate  compare it with baselines:    mermaide evaluate --population unseen_ucb
  adapt     adapt it to one agent:        mermaide adapt --population unseen_ucb --out FILE
  compare   train and score many:         mermaide compare --config table
  sweep     search configurations:        mermaide sweep --config sweep
  figure    repeat a figure of the paper: mermaide figure fig2 --out results/fig2
  report    a page about a run:           mermaide report --logdir logs/quickstart
  replay    replay a skipped step:        mermaide replay logs/quickstart/skipped/step7.pt
  check-agent  check your learner:        mermaide check-agent my_module.MyLearner
  fit-learner  fit recorded choices:      mermaide fit-learner --logs choices.csv
  serve     steer learners over HTTP:     mermaide serve --store sqlite:///fleet.db
  export    a file for other programs:    mermaide export --format onnx --out principal.onnx
  init      a small project to edit:      mermaide init DIR
  download  recorded principals:          mermaide download --url URL
  pack      the archive of a release:     mermaide pack --out FILE

`mermaide COMMAND --help` lists the options of a command, `mermaide --version` says which this is.
With `--import MODULE`, files may name classes of that module too, whose code then runs."""


_NO_MEMORY = re.compile("can't allocate memory|out of memory|not enough memory|overflowed")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; a user's mistake ends with one line and exit code 2."""
    if "_ARGCOMPLETE" in os.environ:  # set by the shell
        from mermaide_pl.cli.completion import complete

        complete()
    if arguments is None:
        _use_utf8()
    let_streams_replace()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _keep_quiet()
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            print(_USAGE)
            return
        if arguments[0] == "--version":
            print(f"mermaide_pl {__version__}")
            return
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # users' own learners are found in the current folder
        arguments = _import(arguments)
        name, *rest = arguments or [""]
        command(name)(rest)
        if "mermaide_pl.runtime.distributed" in sys.modules:
            from mermaide_pl.runtime.distributed import leave_group

            leave_group()
    except KeyboardInterrupt:
        sys.exit(_interrupted(signal.SIGINT))
    except SystemExit as error:
        if _is_of(error, "pytorch_lightning.utilities.exceptions", "SIGTERMException"):
            sys.exit(_interrupted(signal.SIGTERM))
        if isinstance(error.__context__, KeyboardInterrupt):  # handled by Lightning
            sys.exit(_interrupted(signal.SIGINT))
        raise
    except Exception as error:
        if (message := _mistake(error)) is None:
            raise
        sys.exit(fail(message))


def _mistake(error: Exception) -> object:
    """What to say of an error that is the user's mistake or the machine's limit, else None."""
    if isinstance(error, UnicodeEncodeError):  # from a library, for the name of a file
        return f"{error.object}: must be {error.encoding.upper()}, {error.reason}"
    if isinstance(error, ValueError):
        return error if raised_by_us(error) else None
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if _is_of(error, "lightning_fabric.utilities.exceptions", "MisconfigurationException"):
        return str(error)
    if isinstance(error, RuntimeError) and "torch.distributed" in sys.modules:
        from mermaide_pl.runtime.distributed import lost_another

        if lost_another(error):
            return "another process of this run has ended; its output says why"
        if _is_of(error, "torch.distributed", "DistError"):
            return str(error)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))
    ):
        advice = "fewer agents, episodes, steps or arms at once, or smaller layers, need less"
        return f"not enough memory: {advice} ({one_line(error)[:200]})"
    return None


def _is_of(error: BaseException, module: str, name: str) -> bool:
    """True if an error is of a class of a module, which is not imported for it."""
    return isinstance(error, getattr(sys.modules.get(module), name, ()))


def _use_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale has another encoding.

    Libraries read, write and name files in the locale's encoding. The terminal keeps its own.
    """
    if sys.flags.utf8_mode or codecs.lookup(locale.getpreferredencoding(False)).name == "utf-8":
        return
    os.environ["PYTHONUTF8"] = "1"  # for further processes
    os.environ.setdefault("PYTHONIOENCODING", f"{sys.stdout.encoding}:replace")
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _import(arguments: list[str]) -> list[str]:
    """Import the modules that ``--import`` names, and return the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--import", action="append", default=[], dest="modules")
    try:
        given, rest = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        raise ValueError("--import needs the name of a module, such as my_parts") from None
    for module in given.modules:
        from mermaide_pl.config.trusted_imports import import_on_purpose

        import_on_purpose(module)
    return rest


def _interrupted(by: signal.Signals) -> int:
    """Print that the command was interrupted, and return the exit code that shells use for it."""
    if is_first_process():
        print(f"mermaide: interrupted by {by.name}", file=sys.stderr)
    return 128 + by


class _LinePrinter(logging.Handler):
    """Log handler that prints the messages of the package, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message to the current standard output."""
        say(f"mermaide: {record.getMessage()}")


class _WarningPrinter(logging.Handler):
    """Log handler for the libraries, whose warnings go to standard error.

    Lightning, where it finds a handler, adds none of its own, which would print its messages.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: not record.name.startswith("mermaide_pl"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message to the current standard error."""
        print(self.format(record), file=sys.stderr)


def _of_a_thread(ended: threading.ExceptHookArgs) -> None:
    """Ignore disk errors of TensorBoard's writer thread, which its logger raises again."""
    is_of_a_logger = type(ended.thread).__module__.startswith("tensorboard.")
    if not (is_of_a_logger and isinstance(ended.exc_value, OSError)):
        threading.__excepthook__(ended)


def _keep_quiet() -> None:
    """Silence Lightning's advertisements and messages about itself; keep warnings to the user."""
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _of_a_thread
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", category=FutureWarning, module=name)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=name)
    root = logging.getLogger()
    if not root.hasHandlers():
        root.addHandler(_WarningPrinter())
    ours = logging.getLogger("mermaide_pl")
    if not ours.handlers:
        ours.addHandler(_LinePrinter())
        ours.setLevel(logging.INFO)
    # tasks are drawn in microseconds
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # our metrics are those of all processes already
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
