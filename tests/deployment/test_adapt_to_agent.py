import csv
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
import torch

from mermaide_pl.agents import UCB, EpsilonGreedy
from mermaide_pl.deployment.adapt_to_agent import OneAgent, adapt_by_playing, adapt_from_histories
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation import protocol as evaluation
from mermaide_pl.evaluation.protocol import evaluate
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import (
    GradientAdaptation,
    NoAdaptation,
    Objective,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.objectives import DiCE
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import (
    Architecture,
    LearnedPlayer,
    NoWorldModel,
    UniversalArchitecture,
)
from mermaide_pl.runtime.checkpoints import CHECKPOINT_KEY, read_checkpoint, write_checkpoint

GAME = Game(num_arms=3, num_steps=8, cost=0.4)
TRAIN = Population([AgentFamily(UCB, {"beta": Interval(0.1, 0.7)})], num_arms=3)
OTHERS = Population(
    [AgentFamily(EpsilonGreedy, {"epsilon": Interval(0.1, 0.3)}), AgentFamily(UCB)], num_arms=3
)
MAML = GradientAdaptation(5.0)
ADAPTATIONS = {
    "maml": MAML,
    "with memory": GradientAdaptation(5.0, carries_state=True),
    "memory alone": RecurrentAdaptation(),
    "three steps": GradientAdaptation(1.0, num_inner_steps=3, adapted=("world_model",)),
}


@pytest.fixture(autouse=True)
def few_tuning_agents(monkeypatch):
    monkeypatch.setattr(evaluation, "NUM_TUNING_AGENTS", 5)


def checkpoint(folder: Path, adaptation=MAML, **settings) -> Path:
    torch.manual_seed(0)
    module = MermaideModule(
        **{"game": GAME, "architecture": Architecture(8, 8), "adaptation": adaptation} | settings
    )
    for weight in module.principal.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    content = {
        "state_dict": module.state_dict(),
        "TaskDataModule": TaskDataModule(TRAIN).state_dict(),
    }
    module.on_save_checkpoint(content)
    write_checkpoint(content, folder / "before.ckpt")
    return folder / "before.ckpt"


def load(path: Path) -> MermaideModule:
    return MermaideModule.load_from_checkpoint(path)


def play(module: MermaideModule, agent: int = 0, num_episodes: int = 1) -> Trajectory:
    """Support episodes as `MermaideModule.adapted_weights` plays them."""
    player = LearnedPlayer(module.principal, module.principal.weights())
    tasks = OTHERS.sample([agent], split="test")
    return rollout(tasks, player, module.game, stream=Stream.SUPPORT, num_episodes=num_episodes)


def record(path: Path, played: Trajectory, propensities=None) -> Path:
    """The history of one agent as a file."""
    rows = [["episode", "step", "arm", "intervention", "agent_reward", "propensity"]]
    for episode in range(played.arms.shape[1]):
        for step in range(played.arms.shape[2]):
            one = 0, episode, step
            chance = None if propensities is None else propensities[one].item()
            values = played.arms[one], played.levels[one], played.agent_rewards[one]
            rows.append([episode, step, *(value.item() for value in values), chance])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(row if propensities is not None else row[:-1] for row in rows)
    return path


def assert_holds(path: Path, weights: dict, before: Path, **tolerance) -> None:
    """A checkpoint of the same settings with these weights of one task."""
    saved, old = read_checkpoint(path), read_checkpoint(before)
    for key in (CHECKPOINT_KEY, "TaskDataModule"):
        assert saved[key] == old[key]
    module = load(path)
    for name, weight in module.principal.weights().items():
        expected = weights[name].reshape(weight.shape)
        torch.testing.assert_close(weight, expected, **{"rtol": 0.0, "atol": 0.0} | tolerance)
    rates = load(before).inner_loop.state_dict()
    assert all(
        torch.equal(rates[key], value) for key, value in module.inner_loop.state_dict().items()
    )
    assert any(not torch.equal(saved["state_dict"][k], v) for k, v in old["state_dict"].items())
    assert [other.name for other in path.parent.iterdir() if other.suffix == ".tmp"] == []


def test_copies_of_an_agent_differ_by_their_random_numbers_alone():
    agent = OTHERS.sample([5], split="test", seed=3)
    copies = OneAgent.of(OTHERS, 5).sample(range(4, 7), split="test", seed=3)
    assert torch.equal(copies.base_rewards, agent.base_rewards.expand(3, -1))
    assert torch.equal(copies.target_arm, agent.target_arm.expand(3))
    (family,), (copied,) = agent.families, copies.families
    assert vars(copied.rule).keys() == vars(family.rule).keys()
    for name, value in vars(copied.rule).items():
        assert torch.equal(
            torch.as_tensor(value).flatten().unique(), vars(family.rule)[name].flatten()
        )
    assert copies.seeds == OTHERS.sample(range(4, 7), split="test", seed=3).seeds
    assert copies.seeds[1] == agent.seeds[0]
    tuning = OneAgent.of(OTHERS, 5).sample(range(2), split="tune", seed=3)
    assert torch.equal(tuning.base_rewards[:1], agent.base_rewards)
    assert not set(tuning.seeds) & set(copies.seeds)


def test_the_population_of_a_derived_data_module_is_kept(tmp_path):
    before, after = checkpoint(tmp_path), tmp_path / "after.ckpt"
    content = read_checkpoint(before)
    content["MyDataModule"] = content.pop("TaskDataModule")
    write_checkpoint(content, before)
    adapt_by_playing(before, "others", OTHERS, after, num_episodes=2)
    assert read_checkpoint(after)["MyDataModule"] == content["MyDataModule"]


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("shots", [1, 3])
def test_adapting_by_playing_saves_the_adapted_principal(name, shots, tmp_path):
    before, after = checkpoint(tmp_path, ADAPTATIONS[name]), tmp_path / "new" / "after.ckpt"
    rows = adapt_by_playing(before, "others", OTHERS, after, agent=4, shots=shots, num_episodes=6)
    module = load(before)
    support = play(module, agent=4, num_episodes=shots)
    weights, _ = adapt(module.principal, module.inner_loop, module.objective, support)
    assert_holds(after, weights, before)
    learned = [
        (row["population"], row["method"], row["shots"])
        for row in rows
        if row["method"] in ("before", "after")
    ]
    populations = ("copies of agent 4 of others", "training agents")
    assert learned == [
        (population, method, number)
        for population in populations
        for method in ("before", "after")
        for number in (0, shots)
    ]
    for path, method in ((before, "before"), (after, "after")):
        alone = evaluate(
            path, {"training agents": TRAIN}, shots=[0, shots], num_agents=6, num_episodes=1
        )
        expected = [row["return_mean"] for row in alone if row["method"] == "principal"]
        found = [
            row["return_mean"]
            for row in rows
            if (row["population"], row["method"]) == ("training agents", method)
        ]
        assert found == expected


@pytest.mark.parametrize("name", ADAPTATIONS)
@pytest.mark.parametrize("game", [GAME, replace(GAME, observation=FullInformation())])
def test_adapting_from_a_history_is_adapting_on_its_episodes(name, game, tmp_path):
    before, after = checkpoint(tmp_path, ADAPTATIONS[name], game=game), tmp_path / "after.ckpt"
    module = load(before)
    support = play(module, num_episodes=3)
    target = OTHERS.sample([0], split="test").target_arm.item()
    logs = record(tmp_path / "history.csv", support)
    held_out = adapt_from_histories(before, logs, after, target_arm=target)
    forecast_only = replace(module.objective, inner_policy_weight=0.0)
    weights, _ = adapt(module.principal, module.inner_loop, forecast_only, support)
    assert_holds(after, weights, before)
    # held out is the last of three episodes
    first, last = support.episodes(slice(2)), support.episodes(slice(2, 3))
    fast, _ = adapt(module.principal, module.inner_loop, forecast_only, first)
    unadapted, adapted = (
        -module.principal(weights, last).log_arms.mean().item()
        for weights in (module.principal.weights(), fast)
    )
    assert held_out.num_steps == 8
    assert held_out.log_loss_before == pytest.approx(unadapted, abs=1e-6)
    assert held_out.log_loss_after == pytest.approx(adapted, abs=1e-6)


def test_the_policy_adapts_where_propensities_are_recorded(tmp_path):
    policy_too = {"objective": Objective(inner_policy_weight=1.0)}
    before, after = checkpoint(tmp_path, **policy_too), tmp_path / "after.ckpt"
    module = load(before)
    support = play(module, num_episodes=2)
    chances = module.principal(module.principal.weights(), support).log_levels.detach().exp()
    target = OTHERS.sample([0], split="test").target_arm.item()
    logs = record(tmp_path / "history.csv", support, chances)
    adapt_from_histories(before, logs, after, target_arm=target)
    weights, _ = adapt(module.principal, module.inner_loop, module.objective, support)
    assert_holds(after, weights, before, atol=1e-5)
    record(logs, support)
    adapt_from_histories(before, logs, tmp_path / "forecast.ckpt", target_arm=target)
    other = load(tmp_path / "forecast.ckpt").principal.policy.policy_out_weight
    assert not torch.allclose(load(after).principal.policy.policy_out_weight, other, atol=1e-4)


def test_of_a_single_episode_the_second_half_is_held_out(tmp_path):
    before, after = checkpoint(tmp_path, ADAPTATIONS["with memory"]), tmp_path / "after.ckpt"
    module = load(before)
    support = play(module)
    target = OTHERS.sample([0], split="test").target_arm.item()
    logs = record(tmp_path / "history.csv", support)
    held_out = adapt_from_histories(before, logs, after, target_arm=target)
    half = support.map(lambda record: record[..., :4])
    objective = replace(module.objective, inner_policy_weight=0.0)
    fast, _ = adapt(module.principal, module.inner_loop, objective, half)
    log_losses = -module.principal(fast, support).log_arms[0, 0]
    assert held_out.num_steps == 4
    assert held_out.log_loss_after == pytest.approx(log_losses[4:].mean().item(), abs=1e-6)
    weights, _ = adapt(module.principal, module.inner_loop, objective, support)
    assert_holds(after, weights, before)


def test_one_step_cannot_be_parted(tmp_path):
    logs = tmp_path / "history.csv"
    logs.write_text("episode,step,arm,intervention\n0,0,1,0\n")
    with pytest.raises(ValueError, match="single step, at least 2"):
        adapt_from_histories(checkpoint(tmp_path), logs, tmp_path / "after.ckpt")


PLAIN = {"architecture": Architecture(8, 8, world_model=NoWorldModel())}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adaptation": NoAdaptation()}, r"before\.ckpt cannot adapt"),
        (PLAIN, r"before\.ckpt has no world model"),
        ({"objective": Objective(surrogate=DiCE())}, r"column propensity: the surrogate DiCE"),
    ],
)
def test_a_principal_that_cannot_learn_from_a_history(settings, message, tmp_path):
    logs = tmp_path / "history.csv"
    logs.write_text("episode,step,arm,intervention,propensity\n0,0,1,0,0.5\n0,1,1,0,0.5\n")
    with pytest.raises(ValueError, match=message):
        adapt_from_histories(checkpoint(tmp_path, **settings), logs, tmp_path / "after.ckpt")
    assert not (tmp_path / "after.ckpt").exists()


def test_a_checkpoint_is_not_overwritten_by_its_adapted_self(tmp_path):
    before = checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"--out .*is the checkpoint itself"):
        adapt_by_playing(before, "others", OTHERS, tmp_path / "x" / ".." / "before.ckpt")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"agent": -1}, r"--agent .*at least 0.*got -1"),
        ({"shots": 0}, r"--shots .*at least 1, got 0"),
        ({"seed": -1}, r"--seed .*got -1"),
        ({"num_episodes": 1}, r"num_episodes .*at least 2, got 1"),
        ({"population": replace(OTHERS, num_arms=4)}, r"population others has agents with 4 arms"),
    ],
)
def test_settings_are_checked(settings, message, tmp_path):
    settings = {"population": OTHERS, "out": tmp_path / "after.ckpt"} | settings
    with pytest.raises(ValueError, match=message):
        adapt_by_playing(checkpoint(tmp_path), "others", **settings)
    assert not (tmp_path / "after.ckpt").exists()


def test_a_universal_principal_adapts_in_another_game(tmp_path):
    before = checkpoint(tmp_path, architecture=UniversalArchitecture(8, 8, 8, 4))
    told, agents = Game(4, 9, (0.0, 0.5, 2.0), 0.1), replace(OTHERS, num_arms=None)
    out = tmp_path / "after.ckpt"
    settings = {"num_episodes": 2, "game_for": lambda _: told}
    rows = adapt_by_playing(before, "others", agents, out, **settings)
    assert {row["method"] for row in rows} >= {"before", "after"}
    assert load(out).game == told
    logs = tmp_path / "history.csv"
    logs.write_text("episode,step,arm,intervention\n0,0,3,2\n0,1,0,1\n0,2,1,0\n")
    held_out = adapt_from_histories(before, logs, out, game_for=lambda _: told)
    assert held_out.game == told
    with pytest.raises(ValueError, match="arm"):
        adapt_from_histories(before, logs, out)


def test_a_history_of_fewer_arms_is_noticed(tmp_path, caplog):
    before = checkpoint(tmp_path, architecture=UniversalArchitecture(8, 8, 8, 4))
    logs, out = tmp_path / "history.csv", tmp_path / "after.ckpt"
    logs.write_text("step,arm,intervention\n0,1,1\n1,0,1\n2,1,0\n")
    adapt_from_histories(before, logs, out)
    assert "no arm above 1 was pulled; if the agent has 2 arms and not 3" in caplog.text
    assert "say --game.num_arms 2" in caplog.text
    caplog.clear()
    adapt_from_histories(before, logs, out, target_arm=2)
    adapt_from_histories(before, logs, out, game_for=lambda game: replace(game, num_arms=2))
    adapt_from_histories(before, logs, out, arms=["0", "1", "2"])
    assert not caplog.text


def test_labels_of_arms_and_other_names_of_columns(tmp_path):
    """Every way to write a history gives the same principal."""
    before = checkpoint(tmp_path, architecture=UniversalArchitecture(8, 8, 8, 4))
    arms, frame = ["blue", "green", "red", "yellow"], pandas.DataFrame()
    frame["episode"] = ["b"] * 12 + ["a"] * 3
    frame["step"] = [*range(12), *range(3)]
    frame["choice"] = (frame["step"] % 4).map(dict(enumerate(arms))).astype("category")
    frame["offered"] = frame["step"] % 3 == 0
    frame.sample(frac=1.0, random_state=0).sort_values("episode", ascending=False).to_csv(
        tmp_path / "labels.csv.gz", sep=";"
    )
    columns = {"arm": "choice", "intervention": "offered"}
    told = {"arms": arms, "target_arm": "red", "columns": columns}
    frame_held_out = adapt_from_histories(before, frame, tmp_path / "frame.ckpt", **told)
    held_out = adapt_from_histories(
        before, tmp_path / "labels.csv.gz", tmp_path / "labels.ckpt", **told
    )
    numbers = frame.replace({"offered": {True: 1}}).rename(columns={"offered": "intervention"})
    numbers["arm"] = numbers["choice"].cat.codes
    plain = adapt_from_histories(
        before,
        numbers,
        tmp_path / "plain.ckpt",
        target_arm=2,
        game_for=lambda game: replace(game, num_arms=4),
    )
    assert held_out.game == plain.game == replace(GAME, num_arms=4, num_steps=12)  # the longest
    assert (held_out.target_arm, plain.target_arm) == ("red", 2)
    assert held_out.history == "episodes: 2, of 3 to 12 steps, columns not used: one without a name"
    assert frame_held_out.history == "episodes: 2, of 3 to 12 steps"
    assert held_out.log_loss_after == frame_held_out.log_loss_after == plain.log_loss_after
    weights = load(tmp_path / "plain.ckpt").principal.weights()
    for name in ("frame", "labels"):
        assert load(tmp_path / f"{name}.ckpt").game == plain.game
        found = load(tmp_path / f"{name}.ckpt").principal.weights()
        assert all(torch.equal(found[key], weight) for key, weight in weights.items())
    with pytest.raises(ValueError, match=r"row 10, column step: must be at most 8, got '9'"):
        adapt_from_histories(
            before,
            frame.iloc[:10],
            tmp_path / "short.ckpt",
            game_for=lambda game: replace(game, num_steps=9),
            **told,
        )
    assert not (tmp_path / "short.ckpt").exists()


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"arms": ["a", "b"]}, r"for games of 3 arms, .* not of 2 arms"),
        ({"arms": ["a", "b", "a"]}, r"arms must be two or more different texts or integers"),
        ({"arms": [1, "1", 2]}, r"arms must be two or more different texts or integers"),
        (
            {"arms": ["a", "b", "c"], "target_arm": 2},
            r"--target_arm must be one of a, b, c, got '2",
        ),
        ({"arms": ["a", "b", "c"]}, r"row 2, column arm: must be one of a, b, c, got 'd'"),
        ({"target_arm": "a"}, r"--target_arm must be a whole number from 0 to 2, got 'a'"),
        (
            {"columns": {"arm": "choice"}},
            r"missing column 'choice', the columns are step, arm, inter",
        ),
        ({"columns": {"arms": "arm"}}, r"--columns names 'arms', allowed: episode, step, arm"),
        ({}, r"row 1, column arm: must be an integer from 0 to 2 \(labels need --arms\), got 'a'"),
    ],
)
def test_what_is_told_of_a_history_is_checked(told, message, tmp_path):
    frame = pandas.DataFrame({"step": [0, 1], "arm": ["a", "d"], "intervention": [False, True]})
    with pytest.raises(ValueError, match=message):
        adapt_from_histories(checkpoint(tmp_path), frame, tmp_path / "after.ckpt", **told)
    assert not (tmp_path / "after.ckpt").exists()


def test_a_principal_for_one_game_does_not_adapt_in_another(tmp_path):
    before = checkpoint(tmp_path)
    with pytest.raises(ValueError, match=r"has game\.num_arms = 3, the configuration has 4"):
        adapt_by_playing(
            before, "others", OTHERS, tmp_path / "after.ckpt", game_for=lambda _: Game(4, 8)
        )
