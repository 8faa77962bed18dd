"""What the generated populations hold, and what they leave to the test populations."""

from collections import Counter
from dataclasses import fields

import pytest
import torch

from mermaide_pl.agents import (
    UCB,
    AttentiveLearner,
    BetaThompson,
    DiscountedUCB,
    EpsilonGreedy,
    GaussianThompson,
    GeneratedLearner,
    NoisyUCB,
    Perception,
    RescorlaWagner,
    Softmax,
)
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import packaged
from mermaide_pl.principals import AlwaysIntervene, NoIntervention

NUM_AGENTS = 4000
SPLITS = {"train_universal": "train", "val_universal": "val"}
RULES = {
    "train_universal": {
        *(UCB, NoisyUCB, RescorlaWagner, DiscountedUCB, GeneratedLearner, AttentiveLearner)
    },
    "val_universal": {UCB, NoisyUCB, DiscountedUCB, GeneratedLearner, AttentiveLearner},
}
TEST_RATES = packaged("unseen_ucb").families[0].hyper_parameters["beta"]


def settings(rule, num_agents):
    """Hyper-parameters by name, float64 [m], of these rules as those of an `AttentiveLearner`."""
    neutral = {item.name: item.default for item in fields(AttentiveLearner)} | {"attention": 0.0}
    given = neutral | {item.name: getattr(rule, item.name) for item in fields(rule)}
    return {
        name: torch.as_tensor(value, dtype=torch.float64).flatten().expand(num_agents)
        for name, value in given.items()
    }


def is_on(agents, *names):
    """True where any of these mechanisms, off at 0, is on."""
    return torch.stack([agents[name] != 0 for name in names]).any(0)


def on_plain_means(agents):
    """The mean of the rewards as they are; attention and a prior do not count as a difference."""
    others = ("learning_rate", "learns_preferences", "perception", "perseveration", "forgets_at")
    return ~is_on(agents, *others) & (agents["discount"] == 1)


def is_noise_of_a_posterior(agents):
    others = ("beta", "temperature", "lapse_rate", "learning_rate", "learns_preferences")
    return is_on(agents, "posterior_scale") & ~is_on(agents, *others)


def is_ucb_of_a_test_rate(agents):
    near = [(agents["beta"] - rate).abs() < 1e-6 for rate in TEST_RATES]
    noise = is_on(agents, "temperature", "posterior_scale", "lapse_rate")
    return torch.stack(near).any(0) & on_plain_means(agents) & ~noise


PURE = {
    "epsilon-greedy": lambda agents: (
        on_plain_means(agents) & ~is_on(agents, "beta", "temperature", "posterior_scale")
    ),
    "softmax": lambda agents: (
        on_plain_means(agents) & ~is_on(agents, "beta", "posterior_scale", "lapse_rate")
    ),
    "Thompson": lambda agents: on_plain_means(agents) & is_noise_of_a_posterior(agents),
    "binary Thompson": lambda agents: (
        (agents["perception"] == Perception.TOSSED) & is_noise_of_a_posterior(agents)
    ),
    "Q-learning": lambda agents: (
        is_on(agents, "learning_rate")
        & ~is_on(agents, "learns_preferences", "beta", "temperature", "posterior_scale")
    ),
    "UCB of a test rate": is_ucb_of_a_test_rate,
}


@pytest.mark.parametrize("name", SPLITS)
def test_no_agent_has_a_rule_of_the_test_populations_in_pure_form(name):
    tasks = packaged(name).sample(range(NUM_AGENTS), split=SPLITS[name])
    assert {type(family.rule) for family in tasks.families} == RULES[name]
    for family in tasks.families:
        agents = settings(family.rule, len(family.rows))
        for pure, holds in PURE.items():
            assert not holds(agents).any(), pure


@pytest.mark.parametrize(
    ("rule", "pure"),
    [
        (GeneratedLearner(lapse_rate=0.1), "epsilon-greedy"),
        (GeneratedLearner(lapse_rate=0.9, decay=0.1, prior_pulls=0.1), "epsilon-greedy"),
        (NoisyUCB(beta=0.0, temperature=0.0), "epsilon-greedy"),
        (GeneratedLearner(temperature=0.1), "softmax"),
        (NoisyUCB(beta=0.0, lapse_rate=0.0), "softmax"),
        (AttentiveLearner(temperature=0.1), "softmax"),
        (GeneratedLearner(posterior_scale=0.3, prior_pulls=1.0), "Thompson"),
        (GeneratedLearner(posterior_scale=0.3, perception=2), "binary Thompson"),
        (GeneratedLearner(learning_rate=0.3, lapse_rate=0.1), "Q-learning"),
        (UCB([0.3, TEST_RATES[0]]), "UCB of a test rate"),
        (GeneratedLearner(beta=TEST_RATES[-1]), "UCB of a test rate"),
        (NoisyUCB(TEST_RATES[0], lapse_rate=0.0, temperature=0.0), "UCB of a test rate"),
    ],
    ids=str,
)
def test_pure_forms_are_recognised(rule, pure):
    assert PURE[pure](settings(rule, 2)).any()


@pytest.mark.parametrize(
    "rule",
    [
        UCB(0.27),
        DiscountedUCB(0.05, 0.9),
        GeneratedLearner(beta=0.05, lapse_rate=0.1, temperature=0.1),
        GeneratedLearner(learning_rate=0.3, lapse_rate=0.1, temperature=0.1),
        GeneratedLearner(learns_preferences=1, learning_rate=0.3, temperature=1.0),
        GeneratedLearner(perception=1, temperature=0.1),
    ],
    ids=str,
)
def test_mixtures_are_not_taken_for_pure_forms(rule):
    assert not any(holds(settings(rule, 1)).any() for holds in PURE.values())


def mechanisms(name):
    """How many agents have each set of mechanisms."""
    tasks, found = packaged(name).sample(range(NUM_AGENTS), split=SPLITS[name]), Counter()
    for family in tasks.families:
        agents = settings(family.rule, len(family.rows))
        agents["discount"] = 1.0 - agents["discount"]
        switches = sorted(set(agents) - {"cap", "initial_value", "tries_first", "perception"})
        columns = [agents[switch] != 0 for switch in switches] + [agents["perception"]]
        found.update(tuple(row) for row in torch.stack(columns, 1).tolist())
    return found


def test_about_half_of_the_validation_agents_combine_what_training_does_not():
    trained, validated = mechanisms("train_universal"), mechanisms("val_universal")
    other = sum(count for kind, count in validated.items() if kind not in trained)
    assert 0.45 < other / NUM_AGENTS < 0.65


@pytest.mark.parametrize(
    ("name", "seeing", "unsteerable"),
    [
        ("train_universal", 0.10, 0.07),
        ("val_universal", 0.19, 0.17),
    ],
)
def test_shares_of_agents_that_see_the_bonus_and_that_cannot_be_steered(name, seeing, unsteerable):
    game = Game()
    tasks = packaged(name).in_game(game).sample(range(600), split=SPLITS[name], game=game)
    steered, left = (
        rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=1)
        for player in (AlwaysIntervene(), NoIntervention())
    )
    gain = sum(
        (played.observed_arms == 0).float().mean((1, 2)) * sign
        for played, sign in ((steered, 1), (left, -1))
    )
    # Standard errors at most 0.016; three of them.
    assert tasks.sees_bonus.float().mean().item() == pytest.approx(seeing, abs=0.05)
    assert (gain < 0.1).float().mean().item() == pytest.approx(unsteerable, abs=0.05)


def test_the_rules_of_the_test_populations_are_others():
    tested = {packaged(name).families[0].rule for name in ("epsilon_greedy", "softmax", "thompson")}
    assert tested == {EpsilonGreedy, Softmax, GaussianThompson}
    for rules in RULES.values():
        assert not rules & {*tested, BetaThompson}
