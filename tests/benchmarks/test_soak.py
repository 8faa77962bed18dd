import json
import mmap
import os
import sys

import pytest
import soak


def test_what_is_counted():
    before = soak.open_files()
    held = [os.dup(0) for _ in range(3)]
    assert soak.open_files() == before + 3
    for handle in held:
        os.close(handle)
    small, block = soak.resident(), mmap.mmap(-1, 64 << 20)  # never memory that was freed before
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
    assert soak.resident() - small == pytest.approx(len(block) / 2**20, rel=0.2)
    block.close()


def test_the_slope_leaves_out_the_warm_up():
    rows = [
        {"minutes": float(minute), "resident_mib": 900.0 if minute < 4 else 500.0 + 0.25 * minute}
        for minute in range(21)
    ]
    assert soak.slope(rows, warm_up=4.0) == pytest.approx(0.25)


def test_what_is_written(tmp_path, monkeypatch, capsys):
    grows = [
        {"minutes": float(minute), "resident_mib": 500.0 + minute, "open_files": 8 + minute % 2}
        for minute in range(9)
    ]
    monkeypatch.setattr(soak, "soak", lambda *_: grows)
    monkeypatch.setattr(sys, "argv", ["soak.py", "--minutes", "8", "--out", str(tmp_path)])
    soak.main()
    written = json.loads((tmp_path / "soak.json").read_text())
    assert (written["rounds"], written["slope_mib_per_minute"]) == (9, 1.0)
    assert written["resident_mib"] == [500.0, 508.0]
    assert written["open_files"] == [8, 9]
    assert written["command"] == f"python benchmarks/soak.py --minutes 8 --out {tmp_path}"
    assert (
        (tmp_path / "soak.csv").read_text().startswith("minutes,resident_mib,open_files\n0,500,8\n")
    )
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_round(monkeypatch):
    rows = soak.soak(minutes=0.0, steps=2, agents=2)
    assert len(rows) == 2
    assert all(row["resident_mib"] > 100.0 and row["open_files"] > 2 for row in rows)
