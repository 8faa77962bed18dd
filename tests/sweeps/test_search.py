import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from pytorch_lightning.utilities.exceptions import SIGTERMException

from mermaide_pl.cli.lightning import configured
from mermaide_pl.cli.main import main
from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.reporting.report.run_files import RunFiles
from mermaide_pl.sweeps import search, settings, trial

ROOT = Path(__file__).parents[2]
POPULATION = {
    "families": [{"rule": "mermaide_pl.agents.UCB", "hyper_parameters": {"beta": [0.2, 0.5]}}],
    "num_arms": 3,
}
FIT = {
    "model": {
        "game": {"num_arms": 3, "num_steps": 12},
        "architecture": {"hidden_size": 8, "policy_size": 8},
        "objective": {
            "advantages": {"class_path": "mermaide_pl.objectives.GeneralisedAdvantages"},
            "inner_policy_weight": 1.0,
            "logit_penalty": 0.0,
            "zero_shot_weight": 0.1,
        },
        "num_query_episodes": 8,
        "num_zero_shot_episodes": 0,
    },
    "data": {
        "train_population": "population.yaml",
        "meta_batch_size": 4,
        "steps_per_epoch": 2,
        "num_val_tasks": 32,
    },
    "trainer": {"max_epochs": 9, "accelerator": "cpu", "logger": False},
}
SEARCH = {
    "base": "fit.yaml",
    "settings": {"trainer.max_epochs": 3},
    "parameters": {
        "model.meta_lr": {"low": 0.001, "high": 0.5, "log": True},
        "model.adaptation": {"choices": ["NoAdaptation", "GradientAdaptation"]},
    },
    "num_trials": 5,
    "num_random_trials": 2,
    "pruner": {"class_path": "optuna.pruners.MedianPruner", "init_args": {"n_startup_trials": 2}},
    "heartbeat": 1,
}
RUN_IT = "sweep --config search.yaml"


def prepare(folder: Path, **changes) -> None:
    search = {name: value for name, value in (SEARCH | changes).items() if value is not None}
    for name, content in (("population", POPULATION), ("fit", FIT), ("search", search)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    (folder / "broken.yaml").write_text("model: [")


def rows(folder: Path, *without: str) -> list[dict]:
    found = read_rows(folder / "logs" / "search" / "sweep.csv")
    return [{name: row[name] for name in row if name not in without} for row in found]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a sweep that ran without interruption."""
    folder = tmp_path_factory.mktemp("finished")
    prepare(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mermaide"])
        main(RUN_IT.split())
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The current folder, with a sweep to run."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    return tmp_path


def refused(command: str, capsys) -> str:
    """The one line with which a command ends."""
    with pytest.raises(SystemExit) as ended:
        main(command.split())
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("mermaide: error: ")
    assert said.count("\n") == 1
    return said


def validations(folder: Path) -> list[int]:
    curve = RunFiles.find(folder).curves()["val/return"]
    return [step for step, _ in curve]


def test_all_trials_are_run_and_recorded(finished):
    found = rows(finished)
    assert [row["trial"] for row in found] == [0, 1, 2, 3, 4]
    assert all(0.001 <= row["model.meta_lr"] <= 0.5 for row in found)
    assert len({row["model.meta_lr"] for row in found}) == 5
    assert (finished / "logs" / "search" / "sweep.png").stat().st_size > 10_000


def test_a_trial_is_a_run_of_fit_with_its_parameters(finished):
    for row in rows(finished):
        folder = finished / "logs" / "search" / f"trial{row['trial']}"
        config = yaml.safe_load((folder / "config.yaml").read_text())
        assert config["model"]["meta_lr"] == pytest.approx(row["model.meta_lr"], rel=1e-5)
        assert config["model"]["adaptation"]["class_path"].endswith(row["model.adaptation"])
        assert config["trainer"]["max_epochs"] == 3
        assert {path.name for path in folder.rglob("*.ckpt")} == {"best.ckpt", "last.ckpt"}


def test_a_trial_counts_by_its_best_validation(finished):
    done = [row for row in rows(finished) if row["state"] == "done"]
    assert done
    for row in done:
        folder = finished / "logs" / "search" / f"trial{row['trial']}"
        curve = RunFiles.find(folder).curves()["val/return"]
        assert row["val/return"] == pytest.approx(max(value for _, value in curve), rel=1e-5)


def test_trials_that_do_worse_are_pruned(finished):
    pruned = [row for row in rows(finished) if row["state"] == "pruned"]
    assert pruned
    for row in pruned:
        assert row["trial"] >= 2  # the pruner has something to compare with
        assert len(validations(finished / "logs" / "search" / f"trial{row['trial']}")) < 3


@pytest.mark.parametrize(
    ("reason", "code"), [(KeyboardInterrupt(), 130), (SIGTERMException(), 143)], ids=["INT", "TERM"]
)
def test_an_interrupted_sweep_goes_on_as_if_nothing_had_been(
    reason, code, finished, place, monkeypatch, capsys
):
    report, calls = trial._Validations.on_validation_end, []

    def interrupted(self, trainer, module):
        report(self, trainer, module)
        if not trainer.sanity_checking:
            calls.append(trainer)
        if len(calls) == 5:  # in the middle of the second trial
            raise reason

    with monkeypatch.context() as patch:
        patch.setattr(trial._Validations, "on_validation_end", interrupted)
        with pytest.raises(SystemExit) as ended:
            main(RUN_IT.split())
    assert ended.value.code == code
    assert "resumes from the last checkpoint" in capsys.readouterr().out
    before = (place / "logs/search/trial1/checkpoints/last.ckpt").stat().st_mtime_ns
    main([*RUN_IT.split(), "--trials", "3"])
    assert rows(place, "seconds") == rows(finished, "seconds")[:3]
    assert (place / "logs/search/trial1/checkpoints/last.ckpt").stat().st_mtime_ns > before
    events = list((place / "logs/search/trial1").glob("events.*"))
    assert len(events) == 2  # it did not begin again: a new beginning deletes the first
    assert validations(place / "logs/search/trial1") == validations(finished / "logs/search/trial1")


def test_more_trials_go_on_after_the_first(finished, place):
    main([*RUN_IT.split(), "--trials", "1"])
    assert rows(place, "seconds") == rows(finished, "seconds")[:1]
    main([*RUN_IT.split(), "--trials", "2"])
    assert rows(place, "seconds") == rows(finished, "seconds")[:2]


def test_a_spent_budget_begins_no_trial(place, capsys):
    main([*RUN_IT.split(), "--minutes", "0"])
    said = capsys.readouterr().out
    assert "budget spent" in said
    assert "no trial has begun" in said


def test_the_table_and_the_best_are_shown_at_any_time(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    main([*RUN_IT.split(), "--trials", "0"])
    said = capsys.readouterr().out
    best = max(
        (row for row in rows(finished) if row["state"] == "done"), key=lambda row: row["val/return"]
    )
    assert re.search(rf"\n +{best['trial']} +{best['val/return']:.4f} +done", said)
    command = said.strip().splitlines()[-1].split()
    assert command[:4] == ["mermaide", "fit", "--config", "fit.yaml"]
    trainer, module, _ = configured(command[2:])
    assert module.meta_lr == pytest.approx(best["model.meta_lr"], rel=1e-5)
    assert trainer.max_epochs == 9  # in full
    assert Path(trainer.logger.log_dir).parts[:3] == ("logs", "search", "best")


def fails(monkeypatch, *trials: int) -> None:
    """Let the trainings of some trials break down, counted from 0."""
    step, begun = MermaideModule.training_step, []

    def training_step(self, tasks, batch_index):
        if self not in begun:
            begun.append(self)
        if len(begun) - 1 in trials:
            raise RuntimeError("out of\nmemory")
        return step(self, tasks, batch_index)

    monkeypatch.setattr(MermaideModule, "training_step", training_step)


def test_a_training_that_breaks_down_is_a_failed_trial(place, monkeypatch, capsys):
    fails(monkeypatch, 0)
    main([*RUN_IT.split(), "--trials", "2"])
    found = rows(place)
    assert [row["state"] for row in found] == ["failed", "done"]
    assert found[0]["error"] == "RuntimeError: out of memory"
    assert "Traceback" in (place / "logs/search/trial0/error.txt").read_text()
    assert "trial 0 failed: RuntimeError: out of memory" in capsys.readouterr().out


def test_a_training_that_diverges_is_a_failed_trial(place, monkeypatch, capsys):
    step = MermaideModule.training_step
    monkeypatch.setattr(
        MermaideModule, "training_step", lambda *arguments: step(*arguments) * torch.nan
    )
    prepare(place, settings={"trainer.max_epochs": 3, "model.max_skipped_steps": 2})
    main([*RUN_IT.split(), "--trials", "1"])
    (found,) = rows(place)
    assert found["state"] == "failed"
    assert "step 3 is not finite" in found["error"]
    said = capsys.readouterr().out
    assert "trial 0 failed: DivergedError" in said
    assert "--ckpt_path" not in said  # advice that is for `mermaide fit`


def test_an_objective_that_is_not_finite_is_a_failed_trial(place, monkeypatch):
    log = MermaideModule.log

    def log_nan(self, name, value, **options):
        log(self, name, torch.tensor(torch.nan) if name == "val/return" else value, **options)

    monkeypatch.setattr(MermaideModule, "log", log_nan)
    main([*RUN_IT.split(), "--trials", "1"])
    (found,) = rows(place)
    assert (found["state"], found["error"]) == (
        "failed",
        "FloatingPointError: val/return is nan after step 2",
    )


def test_if_nothing_works_it_stops(place, monkeypatch, capsys):
    fails(monkeypatch, *range(9))
    assert "first 3 trials failed, the last with RuntimeError" in refused(RUN_IT, capsys)
    main([*RUN_IT.split(), "--trials", "0"])
    assert [row["state"] for row in rows(place)] == ["failed"] * 3


def test_a_mistake_in_training_is_no_failed_trial(place, monkeypatch, capsys):
    monkeypatch.setattr(settings.Sweep, "check", lambda *_: None)
    prepare(place, objective="val/retrun")
    said = refused(RUN_IT, capsys)
    assert re.search(r"objective val/retrun is not logged, allowed: .*val/return", said)
    main([*RUN_IT.split(), "--trials", "0"])
    assert [row["state"] for row in rows(place)] == ["interrupted"]


def test_a_trial_that_another_worker_took_is_left_to_it(place, monkeypatch, capsys):
    report = trial._Validations.on_validation_end

    def taken(self, trainer, module):
        if self._trial.number == 0 and not trainer.sanity_checking:
            self._trial.study.tell(self._trial.number, state=TrialState.FAIL)
        report(self, trainer, module)

    monkeypatch.setattr(trial._Validations, "on_validation_end", taken)
    main([*RUN_IT.split(), "--trials", "2"])
    assert "trial 0 was taken over by another worker" in capsys.readouterr().out
    assert [row["state"] for row in rows(place)] == ["failed", "done"]


def test_no_two_workers_are_in_one_trial(place, monkeypatch, capsys, used_by_another):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(trial._Validations, "on_validation_end", interrupted)
        main([*RUN_IT.split(), "--trials", "1"])
    capsys.readouterr()
    with used_by_another(place / "logs" / "search" / "trial0"):  # stopped, and back later
        said = refused(f"{RUN_IT} --trials 1", capsys)
    assert "logs/search/trial0 is in use by another run, process " in said
    main([*RUN_IT.split(), "--trials", "1"])
    assert [row["state"] for row in rows(place)] == ["done"]


def test_a_storage_that_fails_is_one_line(place, monkeypatch, capsys):
    def broken(*_):
        raise StorageInternalError("no connection")

    monkeypatch.setattr(search, "train_trial", broken)
    assert "the storage failed: no connection" in refused(f"{RUN_IT} --trials 1", capsys)


def test_a_worker_that_seems_gone_but_lives_is_not_waited_for_forever(
    finished, monkeypatch, capsys
):
    clock = itertools.count(0.0, 1.0)
    seems_gone = SimpleNamespace(number=0, user_attrs={"worker": "here:1"})
    monkeypatch.setattr(search, "take_over", lambda _: [seems_gone])
    monkeypatch.setattr(
        search, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None)
    )
    monkeypatch.chdir(finished)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    main([*RUN_IT.split(), "--trials", "1"])
    assert capsys.readouterr().out.count("the worker of trial 0 was killed") == 1
    assert next(clock) > 6.0  # one and a half times the grace of four heartbeats


META_LR = {"model.meta_lr": {"low": 0.001, "high": 0.5}}
# changes to the sweep, options, and what its one line must say
MISTAKES = {
    "no base": ({"base": "fitt.yaml"}, "", r"base fitt\.yaml does not exist"),
    "objective": ({"objective": "val/retrun"}, "", "val/retrun is not logged, allowed: val/return"),
    "base is no YAML": ({"base": "broken.yaml"}, "", r"broken\.yaml is not YAML"),
    "base missing": ({"base": None}, "", r"search\.yaml.*base"),
    "not a configuration of fit": ({"base": "population.yaml"}, "", "families"),
    "unknown parameter": (
        {"parameters": {"model.meta_lrr": {"low": 0, "high": 1}}},
        "",
        r"parameter model\.meta_lrr",
    ),
    "range too wide": (
        {"parameters": META_LR | {"model.num_query_episodes": {"low": 0, "high": 4}}},
        "",
        r"parameter model\.num_query_episodes = 0: num_query_episodes must be .* at least 1",
    ),
    "wrong choice": (
        {"parameters": {"model.adaptation": {"choices": ["NoAdaptation", "Nothing"]}}},
        "",
        r"parameter model\.adaptation = Nothing",
    ),
    "empty range": (
        {"parameters": {"model.meta_lr": {"low": 0.5, "high": 0.1}}},
        "",
        "low must be below high, got 0.5 and 0.1",
    ),
    "logarithm of zero": (
        {"parameters": {"model.meta_lr": {"low": 0, "high": 0.1, "log": True}}},
        "",
        "low must be a finite number and above 0",
    ),
    "half a range": ({"parameters": {"model.meta_lr": {"low": 0.1}}}, "", "one is missing"),
    "range and choices": (
        {"parameters": {"model.meta_lr": {"low": 0.1, "high": 1, "choices": [1]}}},
        "",
        "either low and high, or choices",
    ),
    "no choices": ({"parameters": {"model.meta_lr": {"choices": []}}}, "", "at least one"),
    "typo in a parameter": (
        {"parameters": {"model.meta_lr": {"low": 0.1, "hihg": 1}}},
        "",
        r"search\.yaml.*hihg",
    ),
    "no parameters": ({"parameters": {}}, "", "parameters is empty"),
    "unknown setting": ({"settings": {"trainer.epochs": 1}}, "", r"settings: .*trainer\.epochs"),
    "fixed and searched": ({"settings": {"model.meta_lr": 0.1}}, "", "model.meta_lr is among"),
    "unknown key": ({"trials": 3}, "", r"search\.yaml.*trials"),
    "unknown direction": ({"direction": "up"}, "", "maximize"),
    "unknown pruner": ({"pruner": {"class_path": "optuna.pruners.No"}}, "", "optuna.pruners.No"),
    "several devices": (
        {"settings": {"trainer.devices": 2}},
        "",
        "a sweep needs trainer.devices: 1",
    ),
    "unknown database": ({}, "--storage oracl://host/db", "storage oracl://host/db cannot be used"),
    "not a URL": ({}, "--storage study.db", "storage study.db cannot be used"),
    "no such folder": ({}, "--storage sqlite:///no/where.db", "storage .* cannot be used"),
    "password": ({}, "--storage nosql://me:secret@host/db", r"me:\*\*\*@host"),
    "negative trials": ({}, "--trials -1", "--trials must be .* at least 0"),
    "word for trials": ({}, "--trials many", "trials"),
    "negative minutes": ({}, "--minutes -1", "--minutes must be"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_one_line_before_any_training(mistake, place, monkeypatch, capsys):
    changes, options, expected = MISTAKES[mistake]
    monkeypatch.setattr("mermaide_pl.sweeps.study._ATTEMPTS", 1)
    prepare(place, **changes)
    assert re.search(expected, refused(f"{RUN_IT} {options}", capsys))
    assert not list(place.glob("logs/search/trial*"))


def test_another_sweep_is_not_mixed_in(place, capsys):
    main([*RUN_IT.split(), "--trials", "1"])
    prepare(place, seed=1)
    said = refused(RUN_IT, capsys)
    assert re.search(r"study search in sqlite:.* is of another sweep, seed differs", said)
    Path("logs/search/study.db").unlink()
    main([*RUN_IT.split(), "--trials", "1"])
    said = capsys.readouterr().out
    assert (
        "logs/search/trial0: a training with other settings was moved to logs/search/trial0.1"
        in said
    )
    for name in ("trial0", "trial0.1"):
        assert Path("logs/search", name, "checkpoints", "best.ckpt").is_file()


def test_without_its_record_a_sweep_finds_its_trainings(finished, place, monkeypatch):
    shutil.copytree(finished / "logs", place / "logs")
    Path("logs/search/study.db").unlink()
    monkeypatch.setattr(MermaideModule, "take_step", None)  # cannot train
    main(RUN_IT.split())
    assert rows(place, "seconds") == rows(finished, "seconds")


def test_without_optuna_it_says_how_to_install_it(place, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("mermaide_pl.sweeps")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "optuna.distributions", None)
    assert "pip install 'mermaide-pl[sweep]'" in refused(RUN_IT, capsys)


def start(folder: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "mermaide_pl", *RUN_IT.split(), *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_two_workers_share_the_trials(place):
    prepare(place, num_trials=7, heartbeat=30)
    said = [worker.communicate()[0] for worker in [start(place), start(place)]]
    main([*RUN_IT.split(), "--trials", "0"])
    found = rows(place)
    assert [row["trial"] for row in found] == list(range(7))
    assert {row["state"] for row in found} <= {"done", "pruned"}
    assert len({row["model.meta_lr"] for row in found}) == 7
    ran = [sorted(re.findall(r"mermaide: trial (\d+): ", text)) for text in said]
    assert sorted(ran[0] + ran[1]) == [str(number) for number in range(7)]
    assert not Path("logs/search/trial7").exists()


@pytest.mark.slow
def test_on_postgresql_it_tries_the_same_points_and_workers_share_them(finished, place, postgresql):
    prepare(place, heartbeat=30)
    storage = ["--storage", postgresql]
    main([*RUN_IT.split(), *storage, "--trials", "2"])  # then another process goes on
    assert start(place, *storage).wait(300) == 0
    assert rows(place, "seconds") == rows(finished, "seconds")
    workers = [start(place, *storage, "--trials", "9") for _ in range(2)]
    said = "".join(worker.communicate()[0] for worker in workers)
    assert sorted(re.findall(r"mermaide: trial (\d+): ", said)) == ["5", "6", "7", "8"]
    assert [row["trial"] for row in rows(place)] == list(range(9))


@pytest.mark.slow
def test_a_killed_worker_loses_no_trial(finished, place):
    worker = start(place)
    for line in worker.stdout:
        if "trial 0: " in line:
            break
    while not (place / "logs/search/trial1/checkpoints/last.ckpt").is_file():
        assert worker.poll() is None
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    main(RUN_IT.split())
    assert rows(place, "seconds") == rows(finished, "seconds")
