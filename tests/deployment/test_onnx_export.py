"""The exported step decides as a live principal does, by ONNX Runtime."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from decision_episodes import GAMES, largest_difference, live_in, numbers_of

from mermaide_pl import LivePrincipal, __version__
from mermaide_pl.cli.main import main
from mermaide_pl.deployment import onnx_export
from mermaide_pl.deployment.onnx_export import INPUTS, OUTPUTS, export_onnx

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "in_other_programs.md"


def by(path):
    """Decides by a file, outputs by name."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]

    def decide(inputs):
        given = {name: value.numpy() for name, value in inputs.items()}
        return dict(zip(names, session.run(None, given), strict=True))

    return decide


@pytest.fixture(scope="module")
def universal(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "universal.onnx"
    exported = export_onnx("pretrained:universal", path)
    assert exported.num_bytes == path.stat().st_size < 200_000
    assert exported.difference < 1e-5 and exported.num_steps == 160
    return path


@pytest.mark.parametrize("name", GAMES)
def test_the_file_decides_as_the_principal_in_every_game(universal, name):
    live = live_in(GAMES[name])
    assert largest_difference(live, by(universal), numbers_of(live)) < 1e-5


def test_many_learners_in_one_call(universal):
    decide, live = by(universal), live_in(GAMES["ten arms"])
    one = {
        "step": torch.zeros(1, dtype=torch.int64),
        "arm": torch.zeros(1, dtype=torch.int64),
        "level": torch.zeros(1, dtype=torch.int64),
        "agent_reward": torch.zeros(1),
        "hidden": torch.zeros(1, 64),
        "arm_tallies": torch.zeros(1, 10, 3),
        "totals": torch.zeros(1, 3),
        **numbers_of(live),
    }
    many = decide({name: torch.cat([value] * 7) for name, value in one.items()})
    for name, value in decide(one).items():
        np.testing.assert_allclose(many[name], np.concatenate([value] * 7), atol=1e-6)


def test_the_file_says_what_it_is(universal):
    model = onnx.load(universal)
    about = {each.key: each.value for each in model.metadata_props}
    assert about["mermaide_pl_version"] == __version__
    assert about["games"] == "any number of arms, levels and steps"
    assert json.loads(about["inputs"]) == INPUTS and json.loads(about["outputs"]) == OUTPUTS
    axes = {
        each.name: [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in model.graph.input
    }
    assert axes["arm_tallies"] == ["N", "A", 3] and axes["bonuses"] == ["N", "L"]
    assert model.graph.input[0].doc_string == INPUTS["step"]
    assert b".py" not in universal.read_bytes()  # nothing of where it was made


def test_a_specialised_principal_by_the_command_of_the_guide(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^mermaide (export .*)$", GUIDE.read_text(encoding="utf-8"), re.M)
    main([*command.split(), "--ckpt_path", "pretrained:ucb-partial"])
    path = tmp_path / "principal.onnx"
    assert "for games of 10 arms, 200 steps" in capsys.readouterr().out
    live = LivePrincipal.load("ucb-partial", target_arm=4)
    assert largest_difference(live, by(path), {}) < 1e-5
    assert "cost" not in [each.name for each in onnx.load(path).graph.input]


def test_a_graph_that_differs_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "_graph", lambda step: onnx.ModelProto())
    monkeypatch.setattr(onnx_export, "_describe", lambda model, games: None)
    monkeypatch.setattr(onnx_export, "_difference", lambda step, content: (float("nan"), 1))
    with pytest.raises(ValueError, match="the graph differs from PyTorch by nan"):
        export_onnx("pretrained:universal", tmp_path / "none.onnx")
    assert [*tmp_path.iterdir()] == []


def test_the_guide_runs_and_names_all_inputs_and_outputs(universal, tmp_path, monkeypatch):
    text = GUIDE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| (.*) \|$", text, flags=re.MULTILINE) == [
        *INPUTS.items(),
        *OUTPUTS.items(),
    ]
    assert f"a file of {universal.stat().st_size / 1e6:.2f} MB" in text
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (tmp_path / "principal.onnx").write_bytes(universal.read_bytes())
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert names["step"] == 199 and names["decision"]["new_totals"][0, 2] > 0
