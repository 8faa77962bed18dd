from pathlib import Path

import pytest
import yaml
from bad_inputs import check_line, damaged_text, hunt, mutated

from mermaide_pl.populations.files import load_population

GOOD = {
    "families": [
        {"rule": "mermaide_pl.agents.UCB", "hyper_parameters": {"beta": [0.2, 0.5]}, "weight": 2.0},
        {
            "rule": "EpsilonGreedy",
            "hyper_parameters": {"epsilon": {"low": 0.1, "high": 0.3}},
            "weight": 1,
        },
        {"rule": "EXP3", "hyper_parameters": {"gamma": 0.1, "reward_high": 2.0}},
    ],
    "num_arms": 3,
    "base_rewards": {
        "class_path": "mermaide_pl.populations.NormalRewards",
        "init_args": {"mean": 0.5, "scale": 0.2, "low": 0.1, "high": 0.9},
    },
    "target": {
        "class_path": "mermaide_pl.populations.GapTarget",
        "init_args": {"low": 0.1, "high": 0.5},
    },
    "reward_model": {
        "class_path": "mermaide_pl.agents.GaussianReward",
        "init_args": {"scale": 0.2},
    },
}
KINDS = {
    ("families",): "list",
    ("families", 0): "group",
    ("families", 0, "rule"): "class",
    ("families", 0, "weight"): "positive",
    ("families", 0, "hyper_parameters"): "group",
    ("families", 0, "hyper_parameters", "beta", 1): "not negative",
    ("families", 1, "hyper_parameters", "epsilon"): "probability",
    ("families", 1, "hyper_parameters", "epsilon", "low"): "probability",
    ("families", 1, "hyper_parameters", "epsilon", "high"): "probability",
    ("families", 2, "hyper_parameters", "gamma"): "probability",
    ("families", 2, "hyper_parameters", "reward_high"): "number",
    ("num_arms",): "count",
    ("base_rewards",): "class",
    ("base_rewards", "init_args"): "group",
    ("base_rewards", "init_args", "mean"): "number",
    ("base_rewards", "init_args", "scale"): "positive",
    ("base_rewards", "init_args", "high"): "number",
    ("target",): "class",
    ("target", "init_args", "low"): "not negative",
    ("target", "init_args", "high"): "not negative",
    ("reward_model",): "class",
    ("reward_model", "init_args", "scale"): "not negative",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(content: bytes, says: str) -> None:
    Path("bad.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"^population bad\.yaml") as caught:
        load_population("bad.yaml")
    check_line(str(caught.value), says)
    assert not Path("MARK").exists()


def test_the_good_one_is_good():
    Path("good.yaml").write_text(yaml.safe_dump(GOOD))
    assert load_population("good.yaml").num_arms == 3


def test_a_mistake_in_a_population():
    hunt(
        "populations",
        mutated(GOOD, KINDS),
        lambda bad: refused(yaml.safe_dump(bad.content, allow_unicode=True).encode(), bad.says),
    )


def test_a_damaged_population():
    hunt("population texts", damaged_text(GOOD), lambda bad: refused(bad.content, bad.says))
