"""How fast is a meta-step, and what does stacking the tasks bring?

Times one meta-step (support, adaptation, query, outer gradient) of M stacked tasks against the
same M tasks one after another, alternating the two so that both see the same machine, and prints
medians.

    python benchmarks/meta_step.py --num_tasks 16 --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from mermaide_pl import AgentFamily, Game, Population
from mermaide_pl.adaptation import GradientAdaptation
from mermaide_pl.agents import UCB
from mermaide_pl.meta_step import Objective, meta_step
from mermaide_pl.principal import Architecture, Principal


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_tasks", type=int, default=16, help="M")
    parser.add_argument("--num_query_episodes", type=int, default=8, help="B")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    game, objective = Game(), Objective()
    population = Population([AgentFamily(UCB, {"beta": [0.17, 0.27, 0.42, 0.5, 0.67]})])
    principal = Principal(Architecture(), game)
    inner_loop = GradientAdaptation().build(principal.weights())

    def step(batches: list[range]) -> None:
        for indices in batches:
            tasks = population.sample(indices, split="train")
            meta_step(
                principal,
                inner_loop,
                objective,
                tasks,
                num_query_episodes=given.num_query_episodes,
            ).loss.backward()

    ways: dict[str, Callable[[], None]] = {
        "stacked": lambda: step([range(given.num_tasks)]),
        "one by one": lambda: step([range(i, i + 1) for i in range(given.num_tasks)]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(given.rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if round_number:  # the first round warms up
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    agent_steps = given.num_tasks * (1 + given.num_query_episodes) * game.num_steps
    for name, median in medians.items():
        spread = f"min {min(seconds[name]):.3f}, max {max(seconds[name]):.3f}"
        rate = agent_steps / median
        print(f"{name:11} {median:.3f} s per meta-step ({spread}), {rate:,.0f} agent steps/s")
    print(f"ratio one by one / stacked: {medians['one by one'] / medians['stacked']:.1f}")


if __name__ == "__main__":
    main()
