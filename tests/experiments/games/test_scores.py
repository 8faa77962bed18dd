import json

import pytest

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.loading import read_principals
from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.experiments.games import EXPERIMENTS, scores, settings
from mermaide_pl.experiments.games.settings import Setting
from mermaide_pl.experiments.kept_settings import keep_settings
from mermaide_pl.populations import packaged
from mermaide_pl.principals import GreedyPlayer

POPULATIONS = ("unseen_ucb", "thompson")


@pytest.fixture
def few(monkeypatch):
    """Few and small games, populations and agents."""
    values = {"num_arms": (2, 10), "num_steps": (8, 200), "cost": (0.5,), "bonus": (1.0,)}
    monkeypatch.setattr(settings, "VALUES", {**values, "reward_noise": (0.1,)})
    monkeypatch.setattr(scores, "VALUES", settings.VALUES)
    monkeypatch.setattr(scores, "TEST_POPULATIONS", POPULATIONS)
    monkeypatch.setattr(scores, "QUICK", scores.Effort(num_agents=4, num_tuning_agents=2))


def test_scores_are_those_of_the_agents_played_and_a_stopped_run_goes_on(
    few, checkpoints, tmp_path, monkeypatch
):
    run = EXPERIMENTS["games"]
    said = run([checkpoints.universal, checkpoints.another], tmp_path, True, 5)
    assert "of 8 cells" in said
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"scores.csv", "summary.md", "games.png", "settings.json"}
    whole = (tmp_path / "scores.csv").read_text()
    rows = read_rows(tmp_path / "scores.csv")
    assert len(rows) == 4 * len(POPULATIONS) * (3 + 2 * 2)

    small = Setting(num_arms=2)
    modules, _ = read_principals({"p": checkpoints.another}, "auto", small.game)
    tasks = packaged("thompson").sample(range(4), split="test", seed=5, game=small.game)
    weights = modules["p"].adapted_weights(tasks, 1)
    player = GreedyPlayer(modules["p"].principal, weights)
    played = rollout(tasks, player, small.game, stream=Stream.SCORE, num_episodes=2)
    (ours,) = (
        row
        for row in rows
        if Setting.of_row(row) == small
        and (row["population"], row["training"], row["shots"]) == ("thompson", 1, 1)
    )
    assert ours["return"] == pytest.approx(played.returns.mean().item(), abs=1e-6)
    assert 0.0 < ours["intervention_rate"] < 1.0

    # a run that was stopped in the middle plays what is left, and only that
    kept = whole.splitlines(keepends=True)[: 1 + 3 * 7]
    (tmp_path / "scores.csv").write_text("".join(kept))
    evaluation = scores.PairedEvaluation
    played_on = []

    class Counting(evaluation):
        def scores(self, players, population):
            played_on.append(population)
            return super().scores(players, population)

    monkeypatch.setattr(scores, "PairedEvaluation", Counting)
    run([checkpoints.universal, checkpoints.another], tmp_path, True, 5)
    assert (tmp_path / "scores.csv").read_text() == whole
    assert len(played_on) == 5


def test_a_file_of_something_else_is_refused(few, checkpoints, tmp_path):
    (tmp_path / "scores.csv").write_text("trained_on,cost\nmixed,0.5\n")
    with pytest.raises(ValueError, match=r"scores.csv does not hold scores of games"):
        EXPERIMENTS["games"]([checkpoints.universal], tmp_path, True, 5)


def test_a_folder_with_other_scores_is_refused(few, checkpoints, tmp_path):
    keep_settings(tmp_path / "settings.json", {"seed": 5}, [checkpoints.universal])
    keep_settings(
        tmp_path / "settings.json", {"seed": 5}, [checkpoints.universal, checkpoints.another]
    )
    assert len(json.loads((tmp_path / "settings.json").read_text())) == 3
    with pytest.raises(
        ValueError, match=r"results there are of another seed: choose another --out"
    ):
        keep_settings(tmp_path / "settings.json", {"seed": 6}, [])
    with pytest.raises(ValueError, match="of another checkpoint of training 0"):
        keep_settings(tmp_path / "settings.json", {"seed": 5}, [checkpoints.another])
