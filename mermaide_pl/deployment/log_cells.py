"""Cells of a recorded history, as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

from mermaide_pl.deployment.log_tables import WrongRow

INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
"""A text that is an integer of a usual size."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLS = {"false": 0, "true": 1}
_LARGEST = torch.finfo(torch.float32).max
_LARGEST_WHOLE = 2**53  # beyond it floating-point numbers leave integers out


class Cells(dict[Any, float]):
    """Maps the values of a column to their numbers, each parsed once; wrong ones to -1.

    Args:
        read: gives the number of a text, or raises a ValueError that says what is allowed.
    """

    def __init__(self, read: Callable[[str], float]) -> None:
        super().__init__()
        self._read = read
        self.wrong: dict[Any, str] = {}  # what is wrong with a value

    def __missing__(self, value: Any) -> float:
        text = text_of(value).strip()
        try:
            if isinstance(value, WrongRow):
                raise ValueError(value.message)
            if is_no_text(text):
                raise ValueError("must be UTF-8")
            number = self._read(text)
        except ValueError as error:
            self.wrong[value], number = str(error), -1
        self[value] = number
        return number


def text_of(value: Any) -> str:
    """The text that CSV would hold."""
    return "" if value is None else str(value)


def is_no_text(cell: str) -> bool:
    """True if a cell holds bytes that are not UTF-8."""
    return any("\udc80" <= sign <= "\udcff" for sign in cell)


def label_of(text: str) -> str:
    """A label, which for an integer is the same however it is written.

    Raises:
        ValueError: if the cell is empty.
    """
    if not text:
        raise ValueError("must be a text or an integer")
    try:
        return str(_integer(text))
    except ValueError:
        return text


def one_of(labels: Sequence[str]) -> Callable[[str], int]:
    """A parser of labels, which gives their places among all."""
    places = {label: place for place, label in enumerate(labels)}
    allowed = f"must be one of {', '.join(labels):.200}"

    def read(text: str) -> int:
        if text in places:
            return places[text]
        if text and label_of(text) in places:
            return places[label_of(text)]
        raise ValueError(allowed)

    return read


def _integer(text: str) -> int:
    value = int(text) if INTEGER.fullmatch(text) else finite_number(text)
    if isinstance(value, int) or (value.is_integer() and abs(value) <= _LARGEST_WHOLE):
        return int(value)
    raise ValueError


def whole_number_to(high: int, otherwise: str = "") -> Callable[[str], int]:
    """A parser of the integers from 0 to `high`.

    Args:
        high: the largest.
        otherwise: to be said of a text that is not a number.
    """
    allowed = f"must be an integer from 0 to {high}"

    def read(text: str) -> int:
        try:
            value = _integer(text)
        except ValueError:
            is_word = text and not _NUMBER.fullmatch(text)
            raise ValueError(allowed + otherwise * bool(is_word)) from None
        if not 0 <= value <= high:
            raise ValueError(allowed)
        return value

    return read


def finite_number(text: str) -> float:
    """A number that float32 can hold.

    Raises:
        ValueError: for any other text.
    """
    value = float(text) if _NUMBER.fullmatch(text) else float(_BOOLS.get(text.lower(), math.nan))
    if not abs(value) <= _LARGEST:
        raise ValueError("must be a finite number")
    return value


def probability(text: str) -> float:
    """A number above 0 and at most 1.

    Raises:
        ValueError: for any other text.
    """
    value = finite_number(text)
    if not 0.0 < value <= 1.0:
        raise ValueError("must be above 0 and at most 1")
    return value
