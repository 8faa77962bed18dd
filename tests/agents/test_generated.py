"""Each mechanism alone is a rule that exists, or a case worked by hand."""

import math

import pytest
import torch

from mermaide_pl.agents import (
    UCB,
    AgentGroup,
    AttentiveLearner,
    DiscountedUCB,
    EpsilonGreedy,
    Family,
    GaussianReward,
    GeneratedLearner,
    NoisyUCB,
    Perception,
    RescorlaWagner,
    Softmax,
)

M, B, T, A = 6, 3, 80, 4
GENERATOR = torch.Generator().manual_seed(0)
UNIFORMS = torch.rand(T, M, B, 2 + A, generator=GENERATOR, dtype=torch.float64)
REWARD_UNIFORMS = torch.rand(T, M, B, generator=GENERATOR, dtype=torch.float64)
BASE_REWARDS = torch.rand(M, A, generator=GENERATOR, dtype=torch.float64)
TARGETS = torch.arange(M) % A


def arms_of(rule, columns=slice(None), first=0, unit=1.0, bonus=0.0):
    """Arms int64 [T - first, M, B], of agents that begin in step `first`."""
    group = AgentGroup(
        [Family(rule, torch.arange(M))],
        BASE_REWARDS * unit,
        TARGETS,
        GaussianReward(0.1 * unit),
        [UNIFORMS[first:, ..., columns]],
        REWARD_UNIFORMS[first:],
        num_episodes=B,
    )
    bonuses, arms = torch.full((M, B), bonus * unit, dtype=torch.float64), []
    for step in range(T - first):
        arms.append(group.act(step, bonuses))
        group.learn(step, arms[-1], bonuses)
    return torch.stack(arms)


PER_ARM, WITH_LAPSE = [2, 3, 4, 5], [0, 2, 3, 4, 5]
NOISY = {"beta": 0.3, "lapse_rate": 0.2, "temperature": 0.1}
RESCORLA_WAGNER = {"learning_rate": 0.2, "temperature": 0.1, "perseveration": 0.2}


@pytest.mark.parametrize(
    ("generated", "rule", "columns"),
    [
        ({"beta": 0.4}, UCB(0.4), PER_ARM),
        ({"beta": 0.4, "tries_first": 0}, UCB(0.4), PER_ARM),
        ({"beta": 0.4, "discount": 0.9}, DiscountedUCB(0.4, 0.9), PER_ARM),
        ({"lapse_rate": 0.3}, EpsilonGreedy(0.3), WITH_LAPSE),
        ({"lapse_rate": 0.9, "decay": 0.1}, EpsilonGreedy(0.9, 0.1), WITH_LAPSE),
        ({"temperature": 0.1}, Softmax(0.1), PER_ARM),
        (NOISY, NoisyUCB(**NOISY), WITH_LAPSE),
        (
            {**NOISY, "prior_pulls": 0.7, "tries_first": 0},
            NoisyUCB(**NOISY, prior_pulls=0.7),
            WITH_LAPSE,
        ),
        (
            {**RESCORLA_WAGNER, "initial_value": 1.1, "tries_first": 0},
            RescorlaWagner(**RESCORLA_WAGNER, initial_value=1.1),
            PER_ARM,
        ),
    ],
)
def test_few_mechanisms_are_a_rule_that_exists(generated, rule, columns):
    expected = arms_of(rule, columns)
    assert len(expected.unique()) == A
    assert torch.equal(arms_of(GeneratedLearner(**generated)), expected)


def state_of(rule, pulls, values, latest=0):
    """A memory of one agent after step 10, and the rule in float64."""
    rule = rule.to(torch.zeros(1, dtype=torch.float64))
    base_rewards = torch.zeros(1, len(pulls), dtype=torch.float64)
    state = rule.init(base_rewards, torch.tensor([1]), 1)
    state.pulls[0, 0], state.values[0, 0] = torch.tensor(pulls), torch.tensor(values)
    state.latest[0, 0, latest] = 1.0
    state.step = 11
    return rule, state


def choice(rule, state, per_arm, bonus=0.0):
    uniforms = torch.tensor([[[0.9, 0.5, *per_arm]]], dtype=torch.float64)
    return rule.act(state, torch.tensor([[bonus]], dtype=torch.float64), uniforms).item()


@pytest.mark.parametrize(("mean", "arm"), [(0.378, 0), (0.380, 1)])
def test_noise_of_a_posterior_worked_by_hand(mean, arm):
    # 3 pulls each; the second arm gets 0.2 / sqrt(1 + 3) * ln(0.9 / 0.1) * sqrt(3) / pi = 0.1211
    rule, state = state_of(GeneratedLearner(posterior_scale=0.2), [3.0, 3.0], [1.5, 3 * mean])
    assert choice(rule, state, [0.5, 0.9]) == arm


@pytest.mark.parametrize(("initial_value", "arm"), [(0.47, 0), (0.49, 1)])
def test_a_prior_worked_by_hand(initial_value, arm):
    # One pull that paid 0.48, and none: (0.48 + 2 v) / 3 and v, which meet at v = 0.48.
    rule = GeneratedLearner(prior_pulls=2.0, initial_value=initial_value, tries_first=0)
    rule, state = state_of(rule, [1.0, 0.0], [0.48, 0.0])
    assert choice(rule, state, [0.5, 0.5]) == arm


@pytest.mark.parametrize(
    "learner", [{"prior_pulls": 3.0}, {"prior_pulls": 0.0}, {"learning_rate": 0.1}], ids=str
)
def test_who_knows_the_base_rewards_begins_with_the_best_arm(learner):
    best = BASE_REWARDS.argmax(-1, keepdim=True)
    knowing = GeneratedLearner(**learner, knowledge=1.0, tries_first=0)
    assert (arms_of(knowing)[0] == best).all()
    ignorant = GeneratedLearner(**learner, tries_first=0)
    assert not (arms_of(ignorant)[0] == best).all()


@pytest.mark.parametrize(("knowledge", "arm"), [(0.49, 0), (0.51, 1)])
def test_some_knowledge_worked_by_hand(knowledge, arm):
    # One pull that paid 0.875, and none; base rewards 0.25 and 0.75, with initial value 0.5:
    # (0.875 + 0.5 - 0.25 k) / 2 and 0.5 + 0.25 k meet at k = 0.5
    rule = GeneratedLearner(prior_pulls=1.0, knowledge=knowledge, tries_first=0)
    rule = rule.to(torch.zeros(1, dtype=torch.float64))
    state = rule.init(torch.tensor([[0.25, 0.75]], dtype=torch.float64), torch.tensor([1]), 1)
    torch.testing.assert_close(
        state.initial.flatten(),
        torch.tensor([0.5 - 0.25 * knowledge, 0.5 + 0.25 * knowledge], dtype=torch.float64),
    )
    state.pulls[0, 0, 0], state.values[0, 0, 0] = 1.0, 0.875
    assert choice(rule, state, [0.5, 0.5]) == arm


@pytest.mark.parametrize("rule", [GeneratedLearner(tries_first=1), GeneratedLearner(beta=0.1)])
def test_every_arm_is_tried_first(rule):
    assert (arms_of(rule)[:A].sort(0).values == torch.arange(A)[:, None, None]).all()


def test_without_a_first_round_the_initial_value_decides():
    """Hopeful agents try all arms by disappointment, cautious ones stay with the first."""
    hopeful, cautious = (
        arms_of(GeneratedLearner(initial_value=value, tries_first=0)) for value in (3.0, -1.0)
    )
    assert (hopeful[:A].sort(0).values == torch.arange(A)[:, None, None]).all()
    assert (cautious == cautious[0]).all()


PERCEPTIONS = {  # of rewards 0.2, 0.8 and -0.3 with cap 0.5, tosses of 0.5
    Perception.EXACT: [0.2, 0.8, -0.3],
    Perception.CLIPPED: [0.2, 0.5, -0.3],
    Perception.TOSSED: [0.0, 0.5, 0.0],  # probabilities 0.4, 1 and 0
    Perception.SQUASHED: [0.5 * math.tanh(0.4), 0.5 * math.tanh(1.6), 0.5 * math.tanh(-0.6)],
}


@pytest.mark.parametrize("perception", Perception)
def test_rewards_are_perceived_as_stated(perception):
    rule = GeneratedLearner(perception=perception, cap=0.5).to(torch.zeros(1, dtype=torch.float64))
    rewards = torch.tensor([[[0.2], [0.8], [-0.3]]], dtype=torch.float64)
    seen = rule.perceive(rewards, torch.full_like(rewards, 0.5))
    torch.testing.assert_close(seen.flatten(), torch.tensor(PERCEPTIONS[perception]).double())


def test_tosses_follow_the_share_and_learners_learn_from_them():
    rule = GeneratedLearner(perception=Perception.TOSSED, cap=0.5)
    rule, state = state_of(rule, [0.0, 0.0], [0.0, 0.0])
    arms, reward = torch.tensor([[1]]), torch.tensor([[0.2]], dtype=torch.float64)
    for toss, value in ((0.39, 0.5), (0.41, 0.5)):  # a success, then a failure
        uniforms = torch.tensor([[[0.5, toss, 0.5, 0.5]]], dtype=torch.float64)
        state = rule.update(state, arms, reward, uniforms)
        assert state.values.flatten().tolist() == [0.0, value]
    assert state.pulls.flatten().tolist() == [0.0, 2.0]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_preferences_worked_by_hand(temperature):
    rule = GeneratedLearner(learns_preferences=1, learning_rate=0.5, temperature=temperature)
    rule = rule.to(torch.zeros(1, dtype=torch.float64))
    state = rule.init(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]), 1)
    # The first reward is its own baseline. Then 0.5 (0.5 - 1) (1 - 1/2) = -0.125 for the pulled
    # arm, and 0.5 (1 - 0.75) (1 - p) with p = 1 / (1 + exp(-0.25 / temperature)).
    chance = 1.0 / (1.0 + math.exp(-0.25 / temperature))
    for arm, reward, preference in (
        (0, 1.0, 0.0),
        (1, 0.5, 0.125),
        (0, 1.0, 0.125 + 0.125 * (1.0 - chance)),
    ):
        rewards = torch.tensor([[reward]], dtype=torch.float64)
        state = rule.update(state, torch.tensor([[arm]]), rewards, torch.full((1, 1, 4), 0.5))
        assert state.values.flatten().tolist() == pytest.approx([preference, -preference])


FORGETFUL = [
    {"beta": 0.3, "perseveration": 0.1},
    {"lapse_rate": 0.9, "decay": 0.3, "temperature": 0.1},
    {"learning_rate": 0.3, "initial_value": 1.2, "temperature": 0.02},
    {"learns_preferences": 1, "learning_rate": 0.8, "temperature": 0.5},
]


@pytest.mark.parametrize("mechanisms", FORGETFUL, ids=str)
def test_after_the_change_point_it_is_a_new_learner(mechanisms):
    plain = arms_of(GeneratedLearner(**mechanisms))
    forgetful = arms_of(GeneratedLearner(**mechanisms, forgets_at=30.7))
    assert torch.equal(forgetful[:30], plain[:30])
    assert torch.equal(forgetful[30:], arms_of(GeneratedLearner(**mechanisms), first=30))
    assert not torch.equal(forgetful[30:], plain[30:])


SCALED = {"beta": 0.2, "temperature": 0.05, "posterior_scale": 0.2, "perseveration": 0.1}


@pytest.mark.parametrize("perception", Perception)
@pytest.mark.parametrize(
    "learning",
    [
        {"discount": 0.97, "prior_pulls": 0.5},
        {"learning_rate": 0.3, "tries_first": 0},
        {"learns_preferences": 1, "learning_rate": 0.3},
    ],
    ids=str,
)
def test_in_another_unit_it_pulls_the_same_arms(learning, perception):
    unit, scaled = 4.0, {**SCALED, "initial_value": 0.7, "cap": 0.8}  # powers of 2 do not round
    rule, other = (
        AttentiveLearner(
            **{name: value * factor for name, value in scaled.items()},
            **learning,
            perception=perception,
            lapse_rate=0.1,
            attention=0.4,
            knowledge=0.6,
        )
        for factor in (1.0, unit)
    )
    assert torch.equal(arms_of(rule, bonus=0.5), arms_of(other, bonus=0.5, unit=unit))


@pytest.mark.parametrize(
    ("learner", "meaningless"),
    [
        (
            {"learns_preferences": 1, "learning_rate": 0.4, "temperature": 0.6, "tries_first": 0},
            {"beta": 0.5, "posterior_scale": 0.5, "initial_value": 0.9, "prior_pulls": 2.0},
        ),
        ({"learning_rate": 0.4, "temperature": 0.1}, {"discount": 0.9, "prior_pulls": 2.0}),
        ({"lapse_rate": 1.0}, {"beta": 0.5, "perseveration": 2.0, "temperature": 1.0}),
    ],
)
def test_what_excludes_each_other_gives_way_as_stated(learner, meaningless):
    plain = arms_of(GeneratedLearner(**learner))
    assert torch.equal(arms_of(GeneratedLearner(**learner, **meaningless)), plain)


@pytest.mark.parametrize(("attention", "arm"), [(0.19, 0), (0.21, 1)])
def test_a_bonus_counts_as_much_as_it_is_attended_to(attention, arm):
    rule, state = state_of(AttentiveLearner(attention=attention), [2.0, 2.0], [1.0, 0.6])
    assert choice(rule, state, [0.5, 0.5], bonus=1.0) == arm  # means 0.5 and 0.3
    assert choice(rule, state, [0.5, 0.5], bonus=0.0) == 0
    plain, state = state_of(GeneratedLearner(), [2.0, 2.0], [1.0, 0.6])
    assert choice(plain, state, [0.5, 0.5], bonus=1.0) == 0


def test_who_sees_the_bonus():
    assert AttentiveLearner.sees_bonus
    assert not GeneratedLearner.sees_bonus
    inattentive = AttentiveLearner(beta=0.3, attention=0.0)
    expected = arms_of(GeneratedLearner(beta=0.3), bonus=0.5)
    assert torch.equal(arms_of(inattentive, bonus=0.5), expected)
    assert not torch.equal(arms_of(AttentiveLearner(beta=0.3), bonus=0.5), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"perception": 1.5}, r"GeneratedLearner\.perception must be a whole number, got 1\.5"),
        ({"perception": 4}, r"GeneratedLearner\.perception .*at most 3"),
        ({"tries_first": [0.0, 0.5]}, r"GeneratedLearner\.tries_first must be a whole number"),
        ({"learns_preferences": 2}, r"GeneratedLearner\.learns_preferences .*at most 1"),
        ({"learns_preferences": 1}, r"GeneratedLearner\.temperature with preferences .*above 0"),
        (
            {"learns_preferences": [0, 1], "temperature": [0.1, 0.0]},
            r"GeneratedLearner\.temperature with preferences .*above 0",
        ),
    ],
)
def test_what_is_not_allowed_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GeneratedLearner(**settings)
