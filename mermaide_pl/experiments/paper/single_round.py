"""Figure 2: one round, best-response agents, payoff against the number of adaptation episodes.

An agent dislikes the target by ``delta``, uniform on [0, 1], and the two bonuses on offer are 0.5
and 1: for half of the agents the smaller bonus suffices, so a principal that plays one level for
all of them gets half of the equilibrium's payoff. To do better it must find out, in episodes of one
step each, which of the two a new agent needs; with noise it may see the wrong arm.

*MAML* is meta-trained for each number of episodes, to take one gradient step on all of them.
*REINFORCE* is MAML with no support episode: plain training on the same agents, with at least as
many agent steps. It then takes one gradient step on the same episodes, at the rate that is best on
validation agents. Plain REINFORCE has no entropy bonus and ends at one level for all agents.
*Exploring* REINFORCE has the entropy bonus of MAML: it still tries every level now and then, which
shows how much of adaptation is exploration, and how much must be meta-learned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from rich.progress import Progress

from mermaide_pl.config.validation import NUM_SEEDS
from mermaide_pl.evaluation.methods import MAML_ONLY, REINFORCE, REINFORCE_EXPLORING
from mermaide_pl.evaluation.records import Row, read_rows, write_rows
from mermaide_pl.experiments.paper.followers import (
    NUM_ARMS,
    followers,
    mean_equilibrium,
    play_adapted,
)
from mermaide_pl.game import Game, PartialInformation
from mermaide_pl.meta_learning import Adaptation, GradientAdaptation, NoAdaptation, Objective, fit
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.inner_loop import InnerLoop
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.metrics.intervals import student_mean
from mermaide_pl.objectives.advantages import CentredRewardsToGo
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import Architecture, LastStep, NoCritic, NoWorldModel
from mermaide_pl.reporting.figures import draw_adaptation_curves
from mermaide_pl.reporting.figures.style import save_png

POPULATION = followers(largest_delta=1.0)
NEAR = 0.9
"""Share of the equilibrium payoff from which on a principal counts as near the equilibrium."""

INNER_RATES = tuple(10.0 ** (half / 2) for half in range(-8, 7))
"""Candidate inner rates of REINFORCE, 1e-4 to 1e3."""
_META_BATCH_SIZE = 32
_NUM_QUERY_EPISODES = 8
_ENTROPY = (0.2, 0.001)  # of MAML; with less it settles on one level before it learns to adapt
_INNER_LR = 30.0  # initial rate: large enough for one step to separate the levels
_LONGER = 4  # REINFORCE takes 4 times the steps, on a fourth of the episodes each


@dataclass(frozen=True)
class Effort:
    """Size of the experiment: noises, episodes, trainings and agents."""

    noises: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3)  # probability of seeing the wrong arm
    episodes: tuple[int, ...] = (1, 2, 3, 5, 10, 20, 50, 100, 200)  # to adapt on
    num_seeds: int = 5  # trainings
    num_steps: int = 150  # steps of a training of MAML
    num_agents: int = 1000  # unseen agents to score on
    num_tuning_agents: int = 300


QUICK = Effort(noises=(0.0, 0.2), episodes=(1, 3, 10, 30, 100), num_seeds=2)


def run(out: Path, quick: bool, seed: int) -> str:
    """Train, score on unseen agents, write the rows, and draw them.

    Trainings are kept in ``out/runs`` and not repeated.

    Args:
        out: folder of the results.
        quick: run fewer noises, numbers of episodes and trainings.
        seed: seed of the trainings and the agents.

    Returns:
        The result, in one sentence.
    """
    effort = QUICK if quick else Effort()
    by_seed = list(score(effort, out / "runs", seed))
    write_rows(out / "fig2_by_seed.csv", by_seed)
    write_rows(out / "fig2.csv", summarise(by_seed))
    rows = read_rows(out / "fig2.csv")
    save_png(draw_adaptation_curves(rows), out / "fig2.png")
    return say(rows)


def game(noise: float) -> Game:
    """The game of one round; the principal sees the wrong arm with probability `noise`."""
    return Game(
        num_arms=NUM_ARMS,
        num_steps=1,
        bonuses=(0.0, 0.5, 1.0),
        cost=0.8,
        observation=PartialInformation(arm_flip=noise),
    )


def score(effort: Effort, runs: Path, seed: int) -> Iterator[Row]:
    """Score all methods, noises, numbers of episodes and training seeds on the same test agents.

    Args:
        effort: size of the experiment.
        runs: folder of the trainings.
        seed: seed of the agents, and of the first training.

    Yields:
        One row each; `payoff` is the mean over agents, reward units per step.
    """
    unseen = POPULATION.sample(range(effort.num_agents), split="test", seed=seed)
    tuning = POPULATION.sample(range(effort.num_tuning_agents), split="val", seed=seed)
    num_trainings = effort.num_seeds * (2 + len(effort.noises) * len(effort.episodes))
    with Progress(transient=True) as progress:
        bar = progress.add_task("training, many times", total=num_trainings)
        for own_seed in ((seed + number) % NUM_SEEDS for number in range(effort.num_seeds)):
            for method in (REINFORCE, REINFORCE_EXPLORING):
                # in a single round the choice precedes all observations: noise does not matter
                module = train(method, 0.0, 0, own_seed, effort, runs)
                progress.advance(bar)
                for noise, episodes in product(effort.noises, (0, *effort.episodes)):
                    noisy = build(method, noise, 0, effort)
                    noisy.principal.load_state_dict(module.principal.state_dict())
                    inner_lr, inner_loop = tune(noisy, tuning, episodes)
                    payoff = _payoff(noisy, unseen, episodes, inner_loop)
                    yield _row(method, noise, episodes, own_seed, inner_lr, payoff, unseen)
            for noise, episodes in product(effort.noises, effort.episodes):
                module = train(MAML_ONLY, noise, episodes, own_seed, effort, runs)
                progress.advance(bar)
                payoff = _payoff(module, unseen, episodes)
                yield _row(MAML_ONLY, noise, episodes, own_seed, math.nan, payoff, unseen)


def _row(
    method: str,
    noise: float,
    episodes: int,
    seed: int,
    inner_lr: float,
    payoff: float,
    unseen: TaskBatch,
) -> Row:
    return {
        "method": method,
        "noise": noise,
        "episodes": episodes,
        "seed": seed,
        "inner_lr": inner_lr,  # one rate for all weights; nan if rates are learned or not needed
        "payoff": payoff,
        "equilibrium": mean_equilibrium(unseen, game(noise)),
    }


def build(method: str, noise: float, episodes: int, effort: Effort) -> MermaideModule:
    """Build an untrained principal.

    Args:
        method: `MAML_ONLY`, `REINFORCE` or `REINFORCE_EXPLORING`.
        noise: probability of seeing the wrong arm.
        episodes: support episodes of MAML.
        effort: size of the experiment; determines the episodes per step of REINFORCE.
    """
    adaptation: Adaptation = NoAdaptation()
    num_query_episodes = -(-(effort.episodes[-1] + _NUM_QUERY_EPISODES) // _LONGER)
    if method == MAML_ONLY:
        adaptation = GradientAdaptation(inner_lr=_INNER_LR, num_shots=episodes)
        num_query_episodes = _NUM_QUERY_EPISODES
    start, end = (0.0, 0.0) if method == REINFORCE else _ENTROPY
    return MermaideModule(
        game=game(noise),
        architecture=Architecture(
            hidden_size=4,
            policy_size=8,
            history=LastStep(),
            world_model=NoWorldModel(),
            critic=NoCritic(),
        ),
        adaptation=adaptation,
        objective=Objective(
            advantages=CentredRewardsToGo(),
            entropy_start=start,
            entropy_end=end,
            logit_penalty=0.0,
            zero_shot_weight=0.0,  # before adaptation MAML is to explore, not to earn
        ),
        num_query_episodes=num_query_episodes,
        num_zero_shot_episodes=0,
        meta_lr=0.01,
    )


def train(
    method: str, noise: float, episodes: int, seed: int, effort: Effort, runs: Path
) -> MermaideModule:
    """Train a principal, or read it from `runs`; arguments are those of `build` and `score`."""
    torch.manual_seed(seed)
    module = build(method, noise, episodes, effort)
    num_steps = effort.num_steps * (1 if method == MAML_ONLY else _LONGER)
    data = TaskDataModule(
        POPULATION, meta_batch_size=_META_BATCH_SIZE, steps_per_epoch=num_steps, seed=seed
    )
    name = f"{method}-noise{noise:g}-episodes{episodes}"
    folder = runs / f"{name}-queries{module.num_query_episodes}-steps{num_steps}-seed{seed}"
    kept = fit.train(module, data, folder=folder, num_epochs=1, seed=seed, validates=False)
    return MermaideModule.load_from_checkpoint(kept)


def tune(module: MermaideModule, tasks: TaskBatch, episodes: int) -> tuple[float, InnerLoop | None]:
    """Choose the inner rate with the highest payoff of a principal after `episodes` with `tasks`.

    Returns:
        The rate, and an inner loop with it; nan and None for no episodes.
    """
    if episodes == 0:
        return math.nan, None
    weights = module.principal.weights()
    loops = [
        GradientAdaptation(inner_lr=rate, num_shots=episodes, learn_inner_lr=False).build(weights)
        for rate in INNER_RATES
    ]
    payoffs = [_payoff(module, tasks, episodes, loop) for loop in loops]
    best = payoffs.index(max(payoffs))
    return INNER_RATES[best], loops[best]


def _payoff(
    module: MermaideModule, tasks: TaskBatch, episodes: int, inner_loop: InnerLoop | None = None
) -> float:
    played = play_adapted(module, tasks, episodes, inner_loop)
    return played.returns.double().mean().item()


def summarise(by_seed: Sequence[Row]) -> list[Row]:
    """Means over seeds with 95% intervals, and the number of episodes each line needs.

    Args:
        by_seed: rows of `score`.

    Returns:
        One row per method, noise and number of episodes; ``episodes_needed`` is the smallest
        number from which on the line stays at or above `NEAR` of the equilibrium, or inf.
    """
    groups: dict[tuple[str, float, int], list[Row]] = {}
    for row in by_seed:
        groups.setdefault((row["method"], row["noise"], row["episodes"]), []).append(row)
    rows: list[Row] = []
    for (method, noise, episodes), group in sorted(groups.items()):
        mean, low, high = student_mean([row["payoff"] for row in group])
        row = {"method": method, "noise": noise, "episodes": episodes, "num_seeds": len(group)}
        row |= {"payoff": mean, "payoff_low": low, "payoff_high": high}
        row |= {"equilibrium": group[0]["equilibrium"], "share": mean / group[0]["equilibrium"]}
        rows.append(row)
    for row in rows:
        line = [one for one in rows if _line_of(one) == _line_of(row)]
        far = [one["episodes"] for one in line if one["share"] < NEAR]
        enough = [one["episodes"] for one in line if one["episodes"] > max(far, default=-1)]
        row["episodes_needed"] = min(enough, default=math.inf)
    return rows


def _line_of(row: Row) -> tuple[str, float]:
    return row["method"], row["noise"]


def say(rows: Sequence[Row]) -> str:
    """Describe the result in one sentence, from rows of `summarise`."""

    def most(method: str) -> float:
        return max(
            row["share"]
            for row in rows
            if (row["method"], row["noise"]) == (method, 0.0) and row["episodes"] <= 10
        )

    maml = {row["noise"]: row["episodes_needed"] for row in rows if row["method"] == MAML_ONLY}
    needed = ", ".join(f"{number:g} at noise {noise:g}" for noise, number in maml.items())
    return (
        f"fig2: without noise and on at most 10 episodes MAML gets {most(MAML_ONLY):.0%} of the"
        f" equilibrium's payoff, REINFORCE {most(REINFORCE):.0%} (exploring"
        f" {most(REINFORCE_EXPLORING):.0%}); episodes that MAML needs to come"
        f" within {1 - NEAR:.0%} of it: {needed}."
    )
