import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from mermaide_pl.reporting.report.run_files import RunFiles

RESULTS = json.loads((Path(__file__).parents[3] / "results" / "quickstart.json").read_text())


def write_events(folder: Path, points: dict[str, list[tuple[int, float]]], suffix: str) -> None:
    with SummaryWriter(folder, filename_suffix=suffix) as writer:
        for tag, values in points.items():
            for step, value in values:
                writer.add_scalar(tag, value, step)


def with_checkpoints(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({}, path)
    return folder


def test_a_run_is_found_with_what_tensorboard_reads(run):
    files = RunFiles.find(run)
    assert files.checkpoint == run / "checkpoints" / "best.ckpt"
    assert [path.parent for path in files.events] == [run]
    assert files.folder == run
    assert files.results() is None
    recorded = EventAccumulator(str(run)).Reload()
    curves = files.curves()
    assert set(curves) == set(recorded.Tags()["scalars"])
    for tag in ("train/return", "val/forecast_accuracy_1shot"):
        assert [value for _, value in curves[tag]] == [e.value for e in recorded.Scalars(tag)]
    assert [step for step, _ in curves["train/return"]] == [1, 2, 3, 4]
    assert [step for step, _ in curves["val/return_0shot"]] == [2, 4]


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["last.ckpt", "best.ckpt", "epoch=1.ckpt"], "best.ckpt"),
        (["last.ckpt", "epoch=1.ckpt"], "last.ckpt"),
        (["deep/below/epoch=1.ckpt"], "deep/below/epoch=1.ckpt"),
    ],
)
def test_the_best_checkpoint_is_preferred(names, chosen, tmp_path):
    assert RunFiles.find(with_checkpoints(tmp_path, *names)).checkpoint == tmp_path / chosen


@pytest.mark.parametrize("place", [".", "..", "checkpoints"])
def test_a_run_is_the_same_from_above_and_below(place, run):
    files = RunFiles.find(run / place)
    assert files.folder.resolve() == run.resolve()
    assert files.checkpoint.resolve() == (run / "checkpoints" / "best.ckpt").resolve()
    assert len(files.events) == 1


def test_without_event_files_there_are_no_curves(tmp_path):
    files = RunFiles.find(with_checkpoints(tmp_path, "best.ckpt"))
    assert files.events == ()
    assert files.curves() == {}


def test_curves_of_a_resumed_run_are_joined(tmp_path):
    with_checkpoints(tmp_path, "best.ckpt")
    write_events(tmp_path, {"train/return": [(9, 0.25), (19, 0.5), (29, 9.0)]}, ".1")
    write_events(tmp_path, {"train/return": [(29, 0.75), (39, 1.0)]}, ".2")
    write_events(tmp_path, {"val/return_0shot": [(0, 5.0)]}, ".3")  # of `mermaide validate`
    curves = RunFiles.find(tmp_path).curves()
    assert curves == {"train/return": [(10, 0.25), (20, 0.5), (30, 0.75), (40, 1.0)]}


def test_results_are_read_as_they_are(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "results.json").write_text(json.dumps(RESULTS))
    assert RunFiles.find(folder).results() == RESULTS


def test_results_of_earlier_versions_have_the_names_of_now(tmp_path):
    with_checkpoints(tmp_path, "best.ckpt")
    earlier = {"none": "no intervention", "principal": "mermaide"}
    rows = [{**row, "method": earlier.get(row["method"], row["method"])} for row in RESULTS]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    assert RunFiles.find(tmp_path).results() == RESULTS


def test_a_method_that_is_called_mermaide_stays_so(tmp_path):
    with_checkpoints(tmp_path, "best.ckpt")
    rows = [*RESULTS, RESULTS[0] | {"method": "mermaide"}]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    assert RunFiles.find(tmp_path).results() == rows


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("hello", "JSONDecodeError"),
        ("[]", "no rows"),
        ("[1]", "TypeError"),
        ('[{"method": "mermaide"}]', "KeyError: 'population'"),
        (json.dumps([RESULTS[0] | {"shots": "few"}]), "shots is 'few'"),
        (json.dumps([RESULTS[0] | {"return_low": "low"}]), "'low'"),
    ],
)
def test_other_results_are_refused(content, reason, tmp_path):
    with_checkpoints(tmp_path, "best.ckpt")
    (tmp_path / "results.json").write_text(content)
    expected = rf"results\.json is not what `mermaide evaluate` writes: .*{re.escape(reason)}"
    with pytest.raises(ValueError, match=expected):
        RunFiles.find(tmp_path).results()


def test_what_is_no_single_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"--logdir .*nowhere is not a folder"):
        RunFiles.find(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no checkpoint"):
        RunFiles.find(tmp_path)
    with_checkpoints(tmp_path, "one/checkpoints/best.ckpt")
    write_events(tmp_path / "one", {"a": [(1, 1.0)]}, ".1")
    write_events(tmp_path / "two", {"a": [(1, 1.0)]}, ".2")
    with pytest.raises(ValueError, match=r"several runs, name one of: .*one, .*two$"):
        RunFiles.find(tmp_path)
    with_checkpoints(tmp_path, "three/best.ckpt")
    with pytest.raises(ValueError, match=r"several runs, name one of: .*one.checkpoints, .*three$"):
        RunFiles.find(tmp_path)
