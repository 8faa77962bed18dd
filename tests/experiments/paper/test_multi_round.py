from itertools import product

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.experiments.paper import EXPERIMENTS, multi_round
from mermaide_pl.experiments.paper.followers import mean_equilibrium, play_adapted
from mermaide_pl.experiments.paper.multi_round import (
    GAME,
    MERMAIDE,
    POPULATION,
    REINFORCE,
    Effort,
    build,
    landscape,
    say,
    scores,
    summarise,
)
from mermaide_pl.experiments.paper.parameter_path import ParameterPath, Plane
from mermaide_pl.game.equilibrium import equilibrium_level, population_equilibrium

TINY = Effort(
    num_seeds=2, num_steps=4, num_records=2, num_agents=20, grid_size=3, num_grid_agents=5
)
UNSEEN = POPULATION.sample(range(20), split="test", seed=7)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folder with the results of a very short experiment, and the sentence about them."""
    out = tmp_path_factory.mktemp("fig3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multi_round, "QUICK", TINY)
        return out, EXPERIMENTS["fig3"](out, True, 7)


@pytest.fixture
def walked():
    """An untrained principal, and a path of three points that ends where it is."""
    torch.manual_seed(0)
    module = build(MERMAIDE)
    path = ParameterPath(every_n_steps=10)
    end = parameters_to_vector(module.parameters()).detach()
    path.steps = [0, 10, 20]
    path.points = [end + 0.1 * torch.randn_like(end), end + 0.05 * torch.randn_like(end), end]
    return module, path


def test_the_equilibrium_by_hand():
    # 1 - 0.5 * 0.5 for the lower third, 1 - 0.5 for the middle one, nothing from the others
    tasks = POPULATION.sample(range(3000), split="test", seed=0)
    assert mean_equilibrium(tasks, GAME) == pytest.approx((0.75 + 0.5) / 3.0, abs=0.02)
    rate = (equilibrium_level(tasks.delta, GAME) > 0).double().mean().item()
    assert rate == pytest.approx(2.0 / 3.0, abs=0.02)
    # the dear level for all: two thirds follow, half a reward unit is paid each time
    level, payoff = population_equilibrium(tasks.delta, GAME)
    assert (level, payoff) == (2, pytest.approx(2.0 / 3.0 - 0.5, abs=0.02))


def test_both_methods_learn_from_as_many_episodes():
    episodes = [
        module.inner_loop.num_shots + module.num_query_episodes
        for module in (build(MERMAIDE), build(REINFORCE))
    ]
    assert episodes == [5, 5]


def test_scores_are_those_of_the_principal_at_each_point(walked):
    module, path = walked
    rows = list(scores(MERMAIDE, 3, module, path, UNSEEN))
    assert [(row["agent_steps"], row["shots"]) for row in rows] == [
        (step * 32 * 5 * 100, shots) for step, shots in product((0, 10, 20), (0, 1))
    ]
    for row in rows[-2:]:  # the last point is where the principal is now
        played = play_adapted(module, UNSEEN, row["shots"])
        assert row["payoff"] == pytest.approx(played.returns.double().mean().item())
        assert row["rate"] == pytest.approx(played.intervention_rate.double().mean().item())
    assert rows[0]["payoff"] != rows[-2]["payoff"] or rows[0]["rate"] != rows[-2]["rate"]


def test_the_landscape_holds_the_path_and_ends_where_it_ends(walked):
    module, path = walked
    rows = list(landscape(module, path, UNSEEN, 5))
    grid, along = rows[:25], rows[25:]
    assert {row["kind"] for row in grid} == {"grid"}
    assert {row["equilibrium_payoff"] for row in rows} == {mean_equilibrium(UNSEEN, GAME)}
    assert [row["kind"] for row in along] == ["path"] * 3
    # line by line, from the lower left
    places = [(row["y"], row["x"]) for row in grid]
    assert places == sorted(places)
    plane = Plane.of_path(torch.stack(path.points))
    assert (along[-1]["x"], along[-1]["y"]) == (0.0, 0.0)
    assert [along[0]["x"], along[0]["y"]] == pytest.approx(
        plane.coordinates(path.points[0].unsqueeze(0))[0].tolist()
    )
    for axis in "xy":
        inside = [row[axis] for row in along]
        assert min(row[axis] for row in grid) < min(inside)
        assert max(row[axis] for row in grid) > max(inside)
    # the path has three points, so it lies in the plane: a grid through its end has its payoff
    end = along[-1]["payoff"]
    torch.nn.utils.vector_to_parameters(
        plane.at(torch.zeros(1, 2, dtype=torch.float64))[0].float(), module.parameters()
    )
    assert multi_round._expected_payoff(module, UNSEEN) == pytest.approx(end)


def test_it_writes_what_it_draws_and_keeps_its_trainings(results):
    out, said = results
    names = {path.name for path in out.iterdir()}
    assert names == {"fig3.csv", "fig3_by_seed.csv", "fig3_landscape.csv", "fig3.png", "runs"}
    assert len(list((out / "runs").iterdir())) == 4
    assert said == say(read_rows(out / "fig3.csv"))


def test_every_setting_is_scored_on_the_same_agents(results):
    rows = read_rows(results[0] / "fig3_by_seed.csv")
    keys = [(row["method"], row["shots"], row["agent_steps"], row["seed"]) for row in rows]
    steps = [step * 32 * 5 * 100 for step in (0, 2, 4)]
    lines = ((MERMAIDE, 0), (MERMAIDE, 1), (REINFORCE, 0))
    assert sorted(keys) == sorted(
        (*line, step, seed) for line, step, seed in product(lines, steps, (7, 8))
    )
    equilibrium = mean_equilibrium(UNSEEN, GAME)
    assert [row["equilibrium_payoff"] for row in rows] == [pytest.approx(equilibrium)] * len(rows)
    assert max(row["payoff"] for row in rows) <= equilibrium + 1e-5


def test_the_landscape_is_that_of_the_first_training(results):
    rows = read_rows(results[0] / "fig3_landscape.csv")
    assert [row["kind"] for row in rows] == ["grid"] * 9 + ["path"] * 3
    assert (rows[-1]["x"], rows[-1]["y"]) == (0, 0)


def by_seed(method: str, shots: int, agent_steps: int, payoffs: list[float]) -> list[dict]:
    return [
        {
            "method": method,
            "shots": shots,
            "agent_steps": agent_steps,
            "seed": seed,
            "payoff": payoff,
            "rate": 2.0 * payoff,
            "equilibrium_payoff": 0.4,
            "equilibrium_rate": 0.8,
        }
        for seed, payoff in enumerate(payoffs)
    ]


def test_summary_by_hand():
    (row,) = summarise(by_seed(MERMAIDE, 1, 500, [0.30, 0.32]))
    half = 12.7062047 * 0.01  # of the payoff; the rate is twice as large
    assert row["num_seeds"] == 2
    for quantity, scale in (("payoff", 1.0), ("rate", 2.0)):
        assert [row[f"{quantity}_{bound}"] for bound in ("mean", "low", "high")] == pytest.approx(
            [scale * 0.31, scale * (0.31 - half), scale * (0.31 + half)]
        )


def test_it_says_what_the_last_points_achieved():
    rows = by_seed(MERMAIDE, 0, 0, [0.1]) + by_seed(MERMAIDE, 0, 900, [0.2])
    rows += by_seed(MERMAIDE, 1, 0, [0.1]) + by_seed(MERMAIDE, 1, 900, [0.38])
    rows += by_seed(REINFORCE, 0, 0, [0.4]) + by_seed(REINFORCE, 0, 900, [0.3])
    assert say(summarise(rows)) == (
        "fig3: payoff and intervention rate, of the equilibrium's: MERMAIDE at 1 shot 95% and 95%,"
        " MERMAIDE at 0 shots 50% and 50%, REINFORCE at 0 shots 75% and 75%."
    )


@pytest.mark.slow
def test_after_one_episode_it_is_near_the_equilibrium(tmp_path):
    EXPERIMENTS["fig3"](tmp_path, True, 0)
    rows = read_rows(tmp_path / "fig3.csv")
    last = [row for row in rows if (row["method"], row["shots"]) == (MERMAIDE, 1)][-1]
    assert last["payoff_mean"] > 0.9 * last["equilibrium_payoff"]
    assert last["rate_mean"] == pytest.approx(last["equilibrium_rate"], rel=0.1)
