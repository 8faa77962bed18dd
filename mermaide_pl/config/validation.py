"""Checks of numbers that users give: one clear line that says what, where and what is allowed."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

MAX_COUNT = 10_000_000
"""Of anything that is counted in settings; more fit into no memory."""
LARGEST_REWARD = 1e18
"""Reward units of a step; float32 sums and products of larger ones would overflow."""
NUM_SEEDS = 2**22
"""Seeds that a set of agents may have, from 0 on: a task's seed of 64 bits holds 22 of them."""
_MOST, _LEAST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)
_OURS = ("mermaide_pl", "pytorch_lightning", "lightning_fabric")
_LONGEST = 1200  # signs of a message
_BYTES = re.compile(r"[\udc80-\udcff]+")


def check_number(
    name: str,
    value: float,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float = -math.inf,
) -> None:
    """Refuse a number that is not finite or lies outside ``[low, high]`` or not above `above`.

    So does one that float32, in which agents and principals compute, does not hold, or that is no
    longer above `above` in it.

    Raises:
        ValueError: naming the value, its place and the allowed range.
    """
    try:
        is_finite = math.isfinite(value)
    except OverflowError:  # a whole number beyond all floating-point ones
        is_finite = False
    is_inside = is_finite and low <= value <= high and value > above
    if is_inside and -_MOST <= value <= _MOST and _held(value) > _held(above):
        return
    lower = (
        f"above {above:.10g}" if above > low else f"at least {low:.10g}" if low > -math.inf else ""
    )
    upper = f"at most {high:.10g}" if high < math.inf else ""
    in_float32 = ""
    if is_inside and abs(value) > _MOST:
        in_float32 = f"no larger than float32 holds, {_MOST:.4g}"
    elif is_inside:
        least = f", {_LEAST:.4g} or more" if above == 0.0 else ""
        in_float32 = f"above it in float32 too{least}"
    parts = ("a finite number", lower, upper, in_float32)
    allowed = " and ".join(part for part in parts if part)
    raise ValueError(f"{name} must be {allowed}, got {value!r:.60}")


def _held(value: float) -> float:
    """The number as float32 holds it; where subnormal numbers are lost, these are zero."""
    if abs(value) > _MOST:
        return math.copysign(math.inf, value)
    return 0.0 if abs(value) < _LEAST else float(np.float32(value))


def whole_number(name: str, value: Any, *, low: int, high: int | None = None) -> int:
    """The int that a value stands for (NumPy's and PyTorch's numbers too, no bool), or refuse it.

    Raises:
        ValueError: naming the value, its place and the allowed range.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is not None and low <= number and (high is None or number <= high):
        return number
    allowed = f"at least {low}" if high is None else f"from {low} to {high}"
    raise ValueError(f"{name} must be a whole number {allowed}, got {value!r:.60}")


def check_count(name: str, value: Any, *, low: int = 1, high: int = MAX_COUNT) -> None:
    """Refuse what is not a whole number from `low` to `high`, beyond which it is a slip.

    Raises:
        ValueError: naming the value, its place and what is allowed.
    """
    try:
        whole_number(name, value, low=low, high=high)
    except ValueError:
        is_more = isinstance(value, int) and value > high
        allowed = f"at most {high}" if is_more else f"at least {low}"
        raise ValueError(f"{name} must be a whole number, {allowed}, got {value!r:.60}") from None


def check_seed(name: str, seed: Any) -> None:
    """Refuse what is not the seed of a set of agents, a whole number below `NUM_SEEDS`."""
    whole_number(name, seed, low=0, high=NUM_SEEDS - 1)


def check_probability(name: str, value: float) -> None:
    """Refuse a number outside [0, 1]."""
    check_number(name, value, low=0.0, high=1.0)


def check_levels(name: str, levels: np.ndarray, count: int, num_levels: int) -> None:
    """Refuse what is not one intervention level for each of `count` episodes.

    Raises:
        ValueError: naming what came, and what is allowed.
    """
    if levels.shape != (count,) or levels.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be {count} integers, got {levels.dtype} of shape {levels.shape}"
        )
    if levels.min() < 0 or levels.max() >= num_levels:
        raise ValueError(
            f"{name} must be from 0 to {num_levels - 1}, got {levels.min()} to {levels.max()}"
        )


def check_precision(precision: str | int | None) -> None:
    """Refuse half precision.

    Raises:
        ValueError: naming what is allowed.
    """
    if str(precision) not in ("None", "32", "64", "bf16", "32-true", "64-true", "bf16-mixed"):
        raise ValueError(
            f"precision {precision} is not supported (half precision: the inner gradients are not"
            " scaled and would underflow), allowed: 32-true, 64-true, bf16-mixed"
        )


def try_all(*attempts: Callable[[], Any]) -> list[Any]:
    """What each of them returns.

    Raises:
        ValueError: one line with what is wrong with all that fail.
    """
    found, wrong = [], []
    for attempt in attempts:
        try:
            found.append(attempt())
        except ValueError as error:
            if not raised_by_us(error):
                raise
            wrong.append(str(error))
    if wrong:
        raise ValueError("; and ".join(wrong))
    return found


def printable(text: str) -> str:
    """Text with escapes in place of what has no sign of its own.

    These are line breaks, control characters, which command a terminal, and bytes of a file's name
    that are no UTF-8.
    """
    if text.isprintable():
        return text
    text = _BYTES.sub(_decoded, text)
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in text
    )


def _decoded(found: re.Match[str]) -> str:
    """Bytes in the place of which Python has put surrogates, as UTF-8 where they are."""
    return found[0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(message: object) -> str:
    """A message without line breaks, escapes for the terminal, or more than can be read."""
    shown = printable(" ".join(str(message).split()))
    half = _LONGEST // 2
    return shown if len(shown) <= _LONGEST else f"{shown[:half]} [...] {shown[-half:]}"


def raised_by_us(error: BaseException) -> bool:
    """Whether this package or Lightning raised the error: then it says what the user did wrong."""
    traceback: Any = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return str(traceback.tb_frame.f_globals.get("__name__", "")).startswith(_OURS)
