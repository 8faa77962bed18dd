import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "mabwiser_over_http.py"


@pytest.mark.slow
def test_learners_in_another_process_are_steered(served):
    pytest.importorskip("mabwiser")
    environment = os.environ | {"MERMAIDE_TOKEN": "secret", "OMP_NUM_THREADS": "1"}
    with served("mixed-partial") as (_, address):
        learners = [sys.executable, str(SCRIPT), "--address", address, "--num_learners", "1"]
        for num_episodes in (1, 2):
            said = subprocess.run(
                [*learners, "--num_episodes", str(num_episodes)],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
                timeout=300,
            ).stdout.splitlines()
            (row,) = (line.split() for line in said[1:])  # the first episode is not repeated
            assert row[:3] == ["ucb1-0", "episode", str(num_episodes - 1)]
            gained, alignment, rate = map(float, row[3:])
            assert gained == pytest.approx(alignment - 0.5 * rate, abs=0.001)
            assert alignment > 0.5
