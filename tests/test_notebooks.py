"""The notebooks run from top to bottom, and are stored as they ran."""

import ast
import importlib
import re
import runpy
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 300_000  # bytes
_FOLDERS = re.compile(r"(?<![\w.:/])/(?:home|root|tmp|var|usr|opt|work|mnt|Users)/|site-packages")

# Smaller than what is stored, which took minutes: every cell must run, not learn.
SMALLER = {
    "new_learning_rule": {
        '"num_agents": 200, "num_tuning_agents": 60': '"num_agents": 20, "num_tuning_agents": 6',
        "steps_per_epoch=160": "steps_per_epoch=4",
    },
    "read_a_run": {
        "--data.steps_per_epoch 40": "--data.steps_per_epoch 4",
        "num_tuning_agents=100": "num_tuning_agents=10",
    },
    "steer_ucb1": {"[0.1, 0.2, 0.3, 0.5, 0.8], 6": "[0.1, 0.8], 2"},
}

of_each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    notebook = nbformat.read(path, as_version=4)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python(cell):
    """The source of a code cell, without lines that are for IPython."""
    return "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))


def printed(cell):
    """All text of the outputs of a code cell."""
    shown = []
    for output in cell.outputs:
        shown.append(output.get("text", ""))
        data = output.get("data", {})
        shown += [text for kind, text in data.items() if kind.startswith("text/")]
    return "\n".join(shown)


def kinds_of(cell):
    """Kinds of the outputs of a code cell; text may come in several pieces."""
    return {output.get("name", output.output_type) for output in cell.outputs}


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["new_learning_rule", "read_a_run", "steer_ucb1"]


@of_each
def test_stored_as_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = [output.output_type for cell in cells for output in cell.outputs]
    assert "error" not in kinds
    pictures = [
        output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 2
    assert path.stat().st_size < LARGEST


@of_each
def test_prints_no_warnings_and_no_paths(path):
    for cell in code_cells(path):
        assert [output for output in cell.outputs if output.get("name") == "stderr"] == []
        for text in (cell.source, printed(cell)):
            assert _FOLDERS.findall(text) == []
        assert "warning" not in printed(cell).lower()


@of_each
def test_names_of_the_package_exist(path):
    found = 0
    for cell in code_cells(path):
        for statement in ast.walk(ast.parse(python(cell))):
            if isinstance(statement, ast.ImportFrom):
                module = importlib.import_module(statement.module)
                for name in statement.names:
                    assert hasattr(module, name.name), f"{statement.module}.{name.name}"
                    found += statement.module.startswith("mermaide_pl")
    assert found


@of_each
def test_page_of_the_site(path):
    pytest.importorskip("mkdocs")
    page_of = runpy.run_path(str(ROOT / "docs" / "hooks" / "notebooks.py"))["page_of"]
    text, pictures = page_of(path)
    shown = re.findall(r"!\[(.*?)\]\((.*?)\)", text)
    assert all(heading for heading, _ in shown)
    assert [name for _, name in shown] == list(pictures)
    assert "<script" not in text and "<style" not in text


@pytest.mark.slow
@of_each
def test_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(path, as_version=4)
    stored = [kinds_of(cell) for cell in code_cells(path)]
    changes = dict(SMALLER[path.stem])
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            for stored_text in [text for text in changes if text in cell.source]:
                cell.source = cell.source.replace(stored_text, changes.pop(stored_text))
    assert changes == {}
    place = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=1200, startup_timeout=300, resources=place).execute()
    ran = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [kinds_of(cell) for cell in ran] == stored
    assert list(tmp_path.iterdir()) == []  # it writes into temporary folders alone
