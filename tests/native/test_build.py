import ctypes
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from mermaide_pl import MermaideModule
from mermaide_pl.native import build
from mermaide_pl.native.build import check_kernel, library, uses_native


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache, and a library that nobody has asked for yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.cache_clear()
    yield tmp_path / "mermaide_pl"
    library.cache_clear()


def test_without_a_compiler_pytorch_runs(fresh, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert library() == "no C++ compiler 'no-such-compiler', set CXX to one"
    assert not uses_native("auto", torch.zeros(1))
    with pytest.raises(ValueError, match=r"^kernel: native is not available here \(no C\+\+ comp"):
        MermaideModule(kernel="native")
    check_kernel("auto")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("no native kernel, PyTorch runs instead: no C++ compiler")


def test_a_compiler_that_fails_is_quoted(fresh, monkeypatch, tmp_path):
    source = tmp_path / "kernel.cpp"
    source.write_text("int f() { return; }")
    monkeypatch.setattr(build, "_SOURCE", source)
    assert "return-statement with no value" in str(library())
    assert [path.name for path in fresh.iterdir()] == ["lock"]


def test_a_cache_that_cannot_be_written_is_no_disaster(monkeypatch, tmp_path, fresh):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "file" in str(library())


def test_the_compiler_may_be_a_command_with_arguments(fresh, monkeypatch, tmp_path):
    source = tmp_path / "kernel.cpp"
    source.write_text('extern "C" long answer() { return 42; }')
    monkeypatch.setattr(build, "_SOURCE", source)
    monkeypatch.setenv("CXX", "env c++")
    assert library().answer() == 42


def test_without_a_home_pytorch_runs(monkeypatch, fresh):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(build.Path, "home", no_home)
    assert library() == "Could not determine home directory."


def test_it_is_built_once(fresh, monkeypatch, tmp_path, caplog):
    source = tmp_path / "kernel.cpp"
    source.write_text('extern "C" long answer() { return 42; }')
    monkeypatch.setattr(build, "_SOURCE", source)
    caplog.set_level(logging.INFO)
    for _ in range(2):
        kernel = library()
        assert isinstance(kernel, ctypes.CDLL)
        assert kernel.answer() == 42
        library.cache_clear()
    assert [record.getMessage().split()[0] for record in caplog.records] == ["building", "built"]


def test_of_several_that_start_at_once_one_builds(fresh, monkeypatch, tmp_path):
    source, calls = tmp_path / "kernel.cpp", tmp_path / "calls"
    source.write_text('extern "C" long answer() { return 42; }')
    monkeypatch.setattr(build, "_SOURCE", source)
    # the lock is of the open file, so threads stand for processes
    monkeypatch.setenv("CXX", f"sh -c 'echo x >> {calls}; sleep 0.3; exec c++ \"$@\"' sh")
    with ThreadPoolExecutor(3) as pool:
        built = {call.result() for call in [pool.submit(build._built) for _ in range(3)]}
    assert calls.read_text() == "x\n"
    (path,) = built
    assert ctypes.CDLL(str(path)).answer() == 42


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel must be one of auto, torch, native, got 'cuda'"):
        MermaideModule(kernel="cuda")


def test_only_what_it_can_compute_goes_to_the_kernel():
    assert uses_native("auto", torch.zeros(1, dtype=torch.float64))
    assert not uses_native("torch", torch.zeros(1))
    assert not uses_native("native", torch.zeros(1, dtype=torch.bfloat16))
    assert not uses_native("auto", torch.zeros(1, device="meta"))


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["avx2", "default"])
def test_older_processors_compute_the_same(capability):
    test = f"{os.path.dirname(__file__)}/test_thinking.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", test],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
