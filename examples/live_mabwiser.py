"""Steer a learner of another library: UCB1 of MABWiser, by a pretrained principal.

MABWiser (`pip install mabwiser`) knows nothing of principals: its learner sees rewards alone.

    python examples/live_mabwiser.py
"""

from __future__ import annotations

import argparse

import numpy as np
from mabwiser.mab import MAB, LearningPolicy

from mermaide_pl import LivePrincipal

MEANS = np.array([0.3, 0.5, 0.2, 0.7, 0.4, 0.1, 0.6, 0.9, 0.35, 0.25])  # it likes arm 7 best
TARGET = 3  # the principal likes this one


def play(principal: LivePrincipal, seed: int) -> tuple[float, float, float]:
    """An episode with a new learner: return, alignment and intervention rate."""
    game, rng = principal.game, np.random.default_rng(seed)
    arms = list(range(game.num_arms))
    learner = MAB(arms, LearningPolicy.UCB1(alpha=0.3), seed=seed)
    learner.fit(arms, MEANS + 0.1 * rng.standard_normal(game.num_arms))  # before the first episode
    aligned, bonuses = np.zeros(game.num_steps), np.zeros(game.num_steps)
    for step in range(game.num_steps):
        bonuses[step] = game.bonuses[principal.intervene()]
        arm = learner.predict()
        aligned[step] = arm == TARGET
        reward = MEANS[arm] + 0.1 * rng.standard_normal() + bonuses[step] * aligned[step]
        learner.partial_fit([arm], [reward])
        principal.observe(arm)
    principal.end_episode()
    alignment = float(aligned.mean())
    return alignment - game.cost * float(bonuses.mean()), alignment, float((bonuses > 0).mean())


def main(num_episodes: int) -> None:
    """Play episodes with a new learner in each; the principal adapts after each."""
    principal = LivePrincipal.load("mixed-partial", target_arm=TARGET)
    idle = LivePrincipal(principal.module, target_arm=TARGET, max_interventions=0)
    print(f"{'':16} {'return':>8} {'alignment':>11} {'interventions':>15}")
    for episode in range(num_episodes):
        if episode:
            principal.adapt()
        for name, player in (("nobody", idle), (f"{episode}-shot", principal)):
            gained, alignment, rate = play(player, seed=episode)
            print(f"{episode} {name:14} {gained:8.3f} {alignment:11.3f} {rate:15.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_episodes", type=int, default=3)
    main(parser.parse_args().num_episodes)
