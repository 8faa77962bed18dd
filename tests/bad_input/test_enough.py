"""That the bad inputs do not become fewer unseen."""

import re
from pathlib import Path

from bad_inputs import DIFFERENT, EXAMPLES


def test_there_are_at_least_500_in_all():
    assert DIFFERENT * sum(EXAMPLES.values()) >= 500


def test_the_readme_says_how_many():
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"{sum(EXAMPLES.values())} generated mistakes in every run of the tests" in readme


def test_every_kind_is_tried():
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_bad_*.py"))
    assert set(re.findall(r'hunt\(\s*"([a-z ]+)"', sources)) == set(EXAMPLES)
