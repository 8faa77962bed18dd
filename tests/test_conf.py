import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from mermaide_pl.cli.lightning import configured
from mermaide_pl.cli.main import main
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import packaged
from mermaide_pl.sweeps.settings import load_sweep

CONF = Path(__file__).parent.parent / "conf"
SWEEP = CONF / "sweep.yaml"
# name to files, the later on top of the earlier
RUNS = {
    "quickstart": ["quickstart.yaml"],
    "large": ["quickstart.yaml", "large.yaml"],
    "universal": ["quickstart.yaml", "universal.yaml"],
    "finetune": ["quickstart.yaml", "finetune.yaml"],
    "choice_engineering": ["quickstart.yaml", "choice_engineering.yaml"],
    "w1": ["w1.yaml"],
}


def given_as(files: list[str]) -> list[str]:
    return [f"--config={CONF / file}" for file in files]


def test_every_file_is_tested():
    tested = {file for files in RUNS.values() for file in files}
    assert {path.name for path in CONF.glob("*.yaml")} == tested | {"ddp.yaml", SWEEP.name}


@pytest.mark.parametrize("name", RUNS)
def test_every_configuration_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    small = {
        "trainer.fast_dev_run": "true",
        "trainer.accelerator": "cpu",
        "trainer.default_root_dir": str(tmp_path),
        "model.game.num_steps": "20",
        "data.meta_batch_size": "2",
        "data.num_val_tasks": "2",
    }
    if name in ("finetune", "choice_engineering"):
        # the game is that of the principal it begins with; its budgets need all their steps
        del small["model.game.num_steps"]
    options = [f"--{option}={value}" for option, value in small.items()]
    main(["fit", *given_as(RUNS[name]), *options])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", RUNS)
def test_every_configuration_writes_to_its_folder_of_logs(name, monkeypatch):
    """What a run writes is ignored by git only there."""
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    trainer, _, _ = configured(given_as(RUNS[name]))
    places = {Path(trainer.default_root_dir), Path(trainer.logger.log_dir)}
    assert places == {Path("logs", name)}


def test_the_sweep_searches_what_there_is(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    given = load_sweep(SWEEP)
    given.check(configured)
    trainer, module, _ = configured(given.arguments({"model.meta_lr": 7}))
    assert module.meta_lr == 7.0
    assert (
        trainer.max_epochs < yaml.safe_load(Path(given.base).read_text())["trainer"]["max_epochs"]
    )
    assert SWEEP.read_text().startswith("# ")


def test_two_devices_share_the_meta_batch_of_the_quickstart():
    overlay = yaml.safe_load((CONF / "ddp.yaml").read_text())
    together = overlay["data"]["meta_batch_size"] * overlay["trainer"]["devices"]
    assert together == TaskDataModule(packaged("train_mixed")).meta_batch_size


def test_the_batch_script_shares_it_too(monkeypatch, capsys):
    monkeypatch.chdir(CONF.parent)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    script = (CONF / "slurm.sbatch").read_text()
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\d+)", script, flags=re.MULTILINE))
    command = script[script.index("srun ") :].replace("\\\n", " ")
    command = command.replace("$SLURM_NNODES", asked["nodes"])
    command = command.replace("$SLURM_NTASKS_PER_NODE", asked["ntasks-per-node"])
    _, program, *arguments = shlex.split(command, comments=True)
    assert Path(program).name == "mermaide"
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--print_config"])
    assert ended.value.code in (0, None)
    given = yaml.safe_load(capsys.readouterr().out)
    trainer, data = given["trainer"], given["data"]
    assert (trainer["num_nodes"], int(trainer["devices"]), trainer["strategy"]) == (2, 4, "ddp")
    assert data["meta_batch_size"] * 2 * 4 == 16


def test_a_plain_module_and_its_data_are_what_the_quickstart_trains(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    _, module, data = configured(given_as(RUNS["quickstart"]))
    plain = MermaideModule()
    assert plain.spec == module.spec
    for rate in ("meta_lr", "inner_rates_lr"):
        assert getattr(plain, rate) == getattr(module, rate)
    plain_data = TaskDataModule(packaged("train_mixed"), packaged("val_mixed"))
    assert plain_data.settings == data.settings
    assert set(yaml.safe_load((CONF / "quickstart.yaml").read_text())) == {"data", "trainer"}


def test_fine_tuning_is_validated_on_what_it_trains_on(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    _, module, data = configured(given_as(RUNS["finetune"]))
    assert data.val_population == data.train_population == packaged("train_ucb_exp3")
    assert (module.meta_lr, module.objective.entropy_start) == (0.002, 0.01)
