"""The numbers in the pages on results are those recorded."""

from pathlib import Path

import pytest

from mermaide_pl.experiments.comparison_settings import load_comparison
from mermaide_pl.experiments.comparison_summary import summary_page
from mermaide_pl.experiments.records import read_rows

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
COMPARISONS = sorted(path.parent.name for path in RESULTS.glob("*/table.csv"))


@pytest.mark.parametrize("name", COMPARISONS)
def test_pages_show_the_recorded_tables(name):
    ours = next(iter(load_comparison(ROOT / "conf" / "experiment" / f"{name}.yaml").methods))
    tables = (read_rows(RESULTS / name / f"{table}.csv") for table in ("table", "improvement"))
    assert (RESULTS / name / "tables.md").read_text() == summary_page(*tables, ours)


@pytest.mark.parametrize("title", ["The table", "Costs", "Full information"])
def test_tables_of_methods_are_the_recorded_ones(title):
    readme = (RESULTS / "README.md").read_text()
    section = readme.split(f"# {title}\n")[1].split("\n#")[0]
    shown = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(shown) > 15
    recorded = (RESULTS / "table" / "tables.md").read_text().splitlines()
    assert [line for line in shown if line not in recorded] == []
