import json
import logging
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import threading
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.summary.writer.record_writer import RecordWriter

from mermaide_pl.agents import UCB, EpsilonGreedy
from mermaide_pl.cli.main import main
from mermaide_pl.evaluation import protocol as evaluation
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.populations.files import load_population

POPULATION = {
    "families": [
        {"rule": "mermaide_pl.agents.UCB", "hyper_parameters": {"beta": [0.2, 0.5]}, "weight": 2.0},
        {
            "rule": "mermaide_pl.agents.EpsilonGreedy",
            "hyper_parameters": {"epsilon": {"low": 0.1, "high": 0.3}},
        },
    ],
    "num_arms": 3,
}
FIT = {
    "model": {
        "game": {"num_arms": 3, "num_steps": 8},
        "architecture": {"hidden_size": 8, "policy_size": 8},
    },
    "data": {
        "train_population": "population.yaml",
        "meta_batch_size": 4,
        "steps_per_epoch": 2,
        "num_val_tasks": 4,
        "num_test_tasks": 4,
    },
    "trainer": {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
}


def population(**changes) -> str:
    return yaml.safe_dump(POPULATION | changes)


def family(rule: str, **hyper_parameters) -> str:
    return population(families=[{"rule": rule, "hyper_parameters": hyper_parameters}])


FILES = {
    "population.yaml": population(),
    "four_arms.yaml": population(num_arms=4),
    "unknown_rule.yaml": family("mermaide_pl.agents.UCBB"),
    "unknown_module.yaml": family("nowhere.UCB"),
    "no_rule.yaml": family("torch.optim.SGD"),
    "typo_in_rule.yaml": family("mermaide_pl.agents.UCB", bata=0.2),
    "improbable.yaml": family("mermaide_pl.agents.EpsilonGreedy", epsilon=1.5),
    "improbable_interval.yaml": family(
        "mermaide_pl.agents.EpsilonGreedy", epsilon={"low": 0.5, "high": 1.5}
    ),
    "negative.yaml": family("mermaide_pl.agents.UCB", beta=[0.1, -0.2]),
    "word.yaml": family("mermaide_pl.agents.UCB", beta="high"),
    "typo.yaml": population().replace("num_arms", "num_arm"),
    "typo_in_family.yaml": population().replace("hyper_parameters", "hyperparameters"),
    "word_for_number.yaml": population(num_arms="many"),
    "no_families.yaml": population(families=[]),
    "families_missing.yaml": "num_arms: 3\n",
    "malformed.yaml": population() + "reward_model: {class_path: [\n",
    "empty.yaml": "",
    "list.yaml": "- 1\n- 2\n",
    "text.yaml": "hello there\n",
    "fit.yaml": yaml.safe_dump(FIT),
    "fit_typo_in_game.yaml": yaml.safe_dump(FIT).replace("num_steps", "num_step"),
    "fit_typo_in_data.yaml": yaml.safe_dump(FIT).replace("meta_batch_size", "meta_batchsize"),
    "fit_typo_on_top.yaml": yaml.safe_dump(FIT).replace("trainer:", "trainers:"),
    "fit_malformed.yaml": yaml.safe_dump(FIT) + "seed_everything: [\n",
    "history.csv": "episode,step,arm,intervention\n0,0,2,0\n0,1,1,1\n",
    "history_typo.csv": "episode,step,arm,intervention\n0,0,2,0\n0,1,x,1\n",
    "text.ckpt": "hello there\n",
    "empty.ckpt": "",
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A checkpoint that `mermaide fit` wrote."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["mermaide"])
        Path("population.yaml").write_text(FILES["population.yaml"])
        Path("fit.yaml").write_text(FILES["fit.yaml"])
        main(["fit", "--config", "fit.yaml"])
    assert (folder / "config.yaml").is_file()
    (path,) = folder.rglob("*.ckpt")
    return path


@pytest.fixture
def workplace(tmp_path, monkeypatch, trained) -> Path:
    """The current folder, with all the files above and some checkpoints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    monkeypatch.setattr(evaluation, "NUM_TUNING_AGENTS", 5)
    for name, content in FILES.items():
        Path(name).write_text(content)
    content = trained.read_bytes()
    Path("whole.ckpt").write_bytes(content)
    Path("truncated.ckpt").write_bytes(content[: len(content) // 2])
    Path("binary.yaml").write_bytes(content)
    for run in ("void", "runs/a", "runs/b", "damaged", "scored"):
        Path(run).mkdir(parents=True)
    for run in ("runs/a", "runs/b", "scored"):
        Path(run, "best.ckpt").write_bytes(content)
    Path("damaged/best.ckpt").write_bytes(content[: len(content) // 2])
    Path("scored/results.json").write_text("{}")
    return tmp_path


def evaluate_with(population: str = "population.yaml", ckpt_path: str = "whole.ckpt") -> str:
    return f"evaluate --ckpt_path {ckpt_path} --population {population} --num_agents 4"


ADAPT_IT = "adapt --ckpt_path whole.ckpt --out adapted.ckpt"
FIT_IT = "fit --config fit.yaml"
TEST_IT = "test --config fit.yaml"
ADAPTATION = f"{FIT_IT} --model.adaptation mermaide_pl.meta_learning.GradientAdaptation"
OBSERVATION = "--model.game.observation mermaide_pl.game"
UNREADABLE = "cannot be read: truncated, damaged, or not a checkpoint"
RULES = "allowed.*EpsilonGreedy"
# command line, and what its one line must say: what is wrong, where, and what is allowed
MISTAKES = {
    # population files
    "unknown rule": (evaluate_with("unknown_rule.yaml"), rf"unknown_rule\.yaml.*UCBB.*{RULES}"),
    "unknown module": (
        evaluate_with("unknown_module.yaml"),
        rf"unknown_module\.yaml.*nowhere.*{RULES}",
    ),
    "not a rule": (
        evaluate_with("no_rule.yaml"),
        r"no_rule\.yaml.*LearningRule.*torch\.optim\.SGD",
    ),
    "typo in a hyper-parameter": (
        evaluate_with("typo_in_rule.yaml"),
        r"typo_in_rule\.yaml: UCB has no hyper-parameter 'bata', allowed: beta",
    ),
    "improbable": (
        evaluate_with("improbable.yaml"),
        r"improbable\.yaml: EpsilonGreedy\.epsilon .*at least 0 and at most 1, got 1\.5",
    ),
    "improbable interval": (
        evaluate_with("improbable_interval.yaml"),
        r"improbable_interval\.yaml: EpsilonGreedy\.epsilon .*at least 0 and at most 1, got 1\.5",
    ),
    "negative": (
        evaluate_with("negative.yaml"),
        r"negative\.yaml: UCB\.beta .*at least 0, got -0\.2",
    ),
    "word for a range": (evaluate_with("word.yaml"), r"word\.yaml.*hyper_parameters.*float.*high"),
    "typo": (evaluate_with("typo.yaml"), r"typo\.yaml.*'num_arm'.*allowed.*num_arms"),
    "typo in a family": (
        evaluate_with("typo_in_family.yaml"),
        r"typo_in_family\.yaml.*families\.hyperparameters.*allowed.*hyper_parameters",
    ),
    "word for a number": (
        evaluate_with("word_for_number.yaml"),
        r"word_for_number\.yaml.*num_arms.*int.*many",
    ),
    "no families": (
        evaluate_with("no_families.yaml"),
        r"no_families\.yaml.*families.*at least one",
    ),
    "families missing": (
        evaluate_with("families_missing.yaml"),
        r"families_missing\.yaml.*families",
    ),
    "malformed": (evaluate_with("malformed.yaml"), r"malformed\.yaml.*YAML.*line \d+"),
    "empty population": (evaluate_with("empty.yaml"), r"empty\.yaml.*families"),
    "list for a population": (evaluate_with("list.yaml"), r"list\.yaml.*families"),
    "text for a population": (evaluate_with("text.yaml"), r"text\.yaml.*families"),
    "binary population": (evaluate_with("binary.yaml"), r"binary\.yaml"),
    "missing population": (evaluate_with("none.yaml"), r"population none\.yaml does not exist"),
    "folder for a population": (evaluate_with("."), r"population \. does not exist"),
    "second population missing": (
        evaluate_with("population.yaml none.yaml"),
        r"population none\.yaml does not exist",
    ),
    "one name for two populations": (
        evaluate_with("population.yaml ./population.yaml"),
        r"population\.yaml.*twice|two populations.*population",
    ),
    "population in a fit": (
        f"{FIT_IT} --data.train_population unknown_rule.yaml",
        rf"data\.train_population.*unknown_rule\.yaml.*UCBB.*{RULES}",
    ),
    "improbable in a fit": (
        f"{FIT_IT} --data.train_population improbable.yaml",
        r"EpsilonGreedy\.epsilon .*at least 0 and at most 1, got 1\.5",
    ),
    "missing population in a fit": (
        f"{FIT_IT} --data.train_population none.yaml",
        r"data\.train_population.*none\.yaml",
    ),
    # checkpoints
    "arms in evaluate": (
        evaluate_with("four_arms.yaml"),
        r"population four_arms has agents with 4 arms, .* a game of 3 arms",
    ),
    "missing in evaluate": (evaluate_with(ckpt_path="none.ckpt"), r"none\.ckpt does not exist"),
    "truncated in evaluate": (
        evaluate_with(ckpt_path="truncated.ckpt"),
        rf"truncated\.ckpt {UNREADABLE}",
    ),
    "text in evaluate": (evaluate_with(ckpt_path="text.ckpt"), rf"text\.ckpt {UNREADABLE}"),
    "empty in evaluate": (evaluate_with(ckpt_path="empty.ckpt"), rf"empty\.ckpt {UNREADABLE}"),
    **{
        f"{mistake} in {command}": (f"{command} --config fit.yaml --ckpt_path {options}", message)
        for command in ("fit", "test", "validate")
        for mistake, options, message in (
            ("missing", "none.ckpt", r"none\.ckpt does not exist"),
            ("truncated", "truncated.ckpt", rf"truncated\.ckpt {UNREADABLE}"),
            ("text", "text.ckpt", rf"text\.ckpt {UNREADABLE}"),
            (
                "arms",
                "whole.ckpt --model.game.num_arms 4 --data.train_population four_arms.yaml",
                r"checkpoint has game\.num_arms = 3, the configuration has 4",
            ),
            (
                "levels",
                "whole.ckpt --model.game.bonuses [0,0.5,1]",
                r"checkpoint has game\.number of bonuses = 2, .* has 3$",
            ),
            (
                "adaptation",
                "whole.ckpt --model.adaptation mermaide_pl.meta_learning.NoAdaptation",
                r"checkpoint has adaptation .*GradientAdaptation.* has .*NoAdaptation",
            ),
            (
                "observation",
                f"whole.ckpt {OBSERVATION}.FullInformation",
                r"checkpoint has game\.observation .*PartialInformation.* has .*FullInformation",
            ),
        )
    },
    # settings
    "arm_flip": (
        f"{FIT_IT} {OBSERVATION}.PartialInformation --model.game.observation.arm_flip 1.5",
        r"PartialInformation\.arm_flip .*at least 0 and at most 1, got 1\.5",
    ),
    "cost": (f"{FIT_IT} --model.game.cost -1", r"Game\.cost .*at least 0 and .*, got -1"),
    "arms of game and agents": (
        f"{FIT_IT} --model.game.num_arms 4",
        r"agents have 3 arms.*game has 4",
    ),
    "meta_lr": (f"{FIT_IT} --model.meta_lr -1", r"meta_lr .*above 0 and at most 1000000, got -1"),
    "word in a fit": (f"{FIT_IT} --model.game.num_arms many", r"model\.game\.num_arms.*int.*many"),
    "16-mixed": (
        f"{FIT_IT} --trainer.precision 16-mixed",
        r"precision 16-mixed .*allowed: 32-true",
    ),
    "16-true": (f"{FIT_IT} --trainer.precision 16-true", r"precision 16-true .*allowed: 32-true"),
    "16": (f"{FIT_IT} --trainer.precision 16", r"precision 16.*allowed: 32-true"),
    "16-mixed in test": (
        f"{TEST_IT} --ckpt_path whole.ckpt --trainer.precision 16-mixed",
        r"precision 16-mixed .*allowed: 32-true",
    ),
    "AdamW": (
        f"{ADAPTATION} --model.adaptation.inner_optimizer torch.optim.AdamW",
        r"inner_optimizer AdamW .*allowed: torch\.optim\.SGD, torch\.optim\.Adam$",
    ),
    "maximize": (
        f"{ADAPTATION} --model.adaptation.optimizer_args '{{maximize: true}}'",
        r"optimizer_args maximize .*SGD.*allowed: .*momentum",
    ),
    "adapted": (
        f"{ADAPTATION} --model.adaptation.adapted [planner]",
        r"adapted.*recurrence.*world_model.*policy.*planner",
    ),
    "shots": (f"{evaluate_with()} --shots -1", r"shots .*at least 0, got -1"),
    "word for shots": (
        f"{evaluate_with()} --shots few",
        r"--shots must be a whole number, got 'few'",
    ),
    "num_agents": (
        "evaluate --ckpt_path whole.ckpt --population population.yaml --num_agents 1",
        r"num_agents .*at least 2, got 1",
    ),
    "seed": (f"{evaluate_with()} --seed -1", r"seed .*from 0 to 4194303, got -1"),
    "folder for the results": (f"{evaluate_with()} --out .", r"--out \. .*(folder|directory)"),
    "file for a folder": (f"{evaluate_with()} --out fit.yaml/rows.json", r"--out .*fit\.yaml"),
    # the command line and the configuration
    "unknown command": ("train", r"'train', allowed: fit, validate, test, evaluate"),
    "predict": ("predict --config fit.yaml", r"'predict', allowed: fit, validate, test, evaluate"),
    "unknown option": (f"{FIT_IT} --speed 3", r"--speed.*mermaide fit --help"),
    "unknown setting": (f"{FIT_IT} --model.speed 3", r"--model\.speed.*mermaide fit --help"),
    "unknown option of evaluate": (
        f"{evaluate_with()} --speed 3",
        r"--speed.*mermaide evaluate --help",
    ),
    "nothing to fit": ("fit", r"fit needs a configuration: mermaide fit --config quickstart$"),
    "abbreviated option": (f"{FIT_IT} --conf fit.yaml", r"--conf: .*allowed: .*config,"),
    "abbreviated option of evaluate": (f"{evaluate_with()} --se 1", r"unrecognized .*--se 1"),
    "typo in a class on the command line": (
        f"{FIT_IT} --model.adaptation '{{class_path: GradientAdaptation, init_args: {{rate: 1}}}}'",
        r"GradientAdaptation': Option 'rate' is not accepted",
    ),
    "typo in a population on the command line": (
        f"{FIT_IT} --data.train_population '{{families: [{{rule: UCX}}]}}'",
        rf"families.*'UCX'.*{RULES}",
    ),
    "nothing to evaluate": ("evaluate", r"required.*population"),
    "missing config": ("fit --config none.yaml", r"none\.yaml does not exist \(.*quickstart"),
    "typo in the game": (
        "fit --config fit_typo_in_game.yaml",
        r"model\.game\.num_step'.*allowed.*num_steps",
    ),
    "typo in the data": (
        "fit --config fit_typo_in_data.yaml",
        r"data\.meta_batchsize'.*allowed.*meta_batch_size",
    ),
    "typo on top": ("fit --config fit_typo_on_top.yaml", r"trainers.*allowed.*trainer\b"),
    "unknown figure": (
        "figure fig9",
        r"name must be one of fig2, .*, choice_engineering, got 'fig9'",
    ),
    "figure without choices": ("figure choice_engineering", r"choice_engineering needs --data"),
    "choices of nothing": ("figure choice_engineering --data no", r"--data no does not exist"),
    "figure of no choices": ("figure fig4 --data fit.yaml", r"fig4 takes no --data"),
    "choices that are none": (
        "figure choice_engineering --data fit.yaml",
        r"fit\.yaml must end in one of \.csv",
    ),
    "file for a figure's folder": (
        "figure fig4 --out fit.yaml",
        r"--out fit\.yaml is a file, it must be a folder",
    ),
    "seed of a figure": ("figure fig4 --seed -1", r"--seed .*from 0 to 4194303, got -1"),
    "nothing to compare": ("compare", r"required.*config"),
    "missing comparison": ("compare --config none.yaml", r"none\.yaml does not exist"),
    "not a comparison": ("compare --config fit.yaml", r"configuration fit\.yaml: .*"),
    "budget": ("compare --config table --minutes -1", r"--minutes .*at least 0"),
    "unknown pretrained principal": (
        "evaluate --ckpt_path pretrained:nobody --population population.yaml",
        r"no pretrained principal 'nobody', allowed:",
    ),
    "nothing to report": ("report", r"required.*logdir"),
    "no folder to report": ("report --logdir none", r"--logdir none is not a folder"),
    "file to report": ("report --logdir fit.yaml", r"--logdir fit\.yaml is not a folder"),
    "folder without a run": ("report --logdir void", r"--logdir void holds no checkpoint"),
    "folder with several runs": (
        "report --logdir runs",
        r"several runs, name one of: runs/a, runs/b",
    ),
    "damaged run": ("report --logdir damaged", rf"best\.ckpt {UNREADABLE}"),
    "results of something else": ("report --logdir scored", r"results\.json is not what"),
    "folder for a page": ("report --logdir runs/a --out .", r"--out \. is a folder"),
    "agents of a report": ("report --logdir runs/a --num_agents 1", r"num_agents .*at least 2"),
    "arms in report": (
        "report --logdir runs/a --population four_arms.yaml",
        r"population four_arms has agents with 4 arms",
    ),
    # fine-tuning and adaptation
    "fine-tuning of another principal": (
        f"{FIT_IT} --model.game.num_steps 9 --model.init_from whole.ckpt",
        r"init_from whole\.ckpt: .*game\.num_steps = 8, the configuration has 9",
    ),
    "fine-tuning of no principal": (
        f"{FIT_IT} --model.init_from none.ckpt",
        r"none\.ckpt does not",
    ),
    "nothing to adapt": ("adapt", r"required.*out"),
    "nowhere to adapt": (ADAPT_IT, r"give either --population.* or --logs"),
    "two ways to adapt": (
        f"{ADAPT_IT} --population population.yaml --logs history.csv",
        r"give either --population.* or --logs",
    ),
    "agent of a history": (
        f"{ADAPT_IT} --logs history.csv --agent 3",
        r"--agent does not go with --logs, allowed: --target_arm",
    ),
    "target in a population": (
        f"{ADAPT_IT} --population population.yaml --target_arm 1",
        r"--target_arm does not go with --population, allowed: --agent, --shots",
    ),
    "unknown option of adapt": (f"{ADAPT_IT} --speed 3", r"--speed.*mermaide adapt --help"),
    "agent": (f"{ADAPT_IT} --population population.yaml --agent -1", r"--agent .*at least 0"),
    "no shots": (f"{ADAPT_IT} --population population.yaml --shots 0", r"--shots .*at least 1"),
    "folder for a principal": (
        "adapt --ckpt_path whole.ckpt --logs history.csv --out .",
        r"\. is a folder, it must be a file",
    ),
    "target of a history": (
        f"{ADAPT_IT} --logs history.csv --target_arm 3",
        r"--target_arm must be a whole number from 0 to 2, got 3$",
    ),
    "word for a target": (
        f"{ADAPT_IT} --logs history.csv --target_arm red",
        r"--target_arm must be a whole number from 0 to A-1 \(a label needs --arms\), got 'red'$",
    ),
    "arm that is no label": (
        f"{ADAPT_IT} --logs history.csv --arms blue,green,red --target_arm pink",
        r"--target_arm must be one of blue, green, red, got 'pink'$",
    ),
    "labels of another game": (
        f"{ADAPT_IT} --logs history.csv --arms blue,green",
        r"for games of 3 arms, .*, not of 2 arms, .*universal",
    ),
    "labels beside a number": (
        f"{ADAPT_IT} --logs history.csv --arms blue,green --game.num_arms 3",
        r"--game\.num_arms is 3, but --arms has 2 labels$",
    ),
    "one label": (f"{ADAPT_IT} --logs history.csv --arms blue", r"--arms must be .* got 'blue'$"),
    "label twice": (f"{ADAPT_IT} --logs history.csv --arms a,b,a", r"arms must be .* different"),
    "column without a name": (
        f"{ADAPT_IT} --logs history.csv --columns arm=",
        r"--columns must be .*such as arm=choice,step=time, got 'arm='$",
    ),
    "column twice": (f"{ADAPT_IT} --logs history.csv --columns arm=a,arm=b", r"--columns must be"),
    "column of two": (
        f"{ADAPT_IT} --logs history.csv --columns arm=step",
        r"--columns: step and arm must be different columns, both are 'step'$",
    ),
    "column that is none": (
        f"{ADAPT_IT} --logs history.csv --columns arms=choice",
        r"--columns names 'arms', allowed: episode, step, arm, intervention, agent_reward, prop",
    ),
    "column that is missing": (
        f"{ADAPT_IT} --logs history.csv --columns arm=choice",
        r"missing column 'choice', the columns are episode, .*--columns arm=NAME",
    ),
    "word for an optional number": (
        f"{evaluate_with()} --num_tuning_agents red",
        r"--num_tuning_agents must be a whole number, got 'red'$",
    ),
    "word for minutes": ("compare --config x --minutes red", r"--minutes must be a number, got 'r"),
    "option without a value": (
        f"{evaluate_with()} --seed",
        r"--seed needs a value, a whole number$",
    ),
    "other engine": (
        f"{evaluate_with()} --engine red",
        r"--engine must be one of auto, torch, native, got 'red'$",
    ),
    "several wrong files of evaluate": (
        evaluate_with("none.yaml typo.yaml", "none.ckpt"),
        r"none\.ckpt does not exist .*; and population none\.yaml .*; and population typo\.yaml: ",
    ),
    "several wrong files of adapt": (
        "adapt --ckpt_path none.ckpt --out a.ckpt --population none.yaml",
        r"checkpoint none\.ckpt does not exist .*; and population none\.yaml does not exist \(",
    ),
    "several wrong files of report": (
        "report --logdir void --population none.yaml",
        r"--logdir void holds no checkpoint.*; and population none\.yaml does not exist \(",
    ),
    "bonus beyond sense": (
        f"{FIT_IT} --model.game.bonuses [0,1e39]",
        r"Game\.bonuses must be .* and at most 1e\+18, got 1e\+39",
    ),
    "names with commands": ("evaluate --ckpt_path a\x1b[2J --population b", r"a\\x1b\[2J does not"),
    "name that is no UTF-8": (
        f"{FIT_IT} --trainer.logger pytorch_lightning.loggers.TensorBoardLogger"
        " --trainer.logger.save_dir r\udce9",
        r"a string must not contain bytes that are not UTF-8",
    ),
    "missing history": (f"{ADAPT_IT} --logs none.csv", r"none\.csv cannot be read: No such file"),
    "history that is none": (f"{ADAPT_IT} --logs fit.yaml", r"fit\.yaml must end in one of \.csv"),
    "cell of a history": (
        f"{ADAPT_IT} --logs history_typo.csv",
        r"history_typo\.csv, row 2, column arm: must be an integer from 0 to 2 \(.*\), got 'x'",
    ),
    "malformed config": ("fit --config fit_malformed.yaml", r"(?=.*fit_malformed\.yaml).*line \d+"),
}
OTHER_FOLDER = pytest.mark.filterwarnings("ignore:The dirpath has changed")
# Python shows these only to those who ask for them
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_in_one_line(name, workplace, capsys, caplog, recwarn):
    command, message = MISTAKES[name]
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(command))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("mermaide: error: ")
    assert re.search(message, line)
    assert stopped.value.code == 2
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
    assert [each for each in recwarn if not issubclass(each.category, SILENT)] == []


def test_no_mistake_leaves_results_behind(workplace, capsys):
    for name in ("unknown rule", "missing in evaluate", "arms in evaluate", "cost"):
        with pytest.raises(SystemExit):
            main(MISTAKES[name][0].split())
    assert not Path("results.json").exists()
    assert not list(workplace.rglob("epoch*.ckpt"))


def test_our_own_mistakes_keep_their_traceback(workplace, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(evaluation, "evaluate", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        main(evaluate_with().split())


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=str)
def test_help_names_every_command(arguments, capsys):
    main(arguments)
    captured = capsys.readouterr()
    assert captured.err == ""
    for command in ("fit", "validate", "test", "evaluate", "adapt", "compare", "figure", "report"):
        assert re.search(rf"^  {command} .*mermaide {command} ", captured.out, re.MULTILINE)


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_help_lists_every_setting(command, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for option in ("model.game.cost", "data.train_population", "trainer.max_epochs"):
        assert f"--{option}" in captured.out
    # the docstrings are the help
    assert "what the principal pays for one unit of bonus" in " ".join(captured.out.split())


def test_help_of_evaluate(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    for option in ("--ckpt_path", "--population", "--shots", "--num_agents", "--seed", "--out"):
        assert option in printed


def test_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == f"mermaide_pl {version('mermaide-pl')}\n"


def test_output_that_nobody_reads_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-u", "-m", "mermaide_pl", "--help"]
    ran = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert ran.stderr.splitlines()[0] == "mermaide: error: Broken pipe"


def test_the_installed_command():
    command = Path(sysconfig.get_path("scripts")) / "mermaide"
    ran = subprocess.run([command, "--help"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    assert ran.stdout.startswith("usage: mermaide COMMAND [options]")
    assert ran.stderr == ""


def test_the_module_as_a_command(workplace):
    command = [sys.executable, "-m", "mermaide_pl", *MISTAKES["cost"][0].split()]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert line.startswith("mermaide: error: Game.cost ")


def test_a_population_from_its_file(workplace):
    assert load_population("population.yaml") == Population(
        [
            AgentFamily(UCB, {"beta": [0.2, 0.5]}, weight=2.0),
            AgentFamily(EpsilonGreedy, {"epsilon": Interval(0.1, 0.3)}),
        ],
        num_arms=3,
    )


def test_evaluate_writes_the_rows_of_every_population(workplace, capsys):
    Path("followers.yaml").write_text(family("mermaide_pl.agents.BestResponse"))
    command = evaluate_with("population.yaml followers.yaml")
    main(f"{command} --shots 0 2 --seed 3 --out new/rows.json".split())
    rows = json.loads(Path("new/rows.json").read_text())
    expected = evaluation.evaluate(
        "whole.ckpt",
        {name: load_population(f"{name}.yaml") for name in ("population", "followers")},
        shots=[0, 2],
        num_agents=4,
        seed=3,
    )
    assert rows == expected
    assert {row["population"] for row in rows} == {"population", "followers"}
    assert {row["shots"] for row in rows if row["method"] == "principal"} == {0, 2}


def test_report_says_where_the_page_is(workplace, capsys):
    main(
        [
            "report",
            "--logdir",
            "runs/a",
            "--out",
            "new/page.html",
            "--num_agents",
            "4",
            "--seed",
            "3",
        ]
    )
    assert capsys.readouterr().out.splitlines()[-1] == "report: new/page.html"
    assert "There are no curves" in Path("new/page.html").read_text()


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        (
            "evaluate --ckpt_path whole.ckpt --population population.yaml --num_agents 4",
            "burst",
        ),  # the scores are not lost
        ("report --logdir runs/a --num_agents 4", ""),
        ("adapt --ckpt_path whole.ckpt --logs history.csv", ""),
    ],
)
def test_a_file_that_cannot_be_written_is_named(command, printed, workplace, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--out", "/dev/full"])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line == "mermaide: error: /dev/full cannot be written: No space left on device"
    assert printed in said.out


def test_curves_that_cannot_be_written_are_named(workplace, monkeypatch, capfd):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    settings = yaml.safe_load(FILES["fit.yaml"])
    del settings["trainer"]["logger"]
    Path("plain.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setattr(RecordWriter, "write", full)
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # not pytest's
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", "plain.yaml"])
    assert stopped.value.code == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert re.search(
        r"error: the curves in logs/version_0 cannot be written: No space left on device$", line
    )


def test_a_configuration_that_cannot_be_written_is_named(workplace, capsys):
    Path("config.yaml").mkdir()
    with pytest.raises(SystemExit):
        main(["fit", "--config", "fit.yaml"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("config.yaml cannot be written: Is a directory")


@pytest.mark.parametrize(("command", "stage"), [("validate", "val"), ("test", "test")])
@OTHER_FOLDER
def test_scoring_a_checkpoint(command, stage, workplace, capsys):
    main(f"{command} --config fit.yaml --ckpt_path whole.ckpt".split())
    printed = capsys.readouterr().out
    for quantity in ("return", "alignment", "intervention_rate", "normalised_return"):
        for shots in (0, 1):
            assert f"{stage}/{quantity}_{shots}shot" in printed


def test_the_checkpoint_of_a_fit_is_the_configured_module(trained):
    module = MermaideModule.load_from_checkpoint(trained)
    assert (module.game.num_arms, module.game.num_steps) == (3, 8)
    assert module.principal.recurrence.weight_hh.shape == (24, 8)
    assert torch.load(trained, weights_only=True)["global_step"] == 2


def test_the_written_configuration_gives_the_same_principal(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    monkeypatch.chdir(trained.parent.parent)  # paths in it are relative to where the run began
    main(f"fit --config config.yaml --trainer.default_root_dir {tmp_path}".split())
    (path,) = tmp_path.rglob("*.ckpt")
    expected = torch.load(trained, weights_only=True)["state_dict"]
    again = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(again[name], value) for name, value in expected.items())


def test_a_run_without_a_logger_of_its_own_gets_a_folder_under_logs(workplace):
    settings = yaml.safe_load(FILES["fit.yaml"])
    del settings["trainer"]["logger"]
    Path("plain.yaml").write_text(yaml.safe_dump(settings))
    for _ in range(2):
        main(["fit", "--config", "plain.yaml"])
    main(["fit", "--config", "plain.yaml", "--trainer.logger.version", "mine"])
    runs = {path.parent.as_posix() for path in Path().rglob("events.out.tfevents.*")}
    assert runs == {"logs/version_0", "logs/version_1", "logs/mine"}
    for run in runs:
        assert Path(run, "config.yaml").is_file()
        assert len(list(Path(run, "checkpoints").glob("*.ckpt"))) == 1


@OTHER_FOLDER
def test_resuming_a_fit(workplace):
    main(f"{FIT_IT} --ckpt_path whole.ckpt --trainer.max_epochs 2".split())
    (path,) = Path("checkpoints").glob("*.ckpt")
    assert torch.load(path, weights_only=True)["global_step"] == 4


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        (FIT_IT, "."),
        (f"{FIT_IT} --trainer.enable_checkpointing false", "."),  # which has the configuration
        (FIT_IT, "checkpoints"),
        ("figure fig4 --quick --out pictures", "pictures"),
    ],
)
def test_a_folder_in_use_is_refused(command, folder, workplace, used_by_another, capsys):
    with used_by_another(workplace / folder):
        before = sorted(workplace.rglob("*"))
        with pytest.raises(SystemExit) as ended:
            main(command.split())
        assert sorted(workplace.rglob("*")) == before
    assert ended.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert re.match(rf"mermaide: error: .*{folder} is in use by another run, process \d+ on", said)


@OTHER_FOLDER
def test_the_configuration_of_a_training_stays_when_it_is_tested(workplace):
    main(FIT_IT.split())
    before = Path("config.yaml").read_bytes()
    main(["test", *FIT_IT.split()[1:], "--ckpt_path=whole.ckpt", "--model.num_eval_episodes=3"])
    assert Path("config.yaml").read_bytes() == before


def test_an_interruption_is_no_traceback(workplace, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "evaluate", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(evaluate_with(ckpt_path="whole.ckpt")))
    assert ended.value.code == 130
    assert capsys.readouterr().err == "mermaide: interrupted by SIGINT\n"


def test_a_learner_that_fails_ends_the_run_with_the_checkpoint_kept(workplace, monkeypatch, capsys):
    Path("late.py").write_text(
        "from pathlib import Path\n"
        "class Late:\n"
        "    def __init__(self, n_arms, seed): pass\n"
        "    def act(self):\n"
        "        if any(Path('run').rglob('*.ckpt')): raise RuntimeError('enough')\n"
        "        return 0\n"
        "    def learn(self, arm, reward): pass\n"
    )
    Path("late.yaml").write_text(population(families=[{"factory": "late.Late"}]))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    settings = "--data.train_population late.yaml --trainer.default_root_dir run"
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(f"{FIT_IT} --trainer.max_epochs 2 {settings}"))
    assert ended.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert re.match(
        r"mermaide: error: learner late\.Late, train task \d+, step 0: act\(\) failed:"
        r" RuntimeError: enough \(late\.py, line 5\)$",
        error,
    )
    (kept,) = Path("run").rglob("*.ckpt")
    assert torch.load(kept, weights_only=True)["epoch"] == 0


@pytest.mark.slow
def test_a_fit_from_a_checkpoint_reports_gain_and_forgetting(workplace, capsys):
    Path("epsilon.yaml").write_text(
        population(families=[{"rule": "mermaide_pl.agents.EpsilonGreedy"}])
    )
    settings = "--data.train_population epsilon.yaml --trainer.default_root_dir run"
    main(shlex.split(f"{FIT_IT} --model.init_from whole.ckpt {settings}"))
    (report,) = Path("run").rglob("finetuning.json")
    (after,) = Path("run").rglob("*.ckpt")
    rows = json.loads(report.read_text())
    learned = [
        (row["population"], row["method"], row["shots"])
        for row in rows
        if row["method"] in ("before", "after")
    ]
    assert learned == [
        (name, method, shots)
        for name in ("new agents", "old agents")
        for method in ("before", "after")
        for shots in (0, 1)
    ]
    old, new = (load_population(f"{name}.yaml") for name in ("population", "epsilon"))
    assert rows == evaluation.evaluate(
        {"before": "whole.ckpt", "after": after}, {"new agents": new, "old agents": old}
    )
    printed = capsys.readouterr().out
    assert "before 1-shot" in printed and f"results: {report}" in printed


def test_a_fit_without_checkpoints_reports_nothing(workplace, capsys):
    main(shlex.split(f"{FIT_IT} --model.init_from whole.ckpt --trainer.fast_dev_run true"))
    captured = capsys.readouterr()
    assert "no checkpoint was kept" in captured.out
    assert "before" not in captured.out


def test_fine_tuning_does_not_take_the_place_of_its_start(workplace, capsys):
    start = Path("logs/finetune/checkpoints/best.ckpt")
    start.parent.mkdir(parents=True)
    start.write_bytes(Path("whole.ckpt").read_bytes())
    logger = "--trainer.logger TensorBoardLogger --trainer.logger.save_dir logs"
    place = "--trainer.logger.name finetune --trainer.logger.version ''"
    with pytest.raises(SystemExit):
        main(shlex.split(f"{FIT_IT} --model.init_from {start} {logger} {place}"))
    error = capsys.readouterr().err
    assert f"--model.init_from {start} lies where this run writes its checkpoints" in error
    assert error.count("\n") == 1


def test_fine_tuning_starts_only_where_its_report_can_be_made(workplace, capsys):
    content = torch.load("whole.ckpt", weights_only=True)
    del content["TaskDataModule"]
    torch.save(content, "nameless.ckpt")
    with pytest.raises(SystemExit):
        main(shlex.split(f"{FIT_IT} --model.init_from nameless.ckpt"))
    error = capsys.readouterr().err
    assert error == "mermaide: error: nameless.ckpt does not name its training population\n"
    assert not list(Path().rglob("epoch*.ckpt"))


def test_adapting_to_one_agent(workplace, capsys):
    main(shlex.split(f"{ADAPT_IT} --population population.yaml --agent 2 --num_episodes 4"))
    printed = capsys.readouterr().out
    assert "copies of agent 2 of population: mean" in printed
    assert "before: whole.ckpt   after: adapted.ckpt" in printed
    main(shlex.split(evaluate_with(ckpt_path="adapted.ckpt")))
    assert "principal 1-shot" in capsys.readouterr().out


def test_adapting_from_a_history(workplace, capsys):
    main(shlex.split(f"{ADAPT_IT} --logs history.csv --target_arm 1"))
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r"history\.csv: episodes: 1, of 2 steps\n"
        r"forecast of 1 held-out steps: log-loss \d\.\d{4} before, \d\.\d{4} after, in nats per"
        r" step   target arm: 1   principal: adapted\.ckpt"
        r"   game: 3 arms, 8 steps, bonuses 0, 1, cost 0\.5, partial information\n",
        printed,
    )
    assert MermaideModule.load_from_checkpoint("adapted.ckpt").game.num_steps == 8
