import copy
import os
import pickle
import re
from pathlib import Path

import pytest
import torch

from mermaide_pl import load_pretrained
from mermaide_pl.agents import UCB
from mermaide_pl.config.input_paths import PRINCIPALS, checkpoint_path
from mermaide_pl.config.serialization import describe
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import Architecture, CountFeatures, GreedyPlayer
from mermaide_pl.runtime.checkpoints import (
    CHECKPOINT_KEY,
    read_checkpoint,
    write_checkpoint,
)


class Malicious:
    """Makes a directory when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def tiny(**settings) -> MermaideModule:
    torch.manual_seed(0)
    return MermaideModule(Game(3, 8), Architecture(8, 8), **settings)


def checkpoint_of(module: MermaideModule) -> dict:
    checkpoint = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(checkpoint)
    return checkpoint


def complaint(read, path: Path) -> str:
    """The message of the ValueError that `read(path)` ends with; it names the file in one line."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


READERS = pytest.mark.parametrize(
    "read", [read_checkpoint, MermaideModule.load_from_checkpoint], ids=["read", "load"]
)


def test_what_was_saved_is_read(tmp_path):
    saved = checkpoint_of(tiny())
    torch.save(saved, tmp_path / "a.ckpt")
    for path in (tmp_path / "a.ckpt", str(tmp_path / "a.ckpt")):
        checkpoint = read_checkpoint(path)
        assert checkpoint[CHECKPOINT_KEY] == saved[CHECKPOINT_KEY]
        assert list(checkpoint["state_dict"]) == list(saved["state_dict"])
        for name, value in checkpoint["state_dict"].items():
            assert torch.equal(value, saved["state_dict"][name])


def test_a_module_comes_back_with_its_settings_and_weights(tmp_path):
    module = tiny(num_query_episodes=3, num_eval_episodes=5, meta_lr=0.01, inner_rates_lr=0.02)
    torch.save(checkpoint_of(module), tmp_path / "a.ckpt")
    torch.manual_seed(1)
    loaded = MermaideModule.load_from_checkpoint(tmp_path / "a.ckpt")
    assert loaded.game == module.game
    assert (loaded.num_query_episodes, loaded.num_eval_episodes) == (3, 5)
    assert (loaded.meta_lr, loaded.inner_rates_lr) == (0.01, 0.02)
    assert list(loaded.state_dict()) == list(module.state_dict())
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, module.state_dict()[name])


@READERS
def test_a_missing_file(read, tmp_path):
    assert "does not exist" in complaint(read, tmp_path / "none.ckpt")
    assert "does not exist" in complaint(read, tmp_path)  # a folder is no checkpoint


@READERS
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_truncated_file(read, share, tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save(checkpoint_of(tiny()), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert "truncated, damaged, or not a checkpoint" in complaint(read, path)


@READERS
@pytest.mark.parametrize(
    "content",
    [
        b"hello",
        b"families:\n  - rule: mermaide_pl.agents.UCB\n",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        bytes(1000),
        b"PK\x03\x04 looks like an archive",
        bytes(range(256)),
        b"\x80\x02}q\x00.",
        pickle.dumps({"state_dict": {1, 2}}, protocol=2),
    ],
    ids=["text", "yaml", "image", "zeros", "archive", "bytes", "empty pickle", "pickle"],
)
def test_a_file_that_is_no_checkpoint(read, content, tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    complaint(read, path)


@READERS
def test_one_damaged_byte(read, tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save(checkpoint_of(tiny()), path)
    content = bytearray(path.read_bytes())
    place = content.index(b"state_dict")
    content[place - 8 : place] = b"\xff" * 8
    path.write_bytes(bytes(content))
    complaint(read, path)


@READERS
@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2), "text"], ids=str)
def test_a_file_without_a_principal(read, content, tmp_path):
    torch.save(content, tmp_path / "a.ckpt")
    assert "holds no principal" in complaint(read, tmp_path / "a.ckpt")


@READERS
@pytest.mark.parametrize("form", ["archive", "legacy", "plain pickle"])
def test_code_in_a_checkpoint_is_not_run(read, form, tmp_path):
    path, target = tmp_path / "a.ckpt", tmp_path / "made"
    content = {"state_dict": {}, "loops": Malicious(target)}
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "archive")
    complaint(read, path)
    assert not target.exists()
    if form == "plain pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert target.exists()  # the file was armed indeed


def test_settings_cannot_name_code_to_run(tmp_path):
    path, target = tmp_path / "a.ckpt", tmp_path / "made"
    checkpoint = checkpoint_of(tiny())
    checkpoint[CHECKPOINT_KEY]["game"] = {
        "class_path": "os.mkdir",
        "init_args": {"path": str(target)},
    }
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match=r"os\.mkdir"):
        MermaideModule.load_from_checkpoint(path)
    assert not target.exists()


def without(name: str):
    def change(checkpoint: dict) -> None:
        del checkpoint[name]

    return change


def another_size(checkpoint: dict) -> None:
    checkpoint[CHECKPOINT_KEY]["architecture"]["init_args"]["hidden_size"] = 9


def a_missing_weight(checkpoint: dict) -> None:
    del checkpoint["state_dict"]["principal.recurrence.weight_ih"]


def an_unknown_setting(checkpoint: dict) -> None:
    checkpoint[CHECKPOINT_KEY]["colour"] = "red"


def an_unknown_argument(checkpoint: dict) -> None:
    checkpoint[CHECKPOINT_KEY]["game"]["init_args"]["colour"] = "red"


def settings_of_another_kind(checkpoint: dict) -> None:
    checkpoint[CHECKPOINT_KEY] = [1, 2]


def a_slot_of_another_kind(checkpoint: dict) -> None:
    checkpoint[CHECKPOINT_KEY]["game"] = describe(Architecture())


@pytest.mark.parametrize(
    "change",
    [
        without(CHECKPOINT_KEY),
        another_size,
        a_missing_weight,
        an_unknown_setting,
        an_unknown_argument,
        settings_of_another_kind,
        a_slot_of_another_kind,
    ],
    ids=lambda change: change.__name__,
)
def test_a_checkpoint_of_another_version(change, tmp_path):
    path = tmp_path / "a.ckpt"
    checkpoint = checkpoint_of(tiny())
    change(checkpoint)
    torch.save(checkpoint, path)
    message = complaint(MermaideModule.load_from_checkpoint, path)
    assert "not a checkpoint of this version" in message


@pytest.mark.parametrize("name", PRINCIPALS.names())
def test_pretrained_principals_play_and_have_a_card(name):
    module = load_pretrained(name)
    assert not module.training
    tasks = Population([AgentFamily(UCB)]).sample(range(4), split="val")
    player = GreedyPlayer(module.principal, module.adapted_weights(tasks, 1))
    played = rollout(tasks, player, module.game, stream=Stream.SCORE, num_episodes=1)
    assert played.alignment.mean() > 0.4  # an agent left alone pulls the target in 5% of steps
    card = (PRINCIPALS.folder / f"{name}.md").read_text()
    assert card.startswith(f"# {name}\n")
    for part in ("**Trained on**", "**Results**", "**Limits.**"):
        assert part in card


def test_pretrained_principals_are_small():
    sizes = [(PRINCIPALS.folder / f"{name}.ckpt").stat().st_size for name in PRINCIPALS.names()]
    assert 0 < sum(sizes) < 1_000_000


def test_unknown_pretrained_principals_are_refused_with_the_names():
    message = f"no pretrained principal 'nobody', allowed: {', '.join(PRINCIPALS.names())}"
    with pytest.raises(ValueError, match=message):
        load_pretrained("nobody")


def test_a_plain_name_is_a_pretrained_principal_unless_there_is_such_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    packaged = PRINCIPALS.folder / "ucb-partial.ckpt"
    assert checkpoint_path("ucb-partial") == checkpoint_path("pretrained:ucb-partial") == packaged
    Path("ucb-partial").touch()
    assert checkpoint_path("ucb-partial") == Path("ucb-partial")
    assert checkpoint_path("pretrained:ucb-partial") == packaged
    assert checkpoint_path("nobody") == Path("nobody")


@READERS
def test_a_damaged_weight(read, tmp_path):
    path, checkpoint = tmp_path / "a.ckpt", checkpoint_of(tiny())
    torch.save(checkpoint, path)
    content = bytearray(path.read_bytes())
    weight = checkpoint["state_dict"]["principal.recurrence.weight_hh"].numpy().tobytes()
    content[content.index(weight)] ^= 1
    path.write_bytes(content)
    assert "truncated, damaged, or not a checkpoint" in complaint(read, path)


@READERS
def test_a_weight_marked_as_a_folder(read, tmp_path):
    """One bit of the archive's directory, which no checksum covers."""
    path = tmp_path / "a.ckpt"
    torch.save(checkpoint_of(tiny()), path)
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02", 0, content.rindex(b"/data/0"))
    content[entry + 38] ^= 0x10  # its external attributes
    path.write_bytes(content)
    assert "truncated, damaged, or not a checkpoint" in complaint(read, path)


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "new" / "a.ckpt"
    for number in (1.0, 2.0):
        write_checkpoint({"state_dict": {"x": torch.tensor(number)}}, path)
        assert read_checkpoint(path)["state_dict"]["x"] == number
    assert os.listdir(path.parent) == ["a.ckpt"]


@pytest.mark.parametrize("failing", ["torch.save", "os.fsync", "os.replace"])
def test_a_failed_write_leaves_the_old_file(failing, tmp_path, monkeypatch):
    path = tmp_path / "a.ckpt"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise RuntimeError("disk\nfull") if failing == "torch.save" else OSError("disk\nfull")

    monkeypatch.setattr(failing, fail)
    with pytest.raises(ValueError, match=r"a\.ckpt cannot be written: disk full"):
        write_checkpoint({}, path)
    assert os.listdir(tmp_path) == ["a.ckpt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize("place", [".", "file/a.ckpt"])
def test_places_that_cannot_be_written(place, tmp_path):
    (tmp_path / "file").touch()
    complaint(lambda path: write_checkpoint({}, path), tmp_path / place)
    assert os.listdir(tmp_path) == ["file"]


# settings of earlier versions


@pytest.mark.parametrize(("bonuses", "unit"), [((0.0, 1.0), None), ((0.0, 0.5, 2.0), 1.0)])
def test_a_principal_of_an_earlier_version_measures_as_it_was_trained(bonuses, unit, tmp_path):
    module = MermaideModule(Game(3, 8, bonuses), Architecture(8, 8, CountFeatures(unit)))
    content = checkpoint_of(module)
    old = copy.deepcopy(content)
    del old[CHECKPOINT_KEY]["architecture"]["init_args"]["history"]["init_args"]["reward_unit"]
    torch.save(old, tmp_path / "old.ckpt")
    loaded = MermaideModule.load_from_checkpoint(tmp_path / "old.ckpt")
    assert loaded.principal.history == CountFeatures(unit)
    assert loaded.spec == content[CHECKPOINT_KEY]  # so that a run can resume from it


def test_a_principal_of_a_version_without_recurrences(without_slot, tmp_path):
    module = tiny()
    old = without_slot(checkpoint_of(module))
    assert list(old["state_dict"])[:6] == [
        *("principal.weight_ih", "principal.weight_hh", "principal.bias_ih", "principal.bias_hh"),
        *("principal.initial_state", "principal.world_model.common_weight"),
    ]
    torch.save(old, tmp_path / "old.ckpt")
    loaded = MermaideModule.load_from_checkpoint(tmp_path / "old.ckpt")
    assert loaded.spec == module.spec
    assert list(loaded.state_dict()) == list(module.state_dict())
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, module.state_dict()[name])
    assert tiny(init_from=str(tmp_path / "old.ckpt")).spec == module.spec  # training begins with it


def test_settings_without_end_are_refused(tmp_path):
    content = checkpoint_of(tiny())
    loop: list = []
    loop.append(loop)
    content[CHECKPOINT_KEY]["objective"] = loop
    torch.save(content, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt cannot be read: its settings nest too deeply"):
        read_checkpoint(tmp_path / "a.ckpt")


# where training begins


def test_training_begins_with_another_principal(tmp_path):
    start = tiny()
    for weight in start.parameters():  # the inner rates too
        weight.data += torch.randn_like(weight)
    torch.save(checkpoint_of(start), tmp_path / "a.ckpt")
    settings = {"meta_lr": 0.5, "objective": Objective(entropy_start=0.2)}
    module = tiny(init_from=str(tmp_path / "a.ckpt"), **settings)
    assert list(module.state_dict()) == list(start.state_dict())
    for name, value in module.state_dict().items():
        assert torch.equal(value, start.state_dict()[name])
    assert checkpoint_of(module)[CHECKPOINT_KEY] == checkpoint_of(tiny(**settings))[CHECKPOINT_KEY]
    torch.save(checkpoint_of(module), tmp_path / "b.ckpt")
    (tmp_path / "a.ckpt").unlink()
    loaded = MermaideModule.load_from_checkpoint(tmp_path / "b.ckpt")
    assert loaded.init_from is None
    assert loaded.meta_lr == 0.5


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"game": Game(3, 8, (0.0, 0.5, 1.0))}, r"number of bonuses = 2, the configuration has 3"),
        ({"game": Game(3, 9)}, r"game\.num_steps = 8, the configuration has 9"),
        ({"architecture": Architecture(8, 9)}, r"policy_size = 8, the configuration has 9"),
        ({"adaptation": GradientAdaptation(0.2)}, r"inner_lr = 0\.3, the configuration has 0\.2"),
    ],
)
def test_training_does_not_begin_with_a_principal_of_another_shape(settings, difference, tmp_path):
    torch.save(checkpoint_of(tiny()), tmp_path / "a.ckpt")
    settings = {"game": Game(3, 8), "architecture": Architecture(8, 8)} | settings
    with pytest.raises(ValueError, match=rf"^init_from .*a\.ckpt: .*{difference}$"):
        MermaideModule(**settings, init_from=str(tmp_path / "a.ckpt"))


def test_training_may_begin_in_a_game_of_other_prices(caplog):
    caplog.set_level("WARNING")
    game = Game(cost=0.2)
    architecture = Architecture(32, 64)
    adaptation = GradientAdaptation(0.3, carries_state=True)
    module = MermaideModule(game, architecture, adaptation, init_from="pretrained:ucb-partial")
    assert module.game.cost == 0.2
    says = (
        "init_from pretrained:ucb-partial was trained for bonuses [0.0, 1.0] at cost 0.5, the"
        " game has bonuses [0.0, 1.0] at cost 0.2: it is as good only if this is the same game in"
        " other units, the agents' rewards and their own scales included"
    )
    assert [record.message for record in caplog.records] == [says]
    caplog.clear()
    told = Game(bonuses=(0.0, 100.0), cost=0.005)
    MermaideModule(told, architecture, adaptation, init_from="pretrained:ucb-partial")
    assert "the game has bonuses [0.0, 100.0] at cost 0.005" in caplog.text
    caplog.clear()
    MermaideModule(Game(), architecture, adaptation, init_from="pretrained:ucb-partial")
    assert not caplog.records
    with pytest.raises(ValueError, match=r"no pretrained principal 'nobody', allowed:"):
        MermaideModule(game, architecture, adaptation, init_from="pretrained:nobody")
