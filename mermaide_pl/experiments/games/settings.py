"""The games of the figure: one number at a time, two full grids, and random combinations."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product

from mermaide_pl.agents import GaussianReward
from mermaide_pl.evaluation.records import Row
from mermaide_pl.game import Game
from mermaide_pl.populations import Population

NUM_RANDOM = 20
RANDOM_SEED = 0
"""Seed of the random combinations."""


@dataclass(frozen=True)
class Setting:
    """A game of two levels, and the noise of its agents' rewards; by default those of `Game`.

    Args:
        num_arms: A.
        num_steps: T.
        cost: what the principal pays for one unit of bonus.
        bonus: reward units.
        reward_noise: standard deviation of the agents' rewards, reward units.
    """

    num_arms: int = Game.num_arms
    num_steps: int = Game.num_steps
    cost: float = Game.cost
    bonus: float = Game.bonuses[-1]
    reward_noise: float = GaussianReward.scale

    @classmethod
    def of_row(cls, row: Row) -> Setting:
        """The setting whose numbers are columns of a row."""
        return cls(**{item.name: row[item.name] for item in fields(cls)})

    @property
    def game(self) -> Game:
        """The rules."""
        return Game(self.num_arms, self.num_steps, (0.0, self.bonus), self.cost)

    def agents(self, population: Population) -> Population:
        """The agents of a population with this noise, whatever games and noise it draws."""
        return replace(population, reward_model=GaussianReward(self.reward_noise), games=None)


VALUES: dict[str, tuple[float, ...]] = {
    "num_arms": (2, 4, 10, 25, 50),
    "num_steps": (50, 200, 1000),
    "cost": (0.1, 0.25, 0.5, 1.0),
    "bonus": (0.3, 1.0, 3.0),
    "reward_noise": (0.0, 0.1, 0.5),
}
"""Values of each number."""
GRIDS = (("num_arms", "num_steps"), ("cost", "bonus"))
"""Pairs of numbers of which all combinations are played."""


def varied(names: Sequence[str]) -> list[Setting]:
    """The settings that differ from the default in these numbers alone."""
    values = product(*(VALUES[name] for name in names))
    default = asdict(Setting())
    return [Setting(**{**default, **dict(zip(names, each, strict=True))}) for each in values]


def random_settings() -> list[Setting]:
    """`NUM_RANDOM` random combinations of `VALUES`, none of which a line or grid has."""
    known = {setting for names in (*zip(VALUES), *GRIDS) for setting in varied(names)}
    others = [setting for setting in varied([*VALUES]) if setting not in known]
    return random.Random(RANDOM_SEED).sample(others, min(NUM_RANDOM, len(others)))


def groups() -> dict[str, list[Setting]]:
    """All settings by the name of the group, for people; some are in several."""
    lines = dict.fromkeys(setting for name in VALUES for setting in varied([name]))
    grids = {" × ".join(names).replace("num_", ""): varied(names) for names in GRIDS}
    return {"one number at a time": [*lines], **grids, "random combinations": random_settings()}


def columns(setting: Setting) -> Row:
    """Columns of a setting, and the seed by which it was drawn, or nothing."""
    is_random = setting in groups()["random combinations"]
    return {**asdict(setting), "random_seed": RANDOM_SEED if is_random else ""}
