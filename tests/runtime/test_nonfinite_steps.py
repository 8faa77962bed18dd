import logging
import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from mermaide_pl.agents import UCB
from mermaide_pl.cli.main import main
from mermaide_pl.evaluation.replay import SkippedStep
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import Objective
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import Architecture, PrincipalOutput

AGENTS = Population([AgentFamily(UCB, {"beta": [0.1, 0.5]})], num_arms=3)
TOTAL = 8  # training steps


@dataclass(frozen=True)
class Poisoned(Objective):
    """Not finite in some steps, for agents that pull the target arm first."""

    steps: tuple[int, ...] = ()
    factor: float = float("nan")
    in_gradient_only: bool = False

    def outer_loss(
        self,
        output: PrincipalOutput,
        trajectory: Trajectory,
        sees_bonus: Tensor,
        progress: float,
    ) -> Tensor:
        loss = super().outer_loss(output, trajectory, sees_bonus, progress)
        if round(progress * TOTAL) not in self.steps:
            return loss
        poisoned = first_pulls_target(trajectory).to(loss)
        if self.in_gradient_only:  # the square root of zero has an infinite slope
            values = output.values.mean((1, 2))
            return loss + (1.0 - poisoned + values.detach() - values).sqrt()
        return loss * torch.where(poisoned > 0, self.factor, 1.0)


def first_pulls_target(trajectory: Trajectory) -> Tensor:
    return trajectory.arms[:, 0, 0] == 0


class Watch(pl.Callback):
    """The weights and Adam's moments after every step."""

    def __init__(self) -> None:
        self.weights: list[Tensor] = []
        self.moments: list[Tensor] = []
        self.seeds: list[list[int]] = []
        self.logged: list[float] = []
        self.error = ""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        weight = pl_module.principal.recurrence.weight_hh
        self.weights.append(weight.detach().clone())
        state = trainer.optimizers[0].state.get(weight, {})
        self.moments.append(state["exp_avg"].clone() if state else torch.zeros_like(weight))
        self.seeds.append(batch.seeds)
        self.logged.append(float(trainer.callback_metrics.get("train/skipped_steps", 0.0)))


def train(
    folder: Path,
    steps: tuple[int, ...],
    most: int = 10,
    chunks: int = 1,
    devices: int = 1,
    **poison: Any,
) -> Watch:
    pl.seed_everything(0)
    module = MermaideModule(
        Game(3, 8),
        Architecture(8, 8),
        objective=Poisoned(steps=steps, **poison),
        num_query_episodes=2,
        num_zero_shot_episodes=0,
        max_skipped_steps=most,
    )
    data = TaskDataModule(
        AGENTS,
        meta_batch_size=8 // chunks // devices,
        steps_per_epoch=TOTAL * chunks // 2,
        num_val_tasks=4,
    )
    watch = Watch()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=devices,
        max_epochs=2,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accumulate_grad_batches=chunks,
        gradient_clip_val=1.0,
        callbacks=[watch],
    )
    try:
        trainer.fit(module, data)
    except ValueError as error:
        watch.error = str(error)
    return watch


@pytest.mark.parametrize(
    "poison",
    [{"factor": float("nan")}, {"factor": float("inf")}, {"in_gradient_only": True}],
    ids=["nan", "inf", "gradient only"],
)
def test_a_step_that_is_not_finite_leaves_weights_and_moments_alone(poison, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="mermaide_pl")
    watch = train(tmp_path, (3, 6), **poison)
    same = [torch.equal(*pair) for pair in pairwise(watch.weights)]
    assert same == [step in (3, 6) for step in range(1, TOTAL)]
    unmoved = [torch.equal(*pair) for pair in pairwise(watch.moments)]
    assert unmoved == same
    assert all(weight.isfinite().all() for weight in watch.weights)
    assert watch.logged == [0.0] * 3 + [1.0] * 3 + [2.0] * 2
    assert [record.getMessage().split(";")[0] for record in caplog.records] == [
        f"the loss or gradient of step {step} is not finite: skipped, {count} so far"
        for count, step in ((1, 4), (2, 7))
    ]


def test_a_step_skipped_in_one_of_its_chunks_is_skipped_whole(tmp_path):
    watch = train(tmp_path, (3,), chunks=2)
    ends = watch.weights[1::2]
    same = [torch.equal(*pair) for pair in pairwise(ends)]
    assert same == [step == 3 for step in range(1, TOTAL)]
    step = SkippedStep.load(tmp_path / "skipped" / "step4.pt")
    assert [tasks.seeds[0] for tasks in step.tasks] == watch.seeds[6] + watch.seeds[7]


def test_too_many_end_the_run(tmp_path):
    watch = train(tmp_path, tuple(range(TOTAL)), most=2)
    assert len(watch.weights) == 2
    path = tmp_path / "skipped" / "step3.pt"
    assert watch.error == (
        "the loss or gradient of step 3 is not finite, and max_skipped_steps = 2 were skipped;"
        f" `mermaide replay {path}` shows which tasks cause it"
    )
    assert path.is_file()


def test_replaying_names_the_tasks(tmp_path, capsys):
    watch = train(tmp_path, (5,))
    path = tmp_path / "skipped" / "step6.pt"
    step = SkippedStep.load(path)
    assert (step.number, round(step.progress * TOTAL)) == (6, 5)
    assert torch.equal(step.module.principal.recurrence.weight_hh, watch.weights[4])
    played = list(step.play())
    assert [task.seed for task in played] == watch.seeds[5]
    steps = [step.module.take_step(tasks, 0.0) for tasks in step.tasks]
    poisoned = [
        any(bool(first_pulls_target(episodes)) for episodes in (step.support, step.query))
        for step in steps
    ]
    assert set(poisoned) == {True, False}
    assert [not task.is_finite for task in played] == poisoned
    assert {task.agent for task in played} == {"UCB, beta 0.1", "UCB, beta 0.5"}
    main(["replay", str(path)])
    said = capsys.readouterr().out
    bad = [task for task in played if not task.is_finite]
    assert f"step 6: {len(bad)} of {len(played)} tasks are not finite alone" in said
    for task in bad:
        (line,) = [line for line in said.splitlines() if str(task.seed) in line]
        assert re.search(r"^ *\d+ +nan +nan +loss, gradient of +UCB, beta 0\.\d *$", line)


def test_the_mean_of_the_replayed_tasks_is_the_step(tmp_path):
    watch = train(tmp_path, (0,), factor=float("inf"))
    step = SkippedStep.load(tmp_path / "skipped" / "step1.pt")
    batch = AGENTS.from_seeds(watch.seeds[0])
    together = step.module.take_step(batch, progress=1.0).loss
    alone = [step.module.take_step(tasks, progress=1.0).loss for tasks in step.tasks]
    torch.testing.assert_close(torch.stack(alone).mean(), together)


@pytest.mark.slow
def test_a_step_one_process_skips_is_skipped_by_all(tmp_path):
    program = f"""
import os, sys
from pathlib import Path
import torch
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_nonfinite_steps import train
is_second = os.environ.get("LOCAL_RANK") == "1"
watch = train(Path("."), (3,), devices=2, factor=float("nan") if is_second else 1.0)
torch.save([watch.weights, watch.moments, watch.seeds, watch.logged], f"{{int(is_second)}}.pt")
"""
    (tmp_path / "program.py").write_text(program)
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, check=True, timeout=300)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for part in (0, 1, 3):
        torch.testing.assert_close(first[part], second[part], rtol=0.0, atol=0.0)
    weights, _, seeds, _ = first
    same = [torch.equal(*pair) for pair in pairwise(weights)]
    assert same == [step == 3 for step in range(1, TOTAL)]
    step = SkippedStep.load(tmp_path / "skipped" / "step4.pt")
    assert {tasks.seeds[0] for tasks in step.tasks} == {*seeds[3], *second[2][3]}
    assert len(step.tasks) == 8


@pytest.mark.parametrize("content", ["", "principal"])
def test_files_that_are_no_skipped_step(content, tmp_path, capsys):
    path = tmp_path / "step1.pt"
    if content == "principal":
        module = MermaideModule(Game(3, 8), Architecture(8, 8))
        checkpoint: dict[str, Any] = {"state_dict": module.state_dict()}
        module.on_save_checkpoint(checkpoint)
        torch.save(checkpoint, path)
    else:
        path.touch()
    with pytest.raises(SystemExit, match="2"):
        main(["replay", str(path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert str(path) in line
