import math
from itertools import product

import pytest
import torch

from mermaide_pl.evaluation.records import read_rows
from mermaide_pl.experiments.paper import EXPERIMENTS, single_round
from mermaide_pl.experiments.paper.followers import mean_equilibrium
from mermaide_pl.experiments.paper.single_round import (
    INNER_RATES,
    MAML_ONLY,
    POPULATION,
    REINFORCE,
    REINFORCE_EXPLORING,
    Effort,
    build,
    game,
    say,
    summarise,
    tune,
)

TINY = Effort(
    noises=(0.0, 0.2),
    episodes=(1, 6),
    num_seeds=2,
    num_steps=4,
    num_agents=40,
    num_tuning_agents=10,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Folder with the results of a very short experiment, and the sentence about them."""
    out = tmp_path_factory.mktemp("fig2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(single_round, "QUICK", TINY)
        return out, EXPERIMENTS["fig2"](out, True, 7)


def rows_of(
    payoffs: dict[int, list[float]], method: str = MAML_ONLY, noise: float = 0.0
) -> list[dict]:
    """Rows by seed: number of episodes to payoffs, equilibrium 0.5."""
    return [
        {
            "method": method,
            "noise": noise,
            "episodes": episodes,
            "seed": seed,
            "inner_lr": math.nan,
            "payoff": payoff,
            "equilibrium": 0.5,
        }
        for episodes, values in payoffs.items()
        for seed, payoff in enumerate(values)
    ]


def test_the_equilibrium_by_hand():
    # agents up to 0.5 yield 1 - 0.8 * 0.5, the others 1 - 0.8; the dear level for all yields 0.2
    tasks = POPULATION.sample(range(1000), split="test", seed=0)
    cheap = (tasks.delta <= 0.5).double().mean().item()
    expected = 0.6 * cheap + 0.2 * (1.0 - cheap)
    assert mean_equilibrium(tasks, game(0.3)) == pytest.approx(expected)
    assert expected == pytest.approx(0.4, abs=0.02)


def test_every_setting_is_scored_on_the_same_agents(results):
    rows = read_rows(results[0] / "fig2_by_seed.csv")
    keys = [(row["method"], row["noise"], row["episodes"], row["seed"]) for row in rows]
    plain = product((REINFORCE, REINFORCE_EXPLORING), TINY.noises, (0, 1, 6), (7, 8))
    assert set(keys) == {*plain, *product([MAML_ONLY], TINY.noises, (1, 6), (7, 8))}
    assert len(set(keys)) == len(keys)
    unseen = POPULATION.sample(range(40), split="test", seed=7)
    equilibrium = mean_equilibrium(unseen, game(0.0))
    assert [row["equilibrium"] for row in rows] == [pytest.approx(equilibrium, abs=1e-5)] * len(
        rows
    )
    assert max(row["payoff"] for row in rows) <= equilibrium + 1e-5


def test_without_an_episode_noise_makes_no_difference(results):
    rows = [row for row in read_rows(results[0] / "fig2_by_seed.csv") if row["episodes"] == 0]
    for one in rows:
        for other in rows:
            if (one["method"], one["seed"]) == (other["method"], other["seed"]):
                assert one["payoff"] == other["payoff"]


def test_it_writes_what_it_draws_and_keeps_its_trainings(results):
    out, said = results
    names = {path.name for path in out.iterdir()}
    assert names == {"fig2.csv", "fig2_by_seed.csv", "fig2.png", "runs"}
    by_seed = read_rows(out / "fig2_by_seed.csv")
    assert len(list((out / "runs").iterdir())) == 2 * (2 + 2 * 2)
    again = summarise(by_seed)
    assert [row["payoff"] for row in read_rows(out / "fig2.csv")] == [
        pytest.approx(row["payoff"], abs=1e-5) for row in again
    ]
    assert said == say(read_rows(out / "fig2.csv"))


def test_summary_by_hand():
    rows = summarise(rows_of({1: [0.2, 0.3], 10: [0.46, 0.48], 100: [0.5, 0.5]}))
    assert [row["episodes"] for row in rows] == [1, 10, 100]
    assert [row["payoff"] for row in rows] == pytest.approx([0.25, 0.47, 0.5])
    assert [row["share"] for row in rows] == pytest.approx([0.5, 0.94, 1.0])
    assert rows[1]["payoff_high"] == pytest.approx(0.47 + 12.7062 * 0.01)
    assert [row["num_seeds"] for row in rows] == [2, 2, 2]


@pytest.mark.parametrize(
    ("payoffs", "needed"),
    [
        ({1: [0.2], 10: [0.45], 100: [0.5]}, 10),  # exactly 90% is near
        ({1: [0.2], 10: [0.46], 100: [0.4]}, math.inf),  # not for good
        ({1: [0.5], 10: [0.4], 100: [0.5]}, 100),
        ({1: [0.5], 10: [0.5]}, 1),
    ],
)
def test_episodes_needed_by_hand(payoffs, needed):
    others = rows_of({1: [0.5]}, method=REINFORCE) + rows_of({1: [0.0]}, noise=0.3)
    rows = summarise(rows_of(payoffs) + others)
    line = [row for row in rows if row["method"] == MAML_ONLY and row["noise"] == 0.0]
    assert {row["episodes_needed"] for row in line} == {needed}


def test_it_says_the_most_on_ten_episodes_and_how_noise_changes_what_is_needed():
    rows = rows_of({10: [0.48], 20: [0.5]}) + rows_of({10: [0.3], 20: [0.45]}, noise=0.2)
    rows += rows_of({0: [0.2], 10: [0.25], 20: [0.5]}, method=REINFORCE)
    rows += rows_of({0: [0.2], 10: [0.35]}, method=REINFORCE_EXPLORING)
    assert say(summarise(rows)) == (
        "fig2: without noise and on at most 10 episodes MAML gets 96% of the equilibrium's payoff,"
        " REINFORCE 50% (exploring 70%); episodes that MAML needs to come within 10% of it:"
        " 10 at noise 0, 20 at noise 0.2."
    )


def test_reinforce_learns_from_at_least_as_many_agent_steps_as_any_maml():
    effort = Effort()
    steps = {
        method: effort.num_steps
        * (1 if method == MAML_ONLY else single_round._LONGER)
        * (module.inner_loop.num_shots + module.num_query_episodes)
        for method in (MAML_ONLY, REINFORCE, REINFORCE_EXPLORING)
        for module in [build(method, 0.0, max(effort.episodes), effort)]
    }
    assert steps[REINFORCE] == steps[REINFORCE_EXPLORING] >= steps[MAML_ONLY]


def test_rates_are_tuned_to_the_best_of_the_grid():
    torch.manual_seed(0)
    module = build(REINFORCE_EXPLORING, 0.0, 0, TINY)
    tasks = POPULATION.sample(range(50), split="val", seed=0)
    rate, loop = tune(module, tasks, 0)
    assert math.isnan(rate) and loop is None
    best, inner_loop = tune(module, tasks, 20)
    assert best in INNER_RATES
    assert list(inner_loop.rates().values()) == pytest.approx([best] * len(inner_loop.rates()))
    assert module.inner_loop.num_shots == 0
    reached = single_round._payoff(module, tasks, 20, inner_loop)
    # an untrained principal explores, so that a large step on 20 episodes tells agents apart
    assert reached > single_round._payoff(module, tasks, 0)
    for rate in INNER_RATES:
        settings = single_round.GradientAdaptation(
            inner_lr=rate, num_shots=20, learn_inner_lr=False
        )
        loop = settings.build(module.principal.weights())
        assert single_round._payoff(module, tasks, 20, loop) <= reached


@pytest.mark.slow
def test_maml_adapts_where_reinforce_does_not(tmp_path):
    EXPERIMENTS["fig2"](tmp_path, True, 0)
    rows = read_rows(tmp_path / "fig2.csv")
    share = {(row["method"], row["noise"], row["episodes"]): row["share"] for row in rows}
    needed = {row["noise"]: row["episodes_needed"] for row in rows if row["method"] == MAML_ONLY}
    assert share[MAML_ONLY, 0.0, 10] > 0.95
    assert max(share[REINFORCE, 0.0, number] for number in (0, 1, 3, 10)) < 0.6
    assert needed[0.0] <= 10 < needed[0.2]
