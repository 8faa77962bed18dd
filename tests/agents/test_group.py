import pytest
import torch

from mermaide_pl.agents import (
    EXP3,
    UCB,
    BestResponse,
    BetaThompson,
    EpsilonGreedy,
    Family,
    GaussianThompson,
    NoiseFreeReward,
    Softmax,
)

NUM_TASKS, NUM_ARMS, NUM_STEPS = 6, 4, 60
RULES = [
    (UCB, {"beta": [0.05, 0.2, 0.4, 0.7, 1.0, 1.5]}),
    (EpsilonGreedy, {"epsilon": [0.0, 0.1, 0.2, 0.3, 0.5, 1.0], "decay": [0, 0, 1, 0.1, 0.2, 0]}),
    (
        GaussianThompson,
        {"prior_mean": [0, 1, 2, 0.5, 0.5, 0.5], "noise_scale": [0.1, 0.2, 0.3, 0.5, 1, 2]},
    ),
    (BetaThompson, {"prior_alpha": [1, 2, 3, 1, 1, 5], "reward_high": [1, 2, 1, 2, 3, 4]}),
    (EXP3, {"gamma": [0.05, 0.1, 0.3, 0.5, 0.9, 1.0], "reward_low": [-1, 0, 0, 0.5, -2, 0]}),
    (Softmax, {"temperature": [0.01, 0.05, 0.1, 0.2, 0.5, 2.0]}),
    (BestResponse, {}),
]
every_rule = pytest.mark.parametrize(
    ("rule", "hyper"), RULES, ids=[rule.__name__ for rule, _ in RULES]
)


def uniform(*shape, seed):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


BASE_REWARDS = uniform(NUM_TASKS, NUM_ARMS, seed=0)
TARGET_ARM = torch.tensor([0, 1, 2, 3, 0, 1])
BONUSES = (uniform(NUM_TASKS, NUM_STEPS, seed=1) < 0.3).float()
SEEDS = [11, 22, 33, 44, 55, 66]


def family(rule, hyper, tasks, rows=None):
    """The family of some of the tasks, at those rows of the batch."""
    values = {name: [float(row[task]) for task in tasks] for name, row in hyper.items()}
    return Family(rule(**values), torch.tensor(range(len(tasks)) if rows is None else rows))


def play_tasks(play, tasks, families, *, num_episodes=3, dtype=torch.float32):
    arms, _ = play(
        families,
        BASE_REWARDS[tasks].to(dtype),
        num_steps=NUM_STEPS,
        num_episodes=num_episodes,
        seeds=[SEEDS[task] for task in tasks],
        target_arm=TARGET_ARM[tasks],
        bonuses=BONUSES[tasks],
    )
    return arms


def noise_free(make_group, families, base_rewards, target_arm, num_steps=4):
    seeds = SEEDS[: len(base_rewards)]
    return make_group(families, base_rewards, target_arm, NoiseFreeReward(), seeds, 1, num_steps)


@every_rule
def test_a_task_alone_acts_as_in_a_batch(rule, hyper, play):
    everyone = list(range(NUM_TASKS))
    batch = play_tasks(play, everyone, [family(rule, hyper, everyone)])
    alone = [play_tasks(play, [task], [family(rule, hyper, [task])]) for task in everyone]
    assert torch.equal(batch, torch.cat(alone))
    assert batch.unique().tolist() == list(range(NUM_ARMS))


@every_rule
def test_the_order_of_the_batch_does_not_matter(rule, hyper, play):
    everyone, shuffled = list(range(NUM_TASKS)), [3, 5, 0, 4, 2, 1]
    batch = play_tasks(play, everyone, [family(rule, hyper, everyone)])
    assert torch.equal(play_tasks(play, shuffled, [family(rule, hyper, shuffled)]), batch[shuffled])


@every_rule
def test_other_families_in_the_batch_do_not_matter(rule, hyper, play):
    everyone = list(range(NUM_TASKS))
    batch = play_tasks(play, everyone, [family(rule, hyper, everyone)])
    other = Softmax if rule is UCB else UCB
    families = [
        family(rule, hyper, [0, 2, 5], rows=[0, 2, 5]),
        family(other, dict(RULES)[other], [1, 3, 4], rows=[1, 3, 4]),
    ]
    for order in (families, families[::-1]):
        assert torch.equal(play_tasks(play, everyone, order)[[0, 2, 5]], batch[[0, 2, 5]])


@every_rule
def test_more_episodes_leave_the_first_as_they_are(rule, hyper, play):
    tasks = [0, 1, 2]
    few, many = (
        play_tasks(play, tasks, [family(rule, hyper, tasks)], num_episodes=number)
        for number in (2, 7)
    )
    assert torch.equal(few, many[:, :2])


@every_rule
def test_float32_and_float64_agents_pull_the_same_arms(rule, hyper, play):
    everyone = list(range(NUM_TASKS))
    single, double = (
        play_tasks(play, everyone, [family(rule, hyper, everyone)], dtype=dtype)
        for dtype in (torch.float32, torch.float64)
    )
    assert torch.equal(single, double)


@every_rule
def test_groups_of_different_types_can_share_their_rules(rule, hyper, make_group):
    everyone = list(range(NUM_TASKS))
    families = [family(rule, hyper, everyone)]
    # both are made before either plays, and they take turns
    types = (torch.float32, torch.float64)
    groups = [
        noise_free(make_group, families, BASE_REWARDS.to(dtype), TARGET_ARM, NUM_STEPS)
        for dtype in types
    ]
    for step in range(NUM_STEPS):
        bonus = BONUSES[:, step : step + 1]
        arms = [
            group.act(step, bonus.to(dtype)) for group, dtype in zip(groups, types, strict=True)
        ]
        assert torch.equal(*arms)
        for group, dtype in zip(groups, types, strict=True):
            assert group.learn(step, arms[0], bonus.to(dtype)).dtype == dtype


@pytest.mark.parametrize("rule", [rule for rule, _ in RULES if rule is not BestResponse])
def test_equal_bandits_differ_by_seed_and_by_episode(rule, play):
    base_rewards = BASE_REWARDS[[0, 0]]
    arms, _ = play(rule(), base_rewards, num_steps=NUM_STEPS, num_episodes=2, seeds=[11, 22])
    assert len(arms.flatten(0, 1).unique(dim=0)) == 4


def test_asking_does_not_change_the_agents(make_group):
    everyone = torch.arange(2)
    group = noise_free(make_group, [Family(UCB(), everyone)], BASE_REWARDS[:2], TARGET_ARM[:2])
    bonus = torch.zeros(2, 1)
    first = group.act(0, bonus)
    assert torch.equal(group.act(0, bonus), first)
    assert torch.equal(group.act(0, bonus + 5.0), first)  # a bandit does not see the bonus
    group.learn(0, first, bonus)
    assert (group.act(1, bonus) != first).all()  # UCB tries another arm next


def test_agents_are_paid_the_bonus_on_the_target_only(make_group):
    families = [Family(UCB(), torch.tensor([0, 2])), Family(BestResponse(), torch.tensor([1]))]
    base_rewards = torch.tensor([[0.25, 0.5], [0.75, 0.125], [1.0, 0.0]])
    group = noise_free(make_group, families, base_rewards, torch.tensor([1, 0, 1]))
    arms, bonus = torch.tensor([[1], [0], [0]]), torch.tensor([[2.0], [0.0], [3.0]])
    rewards = group.learn(0, arms, bonus)
    assert rewards.tolist() == [[2.5], [0.75], [1.0]]


def test_bonus_steers_a_bandit_through_learning(make_group):
    # A greedy mean tracker (beta = 0) tries both arms, paid 0.25 + 1 and 0.75: it stays with the
    # arm that was paid the bonus; without the bonus it stays with the better one.
    for paid, favourite in ((1.0, 0), (0.0, 1)):
        rule = Family(UCB(beta=0.0), torch.arange(1))
        group = noise_free(
            make_group, [rule], torch.tensor([[0.25, 0.75]]), torch.tensor([0]), num_steps=3
        )
        bonus = torch.full((1, 1), paid)
        for step in range(2):
            group.learn(step, group.act(step, bonus), bonus)
        assert group.act(2, torch.zeros(1, 1)).item() == favourite
