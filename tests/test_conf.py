import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mermaide_pl.agents import (
    EXP3,
    UCB,
    BestResponse,
    EpsilonGreedy,
    GaussianReward,
    GaussianThompson,
    LearningRule,
    NoiseFreeReward,
    Softmax,
)
from mermaide_pl.cli.lightning import configured
from mermaide_pl.cli.main import main
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import NormalRewards, UniformRewards, UniformTarget
from mermaide_pl.populations.files import load_population
from mermaide_pl.principals import NoIntervention
from mermaide_pl.sweeps.settings import load_sweep

CONF = Path(__file__).parent.parent / "conf"
POPULATIONS = sorted((CONF / "population").glob("*.yaml"))
SWEEP = CONF / "sweep.yaml"
OVERLAY = CONF / "ddp.yaml"
RUNS = sorted(set(CONF.glob("*.yaml")) - {OVERLAY, SWEEP})
PLACES = ("default_root_dir", "save_dir", "dirpath")
# file to the one rule of its agents
RULES = {
    "train_ucb": UCB,
    "train_exp3": EXP3,
    "val_ucb": UCB,
    "unseen_ucb": UCB,
    "unseen_rewards": UCB,
    "epsilon_greedy": EpsilonGreedy,
    "exp3": EXP3,
    "softmax": Softmax,
    "thompson": GaussianThompson,
    "best_response": BestResponse,
}


def name(path: Path) -> str:
    return path.relative_to(CONF).with_suffix("").as_posix()


def population(stem: str):
    return load_population(CONF / "population" / f"{stem}.yaml")


def betas(stem: str) -> set[float]:
    return {
        beta for family in population(stem).families for beta in family.hyper_parameters["beta"]
    }


def test_there_are_files_to_test():
    assert CONF / "quickstart.yaml" in RUNS
    assert set(RULES) <= {path.stem for path in POPULATIONS}


@pytest.mark.parametrize("path", POPULATIONS, ids=name)
def test_every_population_plays(path, monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "all")  # else the first use only
    loaded = load_population(path)
    assert loaded.num_arms == 10
    tasks = loaded.sample(range(8), split="test")
    played = rollout(
        tasks, NoIntervention(), Game(num_steps=12), stream=Stream.SCORE, num_episodes=1
    )
    assert played.arms.min() >= 0
    assert played.arms.max() <= 9
    assert played.agent_rewards.isfinite().all()


@pytest.mark.parametrize("path", POPULATIONS, ids=name)
def test_a_population_states_what_it_means(path):
    stated, loaded = yaml.safe_load(path.read_text()), load_population(path)
    assert {"families", "num_arms", "base_rewards", "reward_model"} <= set(stated)
    assert path.read_text().startswith("# ")
    for family, loaded_family in zip(stated["families"], loaded.families, strict=True):
        rule = loaded_family.rule
        assert family["rule"] == f"mermaide_pl.agents.{rule.__name__}"
        assert issubclass(rule, LearningRule)
        assert list(loaded_family.hyper_parameters) == list(family["hyper_parameters"])


@pytest.mark.parametrize("stem", RULES)
def test_agents_are_those_the_name_promises(stem):
    loaded = population(stem)
    assert {family.rule for family in loaded.families} == {RULES[stem]}
    assert loaded.target == UniformTarget()
    rewards = NormalRewards(0.5, 0.2) if stem == "unseen_rewards" else UniformRewards(0.0, 1.0)
    assert loaded.base_rewards == rewards
    noise = NoiseFreeReward() if stem == "best_response" else GaussianReward(0.1)
    assert loaded.reward_model == noise


def test_unseen_agents_are_not_among_those_trained_on():
    train, val, unseen = betas("train_ucb"), betas("val_ucb"), betas("unseen_ucb")
    assert not train & val
    assert not (train | val) & unseen
    assert {0.17, 0.67} <= train
    assert min(unseen) < min(train) < max(train) < max(unseen)
    assert betas("unseen_rewards") == train


@pytest.mark.parametrize("stem", ["exp3", "train_exp3"])
def test_exp3_knows_the_range_that_the_bonus_widens(stem):
    for family in population(stem).families:
        assert family.hyper_parameters["reward_low"] == 0.0
        assert family.hyper_parameters["reward_high"] == 1.0 + max(Game().bonuses)


def test_fine_tuning_meets_none_of_the_exp3_agents_to_come():
    (unseen,) = population("exp3").families
    ucb, *families = population("train_ucb_exp3").families
    assert families == population("train_exp3").families
    assert [replace(ucb, weight=1.0)] == population("train_ucb").families
    for family in families:
        gamma = family.hyper_parameters["gamma"]
        assert not any(
            gamma.low <= value <= gamma.high for value in unseen.hyper_parameters["gamma"]
        )


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_every_configuration_runs(path, tmp_path, monkeypatch, capsys):
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
    if "init_from" in yaml.safe_load(path.read_text())["model"]:
        del small["model.game.num_steps"]  # the game is that of the principal it begins with
    options = [f"--{option}={value}" for option, value in small.items()]
    main(["fit", "--config", str(path), *options])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("path", RUNS, ids=name)
def test_every_configuration_writes_under_logs(path):
    """What a run writes is ignored by git only there."""
    trainer = yaml.safe_load(path.read_text()).get("trainer", {})
    places, waiting = [], [trainer]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            places += [part[key] for key in PLACES if key in part]
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
    assert len(places) >= 2  # with a logger, and without one
    assert all(place.split("/")[0] == "logs" for place in places)


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
    two, one = (yaml.safe_load(path.read_text()) for path in (OVERLAY, CONF / "quickstart.yaml"))
    assert (
        two["data"]["meta_batch_size"] * two["trainer"]["devices"]
        == (one["data"]["meta_batch_size"])
    )


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


def test_a_plain_module_is_what_the_quickstart_trains():
    _, module, _ = configured(
        ["--config", str(CONF / "quickstart.yaml"), "--trainer.logger", "false"]
    )
    assert MermaideModule().spec == module.spec
