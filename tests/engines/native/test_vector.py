"""The exponential function of the kernel's vectors, on every instruction set of this processor."""

import ctypes

import numpy as np
import pytest
import torch

from mermaide_pl.engines.native import compilation

CAPABILITY = torch.backends.cpu.get_cpu_capability()
SETS = compilation.instruction_sets()  # each contains those before
SOURCE = """
#include "{folder}/vector.h"
#define EXPORT(TYPE, SUFFIX)                                                                     \\
  extern "C" void exp_##SUFFIX(const TYPE* from, TYPE* to, int64_t count) {{                      \\
    using namespace mermaide;                                                                    \\
    for (int64_t i = 0; i < count; i += W<TYPE>)                                                 \\
      exponential(Vec<TYPE>::loadu(from + i)).store(to + i);                                     \\
  }}
EXPORT(float, float32)
EXPORT(double, float64)
"""


@pytest.fixture(scope="module", params=SETS)
def exponential(request, tmp_path_factory):
    """The function, of an array whose size is a multiple of 16."""
    if request.param not in SETS[: SETS.index(CAPABILITY) + 1 if CAPABILITY in SETS else 1]:
        pytest.skip(f"this processor has no {request.param}")
    source = tmp_path_factory.mktemp("vector") / "exponential.cpp"
    source.write_text(SOURCE.format(folder=compilation._SOURCE.parent))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compilation, "_SOURCE", source)
        (source.parent / "out.so").write_bytes(compilation.compile_kernel(request.param))
    compiled = ctypes.CDLL(str(source.parent / "out.so"))

    def compute(numbers):
        out = np.empty_like(numbers)
        function = getattr(compiled, f"exp_{numbers.dtype}")
        function(*(ctypes.c_void_p(a.ctypes.data) for a in (numbers, out)), len(numbers))
        return out

    return compute


@pytest.mark.parametrize(("dtype", "end"), [("float32", 87), ("float64", 708)])
def test_it_is_right_to_two_units_in_the_last_place(exponential, dtype, end):
    ends = np.array([-end, -1, -1e-30, 0, 1e-30, 1, np.log(2) / 2, end])
    drawn = np.random.default_rng(0).uniform(-end, end, 1 << 20)
    numbers = np.concatenate([ends, drawn / end, drawn, ends]).astype(dtype)
    truth = np.exp(numbers.astype(np.longdouble))
    errors = (exponential(numbers) - truth) / np.spacing(truth.astype(dtype))
    assert np.abs(errors).max() < 2
    assert (exponential(np.zeros(16, dtype)) == 1).all()


@pytest.mark.parametrize(("dtype", "low", "high"), [("float32", -87, 88), ("float64", -708, 709)])
def test_beyond_what_a_normal_number_holds_it_is_clamped(exponential, dtype, low, high):
    given = [-np.inf, np.finfo(dtype).min, low, np.nan, high, np.finfo(dtype).max, np.inf, np.nan]
    found = exponential(np.array([*given, *given], dtype))[:8]
    low, high = np.exp(np.array([low, high], np.float64))
    expected = [low, low, low, np.nan, high, high, high, np.nan]
    np.testing.assert_allclose(found, expected, rtol=4 * np.finfo(dtype).eps)
    assert np.isfinite(found[[0, 6]]).all()
