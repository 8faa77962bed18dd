"""README and site: their commands run, and their names, tables and numbers are true."""

import json
import re
import sys
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
from pages import NAMES, ROOT, blocks, commands, tables, text_of

from mermaide_pl import AgentFamily, Game, MermaideModule, Population, TaskDataModule
from mermaide_pl.agents import UCB
from mermaide_pl.cli.commands import COMMANDS
from mermaide_pl.cli.main import main
from mermaide_pl.deployment import adapt_to_agent as one_agent
from mermaide_pl.evaluation import fine_tuning_report as fine_tuning
from mermaide_pl.evaluation.tables import interval_text
from mermaide_pl.principals import Architecture
from mermaide_pl.reporting.report import page as report

DEVICES, SERVICE = "docs/guides/several_devices.md", "docs/guides/service.md"
ONNX = "docs/guides/in_other_programs.md"
RUN_ELSEWHERE = (DEVICES, SERVICE, ONNX)  # below, in tests/service and in tests/deployment
WITH_COMMANDS = [
    name
    for name in NAMES
    if name not in RUN_ELSEWHERE and any(c[0] == "mermaide" for c in commands(name))
]
WITH_PYTHON = [name for name in NAMES if name != ONNX and blocks(name, "python")]
HOUSE_WORDS = re.compile(
    r"\b(luck\w*|yardsticks?|besides|trembl\w+|loose learners|goes? on|met with|contestants?)\b"
)


def prose(name: str) -> str:
    """A page without code blocks, code and macros."""
    text = re.sub(r"```.*?```", "", text_of(name), flags=re.DOTALL)
    text = re.sub(r"\{\{.*?\}\}|\{%.*?%\}|`[^`]*`", "", text, flags=re.DOTALL)
    return re.sub(r"\$\$?[^$]+\$\$?", "", text)


def record(path: str):
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name):
    named = re.findall(r"\b(?:conf|benchmarks|examples)/[\w/]+\.(?:yaml|py|sbatch)", text_of(name))
    named = [each for each in named if each.islower()]  # others are placeholders, P.yaml
    assert [each for each in named if not (ROOT / each).is_file()] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("docs")])
def test_no_measured_number_is_typed(name):
    assert re.findall(r"-?\b\d\.\d{3,}\b|±\s*\d", prose(name)) == []


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_in_the_words_of_the_field(name):
    assert HOUSE_WORDS.findall(prose(name).lower()) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_in_the_words_of_the_field(name, capsys):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert re.match(rf"usage: mermaide (\[options\] )?{name}\b", said)
    assert HOUSE_WORDS.findall(said.lower()) == []


def test_every_promise_has_its_test():
    page = text_of("docs/reliability.md")
    promises = re.findall(r"^- \*\*(.*?)\*\*.*<br>(.*)$", page, flags=re.MULTILINE)
    assert len(promises) > 20
    for promise, tests in promises:
        named = re.findall(r"`([\w/]+(?:\.py)?)(?:::(\w+))?`", tests)
        assert named, promise
        for path, test in named:
            assert (ROOT / path).exists(), path
            assert not test or f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), test


def test_classes_that_are_named_exist():
    (slots,) = (t for t in tables("docs/configuration.md") if t[0][0] == "slot")
    paths = (ROOT / "mermaide_pl").rglob("*.py")
    source = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    classes = re.findall(r"`([A-Z]\w+)`", str(slots))
    assert len(classes) > 20
    assert [name for name in classes if f"class {name}" not in source] == []


def test_every_command_is_in_the_list():
    listed = [row[0] for row in tables("docs/commands.md")[0]]
    assert [name for name in COMMANDS if f"`mermaide {name}" not in str(listed)] == []


def test_the_table_of_scores_is_the_recorded_one():
    shown = next(t for t in tables("README.md") if t[0][0].startswith("mean reward a step"))
    rows = {
        (row["method"], row["shots"], row["population"]): interval_text(row, "return")
        for row in record("results/quickstart.json")
    }
    methods = [("none", 0), ("burst", 0), ("principal", 0), ("principal", 1), ("oracle", 0)]
    assert [row[1:] for row in shown[2:]] == [
        [rows[*method, population] for population in ("unseen_ucb", "epsilon_greedy")]
        for method in methods
    ]
    schedules = ("none", "always", "periodic", "burst", "random")
    returns = {row["method"]: row["return_mean"] for row in record("results/quickstart.json")}
    assert max(schedules, key=returns.__getitem__) == "burst"


def test_the_table_of_times_is_the_recorded_one():
    shown = next(t for t in tables("README.md") if t[0][0] == "this package")
    contestants = record("benchmarks/results/w1.json")["contestants"]
    names = ("ours_native", "jax_tuned", "jax", "torchopt_per_task", "higher_per_task")
    assert shown[2] == [f"{contestants[name]['median_s']:.3f}" for name in names]


def test_the_fleet_is_as_fast_as_was_asked():
    rows = record("benchmarks/results/fleet.json")["decisions"]
    (mixed,) = (r for r in rows if (r["kind"], r["batch"]) == ("mixed games", 10_000))
    assert mixed["decisions_per_cpu_second"] > 25_000  # 50,000 a second on two cores


def test_makefile_runs_the_commands_that_are_shown():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    shown = [c[1:] for c in commands("README.md") if c[0].endswith("bin/mermaide")]
    assert [command[0] for command in shown] == ["fit", "evaluate"]
    values = dict(re.findall(r"^(QUICKSTART_\w+)\s*\?= (.*)$", makefile, flags=re.MULTILINE))
    for _ in range(2):  # a value may name another
        makefile = re.sub(r"\$\((QUICKSTART_\w+)\)", lambda match: values[match[1]], makefile)
    recipe = makefile.replace("\\\n", " ")
    for command in shown:
        assert re.search(r"mermaide\s+" + r"\s+".join(map(re.escape, command)) + r"\s", recipe)


@pytest.fixture
def a_folder(monkeypatch, tmp_path):
    """Work in a folder with the files that the pages speak of."""
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_learners", raising=False)
    (own,) = (b for b in blocks("README.md", "python") if b.startswith("# my_learners.py"))
    (same,) = (b for b in blocks("docs/guides/own_learner.md", "python"))
    assert own == same
    Path("my_learners.py").write_text(own, encoding="utf-8")
    (population,) = blocks("docs/guides/own_learner.md", "yaml")
    Path("my_population.yaml").write_text(population, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_commands_run(name, a_folder, monkeypatch, capsys):
    Path("history.csv").write_text(
        "episode,step,arm,intervention,propensity\n"
        + "".join(f"{e},{t},{(e + t) % 4},{t % 2},0.5\n" for e in range(3) for t in range(20)),
        encoding="utf-8",
    )
    for file, header in (("choices.csv", "agent,step"), ("people.csv", "person,trial")):
        rows = (f"{m},{t},{(m * t) % 5 % 2},{t % 3 % 2}\n" for m in range(6) for t in range(12))
        Path(file).write_text(f"{header},arm,agent_reward\n" + "".join(rows), encoding="utf-8")
    few = {"num_agents": 4, "num_tuning_agents": 2}
    for module in (fine_tuning, one_agent, report):
        monkeypatch.setattr(module, "evaluate", partial(module.evaluate, num_tuning_agents=2))
    monkeypatch.setattr(fine_tuning, "evaluate", partial(fine_tuning.evaluate, **few))
    short = ["--trainer.max_epochs", "1", "--data.steps_per_epoch", "1"]
    shrunk = {
        "check-agent": [],
        "evaluate": ["--num_agents", "4", "--num_tuning_agents", "2"],
        "fit": [*short, "--data.num_val_tasks", "2"],
        "report": ["--num_agents", "4"],
        "adapt": ["--num_episodes", "4"],
        "fit-learner": [],
        "sweep": ["--minutes", "0"],
    }
    for command in (c[1:] for c in commands(name) if c[0] == "mermaide"):
        main([*command, *([] if "--logs" in command else shrunk[command[0]])])
    if name == "docs/guides/own_learner.md":
        assert Path("report.html").is_file() and Path("adapted.ckpt").is_file()
        assert "before 1-shot" in capsys.readouterr().out


@pytest.mark.slow
def test_commands_for_several_devices_run(a_folder):
    """On one device: tests/distributed starts several, and test_on_ray.py runs `compare --ray`."""
    shown = [command for command in commands(DEVICES) if command[:2] != ["mermaide", "compare"]]
    started = [command for command in shown if command[0] in ("mermaide", "torchrun")]
    assert [command[0] for command in started] == ["mermaide", "torchrun", "torchrun", "mermaide"]
    few = ["--num_agents=4", "--num_tuning_agents=2", "--devices=1"]
    fast = ["--trainer.fast_dev_run=true", "--data.num_val_tasks=2", "--model.game.num_steps=8"]
    alone = ["--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto"]
    for command in started:
        if command[0] == "torchrun":
            assert command[command.index("-m") + 1] == "mermaide_pl"
            command = command[command.index("mermaide_pl") :]
        main([*command[1:], *(few if "evaluate" in command else [*fast, *alone])])


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_snippets_run(name, a_folder):
    snippet = "\n".join(blocks(name, "python"))
    whole, small = (
        "MermaideModule()",
        "MermaideModule(Game(num_steps=6), Architecture(hidden_size=4))",
    )
    exec(snippet.replace(whole, small), {"Game": Game, "Architecture": Architecture})


def answers():
    """The commands that the page on mistakes shows, each with its answer."""
    for block in blocks("docs/faq.md", "console"):
        command, answer = block.removeprefix("$ mermaide ").split("\n", 1)
        yield command, answer


@pytest.mark.parametrize(("command", "answer"), list(answers()), ids=[c for c, _ in answers()])
def test_mistakes_are_answered_as_the_page_shows(command, answer, a_folder, capsys, monkeypatch):
    monkeypatch.delenv("MERMAIDE_TOKEN", raising=False)
    Path("history.csv").write_text(
        "episode,step,arm,intervention\n0,0,3,1\n0,1,12,1\n0,3,4,0\n", encoding="utf-8"
    )
    Path("wrong.yaml").write_text(
        "families: [{rule: UCB, hyper_parameters: {betta: 0.5}}]\n", encoding="utf-8"
    )
    with pytest.raises(SystemExit):
        main(command.split())
    assert capsys.readouterr().err == answer


def test_fit_command_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    (command,) = (
        c[1:] for c in commands("README.md") if c[0].endswith("bin/mermaide") and c[1] == "fit"
    )
    shrunk = ["--trainer.fast_dev_run=true", "--data.num_val_tasks=2", "--model.game.num_steps=8"]
    main([*command, *shrunk])


@pytest.mark.parametrize("stage", ["train", "val"])
def test_every_logged_name_is_in_the_table(stage, tmp_path):
    population = Population([AgentFamily(UCB)], num_arms=3)
    module = MermaideModule(Game(num_arms=3, num_steps=6), Architecture(hidden_size=4))
    data = TaskDataModule(population, meta_batch_size=2, steps_per_epoch=1, num_val_tasks=2)
    trainer = pl.Trainer(max_epochs=1, default_root_dir=tmp_path, enable_progress_bar=False)
    trainer.fit(module, data)
    logged = [name for name in trainer.callback_metrics if name.startswith(f"{stage}/")]
    assert len(logged) >= 5
    documented = [name.replace("_1shot", "_0shot") for name in logged]
    page = text_of("docs/guides/read_a_run.md")
    assert [name for name in documented if f"`{name}`" not in page] == []


def test_every_place_in_contributing_is_there():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page[page.index("## Where is what") : page.index("## House rules")]
    rooms = set(re.findall(r"^\| `(\w+)/` \|", table, re.M))
    assert rooms == {path.parent.name for path in (ROOT / "mermaide_pl").glob("*/__init__.py")}
    named = [name for name in re.findall(r"`([\w/.]+)`", table) if "/" in name]
    named = [name for name in named if not name.startswith(("csrc", "data", "figures", "report"))]
    assert len(named) > 40
    for name in named:
        folders = (ROOT, ROOT / "mermaide_pl", ROOT / "mermaide_pl" / "experiments")
        inside = (*folders, ROOT / "mermaide_pl" / "engines")
        assert any((folder / name).exists() for folder in inside), name


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert local
    for link in local:
        assert ((ROOT / page).parent / link).exists(), link
