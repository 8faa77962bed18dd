"""Episodes of a live principal beside one whose state goes in and comes out."""

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from mermaide_pl import LivePrincipal
from mermaide_pl.game.trajectory import relabel_target_first

GAMES = {
    "ten arms": {"num_arms": 10, "num_steps": 200, "bonuses": (0.0, 1.0)},
    "two arms, full information": {"num_arms": 2, "num_steps": 60, "full_information": True},
    "three levels, a budget": {
        **{"num_arms": 4, "num_steps": 80, "bonuses": (0.0, 0.4, 1.5), "cost": 0.3},
        "max_interventions": 12,
    },
    "fifty arms, four levels": {
        **{"num_arms": 50, "num_steps": 50, "bonuses": (0.0, 2.0, 4.0, 6.0), "cost": 0.1},
        "full_information": True,
    },
    "endless, a budget": {"num_arms": 5, "cost": 0.2, "max_interventions": 20},
    "no interventions": {"num_arms": 3, "num_steps": 20, "max_interventions": 0},
}
"""Settings of `LivePrincipal`, with a number of arms for their labels."""
STATE = "hidden", "arm_tallies", "totals"
ENDLESS_STEPS = 150  # played of a game without a fixed end


def live_in(game: dict) -> LivePrincipal:
    """The universal principal in a game; its target is the last arm."""
    settings = {name: value for name, value in game.items() if name != "num_arms"}
    arms = game["num_arms"]
    return LivePrincipal.load("universal", arms=range(arms), target_arm=arms - 1, **settings)


def numbers_of(live: LivePrincipal) -> dict[str, Tensor]:
    """Inputs that tell the game of a universal principal."""
    game, most = live.game, live.game.max_interventions
    return {
        "bonuses": torch.tensor([game.bonuses]),
        "cost": torch.tensor([game.cost]),
        "num_steps": torch.tensor([float("inf") if game.endless else float(game.num_steps)]),
        "max_interventions": torch.tensor([float("inf") if most is None else float(most)]),
        "full_information": torch.tensor([game.observation.sees_agent_rewards]),
    }


def largest_difference(
    live: LivePrincipal,
    decide: Callable[[Mapping[str, Tensor]], Mapping[str, np.ndarray]],
    numbers: Mapping[str, Tensor],
) -> float:
    """Play an episode of random arms, whose levels must be the same.

    Args:
        live: chooses the levels.
        decide: outputs of one step by name.
        numbers: inputs that tell the game.

    Returns:
        The largest difference of probabilities, forecasts and recurrent states.
    """
    game, worst = live.game, 0.0
    steps = ENDLESS_STEPS if game.endless else game.num_steps
    arms = torch.randint(game.num_arms, (steps,), generator=torch.Generator().manual_seed(1))
    rewards = torch.rand(steps, generator=torch.Generator().manual_seed(2))
    ours = relabel_target_first(arms[None], torch.tensor([live.target_arm]))[0]
    hidden, columns = live._state.hidden.shape[-1], len(game.signs[0])
    state = {
        # nothing of what goes into the first step counts
        "hidden": torch.full((1, hidden), 3.0),
        "arm_tallies": torch.full((1, game.num_arms, 3), 2.0),
        "totals": torch.full((1, 2 + columns), 1.0),
    }
    sees = game.observation.sees_agent_rewards
    arm, level, reward = torch.tensor([1]), torch.tensor([1]), torch.tensor([9.0])
    for step in range(steps):
        event = {"step": torch.tensor([step]), "arm": arm, "level": level, "agent_reward": reward}
        out = decide({**event, **state, **numbers})
        level = torch.tensor([live.intervene()])
        assert out["chosen_level"].tolist() == level.tolist()
        after, logits, arm_logits = live._output
        allowed = live._state.past.allowed_levels
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        expected = {"level_probabilities": logits.softmax(-1)[0], "new_hidden": after[0]}
        if arm_logits is not None:
            expected["forecast"] = arm_logits.softmax(-1)[0]
        assert ("forecast" in out) == ("forecast" in expected)
        for name, value in expected.items():
            assert out[name].shape == value.shape
            worst = max(worst, float(np.abs(out[name] - value.numpy()).max()))
        state = {name: torch.as_tensor(out[f"new_{name}"]) for name in STATE}
        arm, reward = ours[step : step + 1], rewards[step : step + 1]
        live.observe(int(arms[step]), float(reward) if sees else None)
    return worst
