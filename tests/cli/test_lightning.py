"""Configurations of earlier versions, or with names, as `mermaide fit` builds them."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mermaide_pl.cli.lightning import configured
from mermaide_pl.config.input_paths import POPULATIONS
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import GameRanges, packaged

# as `config.yaml` in the folder of a run of an earlier version has it
OLD = """
model:
  game:
    observation: {class_path: mermaide_pl.game.PartialInformation}
  architecture:
    history: {class_path: mermaide_pl.principal.Tallies, init_args: {reward_unit: null}}
    world_model: {class_path: mermaide_pl.principal.SharedForecast, init_args: {size: 8}}
  adaptation: {class_path: mermaide_pl.adaptation.GradientAdaptation, init_args: {inner_lr: 0.3}}
  objective:
    surrogate: {class_path: mermaide_pl.objectives.LowVarianceCurvature}
    advantages: {class_path: mermaide_pl.advantages.HindsightAdvantages}
data:
  train_population:
    families:
    - rule: mermaide_pl.agents.ucb.UCB
      hyper_parameters: {beta: [0.17, 0.27, 0.42, 0.5, 0.67]}
    base_rewards: {class_path: mermaide_pl.tasks.UniformRewards, init_args: {low: 0.0, high: 1.0}}
    target: {class_path: mermaide_pl.tasks.UniformTarget}
    reward_model: {class_path: mermaide_pl.agents.GaussianReward, init_args: {scale: 0.1}}
trainer:
  logger: false
  callbacks:
  - class_path: mermaide_pl.figures.FigureLogger
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])


def test_a_configuration_of_an_earlier_version_means_the_same(tmp_path):
    (tmp_path / "old.yaml").write_text(OLD)
    _, module, data = configured(["--config", "old.yaml"])
    assert module.spec == MermaideModule().spec
    assert data.train_population == packaged("train_ucb")


def test_populations_go_by_name_in_files_and_options(tmp_path):
    given = {"data": {"train_population": "train_mixed"}, "trainer": {"logger": False}}
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump(given))
    options = ["--data.val_population=val_mixed", "--data.test_population", "softmax"]
    _, _, data = configured(["--config", "fit.yaml", *options, "--data.seed", "3"])
    assert data.train_population == packaged("train_mixed")
    assert data.val_population == packaged("val_mixed")
    assert data.test_population == packaged("softmax")


@pytest.mark.parametrize("form", ["name", "file", "mapping"])
def test_a_population_replaces_that_of_an_earlier_configuration_as_a_whole(form, tmp_path):
    text = Path(POPULATIONS.path("train_broad")).read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(text)
    mine = {"name": "train_broad", "file": "mine.yaml", "mapping": yaml.safe_load(text)}[form]
    (tmp_path / "fit.yaml").write_text(yaml.safe_dump({"data": {"train_population": mine}}))
    universal = Path(__file__).parents[2] / "conf" / "universal.yaml"
    words = ["--config", str(universal), "--config", "fit.yaml", "--trainer.logger", "false"]
    _, _, data = configured(words)
    assert data.train_population == packaged("train_broad")
    assert data.train_population.games is None
    assert data.val_population == packaged("val_universal")
    _, _, data = configured([*words, "--data.train_population.games", "{endless: 0.25}"])
    expected = replace(packaged("train_broad"), games=GameRanges(endless=0.25))
    assert data.train_population == expected


@pytest.mark.parametrize("option", ["data.train_population", "data.val_population"])
def test_a_population_that_does_not_exist_is_answered_with_the_names(option):
    message = rf"{option}: population nobody does not exist \(populations of the package: best_"
    with pytest.raises(ValueError, match=message):
        configured([f"--{option}=nobody", "--trainer.logger=false"])
