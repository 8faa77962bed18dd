"""Grids of fixed schedules and oracles, from which the best one is chosen."""

from __future__ import annotations

from itertools import product

from mermaide_pl.game import Game
from mermaide_pl.principals.oracle import Oracle
from mermaide_pl.principals.players import Player
from mermaide_pl.principals.schedules import InitialBurst, Periodic, RandomlyIntervene


def burst_grid(game: Game) -> list[Player]:
    """Bursts of every twentieth of an episode, from none on."""
    lengths = sorted({round(game.num_steps * part / 20) for part in range(20)})
    return [InitialBurst(length) for length in lengths]


def periodic_grid(game: Game) -> list[Player]:
    """Periods from 2, each about a third longer than the one before, up to the episode."""
    periods = [2]
    while periods[-1] * 4 // 3 + 1 < game.num_steps:
        periods.append(periods[-1] * 4 // 3 + 1)
    return [Periodic(period) for period in periods]


def random_grid(game: Game) -> list[Player]:
    """Rates from 0.1 to 0.9."""
    return [RandomlyIntervene(tenth / 10) for tenth in range(1, 10)]


def schedule_grids(game: Game) -> dict[str, list[Player]]:
    """The grids by the name of the schedule chosen from each."""
    return {
        "periodic": periodic_grid(game),
        "burst": burst_grid(game),
        "random": random_grid(game),
    }


def oracle_grid() -> list[Player]:
    """Nothing, and multiples of ``delta * T`` with head starts of up to a third of an episode.

    The best of them on a population is its oracle: a strong baseline, not an upper bound.
    """
    head_starts = (0.025, 0.075, 0.15, 0.3)
    multiples = (0.0, 0.5, 0.75, 1.0, 1.5, 3.0, 5.0)
    paying = [Oracle(kappa, head_start=part) for kappa, part in product(multiples, head_starts)]
    return [Oracle(0.0), *paying]
