from pathlib import Path

import pytest

from mermaide_pl.experiments.paper.populations import POPULATIONS
from mermaide_pl.populations.files import load_population

FOLDER = Path(__file__).parents[3] / "conf" / "population"


def test_every_one_has_its_file():
    assert set(POPULATIONS) <= {path.stem for path in FOLDER.glob("*.yaml")}


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_population_is_that_of_its_file(name):
    assert POPULATIONS[name] == load_population(FOLDER / f"{name}.yaml")
