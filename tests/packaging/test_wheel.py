"""The wheel by itself: built from a copy of the sources, installed without the clone, and used.

The dependencies are those of the running environment, added to a bare one by a `.pth` file; the
project's own editable install is not among them, since `.pth` files do not chain.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
import torch

from mermaide_pl.engines.native import compilation

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NO_COMPILER = {"CXX": "no-such-compiler"}


def run(*command, folder, check=True, **variables):
    """Run a command in a folder, with nothing of this environment but the variables."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=kept | {"OMP_NUM_THREADS": "1", "COLUMNS": "200"} | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert not check or done.returncode == 0, done.stdout[-3000:]
    return done.stdout


def sources(folder):
    """A copy of the files that a wheel is built from."""
    copy = folder / "sources"
    for name in ("mermaide_pl", "conf"):  # the first has a link to the second
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=skipped)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def pip(*arguments, folder, **variables):
    """Run pip of this environment."""
    command = (sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)
    run(*command, folder=folder, **variables)


def wheel(folder, source=None, **variables):
    """Build the wheel, by default from a copy of the sources."""
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    pip("wheel", *options, source or sources(folder), folder=folder, **variables)
    (built,) = folder.glob("*.whl")
    return built


class Installed:
    """A wheel in an environment of its own."""

    def __init__(self, built, folder):
        self.folder = folder / "empty"
        self.folder.mkdir()
        self.bin = folder / "environment" / "bin"
        run(sys.executable, "-m", "venv", "--without-pip", self.bin.parent, folder=folder)
        options = ("--no-deps", "--no-index", built)
        pip("--python", self.bin / "python", "install", *options, folder=folder)
        (packages,) = self.bin.parent.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        self.matplotlib = folder / "matplotlib"

    def run(self, name, *arguments, **variables):
        """Run a program of the environment in the empty folder, without home and compiler."""
        given = {
            "HOME": "/dev/null",
            "MPLCONFIGDIR": str(self.matplotlib),
            **NO_COMPILER,
            **variables,
        }
        return run(self.bin / name, *arguments, folder=self.folder, **given)

    def python(self, code, **variables):
        return self.run("python", "-c", code, **variables).strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return Installed(wheel(folder), folder)


@pytest.fixture(scope="module")
def pure(tmp_path_factory):
    """The wheel that is built where there is no compiler."""
    return wheel(tmp_path_factory.mktemp("pure"), **NO_COMPILER)


def test_the_wheel_names_its_platform(installed):
    (built,) = installed.folder.parent.glob("*.whl")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert built.name.endswith(f"-py3-none-{platform}.whl")


SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"


def test_a_wheel_of_the_sdist_has_the_same_files(pure, tmp_path):
    run(sys.executable, "-c", SDIST, tmp_path, folder=sources(tmp_path))
    (sdist,) = tmp_path.glob("mermaide_pl-*.tar.gz")
    of_sdist = wheel(tmp_path, sdist, **NO_COMPILER)
    names = [zipfile.ZipFile(each).namelist() for each in (pure, of_sdist)]
    assert sorted(names[0]) == sorted(names[1])


def test_it_is_what_is_imported(installed):
    where = Path(installed.python("import mermaide_pl; print(mermaide_pl.__file__)"))
    assert where.is_relative_to(installed.bin.parent)
    assert sorted(path.name for path in (where.parent / "engines/native/kernels").iterdir()) == (
        sorted(compilation.file_name(one) for one in compilation.instruction_sets())
    )


def test_it_fits_evaluates_reports_and_adapts_in_an_empty_folder(installed):
    short = ("--trainer.max_epochs", "1", "--data.steps_per_epoch", "2")
    told = installed.run("mermaide", "fit", "--config", "quickstart", *short)
    assert "native, 1 thread" in told
    assert "building" not in told
    checkpoint = "logs/quickstart/checkpoints/best.ckpt"
    scored = ("--population", "unseen_ucb", "--num_agents", "8")
    evaluated = ("--shots", "0", "1", "--out", "results.json", "--engine", "native")
    installed.run("mermaide", "evaluate", "--ckpt_path", checkpoint, *scored, *evaluated)
    installed.run(
        "mermaide", "report", "--logdir", "logs/quickstart", "--out", "report.html", *scored
    )
    adapted = ("--population", "unseen_ucb", "--out", "adapted.ckpt")
    installed.run("mermaide", "adapt", "--ckpt_path", "pretrained:broad-partial", *adapted)
    for name in ("results.json", "report.html", "adapted.ckpt"):
        assert (installed.folder / name).stat().st_size > 0


ENGINE = """
import torch
from mermaide_pl.engines.native.build import library
print(torch.backends.cpu.get_cpu_capability(), getattr(library(), "_name", library()))
"""


@pytest.mark.parametrize("capability", compilation.instruction_sets())
def test_every_instruction_set_is_packaged(installed, capability):
    told = installed.python(ENGINE, ATEN_CPU_CAPABILITY=capability.lower())
    chosen, path = told.split(maxsplit=1)
    if chosen != capability:
        pytest.skip(f"this processor has no {capability}")
    assert Path(path).name == compilation.file_name(capability)
    assert Path(path).is_relative_to(installed.bin.parent)


def test_without_a_compiler_the_wheel_is_pure_and_computes_in_pytorch(pure, tmp_path):
    assert pure.name.endswith("-py3-none-any.whl")
    installed = Installed(pure, tmp_path)
    reason = "C++ compiler 'no-such-compiler' not found, set CXX to one"
    told = installed.python(ENGINE)
    assert f"native kernel not available, using PyTorch instead: {reason}" in told
    assert told.endswith(f"{torch.backends.cpu.get_cpu_capability()} {reason}")


def test_an_editable_install_compiles_nothing(tmp_path):
    compiler = tmp_path / "compiler.sh"
    compiler.write_text(f"touch {tmp_path}/ran; exit 1")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--target", tmp_path / "target")
    pip("install", *options, "-e", sources(tmp_path), folder=tmp_path, CXX=f"sh {compiler}")
    assert list((tmp_path / "target").glob("__editable__*"))
    assert not (tmp_path / "ran").exists()
