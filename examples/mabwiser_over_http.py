"""Steer learners of another library and another process: UCB1 of MABWiser, over HTTP.

Start the service, then the learners, each in any number of terminals:

    mermaide serve --principal mixed-partial --store sqlite:///fleet.db
    python examples/mabwiser_over_http.py --num_learners 5

They may be stopped and started again at any moment, and so may the service: an episode goes on at
the step at which it was left. Here the learner is rebuilt from its history, which the service
keeps; one that you have stored yourself needs no more than the number of its next step.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import httpx
import numpy as np
from mabwiser.mab import MAB, LearningPolicy

MEANS = np.array([0.3, 0.5, 0.2, 0.7, 0.4, 0.1, 0.6, 0.9, 0.35, 0.25])  # they like arm 7 best
TARGET = 3  # the principal likes this one
NUM_STEPS, COST = 200, 0.5
TOKEN = os.environ.get("MERMAIDE_TOKEN")


class Learner:
    """A learner that asks the service for bonuses, and tells it what it did.

    Args:
        client: of the service.
        name: of the learner.
        seed: of its choices.
    """

    def __init__(self, client: httpx.Client, name: str, seed: int) -> None:
        self._client, self._name, self._seed = client, name, seed
        self._send("POST", "/learners", {"name": name, "target_arm": TARGET})

    def play(self, episode: int) -> tuple[float, float, float]:
        """An episode with a new learner: return, alignment and intervention rate."""
        arms = list(range(len(MEANS)))
        learner = MAB(arms, LearningPolicy.UCB1(alpha=0.3), seed=self._seed)
        noise = np.random.default_rng([self._seed, episode]).standard_normal(NUM_STEPS + len(arms))
        learner.fit(arms, MEANS + 0.1 * noise[NUM_STEPS:])  # before the first episode
        known = self._send("GET", f"{self._own}/history?episode={episode}&limit=1000")["events"]
        bonuses, aligned = np.zeros(NUM_STEPS), np.zeros(NUM_STEPS)
        for step in range(NUM_STEPS):
            if step < len(known):  # played before it was stopped
                bonuses[step], arm = known[step]["bonus"], known[step]["arm"]
                learner.predict()
            else:
                asked = {"step": step, "episode": episode}
                bonuses[step] = self._send("POST", f"{self._own}/intervene", asked)["bonus"]
                arm = learner.predict()
                self._send("POST", f"{self._own}/observe", {**asked, "arm": arm})
            aligned[step] = arm == TARGET
            reward = MEANS[arm] + 0.1 * noise[step] + bonuses[step] * aligned[step]
            learner.partial_fit([arm], [reward])
        self._send("POST", f"{self._own}/end_episode", {"episode": episode})
        self._send("POST", f"{self._own}/adapt", {"episode": episode + 1})
        alignment = float(aligned.mean())
        return alignment - COST * float(bonuses.mean()), alignment, float((bonuses > 0).mean())

    @property
    def episode(self) -> int:
        """Number of the running episode."""
        return int(self._send("GET", self._own)["episode"])

    @property
    def _own(self) -> str:
        return f"/learners/{self._name}"

    def _send(self, method: str, route: str, body: dict[str, Any] | None = None) -> Any:
        """An answer; repeated until there is one, which changes nothing twice."""
        while True:
            try:
                answer = self._client.request(method, route, json=body)
                if answer.status_code != 503:
                    return answer.raise_for_status().json()
            except httpx.TransportError as error:
                print(f"{error}; trying again")
            time.sleep(1)


def main(address: str, num_learners: int, num_episodes: int) -> None:
    """Play episodes with each learner; the principal adapts after each."""
    headers = {"Authorization": f"Bearer {TOKEN}"} if TOKEN else {}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        print(f"{'':20} {'return':>8} {'alignment':>11} {'interventions':>15}")
        for number in range(num_learners):
            name = f"ucb1-{number}"
            learner = Learner(client, name, seed=number)
            for episode in range(learner.episode, num_episodes):
                gained, alignment, rate = learner.play(episode)
                print(f"{name} episode {episode:<3} {gained:8.3f} {alignment:11.3f} {rate:15.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    parser.add_argument("--num_learners", type=int, default=3)
    parser.add_argument("--num_episodes", type=int, default=3)
    given = parser.parse_args()
    main(given.address, given.num_learners, given.num_episodes)
