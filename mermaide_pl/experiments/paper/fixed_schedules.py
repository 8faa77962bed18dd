"""Figures 4 and 5: effects of two fixed schedules with the same budget on UCB agents.

The paper shows single runs, whose values are 0 or 1; here every value is the share of many agents.
Settings that the paper does not give are ours. Rewards have the Gaussian noise of our populations
(scale 0.1). S1 (periodic) intervenes on every 3rd step, S2 (initial only) on the first 67, which is
the same budget. A bonus of 1 on every n-th step is worth 1/n a step to an agent that stays with the
target, so 3 is the largest period that clearly outweighs what the target costs it in figure 5
(delta 0.24; a period of 4 would by 0.01 only). The choice matters: the maps of figure 4 differ by
0.07 on average for beta <= 0.5, with a period of 2 by 0.04, of 4 by 0.10, of 10 by 0.16
(``fig4_budgets.csv``); those of figure 5 by 0.39, and by 0.21 to 0.55.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.game import Game
from mermaide_pl.metrics.intervals import bootstrap_mean
from mermaide_pl.populations import AgentFamily, FixedRewards, FixedTarget, Population
from mermaide_pl.principals import InitialBurst, NoIntervention, Periodic, Player
from mermaide_pl.reporting.figures import draw_alignment_curves, draw_pull_maps
from mermaide_pl.reporting.figures.style import save_png

FIG4_REWARDS = (0.16, 0.11, 0.66, 0.14, 0.20, 0.37, 0.82, 0.10, 0.84, 0.10)
FIG5_REWARDS = (0.32, 0.67, 0.13, 0.72, 0.29, 0.18, 0.59, 0.02, 0.83, 0.01)
PREFERRED_ARM, TARGET_ARM = 8, 6
BETAS = tuple(round(0.05 * number, 2) for number in range(1, 31))
GAME = Game()  # 10 arms, 200 steps, bonus 0 or 1
LOW_BETA = 0.5  # up to this beta an agent mostly exploits
_PERIOD = 3
_OTHER_PERIODS = (2, 4, 5, 10)


def fig4(out: Path, quick: bool, seed: int) -> str:
    """The agent dislikes the target a little (delta 0.02); see `run`."""
    return run("fig4", FIG4_REWARDS, out, num_agents=100 if quick else 1000, seed=seed)


def fig5(out: Path, quick: bool, seed: int) -> str:
    """The agent dislikes the target (delta 0.24); see `run`."""
    return run("fig5", FIG5_REWARDS, out, num_agents=100 if quick else 1000, seed=seed)


def run(name: str, base_rewards: Sequence[float], out: Path, *, num_agents: int, seed: int) -> str:
    """Play all schedules with the same agents, write three tables, and draw two of them.

    Args:
        name: name of the figure, a prefix of the names of its files.
        base_rewards: base rewards of every agent, [A], reward units.
        out: folder of the results.
        num_agents: N, agents of each beta.
        seed: seed of the agents.

    Returns:
        The difference between the two schedules, in one sentence.
    """
    periodic, burst = same_budget(_PERIOD)
    players = {"none": NoIntervention(), "periodic": periodic, "burst": burst}
    arms = {
        schedule: pulls(base_rewards, player, num_agents, seed)
        for schedule, player in players.items()
    }
    shares = {schedule: shares_of(arms[schedule], TARGET_ARM) for schedule in players}
    by_period: dict[int, Sequence[Tensor]] = {_PERIOD: (shares["periodic"], shares["burst"])}
    for period in _OTHER_PERIODS:
        by_period[period] = [
            shares_of(pulls(base_rewards, player, num_agents, seed), TARGET_ARM)
            for player in same_budget(period)
        ]
    preferred = shares_of(arms["none"], PREFERRED_ARM)
    write_rows(out / f"{name}_maps.csv", _map_rows(preferred, shares))
    write_rows(out / f"{name}_alignment.csv", _alignment_rows(arms))
    write_rows(out / f"{name}_budgets.csv", _budget_rows(by_period))
    first = f"S1: every {periodic.period} steps"
    second = f"S2: first {burst.length} steps"
    maps = draw_pull_maps(
        read_rows(out / f"{name}_maps.csv"),
        {
            "preferred_none": "(a) agent's arm\nno intervention",
            "target_none": "(b) target\nno intervention",
            "target_periodic": f"(c) target\n{first}",
            "target_burst": f"(d) target\n{second}",
        },
    )
    save_png(maps, out / f"{name}.png")
    curves = draw_alignment_curves(
        read_rows(out / f"{name}_alignment.csv"),
        {"none": "none", "periodic": first, "burst": second},
    )
    save_png(curves, out / f"{name}_alignment.png")
    near = mean_difference(shares["periodic"], shares["burst"], LOW_BETA)
    everywhere = mean_difference(shares["periodic"], shares["burst"])
    delta = base_rewards[PREFERRED_ARM] - base_rewards[TARGET_ARM]
    return (
        f"{name} (delta {delta:.2f}): pulls of the target under S1 (every {periodic.period} steps)"
        f" and S2 (first {burst.length} steps) differ by {near:.3f} on average for"
        f" beta <= {LOW_BETA}, by {everywhere:.3f} over all beta ({num_agents} agents each)."
    )


def same_budget(period: int) -> tuple[Periodic, InitialBurst]:
    """S1 with period `period`, and S2 with the same number of interventions."""
    return Periodic(period), InitialBurst(len(range(0, GAME.num_steps, period)))


def pulls(base_rewards: Sequence[float], player: Player, num_agents: int, seed: int) -> Tensor:
    """Arms pulled by UCB agents, with new agents for every beta; int64 [len(BETAS), N, T].

    Args:
        base_rewards: base rewards of every agent, [A], reward units.
        player: the principal; all principals play the same agents on common random numbers.
        num_agents: N, agents of each beta.
        seed: seed of the agents.
    """
    arms = []
    for row, beta in enumerate(BETAS):
        population = Population(
            [AgentFamily(UCB, {"beta": beta})],
            base_rewards=FixedRewards(tuple(base_rewards)),
            target=FixedTarget(TARGET_ARM),
        )
        numbers = range(row * num_agents, (row + 1) * num_agents)
        tasks = population.sample(numbers, split="test", seed=seed)
        arms.append(rollout(tasks, player, GAME, stream=Stream.SCORE, num_episodes=1).arms[:, 0])
    return torch.stack(arms)


def shares_of(arms: Tensor, arm: int) -> Tensor:
    """Share of agents that pull `arm`, float64 [len(BETAS), T], from arms [len(BETAS), N, T]."""
    return (arms == arm).double().mean(1)


def mean_difference(first: Tensor, second: Tensor, highest_beta: float = BETAS[-1]) -> float:
    """Mean absolute difference of two maps over the steps and the betas up to `highest_beta`.

    Shares of finitely many agents are noisy: equal schedules on independent random numbers also
    differ by more than 0.

    Args:
        first: shares, float [len(BETAS), T].
        second: shares, float [len(BETAS), T].
        highest_beta: largest beta whose row counts.
    """
    low = [beta <= highest_beta for beta in BETAS]
    return (first - second)[low].abs().mean().item()


def _map_rows(preferred: Tensor, target: Mapping[str, Tensor]) -> list[Row]:
    columns = {"preferred_none": preferred}
    columns |= {f"target_{schedule}": shares for schedule, shares in target.items()}
    return [
        {"beta": beta, "step": step + 1}
        | {name: round(shares[row, step].item(), 3) for name, shares in columns.items()}
        for row, beta in enumerate(BETAS)
        for step in range(GAME.num_steps)
    ]


def _alignment_rows(arms: Mapping[str, Tensor]) -> list[Row]:
    rows = []
    for schedule, pulled in arms.items():
        alignment = (pulled == TARGET_ARM).double().mean(2).numpy()  # [len(BETAS), N]
        for beta, values in zip(BETAS, alignment, strict=True):
            rows.append(
                {
                    "schedule": schedule,
                    "beta": beta,
                    "num_agents": len(values),
                    **bootstrap_mean(values).columns("alignment"),
                }
            )
    return rows


def _budget_rows(target: Mapping[int, Sequence[Tensor]]) -> list[Row]:
    return [
        {
            "period": period,
            "num_interventions": same_budget(period)[1].length,
            "difference_low_beta": mean_difference(first, second, LOW_BETA),
            "difference_all_beta": mean_difference(first, second),
        }
        for period, (first, second) in sorted(target.items())
    ]
