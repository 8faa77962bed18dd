import ctypes
import json
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mermaide_pl import MermaideModule
from mermaide_pl.engines.native import binary_interface, build, compilation
from mermaide_pl.engines.native.build import library
from mermaide_pl.engines.native.engine import _computes_on


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache, and a library that was not requested yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.cache_clear()
    yield tmp_path / "mermaide_pl"
    library.cache_clear()


@pytest.fixture
def compiler(monkeypatch, tmp_path, good):
    """Sets a compiler: lines of shell, which know $result and $good; lists its runs in `runs`."""
    (tmp_path / "good.so").write_bytes(good)

    def set_compiler(lines='cp "$good" "$result"'):
        script = tmp_path / "compiler.sh"
        script.write_text(
            f"echo x >> {tmp_path}/runs; good={tmp_path}/good.so\nfor result; do :; done\n{lines}\n"
        )
        monkeypatch.setenv("CXX", f"sh {script}")

    return set_compiler


def files_in(folder):
    return sorted(re.sub("kernel-[0-9a-f]{16}", "K", path.name) for path in folder.iterdir())


def test_without_a_compiler_pytorch_runs(fresh, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert library() == "C++ compiler 'no-such-compiler' not found, set CXX to one"
    assert not _computes_on(torch.zeros(1))
    with pytest.raises(ValueError, match=r"^engine: native is not available here \(C\+\+ comp"):
        MermaideModule(engine="native")
    MermaideModule(engine="auto")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        "native kernel not available, using PyTorch instead: C++ compiler"
    )


def test_a_compiler_that_fails_is_quoted(fresh, monkeypatch, tmp_path):
    source = tmp_path / "kernel.cpp"
    source.write_text("int f() { return; }")
    monkeypatch.setattr(compilation, "_SOURCE", source)
    assert "return-statement with no value" in str(library())
    assert files_in(fresh) == ["lock"]


def test_it_is_built_once_and_again_if_it_is_cut_short(fresh, compiler, monkeypatch, caplog):
    compiler()
    caplog.set_level(logging.INFO)
    for begin in (["building", "built"], [], ["/", "building", "built"]):
        kernel = library()
        assert isinstance(kernel, ctypes.CDLL)
        assert binary_interface.seen_at_step_1(kernel) == [0, 1, 0.5, 1, 0]
        messages = [record.getMessage() for record in caplog.records]
        assert all(map(str.startswith, messages, begin))
        assert len(messages) == len(begin)
        if not begin:
            (path,) = fresh.glob("*.so")
            os.truncate(path, 4096)
            monkeypatch.setattr(compilation, "try_out", lambda path, file: None)  # once is enough
        library.cache_clear()
        caplog.clear()
    assert files_in(fresh) == ["K.so", "K.so.sha256", "lock"]


@pytest.fixture
def packaged(monkeypatch, tmp_path):
    """A folder of packaged kernels; places the content of a file there."""
    monkeypatch.setattr(compilation, "PACKAGED", tmp_path / "kernels")
    compilation.PACKAGED.mkdir()

    def place(content):
        path = compilation.PACKAGED / compilation.file_name(build._instruction_set())
        path.write_bytes(content)
        return str(path)

    return place


def test_the_kernel_of_the_package_needs_neither_compiler_nor_home(
    fresh, good, packaged, monkeypatch, caplog
):
    path = packaged(good)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert library()._name == path
    assert not fresh.exists()
    assert caplog.records == []


def test_a_kernel_of_other_sources_is_not_taken(fresh, good, packaged, compiler, monkeypatch):
    packaged(good)
    monkeypatch.setattr(compilation, "_OPTIONS", (*compilation._OPTIONS, "-DOTHER"))
    compiler()
    assert Path(library()._name).name not in os.listdir(compilation.PACKAGED)
    assert files_in(fresh) == ["K.so", "K.so.sha256", "lock"]


def test_in_place_of_a_packaged_kernel_that_does_not_work_one_is_built(
    fresh, good, packaged, compiler, shared_library, caplog
):
    packaged(shared_library(stub("\n".join(binary_interface.description()))))
    compiler()
    assert binary_interface.seen_at_step_1(library()) == [0, 1, 0.5, 1, 0]
    assert caplog.records[0].getMessage() == (
        "the kernel in the package does not work, one is built here:"
        " it computes [0.0, 0.0, 0.0, 0.0, 0.0]"
    )
    assert files_in(fresh) == ["K.so", "K.so.sha256", "lock"]


X86 = {"DEFAULT": "DEFAULT", "NO AVX": "DEFAULT", "AVX2": "AVX2", "AVX512": "AVX512"}
ARM = {"DEFAULT": "DEFAULT", "SVE256": "DEFAULT"}


@pytest.mark.parametrize(
    ("machine", "sets"), [("x86_64", X86), ("AMD64", X86), ("aarch64", ARM), ("arm64", ARM)]
)
def test_the_instruction_set_is_that_of_pytorch(monkeypatch, machine, sets):
    monkeypatch.setattr(compilation.platform, "machine", lambda: machine)
    assert set(compilation.instruction_sets()) == set(sets.values())
    names = [compilation.file_name(one) for one in compilation.instruction_sets()]
    assert len(set(names)) == len(names)
    for chosen, expected in sets.items():
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda one=chosen: one)
        assert build._instruction_set() == expected


GIVEN = binary_interface.GameCall.given.offset
BAD = {
    "nothing": (":", "sh wrote no library"),
    "a folder": ('mkdir "$result"', "sh wrote no library"),
    "an empty file": (': > "$result"', "file too short"),
    "the first page": ('head -c 4096 "$good" > "$result"', ""),
    "no message": ("exit 3", "sh failed: no message"),
    "its own end": ("kill -9 $$", "sh failed: Killed"),
    "bytes of no encoding": (r"printf 'error: \351\n' >&2; exit 1", "sh failed: error: \ufffd"),
}


@pytest.mark.parametrize(("lines", "reason"), BAD.values(), ids=BAD)
def test_what_a_compiler_leaves_is_tried_before_it_is_kept(fresh, compiler, caplog, lines, reason):
    compiler(lines)
    assert reason in str(library())
    (record,) = caplog.records
    assert record.getMessage() == f"native kernel not available, using PyTorch instead: {library()}"
    assert "\n" not in record.getMessage()
    assert files_in(fresh) == ["lock"]


def stub(description):
    """A library that describes itself like this, and does nothing."""
    lines = json.dumps(description)
    return "".join(
        f'extern "C" const char* {name}() {{ return {lines}; }}\n'
        for name in binary_interface.FUNCTIONS
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            'extern "C" void describe_float32() {}',
            "error: the library has no function describe_float64",
        ),
        (
            "#include <cstdlib>\n__attribute__((constructor)) static void f() { abort(); }",
            "Aborted",
        ),
        (
            stub(
                "\n".join(binary_interface.description()).replace("GameCall.given", "GameCall.gave")
            ),
            f"error: the library has 'GameCall.gave: pointer at byte {GIVEN}'"
            f" where Python has 'GameCall.given: pointer at byte {GIVEN}'",
        ),
        (
            stub("\n".join(binary_interface.description())),
            "error: it computes [0.0, 0.0, 0.0, 0.0, 0.0]",
        ),
    ],
    ids=["no function", "aborts", "has another structure", "computes something else"],
)
def test_a_library_that_is_no_kernel_is_not_kept(
    fresh, compiler, shared_library, tmp_path, source, reason
):
    (tmp_path / "other.so").write_bytes(shared_library(source))
    compiler(f'cp {tmp_path}/other.so "$result"')
    assert library() == f"the compiled library does not work: {reason}"
    assert files_in(fresh) == ["lock"]


@pytest.mark.parametrize("command", ["'", " ", "/", "/dev/null", "sh /no/such/file"])
def test_any_compiler_ends_in_a_line(fresh, compiler, monkeypatch, command):
    compiler()
    monkeypatch.setenv("CXX", command)
    monkeypatch.setenv("PATH", os.environ["PATH"] if command != " " else "")
    assert isinstance(library(), str)
    assert library()


def test_a_compiler_does_not_hang_for_ever(fresh, compiler, monkeypatch):
    compiler("sleep 30")
    monkeypatch.setattr(compilation, "_LONGEST", 0.3)
    assert library() == "sh failed: timed out after 0 s"


def open_to_all(folder):
    folder.mkdir()
    folder.chmod(0o777)


def taken(folder):
    """A folder in the place of the library."""
    folder.mkdir(mode=0o700)
    (folder / compilation.file_name(build._instruction_set())).mkdir()
    (folder / compilation.file_name(build._instruction_set()) / "kept").touch()


@pytest.mark.parametrize(
    ("spoil", "reason", "left"),
    [
        (open_to_all, "the folder is writable by others, run chmod -R go-w on it", []),
        (Path.touch, "[Errno 17] File exists: '{}'", None),
        (taken, "[Errno 21] Is a directory: ", ["K.so", "lock"]),
    ],
)
def test_a_cache_that_does_not_do_is_done_without(
    fresh, compiler, monkeypatch, caplog, spoil, reason, left
):
    monkeypatch.setattr(compilation, "try_out", lambda path, file: None)  # tried above
    spoil(fresh)
    compiler()
    assert binary_interface.seen_at_step_1(library()) == [0, 1, 0.5, 1, 0]
    message = caplog.records[-1].getMessage()
    assert message.startswith(
        "the kernel is built for this process only and not cached, set XDG_CACHE_HOME to another"
        f" folder to cache it: {fresh}: {reason.format(fresh)}"
    )
    assert (fresh.parent / "runs").read_text() == "x\n"
    assert left is None or files_in(fresh) == left


@pytest.mark.slow  # starts Python with the whole package
def test_a_builder_that_is_killed_holds_nobody_up(fresh, compiler, tmp_path):
    compiler("exec sleep 60")
    code = "from mermaide_pl.engines.native import build; build.library()"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while not (tmp_path / "runs").exists():
            time.sleep(0.05)
            assert process.poll() is None
        process.kill()
    compiler()
    assert isinstance(library(), ctypes.CDLL)


def test_without_a_home_pytorch_runs(monkeypatch, fresh):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(build.Path, "home", no_home)
    assert library() == "Could not determine home directory."


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="engine must be one of auto, torch, native, got 'cuda'"):
        MermaideModule(engine="cuda")


def test_only_what_it_can_compute_goes_to_the_kernel():
    assert _computes_on(torch.zeros(1, dtype=torch.float64))
    assert not _computes_on(torch.zeros(1, dtype=torch.bfloat16))
    assert not _computes_on(torch.zeros(1, device="meta"))


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["avx2", "default"])
def test_older_processors_compute_the_same(capability):
    test = f"{os.path.dirname(__file__)}/test_autograd.py"
    done = subprocess.run(
        # finite differences check the equations, which are those of every processor
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-k", "not finite", test],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_functions_are_those_that_the_kernel_exports():
    exported = re.findall(r'extern "C" .*?(\w+)_##SUFFIX', compilation._SOURCE.read_text())
    names = {f"{name}_{dtype}" for name in exported for dtype in ("float32", "float64")}
    assert set(binary_interface.FUNCTIONS) == names
