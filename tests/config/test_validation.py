import numpy as np
import pytest
import torch

from mermaide_pl.config.validation import (
    check_levels,
    check_number,
    check_probability,
    check_seed,
    printable,
    try_all,
    whole_number,
)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-0.5, {"low": 0.0}, "x must be a finite number and at least 0, got -0.5"),
        (0.0, {"above": 0.0}, "x must be a finite number and above 0, got 0.0"),
        (3, {"low": 0.0, "high": 2.0}, "x must be a finite number and at least 0 and at most 2"),
        (1.5, {"above": 0.0, "high": 1.0}, "x must be a finite number and above 0 and at most 1"),
        (float("nan"), {}, "x must be a finite number, got nan"),
        (float("inf"), {"low": 0.0}, "x must be a finite number and at least 0, got inf"),
    ],
)
def test_refusal_says_what_is_allowed(value, bounds, message):
    with pytest.raises(ValueError) as refusal:
        check_number("x", value, **bounds)
    assert str(refusal.value).startswith(message)


def test_bounds_themselves_are_allowed_except_above():
    check_number("x", 0.0, low=0.0, high=0.0)
    check_number("x", 1.2e-38, above=0.0)


@pytest.mark.parametrize("value", [-1e-9, 1.0 + 1e-9, float("nan")])
def test_probabilities_lie_between_zero_and_one(value):
    check_probability("p", 0.0)
    check_probability("p", 1.0)
    with pytest.raises(ValueError, match=r"p must be .* at least 0 and at most 1"):
        check_probability("p", value)


def test_seeds_have_22_bits():
    check_seed("seed", 0)
    check_seed("seed", np.int64(4194303))
    for value in (-1, 4194304, 0.5, True, "1"):
        with pytest.raises(ValueError, match=r"^seed must be a whole number from 0 to 4194303"):
            check_seed("seed", value)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ([0, 2, 1], "x must be from 0 to 1, got 0 to 2"),
        ([0, -1, 1], "x must be from 0 to 1, got -1 to 1"),
        ([[0, 1, 1]], "x must be 3 integers, got int64 of shape (1, 3)"),
        ([False, True, True], "x must be 3 integers, got bool of shape (3,)"),
    ],
)
def test_levels_are_integers_below_their_number(levels, message):
    check_levels("x", np.array([0, 1, 1], dtype=np.uint8), 3, 2)
    with pytest.raises(ValueError) as refusal:
        check_levels("x", np.array(levels), 3, 2)
    assert str(refusal.value) == message


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3)])
def test_whole_numbers_of_any_library(value):
    number = whole_number("x", value, low=3, high=3)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", [2, 5, 3.0, np.float64(3), True, np.True_, "3", None, [3]])
def test_anything_but_a_whole_number_is_refused(value):
    with pytest.raises(ValueError, match="x must be a whole number from 3 to 4, got "):
        whole_number("x", value, low=3, high=4)
    with pytest.raises(ValueError, match="x must be a whole number at least 6, got "):
        whole_number("x", value, low=6)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (1e39, {}, "x must be a finite number and no larger than the float32 limit 3.403e.38, got"),
        (-1e39, {"high": 1.0}, "x must be .* larger than the float32 limit 3.403e.38, got -1e.39"),
        (
            1e-46,
            {"above": 0.0},
            "x must be .*above it in float32 too, 1.175e-38 or more, got 1e-46",
        ),
        (
            1e-40,
            {"above": 0.0},
            "x must be .*above it in float32 too, 1.175e-38 or more, got 1e-40",
        ),
        (0.1 + 1e-12, {"above": 0.1}, "x must be .*above 0.1 and above it in float32 too, got"),
        (10**400, {}, "x must be a finite number, got 1000"),
    ],
)
def test_numbers_beyond_float32_are_refused(value, bounds, message):
    with pytest.raises(ValueError, match=message):
        check_number("x", value, **bounds)


def test_numbers_within_float32_are_allowed():
    check_number("x", 3.4e38)
    check_number("x", 1e-46)  # zero is allowed too


def test_all_mistakes_are_reported_at_once():
    def refuse(what):
        return lambda: check_number(what, 2.0, high=1.0)

    assert try_all(lambda: 1, lambda: "a") == [1, "a"]
    with pytest.raises(ValueError, match=r"^x must .* got 2\.0; and y must .* got 2\.0$"):
        try_all(refuse("x"), lambda: 1, refuse("y"))
    with pytest.raises(ValueError, match="invalid literal"):
        try_all(refuse("x"), lambda: int("a"))  # a mistake of ours


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a[/b] é 😀", "a[/b] é 😀"),
        ("\x1b[31m\n\u202e", "\\x1b[31m\\n\\u202e"),
        ("latin-\udce9", "latin-\\xe9"),
        ("\udcc3\udca9", "é"),  # as an ASCII locale has it
        ("\ud800", "\\ud800"),
    ],
)
def test_unprintable_characters_are_escaped(text, shown):
    assert printable(text) == shown
