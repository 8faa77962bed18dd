"""Learners that are steered over HTTP in tests: what they do depends on the levels alone."""

from typing import Any

import httpx

GAMES: dict[str, dict[str, Any]] = {
    "plain": {"num_steps": 12},
    "labels": {"arms": ["a", "b", 3], "target": "b", "cost": 0.2, "num_steps": 12},
    "levels": {"arms": ["a", "b", "c"], "bonuses": [0.0, 0.3, 0.5]},
    "sampled": {"arms": ["a", "b", "c"], "bonuses": [0.0, 0.4, 0.5], "sampling_seed": 2**63},
    "budget": {"max_interventions": 3, "sampling_seed": 5},
    "full": {"full_information": True, "num_steps": 12, "target_arm": 2},
}
NUM_STEPS = 12


def outcome(name: str, episode: int, step: int, level: int) -> dict[str, Any]:
    """What a learner does in a step."""
    arms = GAMES[name].get("arms", range(4))
    number = 7 * episode + 3 * step + 5 * level + step * step % 11 + len(name)
    found: dict[str, Any] = {"arm": arms[number % len(arms)]}
    if "full_information" in GAMES[name]:
        found["agent_reward"] = number % 13 / 7 - 0.3
    return found


def play_episode(ask, name: str, episode: int, num_steps: int = NUM_STEPS) -> list[int]:
    """The levels of an episode; `ask` sends a body to a route of the learner."""
    levels = []
    for step in range(num_steps):
        level = ask(name, "intervene", {"step": step, "episode": episode})["level"]
        outcome_ = outcome(name, episode, step, level)
        ask(name, "observe", {"step": step, "episode": episode, **outcome_})
        levels.append(level)
    ask(name, "end_episode", {"episode": episode})
    ask(name, "adapt", {"episode": episode + 1})
    return levels


def log_of(client: httpx.Client, name: str) -> list[dict[str, Any]]:
    """All events of a learner, without their times."""
    found, place = [], {"episode": 0, "step": 0}
    while place:
        page = client.get(f"/learners/{name}/history", params={**place, "limit": 7}).json()
        found += [{key: event[key] for key in event if key != "at"} for event in page["events"]]
        place = page["next"]
    return found
