r"""Bandits of MABWiser (pip install mabwiser) as agents: one factory for each policy.

mermaide check-agent examples.mabwiser_learners.ucb1
mermaide evaluate --ckpt_path pretrained:mixed-partial --num_agents 50 --num_tuning_agents 10 \
    --population examples/populations/mabwiser_ucb1.yaml
"""

from __future__ import annotations

import numpy as np
from mabwiser.mab import MAB, LearningPolicy


class MABWiserLearner:
    """Pulls every arm once, as the policies expect, then follows one of them."""

    def __init__(self, n_arms: int, seed: int, policy: object) -> None:
        self.bandit = MAB(list(range(n_arms)), policy, seed=seed)
        self.first_pulls = np.random.default_rng(seed).permutation(n_arms).tolist()
        self.first_rewards: list[float] = []

    def act(self) -> int:
        pulled = len(self.first_rewards)
        return self.first_pulls[pulled] if pulled < len(self.first_pulls) else self.bandit.predict()

    def learn(self, arm: int, reward: float) -> None:
        if len(self.first_rewards) == len(self.first_pulls):
            self.bandit.partial_fit([arm], [reward])
            return
        self.first_rewards.append(reward)
        if len(self.first_rewards) == len(self.first_pulls):
            self.bandit.fit(self.first_pulls, self.first_rewards)


def epsilon_greedy(n_arms: int, seed: int, epsilon: float = 0.1) -> MABWiserLearner:
    return MABWiserLearner(n_arms, seed, LearningPolicy.EpsilonGreedy(epsilon))


def ucb1(n_arms: int, seed: int, alpha: float = 0.5) -> MABWiserLearner:
    return MABWiserLearner(n_arms, seed, LearningPolicy.UCB1(alpha))


def softmax(n_arms: int, seed: int, tau: float = 0.1) -> MABWiserLearner:
    return MABWiserLearner(n_arms, seed, LearningPolicy.Softmax(tau))


def is_good(arm: int, reward: float) -> bool:
    """Success criterion of Thompson sampling, which learns from binary rewards only."""
    return reward > 0.5


def thompson(n_arms: int, seed: int) -> MABWiserLearner:
    return MABWiserLearner(n_arms, seed, LearningPolicy.ThompsonSampling(is_good))
