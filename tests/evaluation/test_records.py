import pytest

from mermaide_pl.evaluation.records import read_rows, write_rows


def test_rows_come_back(tmp_path):
    rows = [
        {"method": "mermaide", "shots": 1, "return": 0.125},
        {"method": "burst", "shots": 0, "return": -1e-7},
    ]
    write_rows(tmp_path / "folder" / "rows.csv", rows)
    assert read_rows(tmp_path / "folder" / "rows.csv") == rows


def test_numbers_have_six_digits(tmp_path):
    write_rows(tmp_path / "rows.csv", [{"x": 1 / 3}])
    assert (tmp_path / "rows.csv").read_text() == "x\n0.333333\n"


def test_rows_with_other_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a row has the columns \['y'\], the first has \['x'\]"):
        write_rows(tmp_path / "rows.csv", [{"x": 1}, {"y": 1}])


def test_a_name_that_looks_like_a_number_stays_a_name(tmp_path):
    rows = [{"method": "1e3", "population": "007", "trained_on": "nan", "return": 0.5}]
    write_rows(tmp_path / "rows.csv", rows)
    assert read_rows(tmp_path / "rows.csv") == rows
