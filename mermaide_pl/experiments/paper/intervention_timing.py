"""Figure 6: timing of the interventions of a trained principal, by population and in one episode.

Our source does not describe the paper's figure; this is our interpretation. The principal plays its
most probable level, without adaptation (0 shots).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.evaluation.timing import (
    episode_of,
    median_agent,
    play,
    rate_rows,
    rates_by_quarter,
)
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.objectives import factual_arm_logits
from mermaide_pl.populations import packaged
from mermaide_pl.reporting.figures import draw_episode, draw_timing
from mermaide_pl.reporting.figures.style import save_png

_PRINCIPAL = "mixed-partial"
_NAMES = (
    "train_ucb",
    "unseen_ucb",
    "unseen_rewards",
    "epsilon_greedy",
    "softmax",
    "thompson",
    "exp3",
    "best_response",
    "train_mixed",
)
_SHOWN = "unseen_ucb"  # population of the annotated episode


def run(out: Path, quick: bool, seed: int) -> str:
    """Play with agents of every population, write two tables, and draw them.

    The annotated episode is the one with the median return.

    Args:
        out: folder of the results.
        quick: play with 100 agents of each population instead of 500.
        seed: seed of the agents.

    Returns:
        The intervention rates over the quarters of an episode, in one sentence.
    """
    module = MermaideModule.pretrained(_PRINCIPAL)
    num_agents = 100 if quick else 500
    played = {
        name: play(module, packaged(name).sample(range(num_agents), split="test", seed=seed))
        for name in _NAMES
    }
    write_rows(out / "fig6_rates.csv", rate_rows(played))
    rates = read_rows(out / "fig6_rates.csv")
    save_png(draw_timing(rates), out / "fig6.png")
    number = median_agent(played[_SHOWN])
    episode, arm_logits = episode_of(module, packaged(_SHOWN), number, seed)
    write_rows(out / "fig6_episode.csv", _episode_rows(episode, arm_logits))
    save_png(draw_episode(episode, arm_logits), out / "fig6_episode.png")
    phases = ", ".join(
        f"{name} {' '.join(f'{rate:.2f}' for rate in rates_by_quarter(trajectory))}"
        for name, trajectory in played.items()
    )
    return (
        f"fig6: intervention rate by quarters of the episode: {phases} ({num_agents} agents each)."
    )


def _episode_rows(played: Trajectory, arm_logits: Tensor | None) -> list[Row]:
    forecast = torch.full_like(played.rewards[0, 0], torch.nan)
    if arm_logits is not None:
        forecast = factual_arm_logits(arm_logits[0, 0], played.levels[0, 0]).softmax(-1)[:, 0]
    columns = {
        "arm": played.arms[0, 0],
        "aligned": played.aligned[0, 0].long(),
        "level": played.levels[0, 0],
    }
    return [
        {"step": step + 1}
        | {name: int(values[step]) for name, values in columns.items()}
        | {"forecast_of_target": round(forecast[step].item(), 4)}
        for step in range(len(forecast))
    ]
