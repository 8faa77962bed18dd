"""Names appear as they are, and no terminal or locale ends a run."""

import ast
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mermaide_pl.cli import main as cli
from mermaide_pl.cli.main import main
from mermaide_pl.runtime.console import console, let_streams_replace, markdown, markdown_code, say

ROOT = Path(__file__).parents[2]
NAMES = ["a[/b]", "[bold red]x", ":smile:", "$x$_|y", "😀"]


def terminal(monkeypatch, encoding: str) -> io.BytesIO:
    """Standard output of a terminal with this encoding."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, write_through=True))
    return written


def test_a_console_prints_plain_text_in_notebooks(monkeypatch):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert not console().is_jupyter


@pytest.mark.parametrize("name", NAMES)
def test_a_console_shows_names_literally(name):
    shown = io.StringIO()
    console(file=shown, width=200).print(name)
    assert shown.getvalue() == f"{name}\n"


def test_a_name_commands_no_terminal(capsys):
    console(width=200).print("a\x1b[31m\x07\nb")
    say("a\x1b]0;title\nb\udcff")
    assert capsys.readouterr().out == "a\\x1b[31m\\x07\nb\na\\x1b]0;title\\nb\\xff\n"


def test_characters_an_encoding_lacks_are_replaced(monkeypatch):
    written = terminal(monkeypatch, "ascii")
    let_streams_replace()
    print("0.3 ± 0.1 µs")
    assert written.getvalue() == b"0.3 ? 0.1 ?s\n"


class Learner:
    def __init__(self, n_arms: int, seed: int):
        self.value = [0.0] * n_arms

    def act(self) -> int:
        return self.value.index(max(self.value))

    def learn(self, arm: int, reward: float) -> None:
        self.value[arm] += 0.1 * (reward - self.value[arm])


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_command_continues_whatever_the_terminal_lacks(encoding, monkeypatch):
    written = terminal(monkeypatch, encoding)
    main(["check-agent", f"{__name__}.Learner"])
    assert " s a step" in written.getvalue().decode(encoding).replace("µ", "?").replace("?s", " s")
    assert "deterministic by seed" in written.getvalue().decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "utf8_mode", "restarts"),
    [
        ("ISO-8859-1", 0, True),
        ("ANSI_X3.4-1968", 0, True),
        ("UTF-8", 0, False),
        ("ascii", 1, False),
    ],
)
def test_files_are_utf8_whatever_the_locale(encoding, utf8_mode, restarts, monkeypatch):
    started = []
    monkeypatch.setattr(cli.locale, "getpreferredencoding", lambda _: encoding)
    monkeypatch.setattr(sys, "flags", SimpleNamespace(utf8_mode=utf8_mode))
    monkeypatch.setattr(os, "execv", lambda *command: started.append(command))
    monkeypatch.setattr(os, "environ", {"PYTHONUTF8": "0"})
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "mermaide", "--version"])
    main()
    command = (sys.executable, [sys.executable, "-X", "utf8", "mermaide", "--version"])
    assert started == ([command] if restarts else [])
    assert os.environ["PYTHONUTF8"] == ("1" if restarts else "0")


@pytest.mark.slow
def test_a_configuration_in_a_locale_without_its_signs(tmp_path):
    (tmp_path / "sweep.yaml").write_text("# é\nbase: né.yaml\n", encoding="utf-8")
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ran = subprocess.run(
        [sys.executable, "-m", "mermaide_pl", "compare", "--config", "sweep.yaml"],
        cwd=tmp_path,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="ascii",
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("mermaide: error: configuration sweep.yaml: ")
    assert "decode" not in ran.stderr


@pytest.mark.parametrize("folder", ["mermaide_pl", "benchmarks", "examples"])
def test_every_text_file_has_its_encoding(folder):
    without = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            given = {word.arg: ast.unparse(word.value) for word in call.keywords}
            mode = "".join(ast.unparse(argument) for argument in call.args)
            opens = name == "open" and ast.unparse(call.func) != "os.open" and "opener" not in given
            opens &= "b'" not in mode
            is_text = name in ("read_text", "write_text") or opens
            if "encoding" not in given and (is_text or given.get("text") == "True"):
                without.append(f"{path.name}, line {call.lineno}")
    assert without == []


def test_markdown_shows_names_literally():
    assert markdown("no_policy, 0.5 (2)") == "no_policy, 0.5 (2)"
    assert markdown("a|b*c_<i>$x$[d]") == ("a&#124;b&#42;c&#95;&#60;i&#62;&#36;x&#36;&#91;d&#93;")
    assert markdown("a\nb") == "a&#92;nb"


def test_markdown_code_shows_names_literally():
    assert markdown_code("unseen_ucb") == "`unseen_ucb`"
    assert markdown_code("a|`b``") == "``` a\\|`b`` ```"
