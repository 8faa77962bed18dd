"""The numbers in the pages on results are those recorded."""

import json
from pathlib import Path

import pandas as pd
import pytest

from mermaide_pl.config.input_paths import PRINCIPALS
from mermaide_pl.evaluation.methods import label_of
from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.evaluation.tables import interval_text
from mermaide_pl.experiments.comparison.settings import load_comparison
from mermaide_pl.experiments.comparison.summary import summary_page
from mermaide_pl.metrics.intervals import student_mean

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
COMPARISONS = sorted(path.parent.name for path in RESULTS.glob("*/table.csv"))


def test_the_records_are_few_and_small():
    """The principals of comparisons are in the archive of a release, and not here."""
    made = ("runs", "__pycache__", *(f"seed{seed}" for seed in range(100)))  # not in the repository
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    files = [path for path in files if not {*made} & {*path.relative_to(RESULTS).parts}]
    assert len(files) <= 80
    assert sum(path.stat().st_size for path in files) <= 6e6


@pytest.mark.parametrize("name", COMPARISONS)
def test_pages_show_the_recorded_tables(name):
    ours = next(iter(load_comparison(ROOT / "conf" / "experiment" / f"{name}.yaml").methods))
    tables = (
        pd.DataFrame(read_rows(RESULTS / name / f"{table}.csv"))
        for table in ("table", "improvement")
    )
    assert (RESULTS / name / "tables.md").read_text() == summary_page(*tables, ours)


@pytest.mark.parametrize(
    ("title", "name"),
    [("The table", "table"), ("Costs", "conditions"), ("Full information", "conditions")],
)
def test_tables_of_methods_are_the_recorded_ones(title, name):
    readme = (RESULTS / "README.md").read_text()
    section = readme.split(f"# {title}\n")[1].split("\n#")[0]
    shown = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(shown) > 15
    recorded = (RESULTS / name / "tables.md").read_text().splitlines()
    assert [line for line in shown if line not in recorded] == []


@pytest.mark.parametrize("name", PRINCIPALS.names())
def test_cards_show_the_recorded_scores(name):
    scores: dict[str, dict[str, float]] = {}
    for row in json.loads((RESULTS / "pretrained" / f"{name}.json").read_text()):
        of_population = scores.setdefault(row["population"], {})
        of_population[f"{row['method']} {row['shots']}"] = row["return_mean"]
    expected = []
    for population, returns in scores.items():
        learned = [returns.pop(f"principal {shots}") for shots in (0, 1)]
        oracle, none = returns.pop("oracle 0"), returns["none 0"]
        best = max(returns, key=returns.__getitem__)
        schedule = label_of(best.removesuffix(" 0"))
        numbers = " | ".join(f"{value:.3f}" for value in (*learned, oracle))
        expected.append(
            f"| `{population}` | {none:.3f} | {returns[best]:.3f} ({schedule}) | {numbers} |"
        )
    card = (PRINCIPALS.folder / f"{name}.md").read_text().splitlines()
    assert [line for line in card if line.startswith("| `")] == expected


@pytest.mark.parametrize("name", PRINCIPALS.names())
def test_learners_of_other_libraries_have_the_recorded_returns(name):
    recorded = json.loads((RESULTS / "third_party" / f"{name}.json").read_text())
    shown = [("none", 0), ("always", 0), ("burst", 0), ("principal", 0), ("principal", 1)]
    returns = {
        (row["population"], row["method"], row["shots"]): interval_text(row, "return")
        for row in recorded
    }
    readme = (RESULTS / "README.md").read_text().splitlines()
    for population in {row["population"] for row in recorded}:
        cells = [returns[population, *column] for column in (*shown, ("oracle", 0))]
        assert f"| `{population}` | {' | '.join(cells)} |" in readme


@pytest.mark.parametrize("method", ["mermaide_memory", "rl2"])
def test_more_support_episodes_give_what_is_recorded(method):
    chosen = {"trained": method, "method": "principal"}
    rows = [
        row for row in read_rows(RESULTS / "shots" / "shots.csv") if chosen.items() <= row.items()
    ]
    assert {row["seed"] for row in rows} == {0, 1, 2, 3, 4}
    returns: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        key = row["shots"], row["population"]
        returns.setdefault(key, []).append(row["normalised_return_mean"])
    readme = (RESULTS / "README.md").read_text().splitlines()
    populations = dict.fromkeys(population for _, population in returns)
    assert f"| method, shots | {' | '.join(f'`{name}`' for name in populations)} |" in readme
    for shots in (0, 1, 2, 4, 8):
        intervals = [student_mean(values) for key, values in returns.items() if key[0] == shots]
        cells = [f"{mean:.3f} ± {(high - low) / 2:.3f}" for mean, low, high in intervals]
        assert len(cells) == 8
        assert f"| {label_of(method)}, {shots} | {' | '.join(cells)} |" in readme


def test_chains_of_support_episodes_have_the_recorded_returns():
    returns: dict[tuple[str, int, int], list[float]] = {}
    for row in read_rows(RESULTS / "tuning" / "chains.csv"):
        key = row["method"], row["shots"], row["chain_length"]
        returns.setdefault(key, []).append(row["val_return"])
    readme = (RESULTS / "README.md").read_text().splitlines()
    for method in ("mermaide_memory", "rl2"):
        for name, lengths in (("each alone", [1] * 6), ("one chain", [1, 2, 4, 8, 16, 40])):
            keys = [(method, *pair) for pair in zip((1, 2, 4, 8, 16, 40), lengths, strict=True)]
            cells = [f"{sum(returns[key]) / len(returns[key]):.3f}" for key in keys]
            assert f"| {label_of(method)}, {name} | {' | '.join(cells)} |" in readme
