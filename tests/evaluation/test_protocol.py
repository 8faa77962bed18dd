import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from mermaide_pl.agents import UCB, BestResponse, EpsilonGreedy
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation import paired_evaluation
from mermaide_pl.evaluation import protocol as evaluation
from mermaide_pl.evaluation.baselines import best_of
from mermaide_pl.evaluation.methods import label_of
from mermaide_pl.evaluation.paired_evaluation import scores_of
from mermaide_pl.evaluation.protocol import evaluate
from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import GradientAdaptation, NoAdaptation, Objective
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.metrics.intervals import bootstrap_mean
from mermaide_pl.populations import (
    AgentFamily,
    FixedRewards,
    FixedTarget,
    Interval,
    Population,
    UniformRewards,
)
from mermaide_pl.principals import (
    AlwaysIntervene,
    Architecture,
    GreedyPlayer,
    LearnedPlayer,
    NoIntervention,
    Player,
)
from mermaide_pl.principals.grids import burst_grid, oracle_grid, periodic_grid, random_grid

GAME = Game(num_arms=3, num_steps=8, cost=0.4)
TRAIN = Population([AgentFamily(UCB, {"beta": Interval(0.1, 0.7)})], num_arms=3)
EPSILON = replace(TRAIN, families=[AgentFamily(EpsilonGreedy)])
FOLLOWERS = replace(TRAIN, families=[AgentFamily(BestResponse)])
UNSEEN = {"ucb": TRAIN, "epsilon": EPSILON, "followers": FOLLOWERS}
NUM_AGENTS = 10
QUANTITIES = ("return", "alignment", "intervention_rate", "normalised_return", "paired_gain")


@pytest.fixture(autouse=True)
def few_tuning_agents(monkeypatch):
    monkeypatch.setattr(evaluation, "NUM_TUNING_AGENTS", 15)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A principal trained for two steps; its large inner rate makes one shot matter."""
    folder = tmp_path_factory.mktemp("principal")
    pl.seed_everything(0)
    trainer = pl.Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    module = MermaideModule(
        GAME, Architecture(8, 8), GradientAdaptation(5.0), Objective(inner_policy_weight=1.0)
    )
    data = TaskDataModule(TRAIN, meta_batch_size=4, steps_per_epoch=2, num_val_tasks=2)
    trainer.fit(module, data)
    (path,) = folder.rglob("*.ckpt")
    return path


def run(checkpoint: Path, populations=UNSEEN, **settings) -> list[dict]:
    return evaluate(checkpoint, populations, **{"num_agents": NUM_AGENTS} | settings)


@pytest.fixture(scope="module")
def rows(checkpoint) -> list[dict]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "NUM_TUNING_AGENTS", 15)
        return run(checkpoint)


def of(rows: list[dict], method: str, population: str = "ucb", shots: int = 0) -> dict:
    """The single row of a method."""
    key = (method, population, shots)
    (row,) = [row for row in rows if (row["method"], row["population"], row["shots"]) == key]
    return row


def agents(population: str = "ucb", split: str = "test", seed: int = 0, num=NUM_AGENTS):
    return UNSEEN[population].sample(range(num), split=split, seed=seed)


def play(player: Player, population: str = "ucb", seed: int = 0, num_episodes: int = 2):
    tasks = agents(population, seed=seed)
    return rollout(tasks, player, GAME, stream=Stream.SCORE, num_episodes=num_episodes)


def test_a_principal_trained_in_double_precision(checkpoint, rows, tmp_path):
    saved = torch.load(checkpoint, weights_only=True)
    saved["state_dict"] = {name: value.double() for name, value in saved["state_dict"].items()}
    torch.save(saved, tmp_path / "double.ckpt")
    assert run(tmp_path / "double.ckpt") == rows


# the intervals


def test_mean_of_equal_values():
    assert bootstrap_mean(np.full(7, 0.25)) == pytest.approx((0.25, 0.25, 0.25))


def test_interval_of_two_values():
    # a resample of {0, 1} has mean 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4
    assert bootstrap_mean(np.array([0.0, 1.0])) == (0.5, 0.0, 1.0)


def test_interval_of_a_rare_value():
    # a resample misses the odd one out with probability (9/10)^10 = 0.35, and holds it more than
    # three times with probability 0.013
    assert bootstrap_mean(np.array([10.0] + [0.0] * 9)) == pytest.approx((1.0, 0.0, 3.0))


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_interval_of_many_coins_is_the_normal_one(share):
    values = (np.arange(1000) < 1000 * share).astype(float)
    half_width = 1.96 * math.sqrt(share * (1.0 - share) / 1000)
    mean, low, high = bootstrap_mean(values)
    assert mean == pytest.approx(share)
    assert low == pytest.approx(share - half_width, abs=0.004)
    assert high == pytest.approx(share + half_width, abs=0.004)


def test_intervals_move_and_stretch_with_the_values():
    values = np.random.default_rng(0).normal(size=40)
    moved = [2.0 * bound + 3.0 for bound in bootstrap_mean(values)]
    assert bootstrap_mean(2.0 * values + 3.0) == pytest.approx(moved)


def test_resampling_is_fixed_by_its_seed():
    values = np.random.default_rng(0).normal(size=40)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1)[1:] != bootstrap_mean(values, seed=2)[1:]


def test_scores_are_means_over_an_agents_episodes():
    levels = torch.tensor([[[0, 1], [1, 2]], [[0, 0], [0, 0]], [[2, 2], [0, 2]]])
    zeros, rewards = torch.zeros_like(levels), levels.float() * 2.0
    played = Trajectory(zeros, levels, levels > 1, rewards, rewards, zeros, rewards, Game())
    returns, alignment, intervention_rate = scores_of(played)
    assert returns.tolist() == [2.0, 0.0, 3.0]
    assert alignment.tolist() == [0.25, 0.0, 0.75]
    assert intervention_rate.tolist() == [0.75, 0.0, 0.75]
    assert returns.dtype == torch.float64


# the rows


def test_rows_have_these_keys(rows):
    expected = {"method", "population", "shots", "num_agents", "normalised_return_undefined"}
    expected |= {f"{name}_{bound}" for name in QUANTITIES for bound in ("mean", "low", "high")}
    assert {frozenset(row) for row in rows} == {frozenset(expected)}


def test_there_is_a_row_for_each_method_and_population(rows):
    methods = [
        ("none", 0),
        ("always", 0),
        ("periodic", 0),
        ("burst", 0),
        ("random", 0),
        ("principal", 0),
        ("principal", 1),
        ("oracle", 0),
    ]
    found = [(row["population"], row["method"], row["shots"]) for row in rows]
    assert found == [(name, method, shots) for name in UNSEEN for method, shots in methods]
    assert {row["num_agents"] for row in rows} == {NUM_AGENTS}


@pytest.mark.parametrize("population", UNSEEN)
def test_schedules_are_tuned_on_the_training_population(rows, population):
    tasks = agents(split="tune", num=15)
    for label, grid in (
        ("periodic", periodic_grid),
        ("burst", burst_grid),
        ("random", random_grid),
    ):
        best = best_of(grid(GAME), tasks, GAME)
        expected = play(best, population).returns.mean().item()
        assert of(rows, label, population)["return_mean"] == pytest.approx(expected, abs=1e-6)


def test_every_mean_lies_in_its_interval(rows):
    for row in rows:
        for quantity in QUANTITIES:
            mean, low, high = (row[f"{quantity}_{bound}"] for bound in ("mean", "low", "high"))
            assert low - 1e-12 <= mean <= high + 1e-12
    widths = [row["return_high"] - row["return_low"] for row in rows if row["population"] == "ucb"]
    assert all(width > 0.0 for width in widths)


@pytest.mark.parametrize("population", UNSEEN)
def test_the_ends_of_the_normalised_return(rows, population):
    for method, expected in (("none", 0.0), ("oracle", 1.0)):
        row = of(rows, method, population)
        bounds = [row[f"normalised_return_{bound}"] for bound in ("mean", "low", "high")]
        assert bounds == pytest.approx([expected] * 3, abs=1e-12)


def test_a_normalised_return_that_says_nothing_is_a_dash_null_and_a_reason(
    checkpoint, tmp_path, capsys
):
    """With agents that always pull the target, no principal gains over none."""
    settled = replace(TRAIN, base_rewards=FixedRewards([1.0, 0.0, 0.0]), target=FixedTarget(0))
    settled = replace(settled, families=[AgentFamily(BestResponse)])
    out = tmp_path / "rows.json"
    rows = run(checkpoint, {"settled": settled}, out=out)
    for row in rows:
        bounds = [row[f"normalised_return_{bound}"] for bound in ("mean", "low", "high")]
        assert bounds == [None, None, None]
        assert (
            "gains 0.0000 over no intervention, less than 0.05"
            in row["normalised_return_undefined"]
        )
    assert "NaN" not in out.read_text() and json.loads(out.read_text()) == rows
    printed = capsys.readouterr().out
    assert "- no normalised return: the oracle gains 0.0000" in printed
    assert "nan" not in printed


@pytest.mark.parametrize("population", UNSEEN)
def test_the_paired_gain_is_over_the_best_fixed_schedule(rows, population):
    fixed = [
        of(rows, method, population) for method in ("none", "always", "periodic", "burst", "random")
    ]
    best = max(fixed, key=lambda row: row["return_mean"])
    assert [best[f"paired_gain_{bound}"] for bound in ("mean", "low", "high")] == [0.0, 0.0, 0.0]
    for row in rows:
        if row["population"] == population:
            gain = row["return_mean"] - best["return_mean"]
            assert row["paired_gain_mean"] == pytest.approx(gain, abs=1e-12)
    assert all(row["paired_gain_mean"] <= 0.0 for row in fixed)


@pytest.mark.parametrize("population", UNSEEN)
def test_fixed_rows_are_rollouts_by_hand(rows, population):
    for method, player in (("none", NoIntervention()), ("always", AlwaysIntervene())):
        played, row = play(player, population), of(rows, method, population)
        for quantity, values in (
            ("return", played.returns),
            ("alignment", played.alignment),
            ("intervention_rate", played.intervention_rate),
        ):
            expected = bootstrap_mean(values.double().mean(1).numpy())
            bounds = [row[f"{quantity}_{bound}"] for bound in ("mean", "low", "high")]
            assert bounds == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("population", UNSEEN)
def test_the_oracle_is_tuned_on_other_agents_of_the_population(rows, population):
    oracle = best_of(oracle_grid(), agents(population, split="tune", num=15), GAME)
    expected = play(oracle, population).returns.mean().item()
    assert of(rows, "oracle", population)["return_mean"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("population", UNSEEN)
def test_learned_rows_are_rollouts_by_hand(rows, population, checkpoint):
    module = MermaideModule.load_from_checkpoint(checkpoint)
    meta, tasks = module.principal.weights(), agents(population)
    support = rollout(
        tasks, LearnedPlayer(module.principal, meta), GAME, stream=Stream.SUPPORT, num_episodes=1
    )
    fast, _ = adapt(module.principal, module.inner_loop, module.objective, support)
    returns = []
    for shots, weights in ((0, meta), (1, fast)):
        played = play(GreedyPlayer(module.principal, weights), population)
        row = of(rows, "principal", population, shots)
        assert row["return_mean"] == pytest.approx(played.returns.mean().item(), abs=1e-6)
        assert row["alignment_mean"] == pytest.approx(played.alignment.mean().item(), abs=1e-6)
        returns.append(row["return_mean"])
    assert returns[0] != returns[1]


def test_other_principals_are_scored_beside_and_change_nothing_else(rows, checkpoint):
    best = max(burst_grid(GAME), key=lambda player: play(player).returns.mean())
    others = {"clairvoyant burst": best, "lazy": NoIntervention()}
    found = run(checkpoint, others=others)
    assert [row for row in found if row["method"] not in others] == rows
    methods = [row["method"] for row in found if row["population"] == "ucb"]
    assert methods[4:8] == ["random", "clairvoyant burst", "lazy", "principal"]
    for population in UNSEEN:
        expected = play(best, population).returns.mean().item()
        row = of(found, "clairvoyant burst", population)
        assert row["return_mean"] == pytest.approx(expected, abs=1e-6)
        lazy = of(found, "lazy", population)
        assert lazy == of(rows, "none", population) | {"method": "lazy"}


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"burst": NoIntervention()}, r"others: 'burst' is the name of another row, as .*burst"),
        ({"principal": NoIntervention()}, r"others: 'principal' is the name of another row"),
        ({"mine": max}, r"others: 'mine' must be a Player, got builtin_function_or_method"),
    ],
)
def test_other_principals_are_checked(others, message, checkpoint):
    with pytest.raises(ValueError, match=message):
        run(checkpoint, others=others)


def test_the_same_call_twice_is_identical(rows, checkpoint):
    assert run(checkpoint) == rows


def test_populations_do_not_touch_each_other(rows, checkpoint):
    backwards = run(checkpoint, dict(reversed(UNSEEN.items())))
    alone = [row for name in UNSEEN for row in run(checkpoint, {name: UNSEEN[name]})]
    assert alone == rows
    assert sorted(backwards, key=str) == sorted(rows, key=str)


def test_chunks_of_agents_do_not_matter(rows, checkpoint, monkeypatch):
    monkeypatch.setattr(paired_evaluation, "_CHUNK", 3)
    for chunked, whole in zip(run(checkpoint), rows, strict=True):
        for key, value in whole.items():
            expected = pytest.approx(value, abs=1e-9) if isinstance(value, float) else value
            assert chunked[key] == expected


def test_another_seed_scores_other_agents(rows, checkpoint):
    other = run(checkpoint, {"ucb": TRAIN}, seed=5)
    expected = play(NoIntervention(), seed=5).returns.mean().item()
    assert of(other, "none")["return_mean"] == pytest.approx(expected, abs=1e-6)
    assert of(other, "none")["return_mean"] != of(rows, "none")["return_mean"]


def test_more_episodes_and_shots(rows, checkpoint):
    other = run(checkpoint, {"ucb": TRAIN}, num_episodes=3, shots=[2], num_agents=4)
    assert [row["shots"] for row in other if row["method"] == "principal"] == [2]
    tasks = TRAIN.sample(range(4), split="test")
    played = rollout(tasks, NoIntervention(), GAME, stream=Stream.SCORE, num_episodes=3)
    expected = played.returns.mean().item()
    assert of(other, "none")["return_mean"] == pytest.approx(expected, abs=1e-6)


def test_without_an_inner_loop_shots_change_nothing(tmp_path):
    module = MermaideModule(GAME, Architecture(8, 8), NoAdaptation())
    content = {
        "state_dict": module.state_dict(),
        "TaskDataModule": TaskDataModule(TRAIN).state_dict(),
    }
    module.on_save_checkpoint(content)
    torch.save(content, tmp_path / "plain.ckpt")
    rows = run(tmp_path / "plain.ckpt", {"ucb": TRAIN}, shots=[0, 1, 3])
    unadapted, *adapted = (row for row in rows if row["method"] == "principal")
    assert [row | {"shots": 0} for row in adapted] == [unadapted] * 2


def test_the_file_holds_the_rows(checkpoint, tmp_path):
    out = tmp_path / "new" / "results.json"
    rows = run(checkpoint, {"ucb": TRAIN}, out=out)
    assert json.loads(out.read_text()) == rows


def test_the_printed_table_holds_every_row(checkpoint, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    rows = run(checkpoint, {"some population": TRAIN})
    printed = capsys.readouterr().out
    assert "some population" in printed
    for grid in (periodic_grid, burst_grid, random_grid):
        assert str(best_of(grid(GAME), agents(split="tune", num=15), GAME)) in printed
    for row in rows:
        learned = row["method"] == "principal"
        label = f"principal {row['shots']}-shot" if learned else label_of(row["method"])
        (line,) = [line for line in printed.splitlines() if line.startswith(f" {label} ")]
        cells = line.removeprefix(f" {label} ").split()
        for quantity, cell in zip(QUANTITIES, cells, strict=True):
            mean, low, high = (row[f"{quantity}_{bound}"] for bound in ("mean", "low", "high"))
            assert [float(part) for part in cell.split("±")] == [
                pytest.approx(mean, abs=6e-4),
                pytest.approx((high - low) / 2, abs=6e-4),
            ]


def test_the_table_fits_into_eighty_columns(checkpoint, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run(checkpoint, {"ucb": TRAIN})
    printed = capsys.readouterr().out
    assert "principal 0-shot" in printed and "no intervention" in printed
    assert "…" not in printed


def test_the_numbers_of_the_game_are_said(checkpoint, capsys):
    run(checkpoint, {"ucb": TRAIN})
    game = "Game: 3 arms, 8 steps, bonuses 0, 1, cost 0.4, partial information."
    assert game in capsys.readouterr().out


def test_where_it_cannot_play_it_says_who_can(checkpoint):
    with pytest.raises(ValueError, match="agents with 4 arms") as refused:
        run(checkpoint, {"four": replace(TRAIN, num_arms=4)})
    assert str(refused.value).endswith("plays them with --game.num_arms 4")
    with pytest.raises(ValueError, match=r"has game\.num_arms = 3, the configuration has 4"):
        run(checkpoint, {"four": replace(TRAIN, num_arms=4)}, game=Game(4, 8))


def test_the_table_fits_where_the_oracle_gains_little(rows, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    bounds = {"mean": -8.336, "low": -9.436, "high": -7.236}
    wide = {f"normalised_return_{bound}": value for bound, value in bounds.items()}
    deep = {f"paired_gain_{bound}": value / 20.0 for bound, value in bounds.items()}
    evaluation.print_table([row | wide | deep for row in rows])
    printed = capsys.readouterr().out
    assert "-8.3±1.1" in printed and "-0.417±.055" in printed
    assert "…" not in printed


@pytest.fixture
def second(checkpoint, tmp_path) -> Path:
    """The principal with other weights, trained on others in a game that costs less."""
    torch.manual_seed(1)
    module = MermaideModule(replace(GAME, cost=0.1), Architecture(8, 8), GradientAdaptation(5.0))
    content = {
        "state_dict": module.state_dict(),
        "TaskDataModule": TaskDataModule(EPSILON).state_dict(),
    }
    module.on_save_checkpoint(content)
    torch.save(content, tmp_path / "second.ckpt")
    return tmp_path / "second.ckpt"


def test_several_principals_play_by_the_rules_of_the_last(checkpoint, second, tmp_path, caplog):
    found = run({"before": checkpoint, "after": second})
    (warning,) = [record.message for record in caplog.records if "trained for" in record.message]
    assert warning.startswith(
        f"{checkpoint} was trained for bonuses [0.0, 1.0] at cost 0.4, the game"
    )
    alone = [
        row | {"method": row["method"].replace("principal", "after")}
        for row in run(second)  # schedules tuned on the population of the second
    ]
    assert [row for row in found if row["method"] != "before"] == alone
    content, cheap = torch.load(checkpoint, weights_only=True), tmp_path / "cheap.ckpt"
    content["mermaide_pl"]["game"]["init_args"]["cost"] = 0.1
    content["TaskDataModule"] = TaskDataModule(EPSILON).state_dict()
    torch.save(content, cheap)
    expected = [row for row in run(cheap) if row["method"] == "principal"]
    before = [row | {"method": "principal"} for row in found if row["method"] == "before"]
    assert before == expected


def test_several_principals_in_one_table(checkpoint, second, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    run({"before": checkpoint, "after": second}, {"ucb": TRAIN})
    printed = capsys.readouterr().out
    for label in ("before 0-shot", "before 1-shot", "after 0-shot", "after 1-shot", "burst"):
        assert len([line for line in printed.splitlines() if line.startswith(f" {label} ")]) == 1
    assert f"before: {checkpoint}   after: {second}" in printed


def test_principals_of_other_games_do_not_play_together(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    content["mermaide_pl"]["game"]["init_args"]["num_steps"] = 9
    torch.save(content, tmp_path / "longer.ckpt")
    with pytest.raises(ValueError, match=r"game\.num_steps = 8, .* 9"):
        run({"before": checkpoint, "after": tmp_path / "longer.ckpt"})


def without_training_population(checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint like that of a fit without a `TaskDataModule`."""
    content = torch.load(checkpoint, weights_only=True)
    del content["TaskDataModule"]
    torch.save(content, tmp_path / "other.ckpt")
    return tmp_path / "other.ckpt"


def test_a_checkpoint_without_a_training_population_is_refused(checkpoint, tmp_path):
    path = without_training_population(checkpoint, tmp_path)
    with pytest.raises(ValueError, match=r"other\.ckpt .*training population"):
        run(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shots": [0, -1]}, r"shots .*at least 0, got -1"),
        ({"num_agents": 1}, r"num_agents .*at least 2, got 1"),
        ({"num_episodes": 0}, r"num_episodes .*at least 1, got 0"),
        ({"seed": -1}, r"seed .*from 0 to 4194303, got -1"),
        ({"seed": 2**22}, r"seed .*from 0 to 4194303, got 4194304"),
    ],
)
def test_settings_are_checked(settings, message, checkpoint):
    with pytest.raises(ValueError, match=message):
        run(checkpoint, **settings)


def test_agents_of_another_game_are_refused(checkpoint):
    other = Population([AgentFamily(UCB)], num_arms=4, base_rewards=UniformRewards())
    with pytest.raises(ValueError, match=r"big has agents with 4 arms, .* a game of 3"):
        run(checkpoint, {"ucb": TRAIN, "big": other})
