r"""Contextual exploration of Vowpal Wabbit (pip install vowpalwabbit) as an agent.

mermaide check-agent examples.vowpal_wabbit_learner.VowpalWabbitLearner
mermaide evaluate --ckpt_path pretrained:mixed-partial --num_agents 100 --num_tuning_agents 20 \
    --population examples/populations/vowpal_wabbit.yaml
"""

from __future__ import annotations

import numpy as np
from vowpalwabbit import Workspace


class VowpalWabbitLearner:
    """Doubly robust cost-sensitive regression (its default) with epsilon-greedy exploration."""

    def __init__(self, n_arms: int, seed: int, epsilon: float = 0.1) -> None:
        self.model = Workspace(f"--cb_explore {n_arms} --epsilon {epsilon} --quiet")
        self.generator = np.random.default_rng(seed)

    def act(self) -> int:
        chances = np.array(self.model.predict("| one"))
        self.chances = chances / chances.sum()
        return int(self.generator.choice(len(chances), p=self.chances))

    def learn(self, arm: int, reward: float) -> None:
        self.model.learn(f"{arm + 1}:{-reward}:{self.chances[arm]} | one")
