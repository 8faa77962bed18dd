"""The oracle, a strong baseline: a principal that knows the agent's rewards, rule and next arm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mermaide_pl.config.validation import check_number
from mermaide_pl.game import AnyGame
from mermaide_pl.game.equilibrium import equilibrium_level
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals.players import Player, RolloutContext


@dataclass
class Oracle(Player):
    """Pays only for pulls of the target, and only as many as it takes.

    A strong baseline, not an upper bound: `kappa` and `n0` are the same for all agents of a
    population, and other pairs are better for some of them.

    Against best-response agents it plays the Stackelberg equilibrium. Against all others it plays
    its highest level iff the agent will then pull the target and the bonuses granted so far are
    below ``kappa * delta * T + n0``: an agent that tracks means and was paid B bonuses in n
    pulls keeps preferring the target while ``B / n > delta``. Where the others are paid too, the
    highest level may pay both: what is on the others then goes unseen.

    Args:
        kappa: share of ``delta * T`` to grant.
        n0: bonuses to grant in any case, in reward units.
        head_start: more of them, in units of T largest bonuses.
    """

    is_random = False
    kappa: float = 1.0
    n0: float = 0.0
    head_start: float = 0.0

    def __post_init__(self) -> None:
        check_number("Oracle.kappa", self.kappa, low=0.0)
        check_number("Oracle.n0", self.n0, low=0.0)
        check_number("Oracle.head_start", self.head_start, low=0.0)

    def plan(self, tasks: TaskBatch, game: AnyGame) -> tuple[Tensor, Tensor]:
        """Budget and fixed level for each agent.

        Returns:
            Bonuses to grant in an episode, float [M], reward units, and the level to play all the
            time, int64 [M], -1 where pulls are paid for one by one.
        """
        delta = tasks.delta
        fixed_level = torch.where(tasks.best_responds, equilibrium_level(delta, game), -1)
        in_any_case = self.n0 + self.head_start * game.num_steps * game.largest_bonus(delta)
        return self.kappa * delta * game.num_steps + in_any_case, fixed_level

    def start(self, context: RolloutContext) -> None:
        """Plan budget and fixed level from the agents."""
        self._context = context
        budget, fixed_level = self.plan(context.tasks, context.game)
        self._remaining = budget.unsqueeze(1).expand(context.uniforms.shape[1:]).clone()
        self._fixed_level = fixed_level.unsqueeze(1)
        highest = torch.full_like(self._remaining, context.game.num_levels - 1, dtype=torch.int64)
        self._offer = context.game.bonus_of(highest, self._remaining)
        if (on_others := context.game.other_bonus_of(highest, self._remaining)) is not None:
            self._offer = self._offer - on_others

    def act(self, step: int) -> Tensor:
        """Pay for the coming pull of the target while the budget lasts."""
        context = self._context
        arms = context.agents.act(step, self._offer)
        pays = (arms == context.tasks.target_arm.unsqueeze(1)) & (self._remaining > 0)
        level = pays.long() * (context.game.num_levels - 1)
        return torch.where(self._fixed_level < 0, level, self._fixed_level)

    def observe(self, levels: Tensor, arms: Tensor, agent_rewards: Tensor) -> None:
        """Subtract the bonus of the level played from the budget."""
        self._remaining = self._remaining - self._context.game.bonus_of(levels, self._remaining)
