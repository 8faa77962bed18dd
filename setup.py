"""Compiles the native kernel into the wheel, once for each instruction set.

Without a compiler the wheel is pure: the kernel is built at first use, or PyTorch computes. An
editable install, whose sources change, has none either.
"""

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

NATIVE = Path("mermaide_pl", "engines", "native")

spec = spec_from_file_location("compilation", NATIVE / "compilation.py")
compilation = module_from_spec(spec)
spec.loader.exec_module(compilation)


def write_kernel(folder, instruction_set):
    """Compile a kernel into the folder; whether that succeeded."""
    try:
        content = compilation.compile_kernel(instruction_set)
    except RuntimeError as error:
        logging.warning("no native kernel for %s in the wheel: %s", instruction_set, error)
        return False
    (folder / compilation.file_name(instruction_set)).write_bytes(content)
    return True


class BuildWithKernels(build_py):
    """Compiles the kernels beside the modules."""

    num_kernels = 0

    def run(self):
        """Copy the modules, and compile."""
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib, NATIVE, compilation.PACKAGED.name)
        shutil.rmtree(folder, ignore_errors=True)  # of an earlier build
        folder.mkdir()
        with ThreadPoolExecutor() as threads:
            written = threads.map(partial(write_kernel, folder), compilation.instruction_sets())
            self.num_kernels = sum(written)


class WheelOfThePlatform(bdist_wheel):
    """Names the platform if there are kernels, and no version of Python, which they do not use."""

    def run(self):
        """Build first, to know which kernels there are."""
        self.run_command("build")
        if self.get_finalized_command("build_py").num_kernels:
            self.distribution.has_ext_modules = lambda: True
            self.root_is_pure = False
        super().run()

    def get_tag(self):
        """Python tag, ABI tag, platform tag."""
        return self.python_tag, "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildWithKernels, "bdist_wheel": WheelOfThePlatform})
