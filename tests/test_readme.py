"""README: its commands run, and its names, tables and numbers are true."""

import json
import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from mermaide_pl import AgentFamily, Game, MermaideModule, Population, TaskDataModule
from mermaide_pl.agents import UCB
from mermaide_pl.cli.main import main
from mermaide_pl.deployment import adapt_to_agent as one_agent
from mermaide_pl.evaluation import fine_tuning_report as fine_tuning
from mermaide_pl.evaluation.methods import label_of
from mermaide_pl.principals import Architecture

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)
SERVICE = README[README.index("## Learners over HTTP") : README.index("## Several devices")]
DEVICES = README[README.index("## Several devices") : README.index("## Sweeps")]


def commands(text: str = README) -> list[list[str]]:
    """Every shell command of the README, or a part of it, continued lines joined."""
    text = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL))
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def test_files_that_are_named_exist():
    named = re.findall(r"\b(?:conf|benchmarks)/[\w/]+\.(?:yaml|py|sbatch)", README)
    assert len(named) >= 4
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_promise_has_its_test():
    table = README[README.index("## What we promise") : README.index("## Limits")]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for promise, tests, _ in rows:
        named = re.findall(r"`([\w/]+(?:\.py)?)(?:::(\w+))?`", tests)
        assert named, promise
        for path, name in named:
            assert (ROOT / path).exists(), path
            assert not name or f"def {name}(" in (ROOT / path).read_text(), name


def test_the_figures_of_the_service_are_the_recorded_ones():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "service.json").read_text())
    for said in (
        f"with {recorded['clients']} clients",
        f"gives {recorded['answers_per_second']:,.0f} answers a second",
        f"within {recorded['p50_ms']:.0f} ms and 99% within {recorded['p99_ms']:.0f} ms",
        f"and {recorded['errors']} errors",
    ):
        assert said in README


def test_the_figures_of_the_soak_are_the_recorded_ones():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "soak.json").read_text())
    least, most = recorded["open_files"]
    assert least == most
    for said in (
        f"{recorded['rounds']} rounds",
        f"by {recorded['slope_mib_per_minute']:.2f} MiB a minute",
        f"open files stay at {most}",
    ):
        assert said in README


def test_the_figures_of_the_fleet_are_the_recorded_ones():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "fleet.json").read_text())
    rows = {(row["kind"], row["batch"]): row for row in recorded["decisions"]}
    mixed, one = rows["mixed games", 10_000], rows["one game", 10_000]
    adapted = rows["one game, adapted", 2_000]
    said = README[README.index("**Many learners.**") : README.index("**Your own principal.**")]
    for row in (mixed, one, adapted):
        assert f"{round(row['decisions_per_cpu_second'], -3):,.0f}" in said
    for row in (mixed, adapted):
        assert f"{row['bytes'] / 1000:.0f} kB" in said
    for ms in (
        f"{100 * rows['mixed games', 100]['us'] / 1000:.0f}",
        f"{recorded['calls_us']['adapt on 50 steps'] / 1000:.1f}",
        f"{1000 * recorded['adapt_on_a_full_record_s']:.0f}",
    ):
        assert f"{ms} ms" in said
    assert mixed["decisions_per_cpu_second"] > 25_000  # 50,000 a second on two cores


def test_classes_that_are_named_exist():
    table = README[README.index("| slot |") : README.index("From Python")]
    source = "\n".join(path.read_text() for path in (ROOT / "mermaide_pl").rglob("*.py"))
    classes = re.findall(r"`([A-Z]\w+)`", table)
    assert len(classes) > 20
    assert [name for name in classes if f"class {name}" not in source] == []


def test_table_is_the_recorded_one():
    recorded = json.loads((ROOT / "results" / "quickstart.json").read_text())
    table = README[README.index("| on 1000 agents") : README.index("Mean and half of")]
    shown = {
        tuple(cell.strip(" *") for cell in line.strip("|").split("|"))
        for line in table.strip().splitlines()[2:]
    }

    def cells(row):
        for quantity in ("return", "paired_gain"):
            mean, low, high = (row[f"{quantity}_{bound}"] for bound in ("mean", "low", "high"))
            yield f"{mean:.3f} ± {(high - low) / 2:.3f}"

    expected: dict[str, list[str]] = {}
    for row in recorded:
        learned = row["method"] == "principal"
        name = f"principal, {row['shots']}-shot" if learned else label_of(row["method"])
        expected.setdefault(name, []).extend(cells(row))
    assert shown == {(name, *values) for name, values in expected.items()}


def test_table_of_times_is_the_recorded_one():
    recorded = json.loads((ROOT / "benchmarks" / "results" / "w1.json").read_text())
    begins = README.index("| meta-step of W1 |")
    section = README[begins : README.index("That is", begins)]
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")[1:]]
        for line in section.strip().splitlines()[2:]
    ]
    entries = sorted(recorded["contestants"].values(), key=lambda entry: entry["median_s"])
    ours = recorded["contestants"]["ours_native"]["median_s"]
    assert shown == [
        [
            f"{entry['median_s']:.3f}",
            f"{entry['min_s']:.3f} – {entry['max_s']:.3f}",
            f"{entry['median_s'] / ours:.1f}",
            f"{entry['peak_mib']:.0f}",
        ]
        for entry in entries
    ]


def test_makefile_runs_the_commands_that_are_shown():
    makefile = (ROOT / "Makefile").read_text()
    shown = [command[1:] for command in commands() if command[0].endswith("bin/mermaide")]
    assert [command[0] for command in shown] == ["fit", "evaluate"]
    values = dict(re.findall(r"^(QUICKSTART_\w+)\s*\?= (.*)$", makefile, flags=re.MULTILINE))
    for _ in range(2):  # a value may name another
        makefile = re.sub(r"\$\((QUICKSTART_\w+)\)", lambda match: values[match[1]], makefile)
    recipe = makefile.replace("\\\n", " ")
    for command in shown:
        assert re.search(r"mermaide\s+" + r"\s+".join(map(re.escape, command)) + r"\s", recipe)


@pytest.mark.slow
def test_commands_for_your_own_agents_run(monkeypatch, tmp_path, capsys):
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["mermaide"])
    monkeypatch.setattr(sys, "path", sys.path)
    for name, language in (("my_learners.py", "python"), ("my_population.yaml", "yaml")):
        (text,) = (text for kind, text in BLOCKS if kind == language and text[2:].startswith(name))
        Path(name).write_text(text)
    Path("history.csv").write_text(
        "episode,step,arm,intervention,propensity\n"
        + "".join(f"{e},{t},{(e + t) % 10},{t % 2},0.5\n" for e in range(3) for t in range(20))
    )
    for name, header in (("choices.csv", "agent,step"), ("people.csv", "person,trial")):
        rows = (f"{m},{t},{(m * t) % 5 % 2},{t % 3 % 2}\n" for m in range(6) for t in range(12))
        Path(name).write_text(f"{header},arm,agent_reward\n" + "".join(rows))
    few = {"num_agents": 4, "num_tuning_agents": 2}
    for module in (fine_tuning, one_agent):
        monkeypatch.setattr(module, "evaluate", partial(module.evaluate, num_tuning_agents=2))
    monkeypatch.setattr(fine_tuning, "evaluate", partial(fine_tuning.evaluate, **few))
    shrunk = {
        "check-agent": [],
        "evaluate": ["--num_agents", "4", "--num_tuning_agents", "2"],
        "fit": [
            "--trainer.max_epochs",
            "1",
            "--data.steps_per_epoch",
            "1",
            "--data.num_val_tasks",
            "2",
        ],
        "report": ["--num_agents", "4"],
        "adapt": ["--num_episodes", "4"],
        "fit-learner": [],
        "sweep": ["--minutes", "0"],
    }
    others = README.replace(DEVICES, "").replace(SERVICE, "")  # tests/service runs the service
    shown = [command[1:] for command in commands(others) if command[0] == "mermaide"]
    assert {command[0] for command in shown} == set(shrunk)
    for command in shown:
        main([*command, *([] if "--logs" in command else shrunk[command[0]])])
    assert Path("report.html").is_file() and Path("adapted.ckpt").is_file()
    assert "before 1-shot" in capsys.readouterr().out


@pytest.mark.slow
def test_commands_for_several_devices_run(tmp_path):
    (tmp_path / "conf").symlink_to(ROOT / "conf")
    # tests/experiments/comparison/test_on_ray.py runs `compare --ray`
    shown = [command for command in commands(DEVICES) if command[:2] != ["mermaide", "compare"]]
    modules = {"mermaide": "mermaide_pl", "torchrun": "torch.distributed.run"}
    here = [command for command in shown if command[0] in modules and "--nnodes" not in command]
    assert [command[0] for command in here] == ["mermaide", "torchrun", "mermaide"]
    few = ["--num_agents", "4", "--num_tuning_agents", "2"]
    fast = ["--trainer.fast_dev_run=true", "--data.num_val_tasks=2", "--model.game.num_steps=8"]
    for command in here:
        done = subprocess.run(
            [sys.executable, "-m", modules[command[0]], *command[1:]]
            + (few if "evaluate" in command else fast),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            timeout=120,
        )
        assert done.returncode == 0


def test_python_snippets_run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (own,) = (text for kind, text in BLOCKS if kind == "python" and "# my_learners.py" in text)
    Path("my_learners.py").write_text(own)
    snippet = "\n".join(block for language, block in BLOCKS if language == "python")
    tiny = {
        "MermaideModule()": "MermaideModule(Game(num_steps=6), Architecture(hidden_size=4))",
    }
    for whole, small in tiny.items():
        assert whole in snippet
        snippet = snippet.replace(whole, small)
    exec(snippet, {"Game": Game, "Architecture": Architecture})


def test_fit_command_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (command,) = (c[1:] for c in commands() if c[0].endswith("bin/mermaide") and c[1] == "fit")
    shrunk = ["--trainer.fast_dev_run=true", "--data.num_val_tasks=2", "--model.game.num_steps=8"]
    main([*command, *shrunk])


@pytest.mark.parametrize("stage", ["train", "val"])
def test_every_logged_name_is_in_the_table(stage, tmp_path):
    import pytorch_lightning as pl

    population = Population([AgentFamily(UCB)], num_arms=3)
    module = MermaideModule(Game(num_arms=3, num_steps=6), Architecture(hidden_size=4))
    data = TaskDataModule(population, meta_batch_size=2, steps_per_epoch=1, num_val_tasks=2)
    trainer = pl.Trainer(max_epochs=1, default_root_dir=tmp_path, enable_progress_bar=False)
    trainer.fit(module, data)
    logged = [name for name in trainer.callback_metrics if name.startswith(f"{stage}/")]
    assert len(logged) >= 5
    documented = [name.replace("_1shot", "_0shot") for name in logged]
    assert [name for name in documented if f"`{name}`" not in README] == []


def test_every_place_in_contributing_is_there():
    page = (ROOT / "CONTRIBUTING.md").read_text()
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
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    local = [link for link in links if "://" not in link]
    assert local
    for link in local:
        assert ((ROOT / page).parent / link).exists(), link
