import pytest
import torch

from mermaide_pl.agents import (
    EXP3,
    UCB,
    BestResponse,
    EpsilonGreedy,
    GaussianThompson,
    NoiseFreeReward,
    Softmax,
)
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.game.trajectory import Trajectory, relabel_target_first
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import (
    AlwaysIntervene,
    Architecture,
    LearnedPlayer,
    NoIntervention,
    Oracle,
    Periodic,
    Principal,
    RandomlyIntervene,
)
from mermaide_pl.principals.players import Player

FAMILIES = [
    AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}),
    AgentFamily(EpsilonGreedy, {"epsilon": [0.1, 0.3]}),
    AgentFamily(GaussianThompson),
    AgentFamily(Softmax),
    AgentFamily(EXP3),
    AgentFamily(BestResponse),
]
POPULATION = Population(FAMILIES, num_arms=4)
NOISY = FullInformation(arm_flip=0.2, reward_noise=0.3)
GAME = Game(num_arms=4, num_steps=25, bonuses=(0.0, 0.5, 1.0), cost=0.3, observation=NOISY)


def play(player, indices=range(12), *, game=GAME, stream=Stream.SCORE, num_episodes=2, dtype=None):
    tasks = POPULATION.sample(indices, split="train").to("cpu", dtype)
    return rollout(tasks, player, game, stream=stream, num_episodes=num_episodes)


def learned() -> LearnedPlayer:
    torch.manual_seed(0)
    principal = Principal(Architecture(6, 5), GAME).double()
    principal.policy.policy_out_weight.data.normal_()
    return LearnedPlayer(principal, principal.weights())


def assert_same(actual: Trajectory, expected: Trajectory, *rows) -> None:
    for item in Trajectory.records():
        assert torch.equal(getattr(actual, item.name), getattr(expected, item.name)[rows])


PLAYERS = pytest.mark.parametrize(
    "player", [RandomlyIntervene(0.5), Oracle(1.0, 2.0), learned()], ids=lambda p: type(p).__name__
)


@PLAYERS
def test_tasks_at_once_equal_each_alone(player):
    together = play(player, dtype=torch.float64)
    for index in range(12):
        alone = play(player, [index], dtype=torch.float64)
        assert_same(alone, together, slice(index, index + 1))


@PLAYERS
def test_order_of_the_tasks_does_not_matter(player):
    order = [5, 0, 11, 3, 8]
    shuffled = play(player, order, dtype=torch.float64)
    assert_same(shuffled, play(player, dtype=torch.float64), torch.tensor(order))


@PLAYERS
def test_more_episodes_keep_the_first_ones(player):
    few = play(player, num_episodes=2, dtype=torch.float64)
    many = play(player, num_episodes=5, dtype=torch.float64)
    assert_same(few, many, slice(None), slice(2))


@PLAYERS
def test_equal_streams_give_equal_numbers_and_others_do_not(player):
    first, again = play(player, dtype=torch.float64), play(player, dtype=torch.float64)
    other = play(player, stream=Stream.TUNE, dtype=torch.float64)
    assert_same(first, again)
    for name in ("arms", "levels", "observed_arms", "agent_rewards", "observed_agent_rewards"):
        assert not torch.equal(getattr(first, name), getattr(other, name))


def test_episodes_of_an_agent_are_independent():
    played = play(RandomlyIntervene(0.5), num_episodes=2)
    assert not torch.equal(played.levels[:, 0], played.levels[:, 1])
    learners = played.arms.float().std((1, 2)) > 0
    assert (played.arms[learners, 0] != played.arms[learners, 1]).any(-1).float().mean() > 0.5


def test_rewards_are_what_the_rules_say():
    population = Population(FAMILIES, num_arms=4, reward_model=NoiseFreeReward())
    tasks = population.sample(range(30), split="val").to("cpu", torch.float64)
    played = rollout(tasks, RandomlyIntervene(0.5), GAME, stream=Stream.SCORE, num_episodes=3)
    bonus = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)[played.levels]
    is_target = played.arms == tasks.target_arm.view(-1, 1, 1)
    assert torch.equal(played.aligned, is_target)
    assert set(played.levels.unique().tolist()) == {0, 2}
    torch.testing.assert_close(played.rewards, is_target.double() - 0.3 * bonus)
    base = tasks.base_rewards.gather(1, played.arms.flatten(1)).view_as(bonus)
    torch.testing.assert_close(played.agent_rewards, base + bonus * is_target)
    expected = (is_target.double().mean(-1) - 0.3 * bonus.mean(-1)).mean()
    torch.testing.assert_close(played.returns.mean(), expected)


def test_agents_that_do_not_see_the_bonus_react_a_step_later():
    none, always = play(NoIntervention()), play(AlwaysIntervene())
    sees = POPULATION.sample(range(12), split="train").sees_bonus
    assert torch.equal(none.arms[~sees][..., 0], always.arms[~sees][..., 0])
    assert not torch.equal(none.arms[~sees], always.arms[~sees])
    assert always.aligned[sees].float().mean() > none.aligned[sees].float().mean()
    # the level of the last step can no longer change what they do
    assert (none.aligned[sees].float().std(-1) == 0.0).all()


class Watcher(Player):
    """Plays level 1 and records its observations."""

    def start(self, table) -> None:
        self.table, self.steps, self.seen = table, [], []

    def act(self, step: int) -> torch.Tensor:
        self.steps.append(step)
        return torch.ones(self.table.uniforms.shape[1:], dtype=torch.long)

    def observe(self, levels, arms, agent_rewards) -> None:
        self.seen.append((levels.clone(), arms.clone(), agent_rewards.clone()))


def test_the_principal_is_told_what_it_may_see():
    watcher = Watcher()
    played = play(watcher)
    assert watcher.steps == list(range(25))
    levels, arms, agent_rewards = (
        torch.stack(part, -1) for part in zip(*watcher.seen, strict=True)
    )
    assert torch.equal(levels, played.levels)
    assert torch.equal(arms, played.observed_arms)
    assert torch.equal(agent_rewards, played.observed_agent_rewards)
    assert (watcher.table.num_episodes, watcher.table.uniforms.shape) == (2, (25, 12, 2))


def test_without_noise_the_principal_sees_the_arm_in_its_own_labels():
    tasks = POPULATION.sample(range(12), split="train")
    game = Game(num_arms=4, num_steps=25)
    played = rollout(tasks, RandomlyIntervene(0.5), game, stream=Stream.SCORE, num_episodes=2)
    assert torch.equal(played.observed_arms, relabel_target_first(played.arms, tasks.target_arm))
    assert torch.equal(played.observed_arms == 0, played.aligned)
    assert torch.equal(played.observed_agent_rewards, torch.zeros(12, 2, 25))


@pytest.mark.parametrize("observation", [PartialInformation, FullInformation])
def test_arms_are_misseen_at_the_stated_rate(observation):
    game = Game(num_arms=4, num_steps=50, observation=observation(arm_flip=0.2))
    tasks = POPULATION.sample(range(100), split="train")
    played = rollout(tasks, RandomlyIntervene(0.5), game, stream=Stream.SCORE, num_episodes=4)
    truth = relabel_target_first(played.arms, tasks.target_arm)
    wrong = played.observed_arms != truth
    assert wrong.float().mean().item() == pytest.approx(0.2, abs=0.012)  # 4 standard errors
    # each of the three other arms is as likely
    shift = ((played.observed_arms - truth) % 4)[wrong].bincount(minlength=4) / wrong.sum()
    assert (shift[1:] - 1 / 3).abs().max() < 0.05


def test_noise_of_the_observation_changes_neither_the_agent_nor_the_rewards():
    clean = play(RandomlyIntervene(0.5), game=Game(4, 25, (0.0, 0.5, 1.0), 0.3))
    noisy = play(RandomlyIntervene(0.5))
    for name in ("arms", "levels", "aligned", "rewards", "agent_rewards"):
        assert torch.equal(getattr(clean, name), getattr(noisy, name))
    noise = noisy.observed_agent_rewards - noisy.agent_rewards
    assert noise.mean().item() == pytest.approx(0.0, abs=0.05)
    assert noise.std().item() == pytest.approx(0.3, abs=0.04)


def test_nothing_is_recorded_for_autograd():
    played = play(learned(), dtype=torch.float64)
    assert not any(getattr(played, item.name).requires_grad for item in Trajectory.records())


def test_float32_and_float64_play_the_same_game():
    single, double = (play(RandomlyIntervene(0.5), dtype=d) for d in (None, torch.float64))
    assert (single.rewards.dtype, double.rewards.dtype) == (torch.float32, torch.float64)
    assert torch.equal(single.levels, double.levels)
    assert (single.arms == double.arms).float().mean() > 0.99


def test_another_number_of_arms_is_refused():
    with pytest.raises(ValueError, match="the agents have 4 arms, the game has 10"):
        play(NoIntervention(), game=Game())


def test_common_random_numbers_leaves_only_what_the_principal_does():
    tasks = Population([AgentFamily(UCB, {"beta": [0.3, 0.7]})], num_arms=4).sample(
        range(5), split="train"
    )
    game = Game(num_arms=4, num_steps=30)

    def play(player, **options):
        return rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=3, **options)

    # a fixed schedule does nothing different, so all episodes are the first one
    common, independent = play(Periodic(3), common_random_numbers=True), play(Periodic(3))
    assert torch.equal(common.arms, common.arms[:, :1].expand_as(common.arms))
    assert torch.equal(common.arms[:, 0], independent.arms[:, 0])
    assert not torch.equal(independent.arms, common.arms)
    # the principal's own random numbers stay independent
    levels = play(RandomlyIntervene(0.5), common_random_numbers=True).levels
    assert not torch.equal(levels[:, 0], levels[:, 1])
