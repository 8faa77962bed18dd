"""What `import mermaide_pl` gives, without importing torch before it is needed."""

import subprocess
import sys

import pytest

import mermaide_pl

USE = """
import sys, mermaide_pl
assert "torch" not in sys.modules
mermaide_pl.populations.packaged("train_ucb")
"""


@pytest.mark.parametrize("name", mermaide_pl.__all__)
def test_public_names_are_where_the_package_looks_for_them(name):
    assert name in dir(mermaide_pl)
    assert getattr(mermaide_pl, name).__module__.startswith("mermaide_pl.")


def test_subpackages_are_attributes_of_the_package():
    subprocess.run([sys.executable, "-c", USE], check=True)


def test_an_unknown_name_is_no_attribute():
    assert not hasattr(mermaide_pl, "Gmae")
    assert not hasattr(mermaide_pl, "__main__")
