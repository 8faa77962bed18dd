"""Bad arguments of every command, and bad configurations of fits and comparisons."""

import shlex
import sys
from pathlib import Path

import pytest
import yaml
from bad_inputs import KINDS, TEXT, Bad, damaged_text, hunt, mutated, refuse
from hypothesis import strategies as st
from test_bad_checkpoints import GOOD, saved

from mermaide_pl.evaluation import protocol as evaluation

POPULATION = {"families": [{"rule": "UCB", "hyper_parameters": {"beta": [0.2]}}], "num_arms": 3}
FIT = {
    "model": {
        "game": {
            "num_arms": 3,
            "num_steps": 8,
            "bonuses": [0.0, 1.0],
            "cost": 0.5,
            "observation": {
                "class_path": "mermaide_pl.game.PartialInformation",
                "init_args": {"arm_flip": 0.1},
            },
        },
        "architecture": {
            "hidden_size": 8,
            "policy_size": 8,
            "world_model": {
                "class_path": "mermaide_pl.principals.SharedForecast",
                "init_args": {"size": 8},
            },
        },
        "adaptation": {
            "class_path": "mermaide_pl.meta_learning.GradientAdaptation",
            "init_args": {"num_shots": 1, "inner_lr": 0.3, "optimizer_args": {"momentum": 0.9}},
        },
        "objective": {
            "entropy_start": 0.05,
            "advantages": {
                "class_path": "mermaide_pl.objectives.HindsightAdvantages",
                "init_args": {"gae_lambda": 0.9},
            },
        },
        "num_query_episodes": 4,
        "meta_lr": 0.005,
        "engine": "auto",
    },
    "data": {
        "train_population": "population.yaml",
        "val_population": "population.yaml",
        "meta_batch_size": 4,
        "steps_per_epoch": 2,
        "num_val_tasks": 4,
        "seed": 0,
    },
    "trainer": {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [{"class_path": "pytorch_lightning.callbacks.LearningRateMonitor"}],
    },
}
FIT_KINDS = {
    ("model",): "group",
    ("model", "game"): "group",
    ("model", "game", "num_arms"): "count",
    ("model", "game", "num_steps"): "count",
    ("model", "game", "bonuses"): "list",
    ("model", "game", "bonuses", 1): "positive",
    ("model", "game", "cost"): "not negative",
    ("model", "game", "observation"): "class",
    ("model", "game", "observation", "init_args", "arm_flip"): "probability",
    ("model", "architecture"): "group",
    ("model", "architecture", "hidden_size"): "count",
    ("model", "architecture", "policy_size"): "count",
    ("model", "architecture", "world_model"): "class",
    ("model", "architecture", "world_model", "init_args", "size"): "count",
    ("model", "adaptation"): "class",
    ("model", "adaptation", "init_args", "num_shots"): "count",
    ("model", "adaptation", "init_args", "inner_lr"): "positive",
    ("model", "adaptation", "init_args", "optimizer_args"): "group",
    ("model", "adaptation", "init_args", "optimizer_args", "momentum"): "not negative",
    ("model", "objective", "entropy_start"): "not negative",
    ("model", "objective", "advantages"): "class",
    ("model", "objective", "advantages", "init_args", "gae_lambda"): "probability",
    ("model", "num_query_episodes"): "count",
    ("model", "meta_lr"): "positive",
    ("model", "engine"): "class",
    ("data",): "group",
    ("data", "train_population"): "group",
    ("data", "val_population"): "group",
    ("data", "meta_batch_size"): "count",
    ("data", "steps_per_epoch"): "count",
    ("data", "num_val_tasks"): "count",
    ("data", "seed"): "seed",
    ("trainer",): "group",
    ("trainer", "max_epochs"): "text",
    ("trainer", "accelerator"): "class",
    ("trainer", "callbacks"): "class",
    ("trainer", "callbacks", 0): "class",
}
KINDS["text"] = TEXT
METHOD = {key: value for key, value in FIT["model"].items() if key not in ("game", "engine")}
COMPARISON = {
    "methods": {"mine": METHOD},
    "train_populations": {"ucb": "population.yaml"},
    "val_population": "population.yaml",
    "test_populations": ["population.yaml"],
    "game": {"num_arms": 3, "num_steps": 8},
    "observations": {"partial": {"class_path": "mermaide_pl.game.PartialInformation"}},
    "costs": [0.5],
    "seeds": [0],
    "agent_steps": 256,
    "num_validations": 1,
    "num_val_tasks": 4,
    "meta_batch_size": 4,
    "shots": [0, 1],
    "num_agents": 4,
    "fine_tuning_rates": [0.0, 0.1],
}
COMPARISON_KINDS = {
    ("methods",): "list",
    ("methods", "mine"): "group",
    **{
        ("methods", "mine", *path[1:]): kind
        for path, kind in FIT_KINDS.items()
        if path[0] == "model" and path[1:] and path[1] not in ("game", "engine")
    },
    ("train_populations",): "list",
    ("train_populations", "ucb"): "group",
    ("val_population",): "group",
    ("test_populations",): "list",
    ("test_populations", 0): "group",
    ("game",): "group",
    ("game", "num_steps"): "count",
    ("observations",): "list",
    ("observations", "partial"): "class",
    ("costs",): "list",
    ("costs", 0): "not negative",
    ("seeds",): "list",
    ("seeds", 0): "seed",
    ("agent_steps",): "positive",
    ("num_validations",): "count",
    ("num_val_tasks",): "count",
    ("meta_batch_size",): "count",
    ("shots",): "list",
    ("shots", 0): "count or 0",
    ("num_agents",): "count",
    ("fine_tuning_rates", 1): "not negative",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    monkeypatch.setattr(evaluation, "NUM_TUNING_AGENTS", 5)
    Path("population.yaml").write_text(yaml.safe_dump(POPULATION))
    Path("other.yaml").write_text(yaml.safe_dump(POPULATION | {"num_arms": 4}))
    Path("fit.yaml").write_text(yaml.safe_dump(FIT))
    Path("compare.yaml").write_text(yaml.safe_dump(COMPARISON))
    Path("history.csv").write_text("episode,step,arm,intervention\n0,0,2,0\n0,1,1,1\n")
    Path("good.ckpt").write_bytes(saved(GOOD))
    Path("run").mkdir()
    Path("run/best.ckpt").write_bytes(saved(GOOD))
    Path("folder").mkdir()
    Path("text.txt").write_text("hello there")


def yaml_bytes(content) -> bytes:
    return yaml.safe_dump(content, allow_unicode=True).encode()


def refused(command: str, content: bytes, says: str) -> None:
    Path("bad.yaml").write_bytes(content)
    refuse([*shlex.split(command), "--config", "bad.yaml"], says)
    assert not Path("MARK").exists()


def test_a_mistake_in_the_configuration_of_a_fit():
    def check(bad: Bad) -> None:
        refused("fit", yaml_bytes(bad.content), bad.says)

    hunt("fits", mutated(FIT, FIT_KINDS), check)


def test_a_damaged_configuration_of_a_fit():
    hunt("fit texts", damaged_text(FIT), lambda bad: refused("fit", bad.content, bad.says))


def test_a_mistake_in_a_comparison():
    def check(bad: Bad) -> None:
        refused("compare", yaml_bytes(bad.content), r"configuration bad\.yaml|population \S+")

    free = [("methods",), ("train_populations",), ("observations",)]
    hunt("comparisons", mutated(COMPARISON, COMPARISON_KINDS, free), check)


def test_a_damaged_comparison():
    hunt(
        "comparison texts",
        damaged_text(COMPARISON),
        lambda bad: refused("compare", bad.content, "configuration bad"),
    )


EVALUATE = "evaluate --ckpt_path good.ckpt --population population.yaml --num_agents 4 --shots 0"
ADAPT = "adapt --ckpt_path good.ckpt --out new.ckpt"
PLAY = f"{ADAPT} --population population.yaml --num_episodes 4"
LOGS = f"{ADAPT} --logs history.csv"
REPORT = "report --logdir run --num_agents 4 --out new.html"
COMPARE = "compare --config compare.yaml"
CHECK = "check-agent test_bad_commands.Learner"
FIT_IT = "fit --config fit.yaml"
NO_NUMBER = ["many", "1.5", "nan", "inf", "-inf", "", "1e3x", "½", "[1]", "{a: 1}", "0x", "None?"]
NEGATIVE = ["-1", "-99999999999999999999"]
HUGE = ["100000000000000000000", "1000000000000000000000000000000"]
NO_FILE = [
    "none",
    "folder",
    "folder/none",
    "text.txt/none",
    "",
    "~nobody/x",
    "名前",
    "x" * 300,
    "good.ckpt/",
]
NO_YAML = [*NO_FILE, "text.txt", "good.ckpt", "history.csv", "compare.yaml"]
NO_CHECKPOINT = [
    *NO_FILE[:-1],
    "text.txt",
    "fit.yaml",
    "history.csv",
    "pretrained:",
    "pretrained:nobody",
    "pretrained:../x",
]
NO_PLACE = ["folder", ".", "", "text.txt/new", "x" * 300, "run/best.ckpt/new", "/proc/none/new"]
OPTIONS = {
    (EVALUATE, "--ckpt_path"): NO_CHECKPOINT,
    (EVALUATE, "--population"): [*NO_YAML, "other.yaml"],
    (EVALUATE, "--shots"): NO_NUMBER + NEGATIVE + HUGE,
    (EVALUATE, "--num_agents"): [*NO_NUMBER, *NEGATIVE, *HUGE, "0", "1"],
    (EVALUATE, "--num_tuning_agents"): [*NO_NUMBER, *NEGATIVE, *HUGE, "0"],
    (EVALUATE, "--seed"): [*NO_NUMBER, *NEGATIVE, *HUGE, "4194304"],
    (EVALUATE, "--out"): [*NO_PLACE, "good.ckpt", "population.yaml"],
    (EVALUATE, "--engine"): ["cuda", "", "3", "Torch", "auto native"],
    (EVALUATE, "--import"): ["nowhere", "", "no-module", "os.nope", ".", "a/b"],
    (PLAY, "--ckpt_path"): NO_CHECKPOINT,
    (PLAY, "--population"): [*NO_YAML, "other.yaml"],
    (PLAY, "--agent"): [*NO_NUMBER, *NEGATIVE, *HUGE, "1099511627776"],
    (PLAY, "--shots"): [*NO_NUMBER, *NEGATIVE, *HUGE, "0"],
    (PLAY, "--num_episodes"): [*NO_NUMBER, *NEGATIVE, *HUGE, "0", "1"],
    (PLAY, "--seed"): [*NO_NUMBER, *NEGATIVE, *HUGE, "4194304"],
    (PLAY, "--out"): [*NO_PLACE, "good.ckpt", "population.yaml", "pretrained:new"],
    (PLAY, "--target_arm"): ["0", "x"],
    (LOGS, "--ckpt_path"): NO_CHECKPOINT,
    (LOGS, "--logs"): [*NO_FILE, "text.txt", "fit.yaml", "good.ckpt"],
    (LOGS, "--target_arm"): [*NO_NUMBER, *NEGATIVE, *HUGE, "3"],
    (LOGS, "--arms"): ["", ",", "a", "a,b", "a,b,a", "a,,b", "a,b,c,d", "a;b;c"],
    (LOGS, "--columns"): ["", "arm", "arm=", "=arm", "x=arm", "arm=x", "arm=step", "arm=a,arm=b"],
    (LOGS, "--out"): [*NO_PLACE, "good.ckpt", "history.csv", "pretrained:new"],
    (LOGS, "--shots"): ["1", "x"],
    (REPORT, "--logdir"): [*NO_FILE, "text.txt", "good.ckpt", "folder"],
    (REPORT, "--out"): [*NO_PLACE, "run/best.ckpt"],
    (REPORT, "--num_agents"): [*NO_NUMBER, *NEGATIVE, *HUGE, "0", "1"],
    (REPORT, "--seed"): [*NO_NUMBER, *NEGATIVE, *HUGE, "4194304"],
    (REPORT, "--population"): [*NO_YAML, "other.yaml"],
    (COMPARE, "--config"): [*NO_FILE, "text.txt", "good.ckpt", "history.csv", "fit.yaml"],
    (COMPARE, "--minutes"): ["many", "nan", "-1", "-inf", "", "[1]", "½"],
    (COMPARE, "--out"): ["text.txt", "good.ckpt", "", "text.txt/new", "x" * 300, "/proc/none/new"],
    ("figure games", "--ckpt_path"): [*NO_CHECKPOINT, "good.ckpt"],  # it plays one game alone
    ("figure fig2", "--seed"): [*NO_NUMBER, *NEGATIVE, *HUGE, "4194304"],
    ("figure fig2", "--out"): [
        "text.txt",
        "good.ckpt",
        "",
        "text.txt/new",
        "x" * 300,
        "/proc/none/new",
    ],
    (CHECK, "--num_arms"): [*NO_NUMBER, *NEGATIVE, *HUGE, "0", "1"],
    (CHECK, "--hyper_parameters"): [
        "x",
        "3",
        "[1]",
        "{nope: 1}",
        "{epsilon: many}",
        "{epsilon: [1]}",
        "{",
    ],
}
OVERRIDES = {
    "model.game.num_arms": [*NO_NUMBER, *NEGATIVE, *HUGE, "1", "4"],
    "model.game.cost": ["many", "nan", "-1", "[1]"],
    "model.game": ["many", "3", "[1]", "{nope: 1}"],
    "model.game.nope": ["1"],
    "model.architecture.world_model": ["nowhere.World", "os.system", "3", "Nope"],
    "model.init_from": [*NO_CHECKPOINT[:4], "text.txt", "pretrained:nobody"],
    "model.meta_lr": ["0", "-1", "nan", "many"],
    "data.train_population": [
        "none.yaml",
        "folder",
        "text.txt",
        "other.yaml",
        "os.system",
        "good.ckpt",
    ],
    "data.meta_batch_size": [*NO_NUMBER, *NEGATIVE, *HUGE, "0"],
    "data.nope": ["1"],
    "trainer.max_epochs": ["many", "1.5", "[1]", "-5"],
    "trainer.accelerator": ["abacus", "3"],
    "trainer.precision": ["16", "many", "8"],
    "trainer.callbacks": ["nowhere.Callback", "3", "os.system"],
    "trainer.nope": ["1"],
    "ckpt_path": ["none.ckpt", "folder", "text.txt", "fit.yaml"],
    "seed_everything": ["many", "-1", "1.5"],
    "config": ["none.yaml", "folder", "text.txt", "good.ckpt", "history.csv", ""],
}
EMPTY = [
    "",
    "fits",
    "--nope",
    "evaluate",
    "evaluate --nope",
    "adapt",
    "report",
    "compare",
    "figure",
    "figure fig9",
    "figure fig2 fig3",
    "check-agent",
    "check-agent nowhere",
    "check-agent nowhere.X",
    "check-agent os.nope",
    "check-agent math.pi",
    "fit --",
    "fit --config",
    "validate",
    "test --nope 3",
    "evaluate --shots",
    "evaluate positional",
    "-h3",
    "FIT",
    "--import",
    f"{EVALUATE} --import",
    f"{EVALUATE} extra=3",
    f"{FIT_IT} extra",
    f"{PLAY} --logs history.csv",
]


class Learner:
    """Good enough."""

    def __init__(self, n_arms: int, seed: int, epsilon: float = 0.1) -> None:
        self.n_arms = n_arms

    def act(self) -> int:
        return 0

    def learn(self, arm: int, reward: float) -> None:
        pass


@st.composite
def bad_arguments(draw) -> Bad:
    """Of a command that would be good without one option, or a command that is none."""
    how = draw(st.sampled_from(["option"] * 9 + ["override", "command"]))
    if how == "command":
        return Bad(tuple(shlex.split(draw(st.sampled_from(EMPTY[1:])))))
    if how == "override":
        key = draw(st.sampled_from(sorted(OVERRIDES)))
        value = draw(st.sampled_from(OVERRIDES[key]))
        given = (f"--{key}={value}",) if draw(st.booleans()) else (f"--{key}", value)
        return Bad((*FIT_IT.split(), *given))
    command, option = draw(st.sampled_from(sorted(OPTIONS)))
    value = draw(st.sampled_from(OPTIONS[command, option]))
    given = (f"{option}={value}",) if draw(st.booleans()) else (option, value)
    return Bad((*command.split(), *given))


def test_bad_arguments():
    def check(bad: Bad) -> None:
        said = refuse(bad.content)
        assert len(said) > len("mermaide: error: ") + 10

    hunt("arguments", bad_arguments(), check)
