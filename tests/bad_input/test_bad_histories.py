import copy
import csv
import io
import re
from pathlib import Path

import pyarrow
import pytest
from bad_inputs import TEXT, Bad, check_line, hunt
from hypothesis import assume
from hypothesis import strategies as st
from pyarrow import parquet

from mermaide_pl.deployment.logs import read_histories
from mermaide_pl.game import FullInformation, Game

GAME = Game(num_arms=3, num_steps=4)
SEES_REWARDS = Game(num_arms=3, num_steps=4, observation=FullInformation())
HEADER = ["episode", "step", "arm", "intervention", "agent_reward", "propensity"]
ROWS = [
    [episode, step, (episode + step) % 3, step % 2, 0.5 + step, 0.25 * (step + 1)]
    for episode in (7, 3, 5)
    for step in range(4)
]
EMPTY = ["", " "]  # anything else may be the label of an episode
NOT_WHOLE = TEXT | st.sampled_from(
    ["1.5", "0x1", "1e-1", "٣", "1_0", "-0.5", "nan", "+-1", "1" * 25]
)
WRONG = {
    "episode": st.sampled_from(EMPTY),
    "step": NOT_WHOLE | st.sampled_from(["-1", "4", "99", "1000000000000"]),
    "arm": NOT_WHOLE | st.sampled_from(["-1", "3", "99"]),
    "intervention": NOT_WHOLE | st.sampled_from(["-1", "2", "99", "2.0", "yes"]),
    "agent_reward": TEXT | st.sampled_from(["nan", "inf", "-inf", "1e400", "1e39", "--1", "1.2.3"]),
    "propensity": TEXT
    | st.sampled_from(["0", "0.0", "-0.1", "1.0001", "nan", "inf", "1e-400", "-1e-300"]),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=rf"^history {re.escape(path)}") as caught:
        read_histories(path, SEES_REWARDS)
    first, *mistakes = str(caught.value).split("\n")
    for line in mistakes or [first]:
        check_line(re.sub(r"(row \d+) and \d+ more", r"\1", line), says)
    if mistakes:
        check_line(first, r"has \d+ mistakes:$")


def csv_text(table: list[list], delimiter: str = ",") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(table)
    return text.getvalue().encode()


@st.composite
def bad_tables(draw) -> Bad:
    """Header and rows with one mistake."""
    header, rows = list(HEADER), copy.deepcopy(ROWS)
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, len(header) - 1))
    name, place = header[column], f"row {row + 1}, column {header[column]}: must be"
    how = draw(
        st.sampled_from(["cell"] * 8 + ["swap", "drop", "twice", "column", "label", "order"])
    )
    if how == "cell":
        rows[row][column] = draw(WRONG[name])
        return Bad([header, *rows], f"{place}.*got")
    if how == "swap":  # episodes of different steps
        other = draw(st.integers(0, len(rows) - 1).filter(lambda one: (one - row) % 4))
        rows[row][0], rows[other][0] = "other", "another"
        return Bad([header, *rows], r"row \d+, column step: must be \d, .*got")
    if how == "label":
        rows[row][0] = draw(TEXT.filter(str.strip))
        assume(row % 4)  # the first step may be an episode of its own
        return Bad([header, *rows], r"row \d+, column step: must be \d, .*got")
    if how == "drop":
        row = 4 * (row // 4) + draw(st.integers(0, 2))  # not the last of an episode
        del rows[row]
        return Bad([header, *rows], r"row \d+, column step: must be \d, .*got")
    if how == "twice":
        rows.insert(row, list(rows[row]))
        return Bad([header, *rows], rf"row {row + 2}, column step: must not be .*got")
    if how == "column":
        header[column] = draw(
            st.sampled_from([f"{name}s", name.upper(), "", "名前", header[column - 1]])
        )
        assume(name != "propensity" or header.count(header[column]) > 1)
        return Bad([header, *rows], r"(missing|duplicate) column|that of row 1 again|must be ")
    for each in rows:
        del each[: draw(st.sampled_from([1, 2]))]
    return Bad([header, *rows], r"row \d+: a row must have 6 cells, got \d")


def test_the_good_one_is_good():
    Path("good.csv").write_bytes(csv_text([HEADER, *ROWS]))
    for game in (GAME, SEES_REWARDS):
        assert len(read_histories("good.csv", game).episodes) == 3


def test_a_mistake_in_a_history():
    def check(bad: Bad) -> None:
        Path("bad.csv").write_bytes(csv_text(bad.content))
        refused("bad.csv", bad.says)

    hunt("histories", bad_tables(), check)


GARBAGE = st.sampled_from(
    [
        b"",
        b"\n\n",
        b"\xef\xbb\xbf",
        b"\x00\x01",
        b"PAR1",
        b"hello there\n",
        b"PK\x03\x04",
        b'"',
        b",,,\n",
        csv_text([HEADER]),
        csv_text(ROWS),
        csv_text([HEADER, *ROWS]).decode().encode("utf-16"),
    ]
)


@st.composite
def damaged_csv(draw) -> bytes:
    text = csv_text([row[:-1] for row in (HEADER, *ROWS)])  # without an optional column
    place = draw(st.integers(0, len(text) - 1))
    wrong = st.sampled_from([b"\x00", b"\xff", b"\xc3(", b'"', b"\x80", b"x", b",,"])
    return text[:place] + draw(wrong) + text[place:] if draw(st.booleans()) else draw(GARBAGE)


def test_a_damaged_csv():
    def check(content: bytes) -> None:
        Path("bad.csv").write_bytes(content)
        refused("bad.csv", r"row \d+|its header|is empty|no rows")

    hunt("damaged csv", damaged_csv(), check)


@st.composite
def bad_parquet(draw) -> bytes:
    """Columns of wrong types, missing ones, nulls, cut or damaged bytes."""
    columns = {name: [row[at] for row in ROWS] for at, name in enumerate(HEADER)}
    how = draw(st.sampled_from(["type", "type", "null", "missing", "cut", "flip", "garbage"]))
    name = draw(st.sampled_from(HEADER[:5] if how == "missing" else HEADER))
    if how == "missing":
        del columns[name]
    if how == "null":
        columns[name][draw(st.integers(0, len(ROWS) - 1))] = None
    if how == "type":
        columns[name] = draw(
            st.sampled_from(
                [
                    [[1]] * len(ROWS),
                    [{"a": 1}] * len(ROWS),
                    [b"\xff\x00"] * len(ROWS),
                    ["x"] * len(ROWS),
                    [float("nan")] * len(ROWS),
                    [None] * len(ROWS),
                    [-(2.0**200)] * len(ROWS),
                ]
            )
        )
    sink = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), sink)
    content = sink.getvalue()
    if how == "cut":
        return content[: draw(st.integers(0, len(content) - 1))]
    if how == "flip":
        return bytes(
            draw(st.integers(1, 255)) ^ byte if at < 4 or at > len(content) - 8 else byte
            for at, byte in enumerate(content)
        )
    if how == "garbage":
        return draw(GARBAGE)
    return content


def test_a_bad_parquet_file():
    def check(content: bytes) -> None:
        Path("bad.parquet").write_bytes(content)
        refused("bad.parquet", r"row \d+, column|missing column|not Parquet")

    hunt("parquet", bad_parquet(), check)


@pytest.mark.parametrize(
    "path",
    [
        "none.csv",
        "folder.csv",
        "none.parquet",
        "folder.parquet",
        "a.txt",
        "a",
        "\x00.csv",
        "a" * 300 + ".csv",
    ],
)
def test_a_path_that_cannot_be_read(path):
    Path("folder.csv").mkdir()
    Path("folder.parquet").mkdir()
    with pytest.raises(ValueError, match=r"^history") as caught:
        read_histories(path, GAME)
    check_line(str(caught.value), r"cannot be read|must end in|not Parquet")


@pytest.mark.skipif("__import__('os').getuid() == 0", reason="root may read everything")
def test_a_file_that_may_not_be_read():
    Path("mine.csv").write_bytes(csv_text([HEADER, *ROWS]))
    Path("mine.csv").chmod(0)
    refused("mine.csv", "cannot be read: Permission denied")
