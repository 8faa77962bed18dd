import pytest
import torch

from mermaide_pl.agents import CATIE, NoiseFreeReward
from mermaide_pl.engines import Stream, TorchEngine, choose_engine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import AgentFamily, ConstantRewards, FixedTarget, Population
from mermaide_pl.principals import AlwaysIntervene

HISTORY = [(0, 1.0), (1, 0.0), (0, 0.0), (0, 1.0)]  # arms and rewards


def chances_after(rule, history, num_arms=2):
    """Probabilities of the arms before each step and after the last, float [steps + 1, A]."""
    base_rewards = torch.zeros(1, num_arms, dtype=torch.float64)
    rule = rule.to(base_rewards)
    state = rule.init(base_rewards, torch.zeros(1, dtype=torch.long), 1)
    chances = [rule.choice_probabilities(*rule.decision_variables(state))]
    for arm, reward in history:
        rewards = torch.tensor([[reward]], dtype=torch.float64)
        state = rule.update(state, torch.tensor([[arm]]), rewards, torch.empty(0))
        chances.append(rule.choice_probabilities(*rule.decision_variables(state)))
    return torch.stack(chances)[:, 0, 0], state


def test_trials_worked_by_hand():
    """One pair of a context, the published parameters.

    Step 3: no surprise yet, so exploration 0.3 / 3; the last pair (1, loss) is new to both arms:
    arm 0 has its mean 1, arm 1 its mean 0 after (0, gain). p(1) = 0.1 / 2 + 0.9 * 0.71.
    Step 4: E was 1, the deviation of 1 and 0 is 0.5^(1/2): S = 1 / (1 + 0.7071) = 0.5858, mean S a
    third of it, exploration 0.1781; (0, loss) is new to both arms, each has 0 after another pair:
    a tie. p(1) = 0.1781 / 2 + 0.8219 * 0.29 / 2.
    Step 5: E was 0, the deviation of 1, 0, 1 is 3^(-1/2): S = 0.6340, mean S = 1.2198 / 4,
    exploration 0.1939. Arm 0 has risen: a trend. (0, gain) is new to arm 0, which has 0 or 1 after
    others, and arm 1 has 0 after it: arm 1 wins a tie with chance 1/4.
    p(1) = 0.71 (0.1939 / 2 + 0.8061 * 0.29 / 4).
    """
    chances, _ = chances_after(CATIE(context=1.0), HISTORY)
    assert chances[:, 1].tolist() == pytest.approx([0.5, 1.0, 0.689, 0.208227, 0.110326], abs=1e-6)


def test_without_a_context_the_means_decide():
    # step 5: E was 1/2, S = 0.5 / (0.5774 + 0.5) = 0.4641; p(1) = 0.71 * 0.17266 / 2
    chances, _ = chances_after(CATIE(context=0.0), HISTORY)
    assert chances[4, 1].item() == pytest.approx(0.061293, abs=1e-6)


def test_a_context_of_two_pairs():
    history = [(0, 1.0), (1, 0.0), (0, 1.0), (1, 1.0), (0, 1.0), (1, 0.0)]
    _, state = chances_after(CATIE(context=2.0), history)
    rule = CATIE(context=2.0).to(torch.zeros(1, 2, dtype=torch.float64))
    values, weights = rule._averages(state)
    # arm 0 was pulled after (0, gain), (1, loss) in step 3, with reward 1; arm 1 after
    # (1, loss), (0, gain) and (1, gain), (0, gain): rewards 1 and 0, each as likely
    assert (values * weights).sum(-1).flatten().tolist() == [1.0, 0.5]
    assert sorted((values[0, 0, 1] * weights[0, 0, 1]).tolist())[-1] == 0.5


def test_rewards_that_never_differ_do_not_surprise():
    _, state = chances_after(CATIE(), [(0, 0.1), (1, 0.7)] + [(0, 0.1)] * 9)
    assert state.surprise_sum.item() == 0.0


def test_the_second_arm_need_not_be_the_other():
    chances, _ = chances_after(CATIE(context=0.0, tries_first=0.0), [(0, 1.0)])
    # exploration 0.1; inertia or the mean for arm 0
    assert chances[1, 1].item() == pytest.approx(0.05)


def test_more_arms():
    chances, _ = chances_after(CATIE(context=1.0), [(2, 1.0), (0, 0.0), (1, 0.0), (1, 1.0)], 3)
    assert chances[1].tolist() == [0.5, 0.5, 0.0]
    chances, _ = chances_after(CATIE(tau=1.0), [(2, 1.0), (0, 0.0), (1, 1.0), (1, 0.0)], 3)
    assert chances[4].tolist() == [0.5, 0.0, 0.5]  # another arm after a fall
    with pytest.raises(ValueError, match="CATIE plays with at most 16 arms, got 17"):
        CATIE().num_uniforms(17)


@pytest.mark.parametrize(
    "engine", [choose_engine("native"), TorchEngine()], ids=["native", "torch"]
)
def test_too_many_arms_are_refused_by_both_engines(engine):
    population = Population(
        [AgentFamily(CATIE)],
        num_arms=17,
        base_rewards=ConstantRewards(),
        target=FixedTarget(0),
        reward_model=NoiseFreeReward(),
    )
    with pytest.raises(ValueError, match="CATIE plays with at most 16 arms, got 17"):
        rollout(
            population.sample(range(2), split="test"),
            AlwaysIntervene(),
            Game(17, 5),
            stream=Stream.SCORE,
            num_episodes=1,
            engine=engine,
        )


@pytest.mark.parametrize("name", ["context", "tries_first"])
def test_a_fraction_of_a_pair_is_refused(name):
    with pytest.raises(ValueError, match=rf"CATIE\.{name} must be a whole number, got 0\.5"):
        CATIE(**{name: 0.5})
