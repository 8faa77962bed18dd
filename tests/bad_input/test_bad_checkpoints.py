"""Checkpoints and live files: cut, damaged, foreign, wrong inside, or with code in them."""

import copy
import io
import json
import os
import pickle
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bad_inputs import at, check_line, files, hunt
from hypothesis import strategies as st

from mermaide_pl.agents import UCB
from mermaide_pl.deployment.live import LivePrincipal
from mermaide_pl.evaluation.loading import read_principals
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import Architecture
from mermaide_pl.runtime.checkpoints import CHECKPOINT_KEY


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def good_checkpoint() -> dict:
    torch.manual_seed(0)
    module = MermaideModule(Game(3, 8), Architecture(8, 8))
    checkpoint = {"state_dict": dict(module.state_dict())}
    module.on_save_checkpoint(checkpoint)
    data = TaskDataModule(Population([AgentFamily(UCB, {"beta": [0.2]})], num_arms=3))
    return checkpoint | {"TaskDataModule": data.state_dict(), "global_step": 2}


def good_live() -> dict:
    live = LivePrincipal(
        MermaideModule.from_checkpoint(good_checkpoint(), "x"),
        target_arm=1,
        max_interventions=3,
        sampling_seed=5,
    )
    for arms in ([0, 2], [1], [2, 2, 1]):
        for arm in arms:
            live.intervene()
            live.observe(arm)
        live.end_episode()
    for arm in (0, 1):
        live.intervene()
        live.observe(arm)
    live.intervene()
    live.save("good.live")
    return torch.load("good.live", weights_only=True)


GOOD = good_checkpoint()
WHOLE = saved(GOOD)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(path: str) -> None:
    read_principals({"it": path}, "auto")


def refused(read, content: bytes, says: str, path: str = "bad.ckpt") -> None:
    Path(path).write_bytes(content)
    before = files()
    with pytest.raises(ValueError, match=re.escape(path)) as caught:
        read(path)
    check_line(str(caught.value), says)
    assert files() == before


def test_the_good_ones_are_good():
    Path("good.ckpt").write_bytes(WHOLE)
    load("good.ckpt")
    good_live()
    LivePrincipal.load("good.live")


class Armed:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("MARK",)


def safetensors(content: bytes = b"") -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + b"\0\0\0\0" + content


def archive(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name, content in members.items():
            written.writestr(name, content)
    return file.getvalue()


def numpy_file(content: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([content], dtype=object), allow_pickle=True)
    return file.getvalue()


with zipfile.ZipFile(io.BytesIO(WHOLE)) as _members:
    MEMBERS = {name: _members.read(name) for name in _members.namelist()}
FOREIGN = {
    "empty": b"",
    "zeros": bytes(4096),
    "text": b"hello there",
    "safetensors": safetensors(),
    "empty archive": archive(),
    "archive of something else": archive(**{"a.txt": b"hello"}),
    "pickle": pickle.dumps({"state_dict": {}}),
    "list": saved([1, 2]),
    "tensor": saved(torch.zeros(3)),
    "nothing in it": saved({}),
    "state only": saved(GOOD["state_dict"]),
    "module": saved(torch.nn.Linear(2, 2)),
    "armed pickle": pickle.dumps(Armed()),
    "armed checkpoint": saved(GOOD | {"state_dict": Armed()}),
    "armed beside": saved(GOOD | {"loops": Armed()}),
    "armed of old": (
        lambda file: (
            torch.save(Armed(), file, _use_new_zipfile_serialization=False),
            file.getvalue(),
        )[1]
    )(io.BytesIO()),
    "armed member": archive(
        **{
            name: pickle.dumps(Armed(), 2) if name.endswith("data.pkl") else content
            for name, content in MEMBERS.items()
        }
    ),
    "armed array": numpy_file(Armed()),
    "member missing": archive(**dict(list(MEMBERS.items())[:2])),
    "members renamed": archive(
        **{f"x{name}": content for name, content in MEMBERS.items() if "data/" in name}
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("read", [load, LivePrincipal.load], ids=["checkpoint", "live"])
def test_a_foreign_file_is_refused_and_not_run(kind, read):
    refused(
        read, FOREIGN[kind], "cannot be read|holds no principal|not a checkpoint of this version"
    )
    assert not Path("MARK").exists()


def test_the_armed_files_are_armed():
    for kind in ("armed pickle", "armed array"):
        Path("armed").write_bytes(FOREIGN[kind])
        if kind == "armed array":
            np.load("armed", allow_pickle=True)
        else:
            pickle.loads(FOREIGN[kind])
        Path("MARK").rmdir()
    for kind in ("armed checkpoint", "armed beside", "armed of old", "armed member"):
        torch.load(io.BytesIO(FOREIGN[kind]), weights_only=False)
        Path("MARK").rmdir()


@st.composite
def damaged(draw) -> bytes:
    """Cut, or with some bytes turned over where it counts."""
    if draw(st.booleans()):
        return WHOLE[: draw(st.integers(0, len(WHOLE) - 1))]
    with zipfile.ZipFile(io.BytesIO(WHOLE)) as members:
        member = draw(st.sampled_from([each for each in members.infolist() if each.file_size > 8]))
    content = bytearray(WHOLE)
    name, extra = struct.unpack_from("<HH", WHOLE, member.header_offset + 26)
    start = member.header_offset + 30 + name + extra
    assert WHOLE[start:].startswith(MEMBERS[member.filename])
    content[start + draw(st.integers(0, member.file_size - 1))] ^= draw(st.integers(1, 255))
    return bytes(content)


def test_a_damaged_checkpoint():
    hunt("damaged checkpoints", damaged(), lambda content: refused(load, content, "cannot be read"))


# wrong values, whatever is expected
OTHERS = st.sampled_from(
    [
        None,
        "x",
        "os.system",
        {},
        [[]],
        {"a": 1},
        -3,
        float("nan"),
        10**30,
        {"class_path": "os.system", "init_args": {"command": "mkdir MARK"}},
        {"class_path": "subprocess.Popen", "init_args": {"args": ["mkdir", "MARK"]}},
        {"class_path": "mermaide_pl.game.Game", "init_args": {"nope": 1}},
        {"type": "os._Environ"},
        {"callable": "os.system"},
    ]
)
SPEC = [
    (CHECKPOINT_KEY,),
    *((CHECKPOINT_KEY, name) for name in ("game", "architecture", "adaptation", "objective")),
    *((CHECKPOINT_KEY, name) for name in ("num_query_episodes", "meta_lr", "inner_rates_lr")),
    *((CHECKPOINT_KEY, "game", name) for name in ("class_path", "init_args")),
    *(
        (CHECKPOINT_KEY, "game", "init_args", name)
        for name in ("num_arms", "num_steps", "bonuses", "cost", "observation")
    ),
    *(
        (CHECKPOINT_KEY, "architecture", "init_args", name)
        for name in ("hidden_size", "policy_size", "world_model", "history", "critic")
    ),
    *(
        (CHECKPOINT_KEY, "adaptation", "init_args", name)
        for name in ("num_shots", "inner_lr", "adapted", "inner_optimizer", "optimizer_args")
    ),
    *(
        (CHECKPOINT_KEY, "objective", "init_args", name)
        for name in ("surrogate", "advantages", "entropy_start", "critic_weight")
    ),
    ("TaskDataModule",),
    ("TaskDataModule", "train_population"),
    *(
        ("TaskDataModule", "train_population", "init_args", name)
        for name in ("families", "num_arms", "base_rewards", "target", "reward_model")
    ),
]
WEIGHTS = [("state_dict", name) for name in GOOD["state_dict"]]
NEEDED = [
    (CHECKPOINT_KEY,),
    (CHECKPOINT_KEY, "game", "class_path"),
    ("TaskDataModule",),
    ("TaskDataModule", "train_population"),
]


@st.composite
def changes(draw) -> tuple:
    """Path of what is changed, how, and to what."""
    path = draw(st.sampled_from(SPEC + WEIGHTS[:4] * 4))
    if path in WEIGHTS:
        return path, draw(st.sampled_from(["short", "flat", "nan", "inf", "none", "text", "list"]))
    how = draw(st.sampled_from(["value"] * 5 + ["extra", "missing"]))
    if how == "extra" and isinstance(at(GOOD, path), dict) and path != ("TaskDataModule",):
        return path, draw(st.sampled_from(["nope", "__class__"])), draw(OTHERS)
    if how == "missing" and path in NEEDED:
        return path, "missing"
    numbers = ("cost", "critic_weight", "entropy_start", "meta_lr", "inner_rates_lr")
    fits = {} if path[-1] not in numbers else 10**30
    return path, "value", draw(OTHERS.filter(lambda value: value not in ({}, fits)))


def changed(good: dict, path: tuple, how: str, value: object = None) -> dict:
    checkpoint = copy.deepcopy(good)
    *place, last = path
    holder = at(checkpoint, place)
    if path in WEIGHTS:
        weight = holder[last]
        holder[last] = {
            "short": weight[:-1],
            "flat": weight.flatten()[None],
            "nan": weight * float("nan"),
            "inf": weight + float("inf"),
            "none": None,
            "text": "x",
            "list": [1.0],
        }[how]
    elif how == "missing":
        del holder[last]
    elif how == "value":
        holder[last] = value
    else:
        holder[last][how] = value
    return checkpoint


def test_the_wrong_content():
    def check(change: tuple) -> None:
        says = "not a checkpoint of this version|training population|holds no principal|not finite"
        refused(load, saved(changed(GOOD, *change)), says)
        assert not Path("MARK").exists()

    hunt("checkpoints", changes(), check)


LIVE = [
    *(
        (name,)
        for name in (
            "settings",
            "engine",
            "weights",
            "episodes",
            "steps",
            "past",
            "hidden",
            "level",
        )
    ),
    *(("settings", name) for name in ("target_arm", "max_interventions", "sampling_seed")),
    *(("weights", f"recurrence.{name}") for name in ("weight_hh", "weight_ih")),
    *(("steps", name) for name in ("arms", "levels", "agent_rewards")),
    *(("episodes", 0, name) for name in ("arms", "levels")),
]


@st.composite
def live_changes(draw, paths: dict) -> tuple:
    """Path of what is changed in a live file, and to what."""
    path = draw(st.sampled_from(LIVE))
    wrong = st.sampled_from(
        [
            "x",
            {"a": 1},
            [["x"]],
            -3,
            10**30,
            1.5,
            float("nan"),
            torch.zeros(2),
            torch.full((1, 1, 8), float("nan")),
            [7, 0],
            {"class_path": "os.system"},
        ]
    )
    return path, draw(wrong.filter(lambda value: not _could_be(path[-1], value, paths[path])))


def _could_be(name: str, value, own) -> bool:
    """True if the value is allowed."""
    if isinstance(value, torch.Tensor) and isinstance(own, torch.Tensor):
        return value.shape == own.shape and bool(value.isfinite().all())
    if name == "agent_rewards":
        return value == [7, 0]
    return name == "max_interventions" and isinstance(value, int) and value > 0


def test_the_wrong_content_of_a_live_file():
    good = good_live()
    paths = {path: at(good["live"], path) for path in LIVE}

    def check(change: tuple) -> None:
        path, value = change
        content = copy.deepcopy(good)
        *place, last = path
        at(content["live"], place)[last] = value
        says = "not a live principal that can resume here|engine must be one of"
        refused(LivePrincipal.load, saved(content), says, "bad.live")

    hunt("live", live_changes(paths), check)
