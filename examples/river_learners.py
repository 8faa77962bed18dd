r"""Bandits of River (pip install river) as agents: one factory for each policy.

mermaide check-agent examples.river_learners.ucb
mermaide evaluate --ckpt_path pretrained:mixed-partial --num_agents 100 \
    --population examples/populations/river_ucb.yaml examples/populations/river_exp3.yaml
"""

from __future__ import annotations

from river import bandit, proba


class RiverLearner:
    """Any policy of `river.bandit` without context."""

    def __init__(self, n_arms: int, policy: bandit.base.Policy) -> None:
        self.arms, self.policy = range(n_arms), policy

    def act(self) -> int:
        return self.policy.pull(self.arms)

    def learn(self, arm: int, reward: float) -> None:
        self.policy.update(arm, reward)


def ucb(n_arms: int, seed: int, delta: float = 0.5) -> RiverLearner:
    return RiverLearner(n_arms, bandit.UCB(delta=delta, seed=seed))


def epsilon_greedy(
    n_arms: int, seed: int, epsilon: float = 0.1, decay: float = 0.0
) -> RiverLearner:
    return RiverLearner(n_arms, bandit.EpsilonGreedy(epsilon, decay=decay, seed=seed))


def exp3(n_arms: int, seed: int, gamma: float = 0.1) -> RiverLearner:
    return RiverLearner(n_arms, bandit.Exp3(gamma=gamma, seed=seed))


class _Thompson(RiverLearner):
    """Thompson sampling on whether a reward was good, since its default belief is a Beta."""

    def learn(self, arm: int, reward: float) -> None:
        self.policy.update(arm, reward > 0.5)


def thompson(n_arms: int, seed: int) -> RiverLearner:
    return _Thompson(n_arms, bandit.ThompsonSampling(reward_obj=proba.Beta(), seed=seed))
