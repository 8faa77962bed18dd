"""A learner as people see it: its game, and where it stands."""

from __future__ import annotations

from typing import Any

from mermaide_pl.deployment.live_settings import LiveSettings
from mermaide_pl.game import Game
from mermaide_pl.service.log import Standing


def described_game(settings: LiveSettings, game: Game) -> dict[str, Any]:
    """The game of a learner as plain data."""
    arms = range(game.num_arms) if settings.arms is None else settings.arms
    return {
        "arms": [*arms],
        "num_steps": None if game.endless else game.num_steps,
        "bonuses": [*game.bonuses],
        "cost": game.cost,
        "full_information": game.observation.sees_agent_rewards,
        "max_interventions": game.max_interventions,
    }


def summary(at: Standing) -> dict[str, Any]:
    """Where a learner stands, as plain data."""
    game, budget = at.game, at.game["max_interventions"]
    if budget is not None:
        budget = max(0, budget - at.spent - bool(at.level))
    return {
        **{"name": at.name, "principal": at.principal, "created": at.created},
        **{"paused": at.paused, "episode": at.episode, "step": at.step, "level": at.level},
        **{"adapted": at.adapted, "steps": at.steps},
        "alignment": at.aligned / at.steps if at.steps else None,
        "intervention_rate": at.interventions / at.steps if at.steps else None,
        "budget_left": budget,
        "target": game["arms"][at.target],
        **game,
    }
