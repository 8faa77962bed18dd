"""A comparison small enough to be run: two methods, two costs, two seeds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.methods import FIXED
from mermaide_pl.evaluation.paired_evaluation import adapted_player
from mermaide_pl.evaluation.records import read_rows, write_rows
from mermaide_pl.experiments.comparison import runs as comparison
from mermaide_pl.experiments.comparison.runs import compare
from mermaide_pl.experiments.comparison.settings import Comparison, Condition, load_comparison
from mermaide_pl.experiments.comparison.summary import QUANTITIES, summary_page
from mermaide_pl.experiments.comparison.table import gains, read_scores, runs_of, shots_of
from mermaide_pl.meta_learning import GradientAdaptation
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.metrics.intervals import interquartile_mean, stratified_interval, student_mean
from mermaide_pl.populations import TaskBatch
from mermaide_pl.populations.files import load_population

CONF = Path(__file__).parents[3] / "conf"
SMALL = {"hidden_size": 4, "policy_size": 4}
CONFIG = {
    "methods": {
        "ours": {"architecture": SMALL},
        "plain": {
            "architecture": SMALL,
            "adaptation": {"class_path": "mermaide_pl.meta_learning.NoAdaptation"},
        },
    },
    "train_populations": {"ucb": "population/train_ucb.yaml"},
    "val_population": "population/val_ucb.yaml",
    "test_populations": ["population/unseen_ucb.yaml", "population/softmax.yaml"],
    "game": {"num_steps": 12},
    "costs": [0.5, 0.25],
    "seeds": [0, 1],
    "agent_steps": 2 * 4 * 9 * 12 * 2,
    "num_validations": 2,
    "num_val_tasks": 8,
    "meta_batch_size": 4,
    "num_agents": 12,
    "fine_tuning_rates": [0.0, 0.5],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder in which the comparison was run to its end."""
    folder = tmp_path_factory.mktemp("comparison")
    shutil.copytree(CONF / "population", folder / "population")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(comparison, "NUM_TUNING_AGENTS", 10)
        compare("config.yaml", "out", minutes=10.0)
    return folder


def scored(folder: Path) -> list[dict]:
    """The rows of `read_scores`."""
    return read_scores(folder / "out", ["ours", "plain"]).to_dict("records")


def recorded(folder: Path, table: str = "runs.csv", **chosen) -> list[dict]:
    """The rows of a table with these values."""
    rows = read_rows(folder / "out" / table)
    return [row for row in rows if chosen.items() <= row.items()]


def mean_return(module: MermaideModule, agents: TaskBatch) -> float:
    """Play at 1 shot, two episodes with each agent."""
    player = adapted_player(module, 1)(agents)
    played = rollout(agents, player, module.game, stream=Stream.SCORE, num_episodes=2)
    return played.returns.mean().item()


def test_every_run_is_scored_on_every_population(folder):
    scores = scored(folder)
    learned = [row for row in scores if row["method"] in ("ours", "plain")]
    assert len(learned) == 2 * 2 * 2 * 2 * 2  # methods, shots, populations, costs, seeds
    assert {row["method"] for row in scores} == {"ours", "plain", *FIXED}
    assert all(row["num_agents"] == 12 for row in scores)


def test_normalised_returns_are_zero_for_none_and_one_for_the_oracle(folder):
    for row in scored(folder):
        expected = {"none": 0.0, "oracle": 1.0}.get(row["method"])
        if expected is not None and not np.isnan(row["normalised_return"]):
            assert row["normalised_return"] == pytest.approx(expected, abs=1e-9)


def test_every_method_plays_the_same_number_of_agent_steps(folder):
    records = list((folder / "out").glob("*/seed*/*/training.json"))
    assert len(records) == 8
    steps = [json.loads(path.read_text())["agent_steps"] for path in records]
    # as near as whole training steps of 9 and of 8 episodes allow
    assert {round(number / CONFIG["agent_steps"], 1) for number in steps} <= {0.9, 1.0, 1.1}


def test_a_score_is_that_of_the_principal_kept(folder):
    place = folder / "out" / "ucb-partial-cost0.25" / "seed1" / "ours"
    module = MermaideModule.load_from_checkpoint(place / "principal.ckpt").eval()
    assert module.game.cost == 0.25
    agents = load_population(folder / "population" / "softmax.yaml")
    expected = mean_return(module, agents.sample(range(12), split="test", seed=1))
    (row,) = recorded(folder, method="ours", cost=0.25, seed=1, population="softmax", shots=1)
    assert row["return"] == pytest.approx(expected, abs=1e-6)


def test_table_holds_interquartile_means_over_the_seeds(folder):
    table = read_rows(folder / "out" / "table.csv")
    chosen = {"method": "plain", "shots": 1, "population": "unseen_ucb", "cost": 0.5}
    (row,) = (row for row in table if chosen.items() <= row.items())
    scores = [one for one in scored(folder) if chosen.items() <= one.items()]
    returns = np.array([[one["return"]] for one in scores])
    expected = stratified_interval(interquartile_mean, returns)
    found = [row[f"return_{bound}"] for bound in ("iqm", "low", "high")]
    assert found == pytest.approx(list(expected), abs=1e-5)
    assert row["num_runs"] == 2


def test_improvement_is_that_of_the_first_method_over_each_other(folder):
    rows = read_rows(folder / "out" / "improvement.csv")
    assert {row["method"] for row in rows} == {"ours"}
    assert {row["over"] for row in rows} >= {"plain", "none", "always", "oracle"}
    assert all(0.0 <= row["low"] <= row["probability"] <= row["high"] <= 1.0 for row in rows)


def test_gains_are_of_runs_with_the_same_seed(folder):
    returns = {
        (row["method"], row["shots"], row["seed"]): row["return"]
        for row in scored(folder)
        if row["population"] == "softmax" and row["cost"] == 0.25
    }
    rows = read_rows(folder / "out" / "improvement.csv")
    for over, shots in (("plain", 1), ("burst", 0)):  # schedules have no shots
        chosen = {"over": over, "shots": 1, "population": "softmax", "cost": 0.25}
        (row,) = (row for row in rows if chosen.items() <= row.items())
        by_seed = [returns["ours", 1, seed] - returns[over, shots, seed] for seed in (0, 1)]
        found = [row[f"gain_{bound}"] for bound in ("mean", "low", "high")]
        assert found == pytest.approx(list(student_mean(by_seed)), abs=1e-5)


def test_of_all_populations_means_are_compared(folder):
    """The mean over populations of a run, then over runs, where `all` takes them together."""
    chosen = {"method": "plain", "shots": 1, "cost": 0.5}
    scores = [
        one for one in scored(folder) if {**chosen, "seed": one["seed"]}.items() <= one.items()
    ]
    runs = [np.mean([one["return"] for one in scores if one["seed"] == seed]) for seed in (0, 1)]
    table = read_rows(folder / "out" / "table.csv")
    (row,) = (row for row in table if {**chosen, "population": "mean"}.items() <= row.items())
    assert row["return_iqm"] == pytest.approx(np.mean(runs), abs=1e-5)
    _, *interval = student_mean(runs)
    assert [row["return_t_low"], row["return_t_high"]] == pytest.approx(interval, abs=1e-5)


def runs(*rows: tuple[str, int, int, float]) -> dict[tuple[str, int], pd.DataFrame]:
    """Scores by hand, of ``(method, shots, seed, return)`` on one population."""
    columns = ["method", "shots", "seed", "return"]
    others = {"population": "exp3"} | {name: 0.0 for name in QUANTITIES if name != "return"}
    scores = pd.DataFrame(rows, columns=columns).assign(**others)
    return runs_of(scores, ["burst", "plain", "ours"])


def test_a_gain_is_of_seeds_that_both_have():
    found = runs(("ours", 0, 0, 0.5), ("ours", 0, 1, 0.9), ("burst", 0, 1, 0.7))
    np.testing.assert_allclose(gains(found["ours", 0], found["burst", 0]), [0.2])


def test_other_numbers_of_shots_are_not_compared():
    found = runs(("plain", 1, 0, 0.0), ("burst", 0, 0, 0.0), ("plain", 0, 0, 0.0))
    assert list(found) == [("burst", 0), ("plain", 0), ("plain", 1)]
    assert [shots_of(found, "plain", shots) for shots in (0, 1, 3)] == [0, 1, None]
    assert shots_of(found, "burst", 3) == 0


def test_the_page_is_that_of_the_tables(folder):
    out = folder / "out"
    tables = (pd.DataFrame(read_rows(out / f"{name}.csv")) for name in ("table", "improvement"))
    page = (out / "tables.md").read_text()
    assert page == summary_page(*tables, "ours")
    for title in ("cost 0.25 (2 runs)", "cost 0.5 (2 runs)", "return, mean over populations"):
        assert title in page


def test_several_costs_make_a_frontier(folder):
    assert (folder / "out" / "frontier.png").stat().st_size > 10_000
    assert not (folder / "out" / "families.png").exists()


@pytest.mark.parametrize("cost", ["0.25", "0.5"])
def test_each_condition_has_a_picture(folder, cost):
    picture = folder / "out" / f"ucb-partial-cost{cost}" / "normalised_return.png"
    assert picture.stat().st_size > 10_000


def test_what_is_finished_is_not_repeated(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(comparison, "train", None)  # would fail if it were called
    before = (folder / "out" / "table.csv").read_bytes()
    compare("config.yaml", "out", minutes=10.0)
    assert (folder / "out" / "table.csv").read_bytes() == before
    assert "- ours at 1 shots: normalised return" in capsys.readouterr().out


def refused(config: dict, message: str) -> None:
    """`compare` refuses a configuration before anything is trained."""
    Path("other.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=message) as caught:
        compare("other.yaml", "out", minutes=0.0)
    assert "\n" not in str(caught.value)


OTHER_METHOD = {"methods": {"ours": {"architecture": SMALL, "meta_lr": 0.1}}}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"game": {"num_steps": 13}}, "game"),
        ({"num_agents": 13}, "num_agents"),
        ({"agent_steps": 9.0}, "agent_steps"),
        ({"test_populations": ["population/exp3.yaml"]}, "test populations"),
        ({**OTHER_METHOD, "seeds": [7]}, "method ours"),  # no run of it is there yet
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_runs_of_another_configuration_are_not_mixed_in(folder, monkeypatch, change, name):
    monkeypatch.chdir(folder)
    refused({**CONFIG, **change}, rf"out.settings\.json: .* other settings \({name}\)")


@pytest.mark.parametrize("change", [OTHER_METHOD, {"agent_steps": 9.0}], ids=lambda name: min(name))
def test_principals_are_not_mixed_in_even_if_the_settings_are_lost(
    folder, tmp_path, monkeypatch, change
):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "settings.json").unlink()
    refused(CONFIG, r"out.settings\.json does not exist, .* settings the runs in out.runs\.csv")
    (tmp_path / "out" / "runs.csv").unlink()
    refused({**CONFIG, **change}, r"seed0.ours.principal\.ckpt is of another game")


def test_settings_that_an_earlier_version_kept_are_understood(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out" / "settings.json"
    kept = json.loads(path.read_text())
    for name in ("num_eval_episodes", "inner_rates_lr"):  # which could not be set
        del kept["method ours"][name]
    method = "mermaide_pl.experiments.comparison_settings.Method"
    kept["method ours"] = {"class_path": method, "init_args": kept["method ours"]}
    path.write_text(json.dumps(kept))
    refused({**CONFIG, **OTHER_METHOD}, r"other settings \(method ours\)")
    compare("config.yaml", "out", minutes=0.0)
    assert json.loads(path.read_text())["method ours"]["num_eval_episodes"] == 2


def test_runs_with_names_of_an_earlier_version_are_to_be_renamed(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "out" / "settings.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "method gradient_only": kept["method ours"]}))
    refused(
        {**CONFIG, **OTHER_METHOD},
        r"\(method ours\).* then gradient_only to mermaide, as CHANGELOG",
    )
    compare("config.yaml", "out", minutes=0.0)


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_damaged_settings_are_named(folder, tmp_path, monkeypatch, text):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out" / "settings.json").write_text(text)
    refused(CONFIG, r"out.settings\.json is damaged: ")


def test_conditions_and_seeds_may_be_added(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    noisy = {"class_path": "mermaide_pl.game.FullInformation", "init_args": {"arm_flip": 0.1}}
    full = {"full": {"class_path": "mermaide_pl.game.FullInformation"}}
    more = {**CONFIG, "observations": full, "seeds": [7], "costs": [0.1]}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(more))
    columns = {"observation": "full", "cost": 0.1, "seed": 7}
    done = [row | columns for row in recorded(folder, cost=0.5, seed=0) if row["method"] in FIXED]
    write_rows(tmp_path / "out" / "runs.csv", recorded(folder) + done)
    compare("more.yaml", "out", minutes=0.0)
    kept = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert {"observation partial", "observation full"} <= kept.keys()
    refused({**more, "observations": {"full": noisy}}, r"other settings \(observation full\)")
    compare("config.yaml", "out", minutes=0.0)


def test_a_first_training_that_was_stopped_does_not_bind(folder, tmp_path, monkeypatch):
    shutil.copytree(folder / "population", tmp_path / "population")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    compare("config.yaml", "out", minutes=0.0)
    assert not (tmp_path / "out" / "settings.json").exists()


def test_no_training_begins_after_the_budget(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(comparison, "train", None)
    monkeypatch.setattr(comparison.time, "monotonic", iter([0.0, 61.0]).__next__)
    compare("config.yaml", "other", minutes=1.0)
    assert not (folder / "other").exists()


@pytest.mark.parametrize("place", ["out", "logs/out"])
def test_a_comparison_has_its_folders_for_itself(place, folder, monkeypatch, used_by_another):
    monkeypatch.chdir(folder)
    with used_by_another(folder / place), pytest.raises(ValueError, match=f"{place} is in use by"):
        compare("config.yaml", "out", minutes=0.0)
    compare("config.yaml", "out", minutes=0.0)


def test_what_fine_tuning_was_tried_is_recorded(folder):
    place = folder / "out" / "ucb-partial-cost0.5" / "seed0"
    tried = recorded(folder, "fine_tuning.csv", method="plain", cost=0.5, seed=0)
    assert [(row["inner_lr"], row["inner_policy_weight"]) for row in tried] == [
        (0.0, 0.0),
        (0.5, 1.0),
        (0.5, 0.05),
    ]
    assert recorded(folder, "fine_tuning.csv", method="ours") == []
    best = max(tried, key=lambda row: row["val_return"])
    module = MermaideModule.load_from_checkpoint(place / "plain" / "principal.ckpt").eval()
    assert module.inner_loop.num_shots == 0
    if best["inner_lr"]:
        settings = GradientAdaptation(best["inner_lr"], learn_inner_lr=False)
        module.inner_loop = settings.build(module.principal.weights())
        weight = best["inner_policy_weight"]
        module.objective = replace(module.objective, inner_policy_weight=weight)
    agents = load_population(folder / "population" / "val_ucb.yaml").sample(range(8), split="val")
    assert best["val_return"] == pytest.approx(mean_return(module, agents), abs=1e-5)
    agents = load_population(folder / "population" / "softmax.yaml").sample(range(12), split="test")
    expected = mean_return(module, agents)
    (row,) = recorded(folder, method="plain", cost=0.5, seed=0, population="softmax", shots=1)
    assert row["return"] == pytest.approx(expected, abs=1e-5)


def without_run(rows: list[dict]) -> list[dict]:
    """Rows of all runs but one."""
    run = {"method": "plain", "cost": 0.5, "seed": 1}
    return [row for row in rows if not run.items() <= row.items()]


def contents(out: Path) -> dict[str, bytes]:
    """The files of a comparison, but for its principals."""
    files = (path for path in out.rglob("*") if path.is_file() and path.suffix != ".ckpt")
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_a_principal_whose_scores_are_deleted_is_scored_again(folder, tmp_path, monkeypatch):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "train", None)
    monkeypatch.setattr(comparison, "NUM_TUNING_AGENTS", 10)
    for name in ("runs.csv", "fine_tuning.csv"):
        write_rows(tmp_path / "out" / name, without_run(recorded(folder, name)))
    compare("config.yaml", "out", minutes=10.0)
    assert contents(tmp_path / "out") == contents(folder / "out")


def spread(out: Path) -> None:
    """Put the rows of the tables into files of each run, where earlier versions kept them."""
    for table, file, columns in (
        ("runs.csv", "scores.csv", {"agent_steps", "seconds"}),
        ("fine_tuning.csv", "fine_tuning.csv", {"trained_on", "observation", "cost", "seed"}),
    ):
        runs: dict[Path, list[dict]] = {}
        for row in read_rows(out / table):
            condition = Condition(row["trained_on"], row["observation"], row["cost"]).name
            method = "yardsticks" if row["method"] in FIXED else row["method"]
            place = out / condition / f"seed{row['seed']}" / method
            unseen = {*columns, *({"method"} if table == file else ())}
            kept = {name: value for name, value in row.items() if name not in unseen}
            runs.setdefault(place, []).append(kept)
        for place, rows in runs.items():
            write_rows(place / file, rows)
        (out / table).unlink()


@pytest.mark.parametrize("killed_before", ["the table", "the files are deleted"])
def test_files_of_single_runs_are_gathered(folder, tmp_path, monkeypatch, killed_before):
    """As an earlier version left them, and as a process that was killed may leave them."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "train", None)
    spread(tmp_path / "out")
    assert len(list(tmp_path.glob("out/*/seed*/*/scores.csv"))) == 12
    if killed_before == "the files are deleted":
        for name in ("runs.csv", "fine_tuning.csv"):
            shutil.copy(folder / "out" / name, tmp_path / "out")
    compare("config.yaml", "out", minutes=0.0)
    assert contents(tmp_path / "out") == contents(folder / "out")
    assert not list(tmp_path.glob("out/*/seed*/yardsticks"))


@pytest.fixture
def slim(folder, tmp_path, monkeypatch) -> Path:
    """The current folder, with the tables of the comparison and no principal."""
    shutil.copytree(folder / "population", tmp_path / "population")
    shutil.copytree(folder / "out", tmp_path / "out", ignore=shutil.ignore_patterns("seed*"))
    shutil.copy(folder / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "NUM_TUNING_AGENTS", 10)
    return tmp_path


def test_the_tables_are_enough_to_go_on(slim, folder, monkeypatch):
    monkeypatch.setattr(comparison, "train", None)
    compare("config.yaml", "out", minutes=10.0)
    before, after = contents(folder / "out"), contents(slim / "out")
    assert after == {name: content for name, content in before.items() if name in after}
    assert {*before} - {*after} == {name for name in before if name.endswith("training.json")}


@pytest.mark.parametrize("new", ["seed", "method"])
def test_only_what_is_new_is_trained(slim, folder, monkeypatch, new):
    trained, train = [], comparison.train

    def noted(*given, folder, **more):
        trained.append(folder)
        return train(*given, folder=folder, **more)

    monkeypatch.setattr(comparison, "train", noted)
    other = {"architecture": {**SMALL, "hidden_size": 5}}
    more = {
        "seed": {"seeds": [0, 1, 2]},
        "method": {"methods": {**CONFIG["methods"], "other": other}},
    }
    config = {**CONFIG, "costs": [0.5], **more[new]}
    (slim / "config.yaml").write_text(yaml.safe_dump(config))
    compare("config.yaml", "out", minutes=10.0)
    place = Path("logs", "out", "ucb-partial-cost0.5")
    expected = {
        "seed": {place / "seed2" / "ours", place / "seed2" / "plain"},
        "method": {place / "seed0" / "other", place / "seed1" / "other"},
    }
    assert set(trained) == expected[new]
    rows, added = recorded(slim), recorded(slim, **{new: {"seed": 2, "method": "other"}[new]})
    assert added
    assert [row for row in rows if row not in added] == recorded(folder)
    steps = {row["agent_steps"] for row in added if row["method"] not in FIXED}
    assert steps <= {4 * 4 * 8 * 12, 4 * 4 * 9 * 12}  # 4 training steps of 4 agents


def test_a_principal_in_the_archive_of_a_release_is_named(slim):
    write_rows(slim / "out" / "runs.csv", without_run(recorded(slim)))
    name = "out/ucb-partial-cost0.5/seed1/plain/principal.ckpt"
    (slim / "checkpoints.sha256").write_text(f"{'0' * 64}  {name}\n")
    refused(
        CONFIG, f"{name}, which has no scores, .* `mermaide download --url URL --out .` fetches"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("runs.csv", "trained_on,cost\nucb,0.5\n"),
        ("fine_tuning.csv", "method\nplain\n"),
        ("ucb-partial-cost0.5/seed0/ours/scores.csv", "method\nours\n"),
        ("ucb-partial-cost0.5/seed1/yardsticks/scores.csv", ""),
        ("ucb-partial-cost0.5/seed0/ours/training.json", "{"),
    ],
)
def test_damaged_records_are_named(folder, tmp_path, monkeypatch, name, text):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    spread(tmp_path / "out")
    (tmp_path / "out" / name).write_text(text)
    refused(CONFIG, f"{name} is damaged")


def test_rows_that_stand_twice_count_once(folder, tmp_path):
    (tmp_path / "out").mkdir()
    write_rows(tmp_path / "out" / "runs.csv", 2 * recorded(folder))
    pd.testing.assert_frame_equal(
        *(
            read_scores(place / "out", ["ours", "plain"]).reset_index(drop=True)
            for place in (folder, tmp_path)
        )
    )


def test_methods_that_the_configuration_does_not_have_are_left_out(folder, caplog):
    with caplog.at_level("INFO", "mermaide_pl"):
        scores = read_scores(folder / "out", ["ours"])
    assert "plain" not in set(scores["method"])
    assert "left out, since the configuration does not have them: plain" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {}}, "methods is empty"),
        ({"seeds": []}, "seeds is empty"),
        ({"num_agents": 1}, "num_agents must be .*at least 2"),
        ({"agent_steps": 0}, "agent_steps must be .*above 0"),
        ({"fine_tuning_rates": [-1.0]}, "fine_tuning_rates must be .*at least 0"),
        ({"fine_tuning_policy_weights": []}, "fine_tuning_policy_weights is empty"),
        ({"methods": {"yardsticks": {}}}, "cannot be named yardsticks"),
        ({"methods": {"burst": {}}}, "cannot be named burst"),
        ({"methods": {"ours": {"meta_lr": 0.0}}}, "meta_lr must be .*above 0"),
        ({"methods": {"ours": {"meta_rate": 0.1}}}, "meta_rate"),
        ({"colour": "blue"}, "colour"),
    ],
    ids=str,
)
def test_mistakes_are_refused_in_one_line(tmp_path, change, message):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **change}))
    with pytest.raises(ValueError, match=message) as caught:
        load_comparison(path)
    assert str(caught.value).startswith(f"configuration {path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_configuration_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"configuration .*nowhere\.yaml does not exist"):
        load_comparison(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("path", sorted((CONF / "experiment").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_comparison_shipped_can_be_read(path):
    loaded = load_comparison(path)
    assert isinstance(loaded, Comparison)
    for population in (*loaded.train_populations.values(), *loaded.test_populations):
        load_population(population)
    torch.manual_seed(0)
    for condition in loaded.conditions():
        for method in loaded.methods.values():
            method(loaded.game_of(condition))
