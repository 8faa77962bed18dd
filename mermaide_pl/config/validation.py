"""Checks of values given by users; an error is one line: what was wrong, where, what is allowed."""

from __future__ import annotations

import math
import operator
import re
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

MAX_COUNT = 10_000_000
"""Upper limit of every count in the settings; more would not fit into memory."""
LARGEST_REWARD = 1e18
"""Upper limit of a step's reward, in reward units; float32 sums and products would overflow."""
NUM_SEEDS = 2**22
"""Number of seeds a set of agents may have, from 0: they fill 22 of the 64 bits of a task seed."""
_MOST, _LEAST = (2.0 - 2.0**-23) * 2.0**127, 2.0**-126  # the largest float32, the least normal one
_OURS = ("mermaide_pl", "pytorch_lightning", "lightning_fabric")
_LONGEST = 1200  # characters of a message
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

    Also refuse one that overflows in float32, in which agents and principals compute, or that is
    no longer above `above` there.

    Raises:
        ValueError: naming the value, its place and the allowed range.
    """
    try:
        is_finite = math.isfinite(value)
    except (OverflowError, RuntimeError, TypeError, ValueError):  # beyond all of them, or none
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
        in_float32 = f"no larger than the float32 limit {_MOST:.4g}"
    elif is_inside:
        least = f", {_LEAST:.4g} or more" if above == 0.0 else ""
        in_float32 = f"above it in float32 too{least}"
    parts = ("a finite number", lower, upper, in_float32)
    allowed = " and ".join(part for part in parts if part)
    raise ValueError(f"{name} must be {allowed}, got {value!r:.60}")


def _held(value: float) -> float:
    """The number rounded to float32; subnormal numbers are zero, as hardware may flush them."""
    if abs(value) > _MOST:
        return math.copysign(math.inf, value)
    return 0.0 if abs(value) < _LEAST else struct.unpack("f", struct.pack("f", value))[0]


def finite_numbers(name: str, values: Any, **limits: float) -> tuple[float, ...]:
    """Convert numbers, NumPy's and PyTorch's too, to floats; refuse anything else.

    Args:
        name: of the value, for messages.
        values: any iterable but a text.
        **limits: those of `check_number`.

    Raises:
        ValueError: naming the value, its place and what is allowed.
    """
    try:
        found = None if isinstance(values, str | bytes) else tuple(values)
    except TypeError:  # also an array of no axis
        found = None
    if found is None:
        raise ValueError(f"{name} must be a list of numbers, got {values!r:.60}")
    for value in found:
        check_number(name, value, **limits)
    return tuple(map(float, found))


def flag(name: str, value: Any) -> bool:
    """Convert True and False, NumPy's too, to bool; refuse anything else.

    Raises:
        ValueError: naming the value and its place.
    """
    if type(value).__name__ in ("bool", "bool_"):  # NumPy's has either name
        return bool(value)
    raise ValueError(f"{name} must be True or False, got {value!r:.60}")


def whole_number(name: str, value: Any, *, low: int, high: int | None = None) -> int:
    """Convert a whole number, NumPy's and PyTorch's too, to int; refuse anything else, also bool.

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
    """Refuse anything but a whole number from `low` to `high`; more than `high` must be a mistake.

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
    """Refuse anything but the seed of a set of agents, a whole number from 0 below `NUM_SEEDS`."""
    whole_number(name, seed, low=0, high=NUM_SEEDS - 1)


def check_probability(name: str, value: float) -> None:
    """Refuse a number outside [0, 1]."""
    check_number(name, value, low=0.0, high=1.0)


def check_levels(name: str, levels: np.ndarray, count: int, num_levels: int) -> None:
    """Refuse anything but one intervention level for each of `count` episodes.

    Raises:
        ValueError: naming the value and what is allowed.
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
    """Call each function and return the results in order.

    Raises:
        ValueError: one line with the messages of all calls that fail.
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
    """Escape the unprintable characters of a text.

    These are line breaks, control characters, which command a terminal, and bytes of a file's name
    that are not UTF-8.
    """
    if text.isprintable():
        return text
    text = _BYTES.sub(_decoded, text)
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in text
    )


def _decoded(found: re.Match[str]) -> str:
    """Decode bytes that Python has replaced by surrogates, as UTF-8 where they are valid."""
    return found[0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def one_line(message: object) -> str:
    """A message on one line, without terminal escapes and shortened to a readable length."""
    shown = printable(" ".join(str(message).split()))
    half = _LONGEST // 2
    return shown if len(shown) <= _LONGEST else f"{shown[:half]} [...] {shown[-half:]}"


class MistakesError(ValueError):
    """Several mistakes in one input, a line each.

    Args:
        heading: the line above them.
        mistakes: a line each.
    """

    def __init__(self, heading: str, mistakes: Sequence[str]) -> None:
        lines = (one_line(heading), *(f"  {one_line(mistake)}" for mistake in mistakes))
        super().__init__("\n".join(lines))


def raised_by_us(error: BaseException) -> bool:
    """True if this package or Lightning raised the error, which then names the user's mistake."""
    traceback: Any = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return str(traceback.tb_frame.f_globals.get("__name__", "")).startswith(_OURS)
