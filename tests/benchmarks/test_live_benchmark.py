import json
import sys

import live

from mermaide_pl import LivePrincipal


def test_what_is_timed(tmp_path, monkeypatch):
    spent = live.measure(LivePrincipal.load("mixed-partial"), 1)
    calls = {name: len(times) for name, times in spent.items()}
    assert calls == {"step": 200, "step, adapted": 200, "adapt": 2, "save": 2}
    monkeypatch.setattr(live, "measure", lambda *_: {"step": [float(us) for us in range(101)]})
    out = tmp_path / "results" / "live.json"
    monkeypatch.setattr(sys, "argv", ["live.py", "--episodes", "1", "--out", str(out)])
    live.main()
    written = json.loads(out.read_text())
    assert written["calls"] == {"step": {"median_us": 50.0, "p99_us": 99.0, "calls": 101}}
    assert written["mean_step_learning_within"] > 0.0
    assert written["machine"]["cores_used"] == 1
