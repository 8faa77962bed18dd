import csv
import gzip
import math
import os
import re
import threading
import tracemalloc
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mermaide_pl.deployment.logged_episode import Episode
from mermaide_pl.deployment.logs import read_choices, read_histories
from mermaide_pl.game import FullInformation, Game

GAME = Game(num_arms=3, num_steps=4, bonuses=(0.0, 0.5, 1.0), cost=0.4)
SEES_REWARDS = replace(GAME, observation=FullInformation())
HEADER = "episode,step,arm,intervention"
GOOD = f"{HEADER}\n7,0,2,0\n7,1,0,1\n3,0,1,0\n"
PROPERTY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(path: Path, text: str | bytes, game: Game = GAME) -> list[Episode]:
    path = path if path.suffix else path / "history.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_histories(path, game).episodes


def rows_of(episodes: list[Episode]) -> list[list[object]]:
    """Header and rows, with the columns that were recorded."""
    optional = {"agent_reward": "agent_rewards", "propensity": "propensities"}
    optional = {name: key for name, key in optional.items() if getattr(episodes[0], key)}
    rows: list[list[object]] = [[*HEADER.split(","), *optional]]
    for number, episode in enumerate(episodes):
        for step in range(len(episode)):
            extra = [getattr(episode, key)[step] for key in optional.values()]
            rows.append([number, step, episode.arms[step], episode.levels[step], *extra])
    return rows


def write_csv(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def write_parquet(path: Path, rows: list[list[object]]) -> Path:
    import pyarrow
    from pyarrow import parquet

    columns = [list(column) for column in zip(*rows[1:], strict=True)] or [[] for _ in rows[0]]
    parquet.write_table(pyarrow.table(columns, names=rows[0]), path)
    return path


@st.composite
def histories(draw) -> list[Episode]:
    has_rewards, has_propensities = draw(st.booleans()), draw(st.booleans())
    lengths = draw(st.lists(st.integers(1, GAME.num_steps), min_size=1, max_size=4))

    def numbers(length: int, values: st.SearchStrategy) -> list:
        return draw(st.lists(values, min_size=length, max_size=length))

    return [
        Episode(
            numbers(length, st.integers(0, 2)),
            numbers(length, st.integers(0, 2)),
            numbers(length, st.floats(-1e6, 1e6)) if has_rewards else None,
            numbers(length, st.floats(1e-300, 1.0)) if has_propensities else None,
        )
        for length in lengths
    ]


@PROPERTY
@given(histories(), st.randoms(use_true_random=False))
def test_what_was_recorded_is_read_from_csv_and_parquet(tmp_path, episodes, random):
    rows = rows_of(episodes)
    order = random.sample(range(len(rows[0])), len(rows[0]))  # columns come in any order
    rows = [[row[column] for column in order] for row in rows]
    rows[1:] = random.sample(rows[1:], len(rows) - 1)  # and so do rows
    game = SEES_REWARDS if episodes[0].agent_rewards else GAME
    assert read_histories(write_csv(tmp_path / "a.csv", rows), game).episodes == episodes
    assert read_histories(write_parquet(tmp_path / "a.parquet", rows), game).episodes == episodes


@PROPERTY
@given(
    histories(),
    st.data(),
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.integers(-2, 5).map(str),
        st.sampled_from(
            ["nan", "inf", "-1e400", "1e39", "0.0", "1_0", "٣", "", "0x1", "1.0", "2,3"]
        ),
    ),
)
def test_a_damaged_cell_is_refused_by_its_place_or_is_another_history(
    tmp_path, episodes, data, damage
):
    rows = rows_of(episodes)
    row = data.draw(st.integers(1, len(rows) - 1))
    column = data.draw(st.integers(0, len(rows[0]) - 1))
    name, right = rows[0][column], rows[row][column]
    assume(damage.strip() != str(right))
    rows[row][column] = damage
    game = SEES_REWARDS if episodes[0].agent_rewards else GAME
    try:
        other = read_histories(write_csv(tmp_path / "a.csv", rows), game)
    except ValueError as error:
        found = re.findall(r"row (\d+), column (\w+): .* got ['\"]", str(error))
        assert len(found) == max(1, str(error).count("\n"))
        if name in ("episode", "step"):  # a wrong one may come to light in another row
            assert {column for _, column in found} <= {"episode", "step"}
        else:
            assert found == [(str(row), name)]
    else:
        assert sum(map(len, other.episodes)) == len(rows) - 1
        if name == "step" and not other.first_step:
            # +1 is the same step as 1, and no other fits
            assert damage == "1" or float(damage) == right


@PROPERTY
@given(st.binary(max_size=60), st.sampled_from(["csv", "parquet"]))
def test_any_other_file_is_refused_in_one_line(tmp_path, content, suffix):
    with pytest.raises(ValueError, match=rf"history .*a\.{suffix}") as caught:
        read(tmp_path / f"a.{suffix}", content)
    assert "\n" not in str(caught.value)


REFUSALS = {
    "empty": ("", r"is empty, it needs the columns episode, step, arm, intervention"),
    "header alone": (HEADER, "no rows"),
    "missing": (
        "episode,step,arm\n0,0,0\n",
        r"missing column 'intervention', the columns are episode, step, arm; --columns int",
    ),
    "unknown": (GOOD.replace("arm", "arn"), r"missing column 'arm', .*step, arn.*arm=NAME"),
    "duplicate": (GOOD.replace("n\n", "n,step\n", 1), "duplicate column 'step'"),
    "no number": (GOOD.replace("7,1,0,1", "7,1,x,1"), r"row 2, column arm: .*0 to 2 .*, got 'x'"),
    "half": (GOOD.replace("7,1,0,1", "7,1,0.5,1"), r"row 2, column arm: .*an integer.*got '0\.5'"),
    "arm": (GOOD.replace("7,1,0,1", "7,1,3,1"), r"row 2, column arm: .*0 to 2, got '3'"),
    "level": (GOOD.replace("7,1,0,1", "7,1,0,-1"), r"row 2, column intervention: .*0 to 2, got"),
    "first step": (GOOD.replace("3,0", "3,1"), r"row 3, column step: must be 0.*got '1'"),
    "gap": (
        GOOD.replace("7,1", "7,2"),
        r"row 2, column step: must be 1, no step.*missing, got '2'",
    ),
    "long": (
        HEADER + "".join(f"\n0,{step},0,0" for step in range(5)),
        r"row 5, column step: must be at most 3, got '4'",
    ),
    "short row": (GOOD + "3,1,0\n", r"row 4: a row must have 4 cells, got 3"),
    "long row": (GOOD + "3,1,0,0,0\n", r"row 4: a row must have 4 cells, got 5"),
    "improbable": (f"{HEADER},propensity\n0,0,0,0,1.5\n", r"column propensity: must be above 0"),
    "impossible": (f"{HEADER},propensity\n0,0,0,0,0\n", r"row 1, column propensity: must be above"),
    "latin": (GOOD.encode() + b"\xe9,1,0,0\n", r"row 4, column episode: must be UTF-8"),
    "other encoding": (GOOD.encode("utf-16"), r"history\.csv \(its header\) must be UTF-8"),
    "quoted": (
        '"episode";"step"\n0;0\n',
        r"missing column 'arm', 'intervention', .* episode, step;",
    ),
    "twice": (GOOD.replace("7,1", "7,0"), r"row 2, column step: .* that of row 1 again, got '0'"),
    "twice in one": (
        GOOD.replace("episode", "number"),
        r"\(without a column episode .*\), row 3, column step: .* that of row 1 again, got '0'",
    ),
    "word": (GOOD.replace("7,1,0,1", "7,1,0,yes"), r"row 2, column intervention: .*got 'yes'"),
    "beyond": (
        GOOD.replace("7,1,0,1", "7,1,0,True").replace("3,0,1", "3,0,3.0"),
        r"row 3, column arm",
    ),
    "nameless": (GOOD.replace("3,0,1,0", ",0,1,0"), r"row 3, column episode: .* text or an int"),
    "step": (GOOD.replace("3,0,1,0", "3,1e9,1,0"), r"row 3, column step: .*0 to 10000000, got '1"),
    "label": (GOOD.replace("3,0,1", "3,0,red"), r"0 to 2 \(labels need --arms\), got 'red'"),
    "quotes": (GOOD + '"3"1,1,0,0\n', r"row 4: is not CSV"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_where_and_what_is_allowed(name, tmp_path):
    text, message = REFUSALS[name]
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_what_is_no_history(tmp_path):
    with pytest.raises(ValueError, match=r"a\.txt must end in one of \.csv, \.csv\.gz, \.tsv"):
        read(tmp_path / "a.txt", GOOD)
    with pytest.raises(ValueError, match=r"none\.csv cannot be read: No such file"):
        read_histories(tmp_path / "none.csv", GAME)
    with pytest.raises(ValueError, match=r"none\.parquet .*No such file"):
        read_histories(tmp_path / "none.parquet", GAME)
    with pytest.raises(ValueError, match=r"a\.parquet is not Parquet"):
        read(tmp_path / "a.parquet", GOOD)


def test_a_principal_that_sees_rewards_needs_them(tmp_path):
    with pytest.raises(ValueError, match=r"missing column 'agent_reward', the columns are"):
        read(tmp_path, GOOD, SEES_REWARDS)
    (episode,) = read(tmp_path, f"{HEADER},agent_reward\n0,0,0,0,-1.5e0\n", SEES_REWARDS)
    assert episode.agent_rewards == [-1.5]
    for wrong in ("inf", "1e39", ""):
        text = f"{HEADER},agent_reward\n0,0,0,0,{wrong}\n"
        with pytest.raises(ValueError, match=r"row 1, column agent_reward: .*finite"):
            read(tmp_path, text, SEES_REWARDS)
        assert len(read(tmp_path, text)) == 1  # it is not used


EPISODES = [Episode([1], [0], None, None), Episode([2, 0], [0, 1], None, None)]  # of `GOOD`
WAYS = {
    "byte order mark": "\ufeff" + GOOD,
    "windows": GOOD.replace("\n", "\r\n"),
    "blank lines": "\n" + GOOD.replace("7,1", "\n7,1") + "\n\n",
    "semicolons": GOOD.replace(",", ";"),
    "tabs": GOOD.replace(",", "\t"),
    "bars": GOOD.replace(",", "|"),
    "quoted": re.sub(r"(\w+)", r'"\1"', GOOD).replace(",", ";"),
    "spaces": GOOD.replace(",", " , "),
    "order": HEADER + "\n3,0,1,0\n7,1,0,1\n7,0,2,0\n",
    "from 1": HEADER + "\n7,1,2,0\n7,2,0,1\n3,1,1,0\n",
    "other columns": HEADER + ",a,,a\n7,0,2,0,é;|,,\n7,1,0,1,'x',,\n3,0,1,0,\"1,\n2\",,\n",
    "texts": "episode,step,arm,intervention\nx 1,0,1,0\nx 0,0,2,0\nx 0,1,0,1\n",
    "integers": GOOD.replace("7,", "7.0,").replace("3,0", "1e0,+0"),
}


@pytest.mark.parametrize("way", WAYS)
def test_other_ways_to_write_csv(way, tmp_path):
    assert read(tmp_path, WAYS[way]) == EPISODES
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(WAYS[way].encode()))
    assert read_histories(tmp_path / "a.csv.gz", GAME).episodes == EPISODES


def test_cells_that_are_empty_in_parquet(tmp_path):
    rows = [HEADER.split(","), [0, 0, 1, 0], [0, 1, None, 0]]
    with pytest.raises(ValueError, match=r"row 2, column arm: .*0 to 2, got ''"):
        read_histories(write_parquet(tmp_path / "a.parquet", rows), GAME)


def episodes_of(path: Path, rows: list[list[object]]) -> list[Episode]:
    """The same from CSV and Parquet."""
    read_from = write_csv(path / "a.csv", rows), write_parquet(path / "a.parquet", rows)
    first, second = (read_histories(file, SEES_REWARDS) for file in read_from)
    assert first == second
    return first.episodes


@pytest.mark.parametrize("kind", [bool, float, int, str, Decimal, lambda value: str(float(value))])
@pytest.mark.parametrize("column", [*HEADER.split(","), "agent_reward", "propensity"])
def test_a_number_is_accepted_by_value_in_any_column_and_type(kind, column, tmp_path):
    header = [*HEADER.split(","), "agent_reward", "propensity"]
    rows = [[0, 0, 1, 0, 1, 1], [0, 1, 0, 1, 0, 1], [1, 0, 1, 1, 1, 1]]
    place = header.index(column)
    typed = [[*row[:place], kind(row[place]), *row[place + 1 :]] for row in rows]
    expected = [
        Episode([1, 0], [0, 1], [1.0, 0.0], [1.0, 1.0]),
        Episode([1], [1], [1.0], [1.0]),
    ]
    found = episodes_of(tmp_path, [header, *typed])
    assert found == expected
    assert {type(value) for episode in found for value in episode.arms + episode.levels} == {int}


@pytest.mark.parametrize("spelling", [str, str.upper, str.lower])
def test_truth_is_spelled_in_any_way(spelling, tmp_path):
    text = GOOD.replace("7,1,0,1", spelling("7,1,False,True"))
    assert read(tmp_path, text) == read(tmp_path, GOOD)


def test_types_of_parquet_alone(tmp_path):
    import pyarrow
    from pyarrow import parquet

    path, names = tmp_path / "a.parquet", HEADER.split(",")
    columns = [
        pyarrow.array([5, 5], pyarrow.uint64()),
        pyarrow.array([0.0, 1.0], pyarrow.float32()),
        pyarrow.array(["2", "0"]).dictionary_encode(),
        pyarrow.array([True, False]),
    ]
    parquet.write_table(pyarrow.table(columns, names), path)
    assert read_histories(path, GAME).episodes == [Episode([2, 0], [1, 0], None, None)]
    for bad, shown in (([0, None], "''"), ([0, math.nan], "'nan'"), ([[0], [1]], r"'\[0\]'")):
        columns[2] = pyarrow.array(bad)
        parquet.write_table(pyarrow.table(columns, names), path)
        with pytest.raises(ValueError, match=rf"row [12], column arm: .*0 to 2.*, got {shown}"):
            read_histories(path, GAME)


LONG = Game(num_arms=3, num_steps=200)


def many(num_rows: int) -> list[list[object]]:
    """Episodes of `LONG`."""
    return [
        HEADER.split(","),
        *([row // 200, row % 200, row % 3, row // 3 % 2] for row in range(num_rows)),
    ]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_long_file_is_read_in_proportion_and_its_last_row_is_checked(kind, tmp_path):
    rows = many(40_000)
    write, path = {"csv": write_csv, "parquet": write_parquet}[kind], tmp_path / f"a.{kind}"
    write(path, rows)
    size = write_csv(tmp_path / "size.csv", rows).stat().st_size
    tracemalloc.start()
    try:
        episodes = read_histories(path, LONG).episodes
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [arm for episode in episodes for arm in episode.arms] == [row[2] for row in rows[1:]]
    assert peak < 5 * size
    rows[-1][2] = 3
    with pytest.raises(ValueError, match=r"row 40000, column arm: .* got '3'"):
        read_histories(write(path, rows), LONG)


def test_a_row_that_is_too_short_far_below(tmp_path):
    path = write_csv(tmp_path / "a.csv", [*many(40_000), [10_000, 0, 1]])
    with pytest.raises(ValueError, match=r"row 40001: a row must have 4 cells, got 3"):
        read_histories(path, LONG)


def test_a_pipe_is_read(tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(GOOD,))
    writer.start()
    assert read_histories(path, GAME).episodes == EPISODES
    writer.join()


def test_choices_of_several_agents_are_told_apart_and_ordered(tmp_path):
    (tmp_path / "log.csv").write_text(
        "step,person,episode,arm,agent_reward,schedule\n"
        "1,10,b,1,0.5,9\n0,10,b,0,1,9\n0,9,a,2,0,9\n0,10,a,1,0,9\n1,9,a,0,2,9\n"
    )
    history = read_choices(tmp_path / "log.csv", columns={"agent": "person"})
    # agents by their numbers, episodes in the order of the table, steps by their numbers
    assert history.agents == ["9", "10", "10"]
    assert [episode.arms for episode in history.episodes] == [[2, 0], [0, 1], [1]]
    assert [episode.agent_rewards for episode in history.episodes] == [[0, 2], [1, 0.5], [0]]
    assert all(not any(episode.levels) for episode in history.episodes)
    assert history.unused == ["schedule"]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("step,arm\n0,1\n", {}, r"missing column 'agent_reward', the columns are step, arm"),
        ("step,arm,agent_reward\n0,1,1\n", {"agent": "who"}, r"missing column 'who'"),
        ("step,arm,agent_reward\n0,1,1\n", {"intervention": "arm"}, r"--columns names 'interventi"),
        (
            "agent,step,arm,agent_reward\na,0,1,1\na,0,1,1\n",
            {},
            r"without a column episode all rows of an agent are one episode\), row 2, column st",
        ),
        ("agent,step,arm,agent_reward\na,0,1,1\na,2,1,1\nb,1,1,1\n", {}, r"2 mistakes"),
        ("", {}, r"is empty, it needs the columns agent, episode, step, arm"),
    ],
)
def test_mistakes_in_choices_are_one_line(tmp_path, text, columns, message):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_choices(tmp_path / "log.csv", columns=columns)
