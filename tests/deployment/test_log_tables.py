import gzip
import random
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from mermaide_pl.cli.parser import fail
from mermaide_pl.config.validation import MistakesError
from mermaide_pl.deployment.logged_episode import Episode
from mermaide_pl.deployment.logs import read_histories
from mermaide_pl.game import Game

GAME = Game(num_arms=3, num_steps=4)
EPISODES = [Episode([2, 0, 1], [0, 1, 0], None, None), Episode([1, 2], [1, 0], None, None)]
PLAIN = pandas.DataFrame(
    {
        "episode": [0, 0, 0, 1, 1],
        "step": [0, 1, 2, 0, 1],
        "arm": [2, 0, 1, 1, 2],
        "intervention": [0, 1, 0, 1, 0],
    }
)


def changed(**columns: object) -> pandas.DataFrame:
    return PLAIN.assign(**columns)


FRAMES = {
    "integers": PLAIN,
    "shuffled": PLAIN.sample(frac=1.0, random_state=1),
    "floats": PLAIN.astype(float),
    "booleans": changed(intervention=PLAIN["intervention"].astype(bool)),
    "nullable": PLAIN.astype("Int64"),
    "nullable booleans": changed(intervention=PLAIN["intervention"].astype("boolean")),
    "small": PLAIN.astype("int8"),
    "pyarrow": PLAIN.astype("int64[pyarrow]"),
    "texts": PLAIN.astype(str),
    "objects": PLAIN.astype(object),
    "categories": PLAIN.astype("category"),
    "categories of texts": PLAIN.astype(str).astype("category"),
    "episodes by name": changed(episode=["ann", "ann", "ann", "bob", "bob"]),
    "episodes by day": changed(episode=pandas.to_datetime(["2024-03-01"] * 3 + ["2024-03-02"] * 2)),
    "other columns": changed(
        time=pandas.date_range("2024-03-01", periods=5, freq="ns", tz="Europe/Berlin"),
        nothing=[None, 1.5, None, None, None],
        words=['a;"b"', "c,\nd", "", "\t", "é"],
        lists=[[1], [], [2, 3], [], []],
        agent_reward=[None] * 5,
    ),
    "steps from 1": changed(step=PLAIN["step"] + 1),
    "empty cells elsewhere": changed(agent_reward=[0.5, None, 0.5, None, 0.5]),
    "its index": PLAIN.set_index(["episode", "step"]),
    "other index": PLAIN.set_index(pandas.Index([3.5, 1.5, 2.5, 9.0, 9.0], name="user")),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_of_pandas_and_all_files_it_writes(name, tmp_path):
    frame = FRAMES[name]
    frame.to_csv(tmp_path / "index.csv")
    frame.to_csv(tmp_path / "gzip.csv.gz", sep="\t", lineterminator="\r\n")
    frame.to_csv(tmp_path / "semicolons.CSV", sep=";", encoding="utf-8-sig", quoting=1)
    frame.to_csv(tmp_path / "tabs.tsv", sep="\t")
    if not {"episode", "step"} & set(frame.index.names):
        frame.to_csv(tmp_path / "plain.csv", index=False)
    frame.to_parquet(tmp_path / "frame.parquet")
    frame.to_parquet(tmp_path / "groups.parquet", row_group_size=2)
    files = list(tmp_path.iterdir())
    assert len(files) >= 6
    for logs in (frame, *files):
        history = read_histories(logs, GAME)
        assert history.episodes == EPISODES, logs
        assert history.first_step == int(name == "steps from 1")
    if name == "other columns":
        unused = "time, nothing, words, lists, agent_reward"
        assert str(read_histories(frame, GAME)) == (
            f"episodes: 2, of 2 to 3 steps, columns not used: {unused}"
        )


def test_rows_in_any_order_are_the_same_history(tmp_path):
    number = random.Random(0)
    steps = [(episode, step) for episode in range(11) for step in range(4)]
    frame = pandas.DataFrame(steps, columns=["episode", "step"])
    frame["arm"] = [number.randrange(3) for _ in steps]
    frame["intervention"] = [number.random() < 0.5 for _ in steps]
    sorted_one = read_histories(frame, GAME)
    for seed in range(5):
        shuffled = frame.sample(frac=1.0, random_state=seed)
        shuffled.to_csv(tmp_path / "a.csv")
        assert read_histories(tmp_path / "a.csv", GAME) == read_histories(
            changed_index(frame).sample(frac=1.0, random_state=seed), GAME
        )
        assert read_histories(shuffled, GAME) == sorted_one


def changed_index(frame: pandas.DataFrame) -> pandas.DataFrame:
    """With the index as a column without a name, as in CSV."""
    return frame.reset_index(names="")


@pytest.mark.parametrize("labels", [["red", "blue", "grün"], ["10", "20", "30"], [10, 20, 30]])
def test_arms_by_label(labels, tmp_path):
    frame = changed(arm=[labels[arm] for arm in PLAIN["arm"]])
    frame.to_csv(tmp_path / "a.csv")
    frame.to_parquet(tmp_path / "a.parquet")
    for logs in (frame, tmp_path / "a.csv", tmp_path / "a.parquet"):
        assert read_histories(logs, GAME, arms=labels).episodes == EPISODES
    if labels[0] != "red":  # one empty cell makes floats of a column
        assert read_histories(frame.astype({"arm": float}), GAME, arms=labels).episodes == EPISODES
    frame = frame.astype({"arm": object})
    frame.loc[[1, 3], "arm"] = ["pink", None]
    allowed = f"must be one of {', '.join(map(str, labels))}"
    with pytest.raises(MistakesError) as caught:
        read_histories(frame, GAME, arms=labels)
    assert str(caught.value).splitlines() == [
        "history DataFrame has 2 mistakes:",
        f"  row 2, column arm: {allowed}, got 'pink'",
        f"  row 4, column arm: {allowed}, got ''",
    ]


def test_columns_by_other_names(tmp_path):
    names = {"arm": "choice", "step": "t", "episode": "user id", "intervention": "arm"}
    frame = PLAIN.rename(columns=names)
    frame["step"] = "not this one"
    frame.to_csv(tmp_path / "a.csv", sep=";")
    for logs in (frame, tmp_path / "a.csv"):
        assert read_histories(logs, GAME, columns=names).episodes == EPISODES
    frame["t"] = 0
    with pytest.raises(ValueError, match=r"row 2, column t: must not be that of row 1 again, got"):
        read_histories(frame, GAME, columns=names)


def test_without_a_column_episode_all_rows_are_one():
    frame = PLAIN.drop(columns="episode").iloc[:3]
    assert read_histories(frame, GAME).episodes == EPISODES[:1]


def test_all_mistakes_are_listed_at_once(tmp_path, capsys):
    rows = [
        "time;episode;step;arm;intervention",
        *("x;0;0;1;0", "x;0;1;3;0", "x;0;1;0;", "x;;2;0;0", "x;1;0;0"),
        *("x;2;1;0;0", "x;2;three;0;0", "x;2;4;0;red", "x;3;0;0;0", "x;3;2;0;0"),
    ]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(rows))
    with pytest.raises(MistakesError) as caught:
        read_histories(path, GAME)
    mistakes = [
        f"history {path} has 8 mistakes:",
        "  row 2, column arm: must be an integer from 0 to 2, got '3'",
        "  row 3, column step: must not be that of row 2 again, got '1'",
        "  row 3, column intervention: must be an integer from 0 to 1, got ''",
        "  row 4, column episode: must be a text or an integer, got ''",
        "  row 5: a row must have 5 cells, got 4",
        "  row 7, column step: must be an integer from 0 to 10000000, got 'three'",
        "  row 8, column step: must be at most 3, got '4'",
        "  row 8, column intervention: must be an integer from 0 to 1, got 'red'",
    ]
    assert str(caught.value).splitlines() == mistakes
    assert fail(caught.value) == 2
    assert capsys.readouterr().err == "mermaide: error: " + "\n".join(mistakes) + "\n"
    # once all rows can be placed, steps that are missing are known
    path.write_text("\n".join(row for row in rows if row[2:3] in "m3"))
    with pytest.raises(ValueError, match=r"row 2, column step: must be 1, no step .*, got '2'"):
        read_histories(path, GAME)


def test_of_many_mistakes_the_first_are_shown():
    frame = pandas.concat([PLAIN.assign(episode=number, arm=9) for number in range(5000)])
    with pytest.raises(MistakesError) as caught:
        read_histories(frame, GAME)
    first, *shown, last = str(caught.value).splitlines()
    assert first == "history DataFrame has 35000 mistakes:"  # 2 of 5 steps are there twice
    assert last == "  ... and 9981 more"
    assert len(shown) == 20
    rows = [int(line.split()[1].strip(",")) for line in shown]
    assert rows == sorted(rows)
    wrong = "must be an integer from 0 to 2, got '9'"
    assert shown[0] == f"  row 1 and 24999 more, column arm: {wrong}"
    assert shown[1] == "  row 4, column step: must not be that of row 1 again, got '0'"


def test_mistakes_that_are_the_same_are_one_line():
    frame = PLAIN.assign(arm=["blue", "red", "blue", "blue", "red"])
    with pytest.raises(MistakesError) as caught:
        read_histories(frame, GAME)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "history DataFrame has 5 mistakes",
        "  row 1 and 2 more, column arm",
        "  row 2 and 1 more, column arm",
    ]
    with pytest.raises(ValueError, match=r"^history DataFrame, row 1 and 4 more, column arm: "):
        read_histories(frame.assign(arm="blue"), GAME)


@pytest.mark.parametrize("cut", [3, 30, -9])
def test_a_damaged_archive(cut, tmp_path):
    content = gzip.compress(PLAIN.to_csv().encode())
    (tmp_path / "a.csv.gz").write_bytes(content[:cut])
    with pytest.raises(ValueError, match=r"^history .*a\.csv\.gz cannot be read: \w+"):
        read_histories(tmp_path / "a.csv.gz", GAME)
    (tmp_path / "a.csv.gz").write_bytes(b"step,arm\n")
    with pytest.raises(ValueError, match=r"cannot be read: Not a gzipped file"):
        read_histories(tmp_path / "a.csv.gz", GAME)


@pytest.mark.parametrize("logs", [None, 3, [[0, 0, 1, 0]], PLAIN["arm"]])
def test_what_is_neither_a_file_nor_a_frame(logs):
    with pytest.raises(ValueError, match="history: must be a path or a DataFrame of pandas, got"):
        read_histories(logs, GAME)


def test_csv_needs_neither_pandas_nor_pyarrow(tmp_path):
    PLAIN.to_csv(tmp_path / "a.csv")
    PLAIN.to_parquet(tmp_path / "a.parquet")
    program = """
import sys
sys.modules.update({"pandas": None, "pyarrow": None})
from mermaide_pl.deployment.logs import read_histories
from mermaide_pl.game import Game
print(read_histories("a.csv", Game(num_arms=3)))
try:
    read_histories("a.parquet", Game(num_arms=3))
except ValueError as error:
    print(error)
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said == [
        "episodes: 2, of 2 to 3 steps, columns not used: one without a name",
        "history a.parquet: Parquet needs pyarrow, pip install 'mermaide-pl[parquet]'; or use CSV",
    ]
