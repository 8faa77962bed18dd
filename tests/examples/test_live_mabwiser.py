import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "live_mabwiser.py"


@pytest.mark.slow
def test_a_learner_of_another_library_is_steered(capsys):
    pytest.importorskip("mabwiser")
    runpy.run_path(str(SCRIPT))["main"](2)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:2] for row in rows] == [
        ["0", "nobody"],
        ["0", "0-shot"],
        ["1", "nobody"],
        ["1", "1-shot"],
    ]
    for nobody, principal in (rows[:2], rows[2:]):
        gained, alignment, rate = map(float, principal[2:])
        assert gained == pytest.approx(alignment - 0.5 * rate, abs=0.001)
        assert float(nobody[4]) == 0.0
        assert gained > float(nobody[2]) + 0.3
