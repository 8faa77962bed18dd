"""The choice engineering game, in which people were steered by a schedule of binary rewards."""

from mermaide_pl.game.budget import Budget
from mermaide_pl.game.game import Game
from mermaide_pl.game.observation import FullInformation

CHOICE_ENGINEERING = Game(
    num_arms=2,
    num_steps=100,
    bonuses=(0.0, 1.0, 0.0, 1.0),
    cost=0.0,
    observation=FullInformation(),
    other_bonuses=(0.0, 0.0, 1.0, 1.0),
    target_budget=Budget(25, 25),
    other_budget=Budget(25, 25),
)
"""100 trials with two alternatives, each paid exactly 25 times, whether or not it is chosen.

The levels pay none, the target, the other, and both. The alternatives pay nothing else, so that the
agents' base rewards are 0, and the principal, which knows what it paid, their rewards.

Source: Dan, Plonsky, Loewenstein, "Behavior engineering using quantitative reinforcement learning
models", Nature Communications 16:4109 (2025).
"""
