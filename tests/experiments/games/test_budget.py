import pytest
from numpy.testing import assert_allclose

from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.experiments.games import EXPERIMENTS, budget
from mermaide_pl.game import Game

POPULATIONS = ("unseen_ucb", "thompson")


@pytest.fixture(params=[1, 2])
def results(request, checkpoints, tmp_path, monkeypatch):
    """Rows of few budgets, of one or two trainings, and the sentence about them."""
    monkeypatch.setattr(budget, "GAME", Game(num_steps=12))
    monkeypatch.setattr(budget, "BUDGETS", (0, 3, 12))
    monkeypatch.setattr(budget, "TEST_POPULATIONS", POPULATIONS)
    monkeypatch.setattr(budget, "QUICK", budget.Effort(num_agents=6, num_tuning_agents=3))
    paths = [checkpoints.universal, checkpoints.another][: request.param]
    sentence = EXPERIMENTS["budget"](paths, tmp_path, True, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"budget.csv", "budget.png"}
    return read_rows(tmp_path / "budget.csv"), sentence, request.param


def test_rows_by_budget(results):
    rows, sentence, num_trainings = results
    assert len(rows) == 3 * (len(POPULATIONS) + 1) * 5
    found = {(row["population"], row["budget"], row["method"], row["shots"]): row for row in rows}
    for (_, most, method, _), row in found.items():
        assert row["intervention_rate"] <= most / 12 + 1e-9
        assert row["num_trainings"] == (0 if method == "burst" else num_trainings)
        gain = row["return_mean"] - found[row["population"], most, "burst", 0]["return_mean"]
        assert row["gain_over_burst_mean"] == pytest.approx(gain, abs=1e-5)
        assert row["return_low"] - 1e-9 <= row["return_mean"] <= row["return_high"] + 1e-9
    for name in (*POPULATIONS, "mean"):
        for shots in (0, 1):
            # without any intervention all are alike, and so are the two where none is forbidden
            nothing = found[name, 0, "burst", 0]["return_mean"]
            both = [found[name, 12, method, shots] for method in ("principal", "cut_off")]
            for method in ("principal", "cut_off"):
                assert found[name, 0, method, shots]["return_mean"] == pytest.approx(nothing)
            assert_allclose(both[0]["return_mean"], both[1]["return_mean"], atol=1e-5)
            assert found[name, 3, "cut_off", shots]["intervention_rate"] > 0.0
    at_three = [found[name, 3, "principal", 1]["return_mean"] for name in POPULATIONS]
    assert found["mean", 3, "principal", 1]["return_mean"] == pytest.approx(
        sum(at_three) / 2, abs=1e-5
    )
    assert "knowing the budget gains most at" in sentence
