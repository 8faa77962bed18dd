"""The numbers in the pages on results are those recorded."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mermaide_pl.config.input_paths import PRINCIPALS
from mermaide_pl.evaluation.methods import label_of
from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.experiments.comparison.settings import load_comparison
from mermaide_pl.experiments.comparison.summary import summary_page
from mermaide_pl.experiments.games.settings import VALUES, Setting
from mermaide_pl.experiments.games.summary import means

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


def test_the_card_of_the_universal_principal_shows_its_scores_in_other_games():
    words = {
        "num_arms": "{:g} arms",
        "num_steps": "{:g} steps",
        "cost": "cost {:g}",
        "bonus": "bonus {:g}",
        "reward_noise": "reward noise {:g}",
    }
    rows = read_rows(RESULTS / "games" / "scores.csv")
    shares = {
        (Setting.of_row(row), row["method"], row["shots"]): row["normalised_return_mean"]
        for row in means([row for row in rows if row["training"] in ("", 0)])
    }
    expected = []
    for name, values in VALUES.items():
        for value in values:
            setting = replace(Setting(), **{name: value})
            told = "the default" if setting == Setting() else words[name].format(value)
            shown = (("burst", 0), ("principal", 0), ("principal", 1))
            numbers = " | ".join(f"{shares[setting, *each]:.2f}" for each in shown)
            expected.append(f"| {told} | {numbers} |")
    card = (PRINCIPALS.folder / "universal.md").read_text().splitlines()
    table = card[card.index("| game | burst | 0 shots | 1 shot |") :]
    assert table[2 : table.index("")] == [*dict.fromkeys(expected)]


def test_the_card_of_the_universal_principal_shows_its_scores_without_a_known_end():
    def mean(name: str, shots: int) -> str:
        rows = json.loads((RESULTS / "pretrained" / f"{name}.json").read_text())
        rows = [row for row in rows if (row["method"], row["shots"]) == ("principal", shots)]
        found = [row["normalised_return_mean"] for row in rows if row["population"] != "exp3"]
        assert len(found) == 7
        return f"{sum(found) / 7:.2f}"

    endless, told = (
        [mean(f"universal{end}", shots) for shots in (0, 1)] for end in ("_endless", "")
    )
    card = " ".join((PRINCIPALS.folder / "universal.md").read_text().split())
    assert f"{endless[0]} at 0 shots and {endless[1]} at 1 shot" in card
    assert f"in place of {told[0]} and {told[1]}." in card
