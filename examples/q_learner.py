r"""A learner that is not a bandit: tabular Q-learning with its latest arm as the state.

mermaide check-agent examples.q_learner.QLearner
mermaide evaluate --ckpt_path pretrained:mixed-partial \
    --population examples/populations/q_learning.yaml
"""

from __future__ import annotations

import random


class QLearner:
    """Watkins's Q-learning, epsilon-greedy; the state is the arm pulled last.

    Args:
        n_arms: number of actions, and of states but for the first.
        seed: of its exploration.
        discount: worth of the next step's reward.
        learning_rate: share of the error that is learned.
        epsilon: share of random actions.
    """

    def __init__(
        self,
        n_arms: int,
        seed: int,
        discount: float = 0.5,
        learning_rate: float = 0.3,
        epsilon: float = 0.1,
    ) -> None:
        self.random = random.Random(seed)
        self.discount, self.learning_rate, self.epsilon = discount, learning_rate, epsilon
        self.values = [[0.0] * n_arms for _ in range(n_arms + 1)]
        self.state = n_arms  # nothing pulled yet

    def act(self) -> int:
        values = self.values[self.state]
        if self.random.random() < self.epsilon:
            return self.random.randrange(len(values))
        best = max(values)
        return self.random.choice([arm for arm, value in enumerate(values) if value == best])

    def learn(self, arm: int, reward: float) -> None:
        target = reward + self.discount * max(self.values[arm])
        self.values[self.state][arm] += self.learning_rate * (target - self.values[self.state][arm])
        self.state = arm
