"""That the bad inputs do not become fewer unseen."""

import re
from pathlib import Path

from bad_inputs import DIFFERENT, EXAMPLES


def test_there_are_at_least_500_in_all():
    assert DIFFERENT * sum(EXAMPLES.values()) >= 500


def test_the_page_on_reliability_says_how_many():
    page = Path(__file__).parents[2] / "docs" / "reliability.md"
    assert (
        f"{sum(EXAMPLES.values())} generated mistakes in every run of the tests"
        in page.read_text(encoding="utf-8")
    )


def test_every_kind_is_tried():
    sources = "".join(path.read_text() for path in Path(__file__).parent.glob("test_bad_*.py"))
    assert set(re.findall(r'hunt\(\s*"([a-z ]+)"', sources)) == set(EXAMPLES)
