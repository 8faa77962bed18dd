"""Python's side of the binary interface to the kernel; the other side is `binary_interface.h`.

Run as ``python -I binary_interface.py KERNEL`` it tries out a kernel: a bad one crashes only that
process. It imports nothing of the package, to be quick.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from enum import IntEnum
from itertools import zip_longest
from typing import Any, Literal, NamedTuple

ForecastKind = IntEnum("ForecastKind", "NONE LINEAR SHARED", start=0)
LayerName = IntEnum(
    "LayerName",
    "IH HH COMMON ARM OUT POLICY_IN POLICY_OUT CRITIC_IN CRITIC_OUT START",
    start=0,
)
Output = IntEnum("Output", "LEVEL_LOGITS VALUES ARM_LOGITS LOG_LEVELS LOG_ARMS LAST_STATE", start=0)
HistoryKind = IntEnum("HistoryKind", "LAST_STEP TALLIES POOLED", start=0)
PlayerKind = IntEnum("PlayerKind", "SAMPLING GREEDY GIVEN ORACLE", start=0)
Perception = IntEnum("Perception", "EXACT CLIPPED TOSSED SQUASHED", start=0)
ENUMERATIONS: tuple[type[IntEnum], ...] = (
    ForecastKind,
    LayerName,
    Output,
    HistoryKind,
    PlayerKind,
    Perception,
)


class Rule(NamedTuple):
    """Hyper-parameters and random numbers of a learning rule, as the kernel needs them."""

    hyper_parameters: tuple[str, ...] = ()
    numbers: Literal["uniform", "normal"] = "uniform"  # distribution of those that it draws


_GENERATED = (
    "beta",
    "temperature",
    "posterior_scale",
    "lapse_rate",
    "decay",
    "learning_rate",
    "discount",
    "initial_value",
    "prior_pulls",
    "learns_preferences",
    "perseveration",
    "perception",
    "cap",
    "tries_first",
    "knowledge",
    "forgets_at",
)
RULES = {
    "UCB": Rule(("beta",)),
    "EpsilonGreedy": Rule(("epsilon", "decay")),
    "GaussianThompson": Rule(("prior_mean", "prior_scale", "noise_scale"), "normal"),
    "Softmax": Rule(("temperature",)),
    "EXP3": Rule(("gamma", "reward_low", "reward_high")),
    "BestResponse": Rule(),
    "DiscountedUCB": Rule(("beta", "discount")),
    "RescorlaWagner": Rule(("learning_rate", "temperature", "perseveration", "initial_value")),
    "NoisyUCB": Rule(("beta", "lapse_rate", "temperature", "prior_pulls")),
    "EpsilonSoftmaxQ": Rule(("learning_rate", "inverse_temperature", "epsilon")),
    "CATIE": Rule(("tau", "epsilon", "phi", "context", "threshold", "tries_first")),
    "GeneratedLearner": Rule(_GENERATED),
    "AttentiveLearner": Rule((*_GENERATED, "attention")),
}
"""The learning rules of the kernel, by their names in `mermaide_pl.agents`."""


class _Structure(ctypes.Structure):
    __slots__ = ()  # a misspelt field is an error


class Sizes(_Structure):
    """Axes of a call and sizes of the principal."""

    __slots__ = ()
    _fields_ = [
        (name, ctypes.c_int64) for name in (*"MBTALHPCIG", "per_arm", "S", "forecast", "critic")
    ]


_POINTERS = ctypes.c_void_p * (2 * len(LayerName))
_STRIDES = ctypes.c_int64 * (2 * len(LayerName))
OUTPUTS = ctypes.c_void_p * len(Output)


class NetworkCall(_Structure):
    """A call that runs the network."""

    __slots__ = ()
    _fields_ = [
        ("sizes", Sizes),
        ("weight", _POINTERS),
        ("weight_stride", _STRIDES),
        ("tangent", _POINTERS),
        ("tangent_stride", _STRIDES),
        ("grad", _POINTERS),
        ("features", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("arms", ctypes.c_void_p),
        ("cotangent", OUTPUTS),
        ("out", OUTPUTS),
    ]


class HistoryCall(_Structure):
    """A principal's encoding of the history."""

    __slots__ = ()
    _fields_ = [
        ("kind", ctypes.c_int64),
        ("sees_rewards", ctypes.c_int64),
        ("endless", ctypes.c_int64),
        ("horizon", ctypes.c_int64),
        ("bonuses", ctypes.c_void_p),
        ("cost", ctypes.c_void_p),
        ("budget", ctypes.c_void_p),
        ("other_bonuses", ctypes.c_void_p),
        ("least", ctypes.c_void_p),
        ("others_most", ctypes.c_void_p),
        ("tells_budgets", ctypes.c_int64),
        ("unit", ctypes.c_void_p),
        ("means", ctypes.c_void_p),
        ("deviations", ctypes.c_void_p),
    ]


class FeatureCall(_Structure):
    """A call that encodes recorded episodes."""

    __slots__ = ()
    _fields_ = [
        ("sizes", Sizes),
        ("history", HistoryCall),
        ("arms", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("rewards", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
    ]


class GameCall(_Structure):
    """A call that plays episodes."""

    __slots__ = ()
    _fields_ = [
        ("history", HistoryCall),
        ("first_step", ctypes.c_int64),
        ("last_step", ctypes.c_int64),
        ("principal", ctypes.c_int64),
        ("weights_per_episode", ctypes.c_int64),
        ("principal_draws", ctypes.c_void_p),
        ("given", ctypes.c_void_p),
        ("budget", ctypes.c_void_p),
        ("fixed_level", ctypes.c_void_p),
        ("base_rewards", ctypes.c_void_p),
        ("tie_tolerance", ctypes.c_double),
        ("target", ctypes.c_void_p),
        ("rule", ctypes.c_void_p),
        ("num_parameters", ctypes.c_int64),
        ("parameters", ctypes.c_void_p),
        ("agent_draws", ctypes.c_void_p),
        ("num_draws", ctypes.c_void_p),
        ("shared_draws", ctypes.c_int64),
        ("bernoulli", ctypes.c_int64),
        ("reward_draws", ctypes.c_void_p),
        ("arm_flip", ctypes.c_double),
        ("num_observation_draws", ctypes.c_int64),
        ("observation_draws", ctypes.c_void_p),
        ("seen_noise", ctypes.c_void_p),
        ("arms", ctypes.c_void_p),
        ("levels", ctypes.c_void_p),
        ("observed_arms", ctypes.c_void_p),
        ("agent_rewards", ctypes.c_void_p),
        ("observed_agent_rewards", ctypes.c_void_p),
    ]


STRUCTURES = (Sizes, NetworkCall, HistoryCall, FeatureCall, GameCall)
DTYPES = ("float32", "float64")
FUNCTIONS = tuple(
    f"{name}_{dtype}"
    for name in (
        "describe",
        "forward",
        "backward",
        "double_backward",
        "encode",
        "play",
    )
    for dtype in DTYPES
)
"""Functions that the kernel exports."""


def _type_name(kind: Any) -> str:
    if issubclass(kind, ctypes.Array):
        return f"{_type_name(kind._type_)}[{kind._length_}]"
    names = {ctypes.c_int64: "int64", ctypes.c_double: "float64", ctypes.c_void_p: "pointer"}
    return names.get(kind, kind.__name__)


def description() -> Iterator[str]:
    """The lines by which a kernel must describe itself (`describe` in `binary_interface.h`)."""
    for structure in STRUCTURES:
        for name, kind in structure._fields_:  # type: ignore[misc]
            offset = getattr(structure, name).offset
            yield f"{structure.__name__}.{name}: {_type_name(kind)} at byte {offset}"
        yield f"{structure.__name__}: {ctypes.sizeof(structure)} bytes"
    for enumeration in ENUMERATIONS:
        yield from (f"{enumeration.__name__} {one.value}: {one.name}" for one in enumeration)
    for number, (name, rule) in enumerate(RULES.items()):
        yield f"Rule {number}: {name} of {rule.numbers} numbers"
        yield from (f"{name} {place}: {one}" for place, one in enumerate(rule.hyper_parameters))


def load(path: str) -> ctypes.CDLL:
    """The kernel in a file.

    Raises:
        OSError: if it cannot be loaded or does not match this interface, naming the first mismatch.
    """
    kernel = ctypes.CDLL(path)
    lacking = [name for name in FUNCTIONS if not hasattr(kernel, name)]
    if lacking:
        raise OSError(f"the library has no function {lacking[0]}")
    for dtype in DTYPES:
        describe = getattr(kernel, f"describe_{dtype}")
        describe.restype = ctypes.c_char_p
        for found, expected in zip_longest(describe().decode().splitlines(), description()):
            if found != expected:
                raise OSError(f"the library has {found!r} where Python has {expected!r}")
    return kernel


def seen_at_step_1(kernel: ctypes.CDLL) -> list[float]:
    """Features at step 1 of 2, after level 1 of 2 and arm 0 of 2: level, elapsed time, arm."""
    arms, levels = (ctypes.c_int64 * 2)(0, 0), (ctypes.c_int64 * 2)(1, 1)
    rewards, features = (ctypes.c_double * 2)(), (ctypes.c_double * 10)()
    unit = (ctypes.c_double * 1)(1.0)
    call = FeatureCall(
        sizes=Sizes(M=1, B=1, T=2, A=2, L=2, H=1, P=1, G=3, per_arm=1),
        history=HistoryCall(
            kind=HistoryKind.LAST_STEP,
            horizon=2,
            bonuses=ctypes.addressof(rewards),
            unit=ctypes.addressof(unit),
        ),
        arms=ctypes.addressof(arms),
        levels=ctypes.addressof(levels),
        rewards=ctypes.addressof(rewards),
        out=ctypes.addressof(features),
    )
    kernel.encode_float64(ctypes.byref(call), ctypes.c_int64(1))
    return features[5:]


def check(kernel: ctypes.CDLL) -> None:
    """Let a kernel compute something.

    Raises:
        OSError: if the result is wrong.
    """
    seen = seen_at_step_1(kernel)
    if seen != [0, 1, 0.5, 1, 0]:
        raise OSError(f"it computes {seen}")


if __name__ == "__main__":
    try:
        check(load(sys.argv[1]))
    except OSError as error:
        sys.exit(f"error: {error}")
