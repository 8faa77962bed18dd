import logging
import subprocess
from pathlib import Path

import pytest

from mermaide_pl.engines.native.build import library


@pytest.fixture(autouse=True)
def package_logger():
    """Undo the logging set-up of a command in an earlier test."""
    ours = logging.getLogger("mermaide_pl")
    before = ours.level
    ours.setLevel(logging.NOTSET)
    yield
    ours.setLevel(before)


@pytest.fixture(scope="session")
def good():
    """Content of a kernel's file."""
    kernel = library()
    assert not isinstance(kernel, str), kernel
    return Path(kernel._name).read_bytes()


@pytest.fixture(scope="session")
def shared_library(tmp_path_factory):
    """Compile a few lines of C++; the content of the file."""

    def compiled(source):
        folder = tmp_path_factory.mktemp("compiled")
        (folder / "source.cpp").write_text(source)
        command = ["c++", "-shared", "-fPIC", "-o", folder / "out.so", folder / "source.cpp"]
        subprocess.run(command, check=True)
        return (folder / "out.so").read_bytes()

    return compiled
