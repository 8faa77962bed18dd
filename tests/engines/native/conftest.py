import logging
import subprocess
from pathlib import Path

import pytest

from mermaide_pl.engines.native.build import library


@pytest.fixture(autouse=True)
def package_logger():
    """Leave out what a command of an earlier test has set."""
    ours = logging.getLogger("mermaide_pl")
    before = ours.level
    ours.setLevel(logging.NOTSET)
    yield
    ours.setLevel(before)


@pytest.fixture(scope="session")
def good():
    """What a kernel's file holds."""
    kernel = library()
    assert not isinstance(kernel, str), kernel
    return Path(kernel._name).read_bytes()


@pytest.fixture(scope="session")
def shared_library(tmp_path_factory):
    """Compile a few lines of C++, and have what the file holds."""

    def compiled(source):
        folder = tmp_path_factory.mktemp("compiled")
        (folder / "source.cpp").write_text(source)
        command = ["c++", "-shared", "-fPIC", "-o", folder / "out.so", folder / "source.cpp"]
        subprocess.run(command, check=True)
        return (folder / "out.so").read_bytes()

    return compiled
