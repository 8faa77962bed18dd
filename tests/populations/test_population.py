import math

import pytest
import torch

from mermaide_pl.agents import (
    EXP3,
    UCB,
    BernoulliReward,
    BestResponse,
    EpsilonGreedy,
    GaussianReward,
    Softmax,
)
from mermaide_pl.engines import Stream, draw_noise
from mermaide_pl.engines.torch_rollout import VectorGame
from mermaide_pl.game import Game
from mermaide_pl.populations import (
    AgentFamily,
    ConstantRewards,
    FixedRewards,
    FixedTarget,
    GapTarget,
    Interval,
    NormalRewards,
    Population,
    SecondBestTarget,
    TaskBatch,
    UniformRewards,
    UniformTarget,
    task_seed,
)

SPLITS = ("train", "val", "test", "tune")
MIXED = Population(
    [
        AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}, weight=2.0),
        AgentFamily(EpsilonGreedy, {"epsilon": [0.05, 0.2, 0.4], "decay": 0.01}),
        AgentFamily(EXP3, {"gamma": 0.3}),
        AgentFamily(BestResponse),
    ],
    num_arms=6,
)


def hyper_parameters(tasks: TaskBatch) -> list[dict[str, float]]:
    """The hyper-parameters of each task's agent, in task order."""
    agents: list[dict[str, float]] = [{}] * len(tasks)
    for family in tasks.families:
        for place, row in enumerate(family.rows.tolist()):
            values = {
                name: value.expand(len(family.rows), 1, 1)[place].item()
                for name, value in vars(family.rule).items()
            }
            agents[row] = {"rule": type(family.rule).__name__, **values}
    return agents


def test_every_task_is_covered_by_one_family():
    tasks = MIXED.sample(range(40), split="train")
    rows = torch.cat([family.rows for family in tasks.families])
    assert rows.sort().values.tolist() == list(range(40))
    assert all(family.rows.tolist() == sorted(family.rows.tolist()) for family in tasks.families)
    assert len(tasks.families) == 4


def test_a_task_is_the_same_in_every_batch():
    whole = MIXED.sample(range(30), split="train")
    agents = hyper_parameters(whole)
    for indices in ([17], [29, 3, 11], range(5, 25)):
        part = MIXED.sample(indices, split="train")
        for place, index in enumerate(indices):
            assert part.seeds[place] == whole.seeds[index]
            assert torch.equal(part.base_rewards[place], whole.base_rewards[index])
            assert part.target_arm[place] == whole.target_arm[index]
            assert hyper_parameters(part)[place] == agents[index]


def test_no_agent_is_in_two_splits_or_two_seeds():
    batches = [
        MIXED.sample(range(200), split=split, seed=seed) for split in SPLITS for seed in (0, 1, 5)
    ]
    seeds = [seed for batch in batches for seed in batch.seeds]
    assert len(set(seeds)) == len(seeds) == 12 * 200
    rewards = torch.cat([batch.base_rewards for batch in batches])
    assert len(rewards.unique(dim=0)) == len(rewards)


def test_task_seeds_never_collide_at_the_corners():
    corners = [
        task_seed(index, split, seed)
        for split in SPLITS
        for index in (0, 1, 2, 3, 2**39, 2**40 - 1)
        for seed in (0, 1, 2, 3, 2**21, 2**22 - 1)
    ]
    assert len(set(corners)) == len(corners)
    assert all(0 <= corner < 2**64 for corner in corners)


@pytest.mark.parametrize(
    ("index", "seed", "message"),
    [
        (-1, 0, r"task index .*at least 0 and at most .*, got -1"),
        (2**40, 0, r"task index .*at most .*, got 1099511627776"),
        (0, -1, r"seed .*from 0 to 4194303, got -1"),
        (0, 2**22, r"seed .*from 0 to 4194303, got 4194304"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(index, seed, message):
    with pytest.raises(ValueError, match=message):
        MIXED.sample([index], split="train", seed=seed)


def test_an_unknown_split_is_refused():
    message = r"split must be one of train, val, test, tune, got 'validation'$"
    with pytest.raises(ValueError, match=message):
        MIXED.sample([0], split="validation")
    with pytest.raises(ValueError, match=message):
        task_seed(0, "validation")


def test_hyper_parameters_stay_in_their_ranges():
    agents = hyper_parameters(MIXED.sample(range(3000), split="train"))
    values = {(agent["rule"], name): set() for agent in agents for name in agent if name != "rule"}
    for agent in agents:
        for name in set(agent) - {"rule"}:
            values[agent["rule"], name].add(agent[name])
    betas = values["UCB", "beta"]
    assert len(betas) > 1000
    assert min(betas) == pytest.approx(0.1, abs=0.01)
    assert max(betas) == pytest.approx(0.7, abs=0.01)
    assert 0.1 <= min(betas) <= max(betas) <= 0.7
    assert sum(betas) / len(betas) == pytest.approx(0.4, abs=0.02)
    assert values["EpsilonGreedy", "epsilon"] == {0.05, 0.2, 0.4}
    assert values["EpsilonGreedy", "decay"] == {0.01}
    assert values["EXP3", "gamma"] == {0.3}
    assert values["EXP3", "reward_high"] == {1.0}  # not named: the default


def test_each_value_of_a_list_is_equally_likely():
    population = Population([AgentFamily(UCB, {"beta": [0.1, 0.2, 0.3, 0.4]})])
    betas = [
        agent["beta"] for agent in hyper_parameters(population.sample(range(4000), split="val"))
    ]
    for beta in (0.1, 0.2, 0.3, 0.4):
        assert betas.count(beta) / 4000 == pytest.approx(0.25, abs=0.03)


def test_hyper_parameters_are_independent_of_each_other_and_of_the_rewards():
    family = AgentFamily(
        EpsilonGreedy, {"epsilon": Interval(0.0, 1.0), "decay": Interval(0.0, 1.0)}
    )
    tasks = Population([family]).sample(range(4000), split="train")
    agents = hyper_parameters(tasks)
    columns = [
        torch.tensor([agent["epsilon"] for agent in agents]),
        torch.tensor([agent["decay"] for agent in agents]),
        tasks.base_rewards[:, 0],
        tasks.target_arm.float(),
    ]
    correlations = torch.corrcoef(torch.stack(columns)) - torch.eye(4)
    assert correlations.abs().max() < 0.06


def test_families_are_drawn_by_their_weights():
    rules = [agent["rule"] for agent in hyper_parameters(MIXED.sample(range(5000), split="train"))]
    shares = {"UCB": 0.4, "EpsilonGreedy": 0.2, "EXP3": 0.2, "BestResponse": 0.2}
    for rule, share in shares.items():
        assert rules.count(rule) / 5000 == pytest.approx(share, abs=0.025)


def test_families_that_see_the_bonus_are_marked():
    tasks = MIXED.sample(range(50), split="train")
    expected = [agent["rule"] == "BestResponse" for agent in hyper_parameters(tasks)]
    assert tasks.sees_bonus.tolist() == expected
    assert any(expected)


def test_delta_by_hand():
    base_rewards = torch.tensor([[0.25, 1.0, 0.5], [0.75, 0.0, 0.5]])
    tasks = TaskBatch([1, 2], [], base_rewards, torch.tensor([2, 0]), GaussianReward())
    assert tasks.delta.tolist() == [0.5, 0.0]


def test_to_changes_the_type_and_nothing_else():
    tasks = MIXED.sample(range(10), split="train")
    double = tasks.to("cpu", torch.float64)
    assert double.base_rewards.dtype == torch.float64
    assert torch.equal(double.base_rewards, tasks.base_rewards.double())
    assert double.seeds == tasks.seeds
    assert torch.equal(double.target_arm, tasks.target_arm)
    assert hyper_parameters(double) == hyper_parameters(tasks)


def fresh_agents(tasks, num_episodes):
    noise = draw_noise(
        tasks, None, Game(num_arms=6, num_steps=5), stream=Stream.SCORE, num_episodes=num_episodes
    )
    return VectorGame(tasks, Game(num_arms=6, num_steps=5), noise).agents


def test_playing_in_float32_leaves_the_hyper_parameters_alone():
    tasks = MIXED.sample(range(10), split="train")
    before = hyper_parameters(tasks)
    fresh_agents(tasks, 1)
    assert hyper_parameters(tasks) == before


def test_agents_of_two_types_can_play_the_same_tasks():
    single = MIXED.sample(range(10), split="train")
    double = single.to("cpu", torch.float64)
    # agents of both types first, so that neither can spoil the rules of the other
    groups = [fresh_agents(tasks, 2) for tasks in (single, double)]
    for group, tasks in zip(groups, (single, double), strict=True):
        bonus = torch.ones(10, 2).to(tasks.base_rewards)
        for step in range(5):
            rewards = group.learn(step, group.act(step, bonus), bonus)
            assert rewards.dtype == tasks.base_rewards.dtype
            assert rewards.isfinite().all()
    assert hyper_parameters(double) == hyper_parameters(single)


@pytest.mark.parametrize("num_arms", [2, 3, 10])
def test_uniform_target_is_never_the_best_arm_and_has_no_favourite(num_arms):
    generator = torch.Generator().manual_seed(0)
    base_rewards = torch.rand(9000, num_arms, generator=generator)
    uniforms = torch.rand(9000, 2, generator=generator)
    same, target = UniformTarget().choose(base_rewards, uniforms)
    assert same is base_rewards
    chosen = base_rewards.gather(1, target.unsqueeze(1))
    rank = (base_rewards > chosen).sum(1)
    assert rank.min() == 1
    frequencies = rank.bincount(minlength=num_arms)[1:] / 9000
    expected = torch.full((num_arms - 1,), 1.0 / (num_arms - 1))
    torch.testing.assert_close(frequencies, expected, rtol=0.0, atol=0.02)


@pytest.mark.parametrize("num_arms", [2, 3, 9, 10, 17])
def test_the_largest_uniform_number_gives_the_worst_arm(num_arms):
    base_rewards = torch.linspace(1.0, 0.0, num_arms).unsqueeze(0)
    _, target = UniformTarget().choose(base_rewards, torch.full((1, 2), 1.0 - 2.0**-24))
    assert target.item() == num_arms - 1


def test_second_best_target_by_hand():
    base_rewards = torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.2, 0.3]])
    same, target = SecondBestTarget().choose(base_rewards, torch.zeros(2, 2))
    assert same is base_rewards
    assert target.tolist() == [2, 2]


def test_fixed_target_by_hand():
    base_rewards = torch.tensor([[0.1, 0.9, 0.5], [0.7, 0.2, 0.3]])
    same, target = FixedTarget(1).choose(base_rewards, torch.zeros(2, 2))
    assert same is base_rewards
    assert target.dtype == torch.int64
    assert target.tolist() == [1, 1]


def test_gap_target_moves_the_target_to_the_drawn_distance():
    base_rewards = torch.tensor([[0.125, 1.0, 0.5], [0.75, 0.25, 0.375]])
    uniforms = torch.tensor([[0.25, 0.0], [0.75, 0.5]])
    moved, target = GapTarget(0.25, 0.75).choose(base_rewards, uniforms)
    assert target.tolist() == [2, 1]
    assert moved.tolist() == [[0.125, 1.0, 0.75], [0.75, 0.25, 0.375]]
    assert base_rewards[0, 2] == 0.5  # the input is left alone


def test_gap_target_deltas_are_uniform_on_their_range():
    population = Population([AgentFamily(UCB)], target=GapTarget(0.2, 0.4))
    delta = population.sample(range(4000), split="test").delta
    assert delta.min() >= 0.2 - 1e-6
    assert delta.max() <= 0.4 + 1e-6
    assert delta.mean().item() == pytest.approx(0.3, abs=0.004)
    assert delta.std().item() == pytest.approx(0.2 / math.sqrt(12.0), abs=0.003)


def test_uniform_rewards_stretch_to_their_range():
    uniforms = torch.tensor([[0.0, 0.5, 1.0]])
    assert UniformRewards(-1.0, 3.0).draw(uniforms).tolist() == [[-1.0, 1.0, 3.0]]


def test_normal_rewards_are_truncated_normal():
    rewards = NormalRewards(0.5, 0.2).draw(torch.tensor([[0.5, 1e-6, 1.0 - 1e-6]]))
    torch.testing.assert_close(rewards, torch.tensor([[0.5, 0.0, 1.0]]), rtol=0.0, atol=1e-4)
    # closed form for the part of a normal (0.5, 0.5) below 1 and above 0
    draws = NormalRewards(0.5, 0.5).draw(torch.linspace(0.0005, 0.9995, 1000).unsqueeze(0))
    density, mass = math.exp(-0.5) / math.sqrt(2.0 * math.pi), math.erf(math.sqrt(0.5))
    deviation = 0.5 * math.sqrt(1.0 - 2.0 * density / mass)
    assert draws.mean().item() == pytest.approx(0.5, abs=1e-4)
    assert draws.std().item() == pytest.approx(deviation, abs=1e-3)


def test_fixed_rewards_are_the_same_for_every_agent():
    population = Population(
        [AgentFamily(UCB)], num_arms=3, base_rewards=FixedRewards((0.1, 0.9, 0.5))
    )
    tasks = population.sample(range(5), split="test")
    assert torch.equal(tasks.base_rewards, torch.tensor([0.1, 0.9, 0.5]).expand(5, 3))
    assert set(tasks.target_arm.tolist()) <= {0, 2}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Interval(0.5, 0.1), r"Interval\.high .*at least 0\.5, got 0\.1"),
        (lambda: Interval(math.nan, 1.0), r"Interval\.low .*finite"),
        (
            lambda: AgentFamily(UCB, {"alpha": 0.1}),
            r"UCB has no hyper-parameter 'alpha', allowed: beta",
        ),
        (
            lambda: AgentFamily(BestResponse, {"beta": 0.1}),
            r"BestResponse has no hyper-parameter 'beta', allowed: none",
        ),
        (lambda: AgentFamily(UCB, {"beta": -0.1}), r"UCB\.beta .*at least 0, got -0\.1"),
        (lambda: AgentFamily(UCB, {"beta": [0.1, -2.0]}), r"UCB\.beta .*at least 0, got -2\.0"),
        (lambda: AgentFamily(UCB, {"beta": Interval(-1.0, 1.0)}), r"UCB\.beta .*at least 0"),
        (
            lambda: AgentFamily(EpsilonGreedy, {"epsilon": Interval(0.0, 1.5)}),
            r"EpsilonGreedy\.epsilon .*at most 1, got 1\.5",
        ),
        (lambda: AgentFamily(UCB, {"beta": []}), r"UCB\.beta: the list of values is empty"),
        (lambda: AgentFamily(UCB, weight=0.0), r"weight of the UCB family .*above 0"),
        (lambda: AgentFamily(Softmax, weight=-1.0), r"weight of the Softmax family .*above 0"),
        (lambda: UniformRewards(1.0, 1.0), r"UniformRewards\.high .*above 1"),
        (lambda: NormalRewards(scale=0.0), r"NormalRewards\.scale .*above 0"),
        (lambda: NormalRewards(low=1.0, high=0.0), r"NormalRewards\.high .*above 1"),
        (lambda: ConstantRewards(math.inf), r"ConstantRewards\.value .*finite"),
        (lambda: FixedRewards((0.1, math.inf)), r"FixedRewards\.values .*finite"),
        (lambda: FixedTarget(-1), r"FixedTarget\.arm .*at least 0, got -1"),
        (
            lambda: Population([AgentFamily(UCB)], num_arms=3, target=FixedTarget(3)),
            r"FixedTarget\.arm .*at most 2, got 3",
        ),
        (lambda: GapTarget(-0.1, 0.5), r"GapTarget\.low .*at least 0"),
        (lambda: GapTarget(0.5, 0.1), r"GapTarget\.high .*at least 0\.5"),
        (lambda: Population([]), r"Population\.families is empty"),
        (lambda: Population([AgentFamily(UCB)], num_arms=1), r"Population\.num_arms .*at least 2"),
        (
            lambda: Population([AgentFamily(UCB)], 10, FixedRewards((0.1, 0.2))),
            r"FixedRewards\.values has 2 values for 10 arms",
        ),
        (
            lambda: Population(
                [AgentFamily(UCB)],
                num_arms=2,
                base_rewards=FixedRewards((0.5, 1.5)),
                reward_model=BernoulliReward(),
            ),
            r"BernoulliReward needs base rewards in \[0, 1\].* got values from 0\.5 to 1\.5",
        ),
    ],
)
def test_settings_are_checked(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "settings",
    [
        {"target": GapTarget(0.1, 0.9)},
        {"base_rewards": UniformRewards(-0.01, 1.0)},
        {"base_rewards": UniformRewards(0.0, 1.01)},
    ],
    ids=str,
)
def test_rewards_that_are_no_probabilities_are_refused_before_the_first_batch(settings):
    with pytest.raises(ValueError, match="BernoulliReward needs base rewards in"):
        Population([AgentFamily(UCB)], num_arms=2, reward_model=BernoulliReward(), **settings)
