import ctypes
from enum import IntEnum

import pytest

from mermaide_pl.engines.native import binary_interface
from mermaide_pl.engines.native.binary_interface import GameCall, HistoryCall, Rule, load


@pytest.fixture
def path(tmp_path, good):
    (tmp_path / "kernel.so").write_bytes(good)
    return str(tmp_path / "kernel.so")


def test_the_kernel_describes_what_python_has(path):
    lines = list(binary_interface.description())
    assert lines[:2] == ["Sizes.M: int64 at byte 0", "Sizes.B: int64 at byte 8"]
    assert "NetworkCall.weight_stride: int64[20] at byte 272" in lines
    assert f"HistoryCall: {ctypes.sizeof(HistoryCall)} bytes" in lines
    assert "Output 5: LAST_STATE" in lines
    assert lines.index("GaussianThompson 0: prior_mean") - 1 == lines.index(
        "Rule 2: GaussianThompson of normal numbers"
    )
    for dtype in ("float32", "float64"):
        described = getattr(load(path), f"describe_{dtype}")()
        assert described.decode().splitlines() == lines


def place(fields, name):
    return [field for field, _ in fields].index(name)


def renamed(fields):
    budget = place(fields, "budget")
    fields[budget] = ("purse", fields[budget][1])


def exchanged(fields):
    given, budget = place(fields, "given"), place(fields, "budget")
    fields[given], fields[budget] = fields[budget], fields[given]


def resized(fields):
    fields[place(fields, "principal")] = ("principal", ctypes.c_int32)


def of_another_type(fields):
    fields[place(fields, "arm_flip")] = ("arm_flip", ctypes.c_int64)


def without_a_field(fields):
    del fields[place(fields, "parameters")]


def with_another_field(fields):
    fields.append(("whims", ctypes.c_void_p))


END = ctypes.sizeof(GameCall)


def at(field, kind, name=None):
    """A line of the description: a field, or one of another name in its place."""
    return f"GameCall.{name or field}: {kind} at byte {getattr(GameCall, field).offset}"


@pytest.mark.parametrize(
    ("change", "found", "expected"),
    [
        (renamed, at("budget", "pointer"), at("budget", "pointer", "purse")),
        (exchanged, at("given", "pointer"), at("given", "pointer", "budget")),
        (resized, at("principal", "int64"), at("principal", "c_int")),
        (of_another_type, at("arm_flip", "float64"), at("arm_flip", "int64")),
        (
            without_a_field,
            at("parameters", "pointer"),
            at("parameters", "pointer", "agent_draws"),
        ),
        (with_another_field, f"GameCall: {END} bytes", f"GameCall.whims: pointer at byte {END}"),
    ],
)
def test_a_structure_of_another_layout_is_refused(path, monkeypatch, change, found, expected):
    fields = list(GameCall._fields_)
    change(fields)
    other = type("GameCall", (ctypes.Structure,), {"_fields_": fields})
    *others, last = binary_interface.STRUCTURES
    assert last is GameCall
    monkeypatch.setattr(binary_interface, "STRUCTURES", (*others, other))
    with pytest.raises(OSError, match=r"^the library has") as refused:
        load(path)
    assert str(refused.value) == f"the library has {found!r} where Python has {expected!r}"


@pytest.mark.parametrize("kind", binary_interface.ENUMERATIONS, ids=lambda kind: kind.__name__)
def test_an_enumeration_in_another_order_is_refused(path, monkeypatch, kind):
    names = [one.name for one in kind]
    names[0], names[1] = names[1], names[0]
    other = IntEnum(kind.__name__, names, start=0)
    others = [other if one is kind else one for one in binary_interface.ENUMERATIONS]
    monkeypatch.setattr(binary_interface, "ENUMERATIONS", others)
    found, expected = (f"{kind.__name__} 0: {name}" for name in (names[1], names[0]))
    with pytest.raises(OSError, match=f"has '{found}' where Python has '{expected}'"):
        load(path)


def with_another(rule, name):
    return Rule((*rule.hyper_parameters, name))


OTHER_RULES = {
    "order of the rules": (
        lambda rules: dict(reversed(rules.items())),
        "'Rule 0: UCB of uniform numbers' where Python has"
        " 'Rule 0: AttentiveLearner of uniform numbers'",
    ),
    "order of the hyper-parameters": (
        lambda rules: rules | {"EpsilonGreedy": Rule(("decay", "epsilon"))},
        "'EpsilonGreedy 0: epsilon' where Python has 'EpsilonGreedy 0: decay'",
    ),
    "a hyper-parameter more": (
        lambda rules: rules | {"AttentiveLearner": with_another(rules["AttentiveLearner"], "mood")},
        "None where Python has"
        f" 'AttentiveLearner {len(binary_interface.RULES['AttentiveLearner'][0])}: mood'",
    ),
    "numbers": (
        lambda rules: rules | {"Softmax": Rule(("temperature",), "normal")},
        "'Rule 3: Softmax of uniform numbers' where Python has 'Rule 3: Softmax of normal numbers'",
    ),
}


@pytest.mark.parametrize(("change", "reason"), OTHER_RULES.values(), ids=OTHER_RULES)
def test_rules_that_differ_are_refused(path, monkeypatch, change, reason):
    monkeypatch.setattr(binary_interface, "RULES", change(binary_interface.RULES))
    with pytest.raises(OSError, match=f"^the library has {reason}$"):
        load(path)


def test_a_field_that_does_not_exist_is_not_set():
    with pytest.raises(AttributeError, match="bonus"):
        HistoryCall(bonus=1)
    with pytest.raises(AttributeError, match="purse"):
        GameCall().purse = 1
