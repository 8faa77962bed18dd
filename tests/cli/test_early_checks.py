"""Help and mistakes are answered before anything slow is imported."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mermaide_pl.cli.early_checks import (
    check_comparison,
    check_population,
    check_sweep,
    check_training,
    given_options,
)
from mermaide_pl.cli.fit import with_configuration_files
from mermaide_pl.config.input_paths import COMPARISONS, CONFIGURATIONS, POPULATIONS

HEAVY = ("torch", "lightning_fabric", "pytorch_lightning", "numpy", "matplotlib", "tensorboard")
RUN = f"""
import sys
from mermaide_pl.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print([name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "--version",
        "evalute",
        "evaluate --help",
        "adapt --help",
        "compare --help",
        "sweep --help",
        "figure --help",
        "report --help",
        "replay --help",
        "download --help",
        "download --url a.zip",
        "pack --help",
        "pack --folder none --out a.zip",
        "check-agent --help",
        "init project",
        "serve --help",
        "export --help",
        "evaluate --speed 3",
        "evaluate --ckpt_path none.ckpt --population softmax",
        "evaluate --ckpt_path broad-partial --population softmx",
        "evaluate --ckpt_path broad-partial --population typo.yaml",
        "fit --config none.yaml",
        "fit --config quikstart",
        "fit --config fit_typo.yaml",
        "fit --config fit_typo_on_top.yaml",
        "fit",
        "fit --confg quickstart",
        "fit --config quickstart --model.gmae.cost 1",
        "fit --config quickstart --modle.game.cost 1",
        "fit --config quickstart --game.csot 1",
        "fit --config quickstart --data.train_population none",
        "test --config quickstart --ckpt_path none.ckpt",
        "compare --config none",
        "compare --config typo.yaml",
        "sweep --config typo.yaml",
        "figure fig9",
        "figure games --ckpt_path none.ckpt",
        "figure choice_engineering --data none",
        "report --logdir none",
        "replay none.pt",
        "fit-learner --logs none.csv",
        "serve --principal none.ckpt",
        "serve --principal broad-partial --host 0.0.0.0",
        "serve --principal broad-partial --workers 0",
        "serve --principal broad-partial --store fleet.db",
        "serve --principal broad-partial --store mysql://a/b",
        "export --ckpt_path none.ckpt --out a.onnx",
        "export --ckpt_path broad-partial --out .",
        "export --ckpt_path broad-partial --format tflite --out a.onnx",
        "adapt --ckpt_path broad-partial --logs none.csv --out a.ckpt",
        "adapt --ckpt_path broad-partial --logs typo.yaml --out a.ckpt --columns arm",
        "adapt --ckpt_path broad-partial --logs typo.yaml --out a.ckpt --target_arm red",
    ],
)
def test_help_and_mistakes_import_nothing_slow(words, tmp_path):
    (tmp_path / "typo.yaml").write_text("familys: []\n")
    (tmp_path / "fit_typo.yaml").write_text("data: {batch: 3}\n")
    (tmp_path / "fit_typo_on_top.yaml").write_text("modell: {}\n")
    command = [sys.executable, "-c", RUN, *words.split()]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.stdout.endswith("[]\n"), ran.stderr
    if not words.startswith("init ") and "--help" not in words and "--version" not in words:
        assert ran.returncode == 2
        (line,) = ran.stderr.splitlines()
        assert line.startswith("mermaide: error: ")


def test_every_file_of_the_package_passes():
    for name in POPULATIONS.names():
        check_population(name)
    for name in COMPARISONS.names():
        check_comparison(name)
    check_sweep("sweep")
    for name in {*CONFIGURATIONS.names()} - {"sweep"}:
        check_training("fit", with_configuration_files(["--config", name]))


def test_the_configuration_that_a_run_writes_passes(tmp_path):
    """`config.yaml` names every option, unset ones too."""
    unset = {"seed_everything": 0, "ckpt_path": None, "weights_only": None, "trainer": {}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(unset))
    check_training("fit", ["--config", str(tmp_path / "config.yaml"), "--ckpt_path", "last"])


def test_configurations_of_the_package_go_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = CONFIGURATIONS.folder
    words = ["--config", "quickstart", "--config=large", "--model.meta_lr", "0.1"]
    files = [str(folder / "quickstart.yaml"), f"--config={folder / 'large.yaml'}"]
    assert with_configuration_files(words) == ["--config", *files, *words[-2:]]
    Path("quickstart").touch()  # a user's own file goes first
    assert with_configuration_files(words[:2]) == words[:2]


def test_short_forms_of_the_option_take_names_too():
    found = [f"--config={CONFIGURATIONS.folder / 'quickstart.yaml'}"]
    assert with_configuration_files(["-cquickstart"]) == found
    assert with_configuration_files(["-c=quickstart"]) == found
    assert with_configuration_files(["-c", "quickstart"])[1:] == [found[0].partition("=")[2]]


def test_paths_of_populations_refer_to_the_folder_of_their_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("sub", "own.yaml").write_text("families: [{rule: UCB}]\n")
    Path("sub", "config.yaml").write_text("data: {train_population: own.yaml}\n")
    check_training("fit", ["--config", "sub/config.yaml"])
    Path("config.yaml").write_text("data: {train_population: own.yaml}\n")
    with pytest.raises(ValueError, match=r"data.train_population: population ./own.yaml does not"):
        check_training("fit", ["--config", "config.yaml"])


@pytest.mark.parametrize(
    "words",
    [
        "--model.init_from null --ckpt_path null",
        "--trainer.callbacks+=RichProgressBar",
        "--trainer.callbacks+ RichProgressBar --trainer.callbacks.leave true",
        "--trainer.logger.save_dir=--odd --trainer.logger false",
        "--game.cost 0.3 --print_config",
        "--model.architecture.init_args.hidden_size 16",
        "--model game.yaml --data.val_population null --trainer.max_epochs -1",
        "--config short_forms.yaml",
        "--data.train_population described.yaml",
    ],
)
def test_whatever_lightning_takes_passes(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    callback = {"class_path": "pytorch_lightning.callbacks.RichProgressBar"}
    short = {"model.game.num_arms": 5, "trainer": {"callbacks+": [callback]}}
    families = {"families": [{"rule": "UCB"}], "base_rewards.init_args.high": 0.5}
    described = {"class_path": "mermaide_pl.populations.Population", "init_args": families}
    Path("short_forms.yaml").write_text(yaml.safe_dump(short))
    Path("described.yaml").write_text(yaml.safe_dump(described))
    check_training("fit", words.split())


def test_options_are_read_in_both_forms():
    words = ["--a=1", "--b", "2", "--c", "--d", "--e=--f", "-1"]
    pairs = [("--a", "1"), ("--b", "2"), ("--c", "--d"), ("--d", "--e=--f"), ("--e", "--f")]
    assert given_options(words) == [*pairs, ("-1", "")]
