import math
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
import yaml
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mermaide_pl.agents import UCB
from mermaide_pl.cli.main import main
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.fit import best_and_last
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import Architecture
from mermaide_pl.runtime.checkpoints import CHECKPOINT_KEY, read_checkpoint
from mermaide_pl.runtime.resume import WholeCheckpoints
from mermaide_pl.runtime.run_folders import LOCK
from mermaide_pl.runtime.run_settings import RUN_KEY

AGENTS = Population([AgentFamily(UCB, {"beta": [0.1, 0.5]})], num_arms=3)
STEPS = 4  # of an epoch
NO_WARNINGS = pytest.mark.filterwarnings("ignore:The dirpath")


def parts() -> tuple[MermaideModule, TaskDataModule]:
    pl.seed_everything(0)
    module = MermaideModule(Game(3, 8), Architecture(8, 8), num_query_episodes=2)
    return module, TaskDataModule(AGENTS, meta_batch_size=4, steps_per_epoch=STEPS, num_val_tasks=4)


def trained(folder: Path, *, ckpt_path: Path | str | None = None, **settings: Any) -> pl.Trainer:
    defaults = {
        "accelerator": "cpu",
        "max_epochs": 3,
        "logger": TensorBoardLogger(folder, name="", version=""),
        "log_every_n_steps": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [
            ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1),
            ModelCheckpoint(folder, "last", enable_version_counter=False),
        ],
    }
    trainer = pl.Trainer(**defaults | settings)
    trainer.fit(*parts(), ckpt_path=ckpt_path)
    return trainer


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The curves of a run, as TensorBoard shows them."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def assert_identical(one: Any, other: Any, where: str = "") -> None:
    """Equal to the last bit, whatever it is made of."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_identical(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_identical(*pair, f"{where}[{number}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other or (one != one and other != other), where


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Folder of a run of 12 steps that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    trained(folder)
    return folder


@NO_WARNINGS
@pytest.mark.parametrize("step", [1, 3, STEPS, STEPS + 1, 2 * STEPS - 1, 3 * STEPS - 1])
def test_going_on_in_the_middle_of_an_epoch(step, whole, tmp_path):
    trained(tmp_path, ckpt_path=whole / f"step={step}.ckpt")
    one, other = (
        read_checkpoint(folder / f"step={3 * STEPS}.ckpt") for folder in (whole, tmp_path)
    )
    for key in ("state_dict", "optimizer_states", "lr_schedulers"):
        assert_identical(one[key], other[key], key)
    logged = {
        tag: [point for point in points if point[0] >= step]
        for tag, points in curves(whole).items()
    }
    assert {tag: points for tag, points in logged.items() if points} == curves(tmp_path)


@NO_WARNINGS
def test_resuming_from_a_version_without_recurrences(whole, without_slot, tmp_path, caplog):
    path = tmp_path / "old.ckpt"
    torch.save(without_slot(torch.load(whole / f"step={STEPS}.ckpt")), path)
    trained(tmp_path / "run", ckpt_path=path)
    one, other = (read_checkpoint(folder / "last.ckpt") for folder in (whole, tmp_path / "run"))
    for key in ("state_dict", "optimizer_states", CHECKPOINT_KEY):
        assert_identical(one[key], other[key], key)
    assert not [record for record in caplog.records if "not as in" in record.message]


@NO_WARNINGS
def test_resuming_in_double_precision(tmp_path):
    for name, start in (("one", None), ("other", tmp_path / "one" / f"step={STEPS}.ckpt")):
        trained(tmp_path / name, max_epochs=2, precision="64-true", ckpt_path=start)
    one, other = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("one", "other"))
    assert one["state_dict"]["principal.recurrence.weight_hh"].dtype == torch.float64
    assert_identical(one["state_dict"], other["state_dict"])


@NO_WARNINGS
def test_resuming_from_a_checkpoint_made_within_a_step(whole, tmp_path):
    class Save(pl.Callback):  # as Lightning does when SLURM sends a signal
        def on_before_backward(self, trainer, *_):
            if trainer.global_step == STEPS + 1:
                trainer.save_checkpoint(tmp_path / "signal.ckpt")

    trained(tmp_path / "first", callbacks=[Save()])
    last = ModelCheckpoint(tmp_path, "last", enable_version_counter=False)
    trained(tmp_path / "second", ckpt_path=tmp_path / "signal.ckpt", callbacks=[last])
    one, other = (read_checkpoint(folder / "last.ckpt") for folder in (whole, tmp_path))
    for key in ("global_step", "state_dict", "optimizer_states", "lr_schedulers"):
        assert_identical(one[key], other[key], key)


@NO_WARNINGS
def test_a_trainer_may_run_before_and_again(tmp_path):
    module, data = parts()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=TensorBoardLogger(tmp_path, name="", version=""),
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(tmp_path, "last", enable_version_counter=False)],
    )
    trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, data)
    assert [step for step, _ in curves(tmp_path)["train/loss"]] == list(range(2 * STEPS))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*ckpt*"))


def test_checkpoints_that_a_new_run_replaces_are_kept(tmp_path, caplog):
    kept = []
    for number in (1, 2, 3):
        with caplog.at_level("INFO", "mermaide_pl"):
            trained(tmp_path, max_epochs=number, callbacks=best_and_last(tmp_path))
        kept.append({name: (tmp_path / name).read_bytes() for name in ("best.ckpt", "last.ckpt")})
    trained(tmp_path, max_epochs=4, ckpt_path="last", callbacks=best_and_last(tmp_path))
    assert not (tmp_path / "last.ckpt.3").exists()  # the resumed run owns its checkpoint
    for number, files in enumerate(kept[:2], start=1):
        for name, content in files.items():
            path = tmp_path / f"{name}.{number}"
            assert path.read_bytes() == content
            assert f"the checkpoint of an earlier run is kept as {path}" in caplog.messages


def test_a_run_resumed_from_another_folder_keeps_what_is_there(tmp_path):
    for name in ("one", "other"):
        trained(tmp_path / name, max_epochs=1, callbacks=best_and_last(tmp_path / name))
    start, other = tmp_path / "one" / "last.ckpt", tmp_path / "other"
    trained(other, max_epochs=2, ckpt_path=start, callbacks=best_and_last(other)[1:])
    assert names(other) == ["best.ckpt", "last.ckpt", "last.ckpt.1"]


class Fails(pl.Callback):
    def on_train_batch_start(self, *_):
        raise RuntimeError("in the first step")


@pytest.mark.parametrize(
    ("settings", "further"),
    [({"fast_dev_run": True}, []), ({"max_epochs": 0}, []), ({}, [Fails])],
    ids=["trial run", "no epoch", "failure"],
)
def test_a_run_that_writes_nothing_moves_nothing(tmp_path, settings, further):
    trained(tmp_path, max_epochs=1, callbacks=best_and_last(tmp_path))
    callbacks = [*best_and_last(tmp_path), *(one() for one in further)]
    with suppress(RuntimeError):
        trained(tmp_path, **settings, callbacks=callbacks)
    assert names(tmp_path) == ["best.ckpt", "last.ckpt"]


def test_files_that_cannot_be_replaced_stay_where_they_were(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"earlier")
    monkeypatch.setattr(os, "replace", partial(_fail, "no space left"))
    with pytest.raises(ValueError, match="cannot be written"):
        WholeCheckpoints().save_checkpoint({"state_dict": {}}, path)
    assert path.read_bytes() == b"earlier"
    assert names(tmp_path) == ["last.ckpt"]


def _fail(reason: str, *_: Any) -> None:
    raise OSError(reason)


@NO_WARNINGS
def test_an_epoch_that_was_cut_short_is_over(tmp_path):
    trained(tmp_path / "whole", limit_train_batches=STEPS - 1)
    start = tmp_path / "whole" / f"step={STEPS - 1}.ckpt"
    trained(tmp_path / "resumed", ckpt_path=start, limit_train_batches=STEPS - 1)
    one, other = (read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "resumed"))
    assert_identical(one["state_dict"], other["state_dict"])


@NO_WARNINGS
def test_curves_drop_entries_that_are_logged_again(whole, tmp_path):
    class Stop(pl.Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == STEPS + 2:
                raise RuntimeError("power cut")

    last = ModelCheckpoint(tmp_path, "last", enable_version_counter=False)
    with pytest.raises(RuntimeError, match="power cut"):
        trained(tmp_path, callbacks=[last, Stop()])
    assert curves(tmp_path)["train/loss"][-1][0] == STEPS + 1
    trained(tmp_path, ckpt_path=tmp_path / "last.ckpt", callbacks=[last])
    assert curves(tmp_path) == curves(whole)
    trained(tmp_path, max_epochs=1, callbacks=[last])  # a new run into the same folder
    anew = curves(whole)
    for tag, points in curves(tmp_path).items():
        assert [step for step, _ in points] == [step for step, _ in anew[tag] if step < STEPS]


@NO_WARNINGS
def test_logs_are_on_the_disk_before_the_checkpoint(tmp_path):
    class Look(pl.Callback):
        def __init__(self) -> None:
            self.seen = []

        def on_train_epoch_start(self, trainer, *_):
            if trainer.current_epoch:
                self.seen.append(curves(tmp_path)["val/return"])

    look = Look()
    last = ModelCheckpoint(tmp_path, "last", enable_version_counter=False)
    trained(tmp_path, callbacks=[last, look])
    assert [len(points) for points in look.seen] == [1, 2]


@NO_WARNINGS
def test_a_damaged_checkpoint_is_refused_and_the_previous_one_is_named(whole, tmp_path):
    for name in ("step=3.ckpt", "step=7.ckpt"):
        (tmp_path / name).write_bytes((whole / name).read_bytes())
        time.sleep(0.01)
    (tmp_path / "last.ckpt").write_bytes((whole / "last.ckpt").read_bytes()[:-100])
    good = tmp_path / "step=7.ckpt"
    with pytest.raises(ValueError, match=r"last\.ckpt cannot be read: truncated") as caught:
        trained(tmp_path, ckpt_path=tmp_path / "last.ckpt")
    assert str(caught.value).endswith(f"the latest one beside it that can be read is {good}")
    trained(tmp_path, ckpt_path=good)


def resumption_warnings(caplog, checkpoint: Path, *, model=None, **settings: Any) -> list[str]:
    """The warnings of a run that resumes from a checkpoint with other settings."""
    names = ("accelerator", "devices", "max_epochs", "precision", "accumulate_grad_batches")
    of_trainer = {name: settings.pop(name) for name in names if name in settings}
    sizes = {"meta_batch_size": 4, "steps_per_epoch": STEPS, "num_val_tasks": 4}
    data = TaskDataModule(settings.pop("train_population", AGENTS), **sizes | settings)
    model = {"game": Game(3, 8), "architecture": Architecture(8, 8)} | (model or {})
    trainer = pl.Trainer(
        **{"accelerator": "cpu", "max_epochs": 3} | of_trainer,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    caplog.clear()
    trainer.fit(MermaideModule(num_query_episodes=2, **model), data, ckpt_path=checkpoint)
    warned = [one for one in caplog.records if one.levelname == "WARNING"]
    return [one.getMessage() for one in warned if one.name.startswith("mermaide_pl")]


OTHERS = Population([AgentFamily(UCB, {"beta": [0.1, 0.9]})], num_arms=3)
WHOLE = "data.meta_batch_size x devices x accumulate_grad_batches"
STEPS_OF_ALL = "data.steps_per_epoch / accumulate_grad_batches"
FAMILIES = "data.{}_population.families differs"


@NO_WARNINGS
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, None),
        (
            {"model": {"game": Game(3, 8, cost=0.25)}, "max_epochs": 4},
            "model.game.cost = 0.25 (there 0.5), trainer.max_epochs = 4 (there 3)",
        ),
        (
            {"model": {"meta_lr": 0.5}},
            "model.meta_lr = 0.5 (there 0.005); the outer rates continue as they were there",
        ),
        (
            {"train_population": OTHERS},
            f"{FAMILIES.format('train')}, {FAMILIES.format('val')}",
        ),
        ({"val_population": OTHERS}, FAMILIES.format("val")),
        ({"seed": 1}, "data.seed = 1 (there 0)"),
        ({"num_val_tasks": 5}, "data.num_val_tasks = 5 (there 4)"),
        ({"meta_batch_size": 2}, f"{WHOLE} = 2 (there 4)"),
        ({"accumulate_grad_batches": 2}, f"{WHOLE} = 8 (there 4), {STEPS_OF_ALL} = 2 (there 4)"),
        ({"steps_per_epoch": 5}, f"{STEPS_OF_ALL} = 5 (there 4)"),
        # the same whole meta-batch is the same run
        ({"meta_batch_size": 2, "steps_per_epoch": 8, "accumulate_grad_batches": 2}, None),
        ({"precision": "64-true"}, "trainer.precision = 64-true (there 32-true)"),
    ],
    ids=lambda value: ", ".join(value) or "nothing" if isinstance(value, dict) else "",
)
def test_other_settings_than_in_the_checkpoint_are_named(settings, said, whole, caplog):
    expected = [] if said is None else [f"not as in the checkpoint: {said}"]
    assert resumption_warnings(caplog, whole / "last.ckpt", **settings) == expected


@NO_WARNINGS
def test_within_an_epoch_accumulated_batches_are_named_too(whole, caplog):
    settings = {"meta_batch_size": 2, "steps_per_epoch": 8, "accumulate_grad_batches": 2}
    (said,) = resumption_warnings(caplog, whole / f"step={3 * STEPS - 1}.ckpt", **settings)
    assert said.endswith(": trainer.accumulate_grad_batches = 2 (there 1)")


@NO_WARNINGS
def test_settings_of_an_old_checkpoint_are_compared_as_far_as_it_has_them(whole, tmp_path, caplog):
    old = read_checkpoint(whole / "last.ckpt")
    del old[RUN_KEY], old[CHECKPOINT_KEY]["meta_lr"]
    torch.save(old, tmp_path / "old.ckpt")
    changed = {"seed": 1, "meta_batch_size": 8, "max_epochs": 4, "model": {"meta_lr": 0.5}}
    assert resumption_warnings(caplog, tmp_path / "old.ckpt", **changed) == []
    (said,) = resumption_warnings(caplog, tmp_path / "old.ckpt", **changed, train_population=OTHERS)
    assert said == f"not as in the checkpoint: {FAMILIES.format('train')}"


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_a_folder_that_another_run_writes_to_is_refused_and_left_alone(
    stage, tmp_path, used_by_another
):
    table = CSVLogger(tmp_path, name="", version="")
    trained(tmp_path, max_epochs=1, logger=table, callbacks=best_and_last(tmp_path / "kept"))
    with used_by_another(tmp_path):
        before = contents(tmp_path)
        for logger in (TensorBoardLogger, CSVLogger):
            trainer = pl.Trainer(
                accelerator="cpu",
                logger=logger(tmp_path, name="", version=""),
                enable_progress_bar=False,
            )
            with pytest.raises(ValueError, match=f"{tmp_path} is in use by another run"):
                getattr(trainer, stage)(*parts())
        assert contents(tmp_path) == before


def test_a_folder_of_checkpoints_has_one_run(tmp_path, used_by_another):
    settings = {"max_epochs": 1, "callbacks": best_and_last(tmp_path / "kept")}
    with used_by_another(tmp_path / "kept"):
        with pytest.raises(ValueError, match=f"{tmp_path / 'kept'} is in use by another run"):
            trained(tmp_path / "run", **settings)
        assert names(tmp_path / "kept") == []
    trained(tmp_path / "run", **settings)
    assert names(tmp_path / "kept") == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("further", [[], [Fails]], ids=["finished", "failed"])
def test_a_folder_is_free_after_a_run(further, tmp_path, used_by_another):
    with suppress(RuntimeError):
        trained(tmp_path, max_epochs=1, callbacks=[one() for one in further])
    with used_by_another(tmp_path):  # or it would not begin
        pass
    assert not list(tmp_path.rglob(LOCK))


@NO_WARNINGS
def test_a_module_can_be_copied_while_it_is_trained(tmp_path):
    class Copy(pl.Callback):
        def on_train_start(self, trainer, pl_module):
            deepcopy(pl_module)

    trained(tmp_path, max_epochs=1, callbacks=[Copy()])


@NO_WARNINGS
def test_only_a_training_reports_the_checkpoint_it_keeps(whole, tmp_path, caplog):
    caplog.set_level("INFO", logger="mermaide_pl")
    (tmp_path / "last.ckpt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="cannot be read"):
        trained(tmp_path, ckpt_path=tmp_path / "last.ckpt")
    assert "stopped in step" not in caplog.text


# the command, in processes of its own

CONFIG = {
    "seed_everything": 0,
    "model": {
        "game": {"num_arms": 3, "num_steps": 20},
        "architecture": {"hidden_size": 8, "policy_size": 8},
        "num_query_episodes": 2,
    },
    "data": {
        "train_population": {"families": [{"rule": "mermaide_pl.agents.UCB"}], "num_arms": 3},
        "meta_batch_size": 4,
        "steps_per_epoch": 5,
        "num_val_tasks": 8,
    },
    "trainer": {
        "max_epochs": 80,
        "accelerator": "cpu",
        "log_every_n_steps": 1,
        "enable_model_summary": False,
        "enable_progress_bar": False,
        "logger": [
            {
                "class_path": f"pytorch_lightning.loggers.{name}",
                "init_args": {"save_dir": "logs", "name": "", "version": ""},
            }
            for name in ("TensorBoardLogger", "CSVLogger")
        ],
        "callbacks": [
            {
                "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
                "init_args": settings | {"enable_version_counter": False},
            }
            for settings in (
                {"filename": "best", "monitor": "val/return", "mode": "max"},
                {"filename": "last"},
            )
        ]
        + [
            {
                "class_path": "mermaide_pl.reporting.FigureLogger",
                "init_args": {"every_n_validations": 9},
            }
        ],
    },
}
CHECKPOINTS = Path("logs/checkpoints")


def fit(folder: Path, limit: int | None, file: Path) -> None:
    """`mermaide fit` that resumes where it stopped; no file may grow beyond `limit` bytes."""
    os.chdir(folder)
    output = file.open("w", buffering=1)
    sys.stdout = sys.stderr = output
    torch.set_num_threads(1)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    main(["fit", "--config", "config.yaml", "--ckpt_path", "last"])


@pytest.fixture(scope="module")
def start() -> Callable[..., Any]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mermaide_pl.cli.main"])

    def begin(folder: Path, limit: int | None = None, output: Path | None = None) -> Any:
        output = output or folder / "output.txt"
        folder.mkdir(exist_ok=True)
        output.write_text("")
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
        process = context.Process(target=fit, args=(folder, limit, output))
        process.start()
        return process

    return begin


@pytest.mark.slow
def test_a_run_killed_at_random_moments_is_the_run_that_was_not(start, tmp_path):
    whole = start(tmp_path / "whole")
    whole.join()
    assert whole.exitcode == 0
    moments, killed, output = random.Random(0), [], tmp_path / "killed" / "output.txt"
    while len(killed) < 12:
        process = start(tmp_path / "killed")
        if len(killed) % 4:  # else while it starts
            while process.is_alive() and "mermaide: training" not in output.read_text():
                process.join(0.01)
        process.join(moments.uniform(0.0, 0.7))
        if not process.is_alive():
            break
        os.kill(process.pid, (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[len(killed) % 3])
        process.join()
        killed.append(process.exitcode)
    assert len(killed) >= 10
    assert {-signal.SIGKILL, 130, 143} <= set(killed)
    last = start(tmp_path / "killed")
    last.join()
    assert last.exitcode == 0, (tmp_path / "killed" / "output.txt").read_text()
    for name in ("best.ckpt", "last.ckpt"):
        files = [tmp_path / run / CHECKPOINTS / name for run in ("whole", "killed")]
        assert_identical(*map(read_checkpoint, files))
    assert curves(tmp_path / "killed" / "logs") == curves(tmp_path / "whole" / "logs")
    tables = [tmp_path / run / "logs" / "metrics.csv" for run in ("whole", "killed")]
    assert tables[1].read_bytes() == tables[0].read_bytes()
    assert sorted(os.listdir(tmp_path / "killed" / CHECKPOINTS)) == ["best.ckpt", "last.ckpt"]


@pytest.mark.slow
def test_of_two_runs_that_begin_at_once_one_is_refused(start, tmp_path):
    outputs = [tmp_path / name for name in ("one.txt", "other.txt")]
    processes = [start(tmp_path, output=output) for output in outputs]
    for process in processes:
        process.join()
    assert sorted(process.exitcode for process in processes) == [0, 2]
    refused, winner = sorted(range(2), key=lambda number: -processes[number].exitcode)
    line = f"mermaide: error: logs is in use by another run, process {processes[winner].pid} on "
    assert outputs[refused].read_text().splitlines()[-1].startswith(line)
    assert names(tmp_path / CHECKPOINTS) == ["best.ckpt", "last.ckpt"]
    assert len(list((tmp_path / "logs").glob("events*"))) == 1


@pytest.mark.slow
def test_a_full_disk_ends_with_one_line_and_loses_nothing(start, tmp_path):
    folder = tmp_path / "run"
    process = start(folder)
    while not (folder / CHECKPOINTS / "last.ckpt").is_file():
        process.join(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    before = (folder / CHECKPOINTS / "last.ckpt").read_bytes()
    full = start(folder, limit=math.ceil(len(before) * 0.9))
    full.join()
    assert full.exitcode == 2
    said = (folder / "output.txt").read_text().splitlines()
    assert said[-2].endswith(f"{CHECKPOINTS / 'last.ckpt'} is kept to resume from")
    assert said[-1].startswith("mermaide: error: ")
    assert said[-1].endswith(".ckpt cannot be written: File too large")
    assert "Traceback" not in "".join(said)
    assert (folder / CHECKPOINTS / "last.ckpt").read_bytes() == before


@pytest.mark.slow
def test_logs_that_cannot_be_written(start, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "logs").write_text("a file where the folder should be")
    process = start(tmp_path / "run")
    process.join()
    assert process.exitcode == 2
    said = (tmp_path / "run" / "output.txt").read_text().splitlines()
    assert said[-1].startswith("mermaide: error: ") and "logs" in said[-1]
    assert "Traceback" not in "".join(said)
