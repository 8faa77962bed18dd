"""Names and labels of methods."""

from pathlib import Path

import pytest

from mermaide_pl.evaluation.methods import LABELS, label_of, with_current_names
from mermaide_pl.experiments.comparison.settings import load_comparison
from mermaide_pl.game import Game
from mermaide_pl.principals.grids import schedule_grids

EXPERIMENTS = sorted((Path(__file__).parents[2] / "conf" / "experiment").glob("*.yaml"))


def test_no_two_methods_have_the_same_label():
    assert len(set(LABELS.values())) == len(LABELS)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_method_that_is_compared_has_a_label(path):
    assert {*load_comparison(path).methods, *schedule_grids(Game()), "oracle"} <= LABELS.keys()


def test_another_name_is_its_own_label():
    assert [label_of("none"), label_of("my_own")] == ["no intervention", "my_own"]


def test_rows_of_earlier_versions_get_the_names_of_now():
    earlier = [{"method": name, "shots": 0} for name in ("no intervention", "burst", "mermaide")]
    found = with_current_names(earlier)
    assert [row["method"] for row in found] == ["none", "burst", "principal"]
    assert with_current_names([*found, {"method": "mermaide"}])[-1] == {"method": "mermaide"}
