"""Many bad inputs, each refused in one line.

The same ones every time; ``MERMAIDE_HUNT=20`` tries 20 times as many, at random, and lists all
that are not refused as they must be.
"""

from __future__ import annotations

import copy
import io
import os
import re
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mermaide_pl.cli.main import main

HUNT = int(os.environ.get("MERMAIDE_HUNT", "0"))
# how many bad inputs each test tries, and the share of them that must differ
DIFFERENT = 0.6
EXAMPLES = {
    "populations": 100,
    "population texts": 60,
    "histories": 120,
    "damaged csv": 60,
    "parquet": 60,
    "damaged checkpoints": 60,
    "checkpoints": 120,
    "live": 80,
    "fits": 24,
    "fit texts": 10,
    "comparisons": 40,
    "comparison texts": 20,
    "arguments": 120,
}
# Python shows these only to those who ask for them
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@dataclass(frozen=True)
class Bad:
    """A bad input.

    Args:
        content: of the file, or the arguments.
        says: what the line must say, a regular expression.
    """

    content: Any
    says: str = ""


def hunt(name: str, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check as many different bad inputs as `EXAMPLES` says."""
    tried: set[str] = set()

    failures: dict[str, str] = {}

    @settings(
        max_examples=EXAMPLES[name] * max(1, HUNT),
        derandomize=not HUNT,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def trial(bad: Any) -> None:
        tried.add(repr(bad))
        try:
            check(bad)
        except BaseException as error:
            if not HUNT:
                raise
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = f"{type(error).__name__} {place.name} {place.line}"
            failures.setdefault(kind + re.sub(r"\W.*", "", str(error)), f"{bad}\n    {error}")

    trial()
    assert not failures, "".join(f"\n*** {kind}\n  {bad}" for kind, bad in failures.items())
    # some come twice
    assert len(tried) >= DIFFERENT * EXAMPLES[name], (
        f"only {len(tried)} different inputs were tried"
    )


def files() -> dict[str, tuple[int, int]]:
    """What lies below the current folder."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in Path().rglob("*")
        if path.is_file()
    }


def refuse(arguments: Sequence[str], says: str = "") -> str:
    """The one line with which a command refuses; it leaves no files behind."""
    before, out, err = files(), io.StringIO(), io.StringIO()
    code: Any = "none: it was accepted"
    with warnings.catch_warnings(record=True) as warned, redirect_stdout(out), redirect_stderr(err):
        warnings.simplefilter("always")
        try:
            main(list(arguments))
        except SystemExit as stopped:
            code = stopped.code
    said = err.getvalue()
    assert code == 2, f"exit code {code}, {said!r}"
    check_line(said.removesuffix("\n"), says, start="mermaide: error: ")
    assert [each for each in warned if not issubclass(each.category, SILENT)] == []
    assert files() == before
    return said


def check_line(line: str, says: str, start: str = "") -> None:
    """One line of a decent length, that says what it must."""
    assert line.startswith(start), line
    assert line.isprintable(), repr(line)
    assert len(line) < 1500, line
    assert re.search(says, line), f"{says} not in: {line}"
    # what Python says of its own objects is no help
    assert not re.search(r"object at 0x|functools|Traceback|NotImplemented", line), line


# --- bad values, by what would be good ---
TEXT = st.sampled_from(
    [
        "many",
        "",
        " ",
        "nan?",
        "1,5",
        "½",
        "\u202e3",
        "名前",
        "a" * 300,
        "null?",
        "--seed",
        "{}",
        "[",
        "~x",
    ]
)
NOT_FINITE = st.sampled_from([float("nan"), float("inf"), float("-inf")])
NESTED = st.sampled_from([[], [[]], {}, {"low": 1}, [{"a": 1}], {"class_path": "os.system"}])
NOT_A_NUMBER = TEXT | NOT_FINITE | NESTED
FRACTION = st.floats(0.01, 0.99)
BELOW_ZERO = st.integers(-(10**20), -1) | st.floats(-1e30, -1e-9)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    # whole numbers from 1 up, such as counts
    "count": NOT_A_NUMBER | BELOW_ZERO | st.just(0) | FRACTION | st.just(10**30),
    "count or 0": NOT_A_NUMBER | BELOW_ZERO | FRACTION | st.just(10**30),
    "number": NOT_A_NUMBER,
    "positive": NOT_A_NUMBER | BELOW_ZERO | st.just(0.0),
    "not negative": NOT_A_NUMBER | BELOW_ZERO,
    "probability": NOT_A_NUMBER | BELOW_ZERO | st.floats(1.0001, 1e30),
    "seed": NOT_A_NUMBER | BELOW_ZERO | FRACTION | st.integers(2**22, 10**20),
    "group": st.sampled_from(["many", 3, True, [1], [], 1.5, "a.b", "os.system", {"nope": 1}]),
    "class": st.sampled_from(
        [
            3,
            [1],
            "Nope",
            "os.system",
            "nowhere.Class",
            {"class_path": "nowhere.Class"},
            {"class_path": 3},
            {"class_path": "subprocess.Popen", "init_args": {"args": ["true"]}},
            {"init_args": {"nope": 1}},
            {"class_path": "mermaide_pl.game.Game"},
            "mermaide_pl.cli.main.main",
        ]
    ),
    "list": st.sampled_from([3, "many", {}, [], {"a": 1}, [[[]]], True, 1.5, [None]]),
}


def typo(word: str) -> str:
    """Almost the same."""
    return word[:-1] if len(word) > 3 else f"{word}x"


def at(document: Any, path: Sequence[Any]) -> Any:
    """What stands at a path."""
    for key in path:
        document = document[key]
    return document


@st.composite
def mutated(draw: Any, good: Any, kinds: dict[tuple[Any, ...], str], free: Any = ()) -> Bad:
    """A document with one mistake in it.

    Args:
        draw: from Hypothesis.
        good: the document.
        kinds: path of each value to its kind.
        free: paths of mappings whose keys may be anything.
    """
    document = copy.deepcopy(good)
    path = draw(st.sampled_from(sorted(kinds, key=str)))
    *place, last = path
    container = at(document, place)
    how = draw(st.sampled_from(["value"] * 6 + ["typo", "extra"]))
    if how == "value" or not isinstance(last, str) or tuple(place) in free:
        container[last] = draw(KINDS[kinds[path]])
        names = [key for key in path if isinstance(key, str)]
        return Bad(document, "|".join(names).replace("hyper_parameters", "hyper.parameter"))
    if how == "typo":
        container[typo(last)] = container.pop(last)
        return Bad(document, f"{re.escape(last)}|{re.escape(typo(last))}|hyper.parameter")
    extra = draw(st.sampled_from(["nope", "num arms", "Ω", "__class__", "init_args", typo(last)]))
    container[extra] = draw(st.sampled_from([1, "x", "a\0b", None, [], [{}], {"a": 1}]))
    return Bad(
        document,
        f"{re.escape(extra)}|not YAML"
        if "hyper_parameters" not in path
        else "hyper.parameter|not YAML",
    )


GARBAGE = [
    b"",
    b" \n\t\n",
    b"hello there",
    b"- 1\n- 2\n",
    b"\x00\x01\x02",
    b"\xff\xfe\x00",
    b"caf\xe9: 1\n",
    b"3",
    b"null",
    b"%YAML 9.9\n---\na: 1\n",
    b"@",
    b"{" * 3000,
    b"[" * 3000,
    b"? [1, 2]\n: 3\n",
    b"!!python/object/apply:os.system ['touch MARK']\n",
    b"a: !!python/object/apply:os.system ['touch MARK']\n",
    b"!!python/name:os.system\n",
    b"!unknown {a: 1}\n",
    b"&a [*a]\n",
    b"a: &a {b: *a}\n",
    b"a: *nowhere\n",
    b"---\na: 1\n---\nb: 2\n",
]


@st.composite
def damaged_text(draw: Any, good: Any) -> Bad:
    """The text of a good document, damaged so that it is none, or garbage."""
    text = yaml.safe_dump(good, sort_keys=False).encode()
    lines = text.splitlines(keepends=True)
    line = draw(st.integers(0, len(lines) - 1))
    how = draw(st.sampled_from(["garbage", "insert", "twice", "tab", "cut"]))
    if how == "garbage":
        return Bad(draw(st.sampled_from(GARBAGE)))
    if how == "insert":
        wrong = [b"\x00", b"\xff", b"\xc3(", b"\x80abc", b"\x07"]
        place = draw(st.integers(0, len(text)))
        return Bad(text[:place] + draw(st.sampled_from(wrong)) + text[place:])
    if how == "twice":
        top = [one for one in lines if not one.startswith((b" ", b"-"))]
        key = draw(st.sampled_from(top)).split(b":")[0]
        return Bad(text + key + b": 3\n", "twice")
    if how == "tab":
        return Bad(b"".join([*lines[:line], b"\t" + lines[line], *lines[line + 1 :], b"\t- {"]))
    return Bad(
        text + draw(st.sampled_from([b"x: [", b"x: {a: 1", b"x: 'y", b'x: "y', b"x: y: z", b"}"]))
    )
