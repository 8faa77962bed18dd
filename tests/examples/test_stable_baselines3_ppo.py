"""The example with a budget of one update."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("stable_baselines3")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example():
    path = ROOT / "examples" / "stable_baselines3_ppo.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_adapter_shows_the_last_observation_and_goes_on_with_other_agents(example):
    def environment():
        population = example.packaged("train_mixed")
        return example.BanditVectorEnv(3, population, game=example.Game(num_steps=4))

    ours, agents = environment(), example.Agents(environment())
    agents.seed(7)
    np.testing.assert_array_equal(agents.reset(), ours.reset(seed=7)[0])
    actions = np.array([0, 1, 1])
    for step in range(8):
        features, rewards, over, _, _ = ours.step(actions)
        shown, paid, done, infos = agents.step(actions)
        np.testing.assert_array_equal(paid, rewards)
        np.testing.assert_array_equal(done, over)
        assert done.all() == (step in (3, 7))
        if done.all():
            last = np.stack([info["terminal_observation"] for info in infos])
            np.testing.assert_array_equal(last, features)
            features, _ = ours.reset()
        np.testing.assert_array_equal(shown, features)


@pytest.mark.slow
def test_it_trains_and_scores(example, tmp_path, capsys):
    out, agents = tmp_path / "rows.json", str(ROOT / "conf" / "population" / "unseen_ucb.yaml")
    options = ["--agent_steps", "1", "--num_agents", "3", "--out", str(out), "--population", agents]
    example.main(options)
    rows = json.loads(out.read_text())
    methods = [row["method"] for row in rows]
    assert methods[5:] == ["PPO", "principal", "principal", "oracle"]
    assert "PPO was trained on 25,600 agent steps." in capsys.readouterr().out
