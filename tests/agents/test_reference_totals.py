"""Total reward of plain bandit agents against numbers from other implementations.

The standard error of each total is about 0.05: the tasks are a Sobol sequence of arms, which takes
out the differences between bandits.
"""

import math

import pytest
import torch

from mermaide_pl.agents import EXP3, UCB, BernoulliReward, BetaThompson, EpsilonGreedy

NUM_TASKS, NUM_ARMS, NUM_STEPS = 16384, 5, 100


@pytest.mark.parametrize(
    ("make_rule", "total", "tolerance"),
    [
        pytest.param(lambda: EpsilonGreedy(epsilon=1.0), 50.0, 0.5, id="random"),
        # 75.5 +- 0.5 elsewhere; 200 000 agents with NumPy's Beta sampler give 75.06 +- 0.01.
        pytest.param(BetaThompson, 75.06, 0.25, id="beta-thompson"),
        pytest.param(lambda: UCB(beta=math.sqrt(2.0)), 65.7, 0.5, id="ucb1"),
        pytest.param(lambda: EpsilonGreedy(epsilon=0.1), 74.4, 0.5, id="epsilon-greedy"),
        pytest.param(lambda: EXP3(gamma=0.1), 55.9, 0.5, id="exp3"),
    ],
)
def test_total_reward_of_bernoulli_bandits(make_rule, total, tolerance, play):
    arms = torch.quasirandom.SobolEngine(NUM_ARMS, scramble=True, seed=0).draw(NUM_TASKS)
    total_rewards = []
    for tasks in torch.arange(NUM_TASKS).split(2048):
        _, rewards = play(
            make_rule(),
            arms[tasks],
            num_steps=NUM_STEPS,
            seeds=tasks.tolist(),
            reward_model=BernoulliReward(),
        )
        total_rewards.append(rewards.sum(-1))
    assert torch.cat(total_rewards).mean().item() == pytest.approx(total, abs=tolerance)
