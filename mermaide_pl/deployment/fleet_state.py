"""The state of a learner of a fleet as plain data, exact to the bit."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mermaide_pl.config.validation import whole_number
from mermaide_pl.deployment.fleet_group import State
from mermaide_pl.deployment.fleet_record import Record, describe_record, read_record
from mermaide_pl.deployment.fleet_roster import Roster
from mermaide_pl.deployment.live_settings import LiveSettings
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.principals import Weights
from mermaide_pl.principals.recurrence import INITIAL_STATE

PARTS = ("settings", "adapted", "ended", "running", "now")
"""Parts of a described learner, those that change least often first."""


class _Described(NamedTuple):
    """A learner that was described, read and checked."""

    settings: LiveSettings
    game: Game
    target: int
    state: State
    ended: list[Record]
    running: Record
    numbers: dict[str, int]  # episode, step, and level, -1 for none


class LearnerFormat:
    """The learners of a roster as plain data, and back.

    The parts are

    - ``settings``: those of `LiveSettings`, and ``principal``, a checksum of the meta weights
    - ``adapted``: None, or ``initial``, the state in which episodes begin, and ``weights``
    - ``ended``: the last episodes, as far as they were recorded, each with ``arms`` (positions
      among the arms), ``levels`` and ``agent_rewards`` (None where they are hidden)
    - ``running``: the same of the running episode
    - ``now``: ``episode``, ``step``, ``level`` (None unless its outcome is awaited), and the
      principal's memory, ``seen`` and ``ahead`` (None without level), see `State`

    Tensors are texts, see `packed`.

    Args:
        module: the principal.
        roster: its learners.
    """

    def __init__(self, module: MermaideModule, roster: Roster) -> None:
        self._module, self._roster = module, roster
        self._meta = module.principal.weights()
        self._checksum = checksum(self._meta)

    def describe(self, slot: int, parts: Sequence[str]) -> dict[str, Any]:
        """Parts of a learner as plain data."""
        learner, numbers = self._roster.learner(slot), self._roster.numbers[slot]
        state = self._roster.state(slot)

        def settings() -> dict[str, Any]:
            return {**learner.settings.plain(), "principal": self._checksum}

        def adapted() -> dict[str, Any] | None:
            if not state.fast and torch.equal(state.initial, self._meta[INITIAL_STATE]):
                return None
            weights = {name: packed(weight) for name, weight in state.fast.items()}
            return {"initial": packed(state.initial), "weights": weights}

        def now() -> dict[str, Any]:
            waits = numbers["level"] >= 0
            return {
                "episode": int(numbers["episode"]),
                "step": int(numbers["step"]),
                "level": int(numbers["level"]) if waits else None,
                "seen": packed(state.seen),
                "ahead": packed(state.ahead) if waits else None,
            }

        of_part = {
            "settings": settings,
            "adapted": adapted,
            "ended": lambda: [describe_record(record) for record in learner.ended],
            "running": lambda: describe_record(self._roster.record(slot)),
            "now": now,
        }
        return {part: of_part[part]() for part in parts}

    def read(self, described: Mapping[str, Any]) -> _Described:
        """Read and check a learner that was described.

        Raises:
            ValueError: if it does not fit; for data that no `describe` made also AttributeError,
                IndexError, KeyError, OverflowError, RuntimeError or TypeError.
        """
        for part in PARTS:
            if part not in described:
                raise ValueError(f"{part} is missing")
        given = dict(described["settings"])
        if given.pop("principal") != self._checksum:
            raise ValueError("it was described by a fleet of another principal")
        settings = LiveSettings(**given)
        game = settings.game(self._module)
        adapted, now = described["adapted"], described["now"]
        weights = {} if adapted is None else adapted["weights"]
        unknown = [name for name in weights if name not in self._meta or name == INITIAL_STATE]
        if unknown:
            raise ValueError(f"this principal has no weights {unknown[0]!r:.60}")
        like = self._roster.fresh(game, [*weights])
        level, last = now["level"], game.num_levels - 1
        numbers = {
            "episode": whole_number("episode", now["episode"], low=0),
            "step": whole_number("step", now["step"], low=0, high=game.num_steps),
            "level": -1 if level is None else whole_number("level", level, low=0, high=last),
        }
        if level is not None and numbers["step"] == game.num_steps:
            raise ValueError(f"all {game.num_steps} steps were played, and a level is awaited")
        initial, ahead = like.initial, like.ahead
        if adapted is not None:
            initial = unpacked("initial", adapted["initial"], initial)
        if level is not None:
            ahead = unpacked("ahead", now["ahead"], ahead)
        fast = {name: unpacked(name, each, self._meta[name]) for name, each in weights.items()}
        state = State(unpacked("seen", now["seen"], like.seen), ahead, initial, fast)
        running, most = read_record(described["running"], game), self._roster.max_steps
        kept = min(numbers["step"], most)
        if len(running.arms) < kept or len(running.arms) > numbers["step"]:
            raise ValueError(
                f"running must have the first {kept} of {numbers['step']} steps,"
                f" got {len(running.arms)}"
            )
        ended = [read_record(each, game).until(most) for each in described["ended"]]
        target = settings.target_in(game)
        return _Described(settings, game, target, state, ended, running.until(most), numbers)

    def enter(self, id: Hashable, described: _Described) -> None:
        """Add a learner, of a new name."""
        roster, names = self._roster, [*described.state.fast]
        slot = roster.enter(id, described.settings, described.game, described.target, names)
        roster.put(slot, described.state)
        for name, value in described.numbers.items():
            roster.numbers[name][slot] = value
        roster.put_record(slot, described.running)
        roster.learner(slot).ended.extend(described.ended)


def packed(numbers: Tensor) -> dict[str, Any]:
    """A tensor as plain data: its type, its shape, and its bytes as text (base64)."""
    array = numbers.detach().cpu().numpy()
    little = array.astype(array.dtype.newbyteorder("<"))
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "base64": base64.b64encode(little.tobytes()).decode(),
    }


def unpacked(name: str, described: Mapping[str, Any], like: Tensor) -> Tensor:
    """The tensor that was packed.

    Args:
        name: for messages.
        described: from `packed`.
        like: of the shape and type that it must have.

    Raises:
        ValueError: if it differs in shape or type, or is not finite.
    """
    dtype = like.cpu().numpy().dtype
    if described["dtype"] != dtype.name or tuple(described["shape"]) != tuple(like.shape):
        raise ValueError(f"{name} must be {dtype.name} of shape {list(like.shape)}")
    data = base64.b64decode(described["base64"], validate=True)
    array = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype)
    numbers = torch.from_numpy(array).reshape(like.shape).to(like.device)
    if not numbers.isfinite().all():
        raise ValueError(f"{name} must be finite")
    return numbers


def checksum(weights: Weights) -> str:
    """A text by which to tell principals apart."""
    digest = hashlib.sha256()
    for name, weight in weights.items():
        digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
