"""A learner of your own: anything with `act` and `learn`, made from a number of arms and a seed."""

import random


class Recency:
    """Moves the value of an arm towards its latest reward, and tries a random arm now and then."""

    def __init__(self, n_arms: int, seed: int, learning_rate: float = 0.2, lapse_rate: float = 0.1):
        self.random = random.Random(seed)
        self.learning_rate, self.lapse_rate = learning_rate, lapse_rate
        self.values = [0.5] * n_arms

    def act(self) -> int:
        """The arm to pull, 0 to n_arms - 1."""
        if self.random.random() < self.lapse_rate:
            return self.random.randrange(len(self.values))
        return max(
            range(len(self.values)), key=lambda arm: (self.values[arm], self.random.random())
        )

    def learn(self, arm: int, reward: float) -> None:
        """Learn from the reward of the arm that was pulled; a bonus, if it was paid, is in it."""
        self.values[arm] += self.learning_rate * (reward - self.values[arm])
