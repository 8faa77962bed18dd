"""Nothing that is read runs code, unless the user names that code on purpose."""

import ast
import os
import pickle
import shlex
import sys
from pathlib import Path

import pytest
import yaml

import mermaide_pl
from mermaide_pl.cli.main import main
from mermaide_pl.config import trusted_imports as class_paths
from mermaide_pl.experiments.comparison.settings import load_comparison
from mermaide_pl.populations.files import load_population

PACKAGE = Path(mermaide_pl.__file__).parent
SOURCES = [*PACKAGE.rglob("*.py")]
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}


def name_of(node: ast.AST) -> str:
    """Such as ``torch.load``."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def dangers(source: str) -> list[str]:
    """Calls and imports that could run code from a file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            found += [each for each in modules if each.split(".")[0] in FORBIDDEN_MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        options = {option.arg: ast.unparse(option.value) for option in node.keywords}
        if name in FORBIDDEN_CALLS or name in ("os.system", "os.popen"):
            found.append(name)
        if name.endswith("torch.load") and options.get("weights_only") != "True":
            found.append(name)
        if name in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
            found.append(name)
        if "allow_pickle" in options and options["allow_pickle"] != "False":
            found.append(name)
        if options.get("shell") == "True" or options.get("weights_only") == "False":
            found.append(name)
    return found


# What processes of one run say to each other with Ray; it is never a file.
SAID = {"experiments/comparison/on_ray.py": ["cloudpickle"]}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_source_runs_code_from_files(path):
    assert dangers(path.read_text()) == SAID.get(path.relative_to(PACKAGE).as_posix(), [])


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text, Loader=yaml.Loader)",
        "np.load(path, allow_pickle=True)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_scan_finds_what_it_looks_for(source):
    assert dangers(source)


# --- class paths ---
POPULATION = {"families": [{"rule": "UCB", "hyper_parameters": {"beta": [0.2]}}], "num_arms": 3}
FIT = {
    "model": {"game": {"num_arms": 3, "num_steps": 8}, "architecture": {"hidden_size": 8}},
    "data": {
        "train_population": "population.yaml",
        "meta_batch_size": 4,
        "steps_per_epoch": 1,
        "num_val_tasks": 4,
    },
    "trainer": {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
}
# imported, it leaves a mark
PARTS = """
from dataclasses import dataclass
from pathlib import Path
import pytorch_lightning as pl
from mermaide_pl.agents import UCB, GaussianReward
from mermaide_pl.principals import SharedForecast
Path("MARK").touch()

@dataclass
class Rule(UCB):
    "A rule of one's own."

@dataclass(frozen=True)
class Reward(GaussianReward):
    "A reward model of one's own."

@dataclass(frozen=True)
class World(SharedForecast):
    "A world model of one's own."

class Callback(pl.Callback):
    "A callback of one's own."
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    monkeypatch.setattr(class_paths, "_imported", {})
    Path("my_parts.py").write_text(PARTS)
    write("population.yaml", POPULATION)
    yield
    sys.modules.pop("my_parts", None)


def write(name: str, content: object) -> None:
    Path(name).write_text(yaml.safe_dump(content))


def fit_with(slot: str, value: object) -> dict:
    """The configuration with a value in a slot."""
    content = yaml.safe_load(yaml.safe_dump(FIT))
    *place, last = slot.split(".")
    holder = content
    for key in place:
        holder = holder.setdefault(key, {})
    holder[last] = value
    return content


def refusal(command: str, capsys) -> str:
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(command))
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize(
    "slot",
    [
        "model.game.observation",
        "model.architecture.world_model",
        "model.adaptation",
        "model.objective.advantages",
        "model.game",
        "data.train_population.reward_model",
        "data.val_population",
    ],
)
@pytest.mark.parametrize("form", ["text", "mapping"])
def test_a_fit_imports_no_foreign_module(slot, form, capsys):
    named = "my_parts.World" if form == "text" else {"class_path": "my_parts.World"}
    content = fit_with(slot.replace("train_population.reward_model", "train_population"), named)
    if slot.startswith("data.train"):
        content["data"]["train_population"] = POPULATION | {"reward_model": named}
    write("fit.yaml", content)
    line = refusal("fit --config fit.yaml", capsys)
    assert "'my_parts.World' is not part of mermaide_pl" in line
    assert "--import my_parts" in line
    assert not Path("MARK").exists()


def test_nor_does_its_command_line(capsys):
    write("fit.yaml", FIT)
    refusal("fit --config fit.yaml --model.architecture.world_model my_parts.World", capsys)
    assert not Path("MARK").exists()


def test_the_name_of_a_file_is_no_module(capsys):
    Path("population.py").write_text("open('MARK', 'w')")
    write("fit.yaml", FIT)
    main(shlex.split("fit --config fit.yaml --data.val_population population.yaml"))
    assert not Path("MARK").exists()


@pytest.mark.parametrize("slot", ["base_rewards", "target", "reward_model"])
def test_nor_does_a_population(slot):
    write("population.yaml", POPULATION | {slot: {"class_path": "my_parts.Reward"}})
    with pytest.raises(ValueError, match=r"'my_parts\.Reward' is not part of mermaide_pl"):
        load_population("population.yaml")
    assert not Path("MARK").exists()


def test_nor_does_a_comparison():
    content = {
        "methods": {"mine": {"architecture": {"world_model": {"class_path": "my_parts.World"}}}},
        "train_populations": {"it": "population.yaml"},
        "test_populations": ["population.yaml"],
    }
    write("compare.yaml", content)
    with pytest.raises(ValueError, match=r"'my_parts\.World' is not part of mermaide_pl"):
        load_comparison("compare.yaml")
    content["methods"] = {"mine": {}}
    content["observations"] = {"mine": {"class_path": "my_parts.World"}}
    write("compare.yaml", content)
    with pytest.raises(ValueError, match=r"'my_parts\.World' is not part of mermaide_pl"):
        load_comparison("compare.yaml")
    assert not Path("MARK").exists()


def test_a_population_names_its_rules_on_purpose():
    families = [{"rule": "my_parts.Rule", "hyper_parameters": {"beta": [0.2]}}]
    write("population.yaml", POPULATION | {"families": families})
    assert load_population("population.yaml").families[0].rule.__name__ == "Rule"


def test_the_trainer_takes_callbacks_of_ones_own(capsys):
    write("fit.yaml", fit_with("trainer.callbacks", [{"class_path": "my_parts.Callback"}]))
    main(["fit", "--config", "fit.yaml", "--trainer.fast_dev_run", "true"])
    assert Path("MARK").exists()


def test_parts_of_ones_own_by_name_on_the_command_line(capsys):
    write("fit.yaml", fit_with("model.architecture.world_model", {"class_path": "my_parts.World"}))
    main(shlex.split("fit --import my_parts --config fit.yaml --trainer.default_root_dir run"))
    (checkpoint,) = Path("run").rglob("*.ckpt")
    write("mine.yaml", POPULATION | {"reward_model": {"class_path": "my_parts.Reward"}})
    assert Path("MARK").exists()
    command = f"evaluate --ckpt_path {checkpoint} --population mine.yaml --num_agents 4"
    main(shlex.split(f"{command} --num_tuning_agents 4 --import=my_parts"))


def test_a_module_that_cannot_be_imported(capsys):
    assert "--import nowhere" in refusal("fit --import nowhere --config fit.yaml", capsys)
    assert "--import needs" in refusal("fit --import", capsys)


def test_what_others_parse_is_theirs():
    from jsonargparse import ArgumentParser

    load_population("population.yaml")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--part", type=mermaide_pl.agents.RewardModel)
    assert parser.parse_args(["--part", "my_parts.Reward"]).part.class_path == "my_parts.Reward"


class Armed:
    def __reduce__(self):
        return os.mkdir, ("MARK",)


def test_a_report_runs_nothing_of_its_folder(capsys):
    Path("run").mkdir()
    for name in ("best.ckpt", "events.out.tfevents.1", "results.json"):
        Path("run", name).write_bytes(pickle.dumps(Armed()))
    assert "best.ckpt cannot be read" in refusal("report --logdir run", capsys)
    assert not Path("MARK").exists()
