import json
from pathlib import Path

import pytest

from mermaide_pl.evaluation.loading import read_principals
from mermaide_pl.evaluation.paired_evaluation import PairedEvaluation, learned_players
from mermaide_pl.evaluation.records import read_rows, write_rows
from mermaide_pl.experiments.games import EXPERIMENTS, frontier
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.populations import packaged

RESULTS = Path(__file__).parents[3] / "results" / "conditions"
POPULATIONS = ("unseen_ucb", "thompson")


@pytest.fixture
def conditions(tmp_path, monkeypatch):
    """The recorded comparison, with few populations, agents and costs."""
    folder = tmp_path / "conditions"
    folder.mkdir()
    settings = json.loads((RESULTS / "settings.json").read_text())
    kept = {name: settings["test populations"][name] for name in POPULATIONS}
    (folder / "settings.json").write_text(json.dumps({**settings, "test populations": kept}))
    rows = read_rows(RESULTS / "table.csv")
    chosen = [row for row in rows if row["cost"] in (0.5, 1.0)]
    write_rows(folder / "table.csv", chosen)
    monkeypatch.setattr(frontier, "CONDITIONS", folder)
    monkeypatch.setattr(frontier, "_QUICK_AGENTS", 3)
    return chosen


def test_one_for_all_costs_beside_the_recorded(conditions, checkpoints, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    paths = [checkpoints.universal, checkpoints.another]
    sentence = EXPERIMENTS["frontier"](paths, out, True, 0)
    assert {path.name for path in out.iterdir()} == {"scores.csv", "frontier.csv", "frontier.png"}
    scores = read_rows(out / "scores.csv")
    assert len(scores) == 2 * 2 * len(POPULATIONS) * 2 * 2

    game = Game(cost=1.0, observation=FullInformation())
    modules, _ = read_principals({"p": checkpoints.another}, "auto", game)
    evaluation = PairedEvaluation(game, 3, seed=1)  # agents of the training's number
    found = evaluation.scores(learned_players(modules, [1]), packaged("thompson"))["p", 1]
    (ours,) = (
        row
        for row in scores
        if (row["observation"], row["cost"], row["seed"]) == ("full", 1.0, 1)
        and (row["population"], row["shots"]) == ("thompson", 1)
    )
    assert ours["return"] == pytest.approx(found.returns.mean(), abs=1e-6)

    rows = read_rows(out / "frontier.csv")
    assert {row["method"] for row in rows} == {"universal", "burst", "oracle", "mermaide_memory"}
    recorded = {
        (row["observation"], row["cost"]): row["return_iqm"]
        for row in conditions
        if (row["method"], row["shots"], row["population"]) == ("mermaide_memory", 1, "mean")
    }
    for (observation, cost), value in recorded.items():
        assert f"{observation} information, cost {cost:g}: " in sentence
        assert f" and {value:.3f}" in sentence
    of_thompson = [row for row in scores if row["population"] == "thompson" and row["shots"] == 1]
    (in_table,) = (
        row
        for row in rows
        if (row["method"], row["population"], row["shots"]) == ("universal", "thompson", 1)
        and (row["observation"], row["cost"]) == ("full", 1.0)
    )
    runs = [
        row["alignment"]
        for row in of_thompson
        if (row["observation"], row["cost"]) == ("full", 1.0)
    ]
    assert in_table["alignment_iqm"] == pytest.approx(sum(runs) / 2, abs=1e-5)


def test_a_missing_comparison_is_said(checkpoints, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"results/conditions/settings.json does not exist: start"):
        EXPERIMENTS["frontier"]([checkpoints.universal], tmp_path, True, 0)
