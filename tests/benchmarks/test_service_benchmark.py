import json
import sys

import pytest
import service


@pytest.mark.slow
def test_what_is_timed(tmp_path, monkeypatch, capsys):
    out = tmp_path / "results" / "service.json"
    options = ["--clients", "20", "--warm_up", "0.5", "--seconds", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["service.py", *options])
    service.main()
    written = json.loads(out.read_text())
    assert written["errors"] == 0 and written["clients"] == 20 and written["store"] == "sqlite"
    assert written["answers"] >= 20
    assert 0 < written["p50_ms"] <= written["p99_ms"]
    assert "20 clients" in capsys.readouterr().out
