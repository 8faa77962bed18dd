"""Learners whose next steps are one batched product: their states side by side in tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mermaide_pl.deployment.fleet_record import Record, index_type
from mermaide_pl.game import Game, GameBatch
from mermaide_pl.principals import (
    HistoryState,
    LearnedPrincipal,
    network_in,
    sample_levels,
)
from mermaide_pl.principals.recurrence import INITIAL_STATE

_FIRST_ROWS = 16
_FIRST_STEPS = 16
MOST_ROWS = 512
"""Learners computed at once; with more, what a step reads and writes leaves the cache."""
_CRITIC = "policy.critic_"  # names of weights that no step reads


class State(NamedTuple):
    """All that a learner's next steps depend on, besides the principal and the game."""

    seen: Tensor  # [K] float, the history as the principal sees it, and the recurrent state
    ahead: Tensor  # [H] float, recurrent state after the step that is waiting for its outcome
    initial: Tensor  # [H] float, recurrent state in which episodes begin
    fast: dict[str, Tensor]  # weights that differ from the meta weights

    def tables(self) -> dict[str, Tensor]:
        """Its rows in the tables of a group, by name."""
        return {
            **{"seen": self.seen, "ahead": self.ahead, INITIAL_STATE: self.initial},
            **self.fast,
        }


def sizes_of(game: Game) -> Game:
    """A game that is the same for all games of one size: A, T, L, observation, and endlessness.

    Raises:
        ValueError: if the others are paid too, or a budget must be spent.
    """
    if game.is_allocation:
        raise ValueError(
            "a fleet plays games that pay the target alone and have no budget with at_least; this"
            f" is one of {game}, which a LivePrincipal plays"
        )
    bonuses = (0.0, *[1.0] * (game.num_levels - 1))
    return replace(game, bonuses=bonuses, cost=0.0, max_interventions=None)


class LearnerGroup:
    """The learners of games of one size, whose weights differ from the meta weights in one way.

    A learner is a row of every table; the rows in use are the first ones.

    Args:
        principal: the module.
        sizes: gives A, L, observation, and whether the games are endless.
        names: of the weights that each learner has for itself, besides its initial state.
        max_steps: steps of an episode that are recorded, 0 for none.
    """

    def __init__(
        self, principal: LearnedPrincipal, sizes: Game, names: Sequence[str], max_steps: int
    ) -> None:
        self._principal, self._sizes, self._max_steps = principal, sizes, max_steps
        self.names = tuple(names)
        self._meta = {name: weight.detach() for name, weight in principal.weights().items()}
        self._like = next(iter(self._meta.values()))
        arms, levels = sizes.num_arms, sizes.num_levels
        state_size = principal.first_state(self._meta, 1, 1).shape[-1]
        self._fields = {
            **{"last_arm": arms, "last_level": levels, "last_reward": 1},
            **{"pulls": arms, "reward_sums": arms, "latest": arms},
            **{"paid": 1, "offered": 1, "interventions": 1},
        }
        self._widths = [*self._fields.values(), state_size]
        self._tables: dict[str, Tensor] = {
            "seen": self._like.new_zeros(0, sum(self._widths)),
            "ahead": self._like.new_zeros(0, state_size),
            INITIAL_STATE: self._like.new_zeros(0, state_size),
            # bonuses, cost, budget and T, infinite for none
            "game": self._like.new_zeros(0, levels + 3),
            **{name: self._like.new_zeros(0, *self._meta[name].shape) for name in self.names},
        }
        self._derived: dict[str, Tensor] = {}  # weights in the learner's game, from the tables
        self._stale: set[int] = set()  # rows whose derived weights are not up to date
        record = [index_type(sizes)] * 2
        if sizes.observation.sees_agent_rewards:
            record.append(self._like.cpu().numpy().dtype)
        self._records = [np.zeros((0, 0), dtype) for dtype in record]
        self.slots = np.zeros(0, np.int64)
        """Number of the learner in each row."""
        self._num_rows = 0

    def __len__(self) -> int:
        return self._num_rows

    def add(self, slot: int, game: Game) -> int:
        """Add a learner at the beginning of an episode; its row.

        Args:
            slot: its number.
            game: the rules.
        """
        row = self._num_rows
        if row == len(self.slots):
            self._grow(max(_FIRST_ROWS, 2 * row))
        self._num_rows += 1
        self.slots[row] = slot
        budget, horizon = game.max_interventions, game.num_steps
        numbers = [
            *(*game.bonuses, game.cost),
            math.inf if budget is None or budget >= horizon else budget,
            math.inf if game.endless else horizon,
        ]
        self._tables["game"][row] = self._like.new_tensor(numbers)
        self.put(row, self.fresh())
        return row

    def fresh(self) -> State:
        """The state of a learner at the beginning of its first episode."""
        initial = self._meta[INITIAL_STATE]
        seen = initial.new_zeros(sum(self._widths))
        seen[-len(initial) :] = initial
        fast = {name: self._meta[name] for name in self.names}
        return State(seen, torch.zeros_like(initial), initial, fast)

    def put(self, row: int, state: State) -> None:
        """Put a learner into another state."""
        for name, value in state.tables().items():
            self._tables[name][row] = value
        self._stale.add(row)

    def put_record(self, row: int, record: Record) -> None:
        """Put in place the record of a running episode."""
        self._reserve(len(record.arms))
        for table, values in zip(self._records, record, strict=False):
            table[row, : len(record.arms)] = values

    def remove(self, row: int) -> None:
        """Remove a learner; the last one takes its row."""
        last = self._num_rows - 1
        for table in (*self._tables.values(), *self._derived.values()):
            table[row] = table[last]
        for record in (*self._records, self.slots):
            record[row] = record[last]
        self._stale = {row if each == last else each for each in self._stale - {row}}
        self._num_rows = last

    def state(self, row: int) -> State:
        """A learner's state, shared with the group: it changes with the next call."""
        seen, ahead, initial, *fast = (
            self._tables[name][row] for name in ("seen", "ahead", INITIAL_STATE, *self.names)
        )
        return State(seen, ahead, initial, dict(zip(self.names, fast, strict=True)))

    def record(self, row: int, num_steps: int) -> Record:
        """The record of a running episode of `num_steps` steps."""
        kept = min(num_steps, self._max_steps)
        arms, levels, *rewards = (table[row, :kept].copy() for table in self._records)
        return Record(arms, levels, rewards[0] if rewards else None)

    def begin(self, rows: np.ndarray) -> None:
        """Begin an episode of the learners in these rows, which are in order."""
        where, size = self._place(rows), self._widths[-1]
        self._tables["seen"][where, :-size] = 0.0
        self._tables["seen"][where, -size:] = _taken(self._tables[INITIAL_STATE], where)

    def step(self, rows: np.ndarray, steps: np.ndarray) -> tuple[Tensor, Tensor, Tensor | None]:
        """Forward pass of the next step.

        Args:
            rows: of N learners, in order.
            steps: of each in its episode, int64 [N].

        Returns:
            State [N, 1, H], level logits [N, 1, L], and arm logits [N, 1, L, A] or None.
        """
        self._refresh()
        where = self._place(rows)
        past, hidden = self._past(where, steps)
        tables = {name: self._tables[name] for name in self._unchanged} | self._derived
        own = {name: _taken(table, where) for name, table in tables.items()}
        return self._network.step({**self._common, **own}, hidden, past)

    def choose(self, rows: np.ndarray, steps: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Levels of the next step; the state after it is kept until `observe`.

        Args:
            rows: of N learners, in order.
            steps: of each in its episode, int64 [N].
            uniforms: to sample with, float [N]; nan for the most probable level.

        Returns:
            int64 [N].
        """
        where = self._place(rows)
        hidden, logits, _ = self.step(rows, steps)
        self._tables["ahead"][where] = hidden[:, 0]
        levels, greedy = logits[:, 0].argmax(-1), np.isnan(uniforms)
        if not greedy.all():
            drawn = sample_levels(logits[:, 0], torch.from_numpy(uniforms).to(logits))
            levels = torch.where(torch.from_numpy(greedy).to(levels.device), levels, drawn)
        interventions = _taken(self._tables["seen"], where)[:, -self._widths[-1] - 1]
        budget = _taken(self._tables["game"], where)[:, -2]
        return torch.where(interventions < budget, levels, 0).cpu().numpy()

    def observe(
        self,
        rows: np.ndarray,
        steps: np.ndarray,
        levels: np.ndarray,
        arms: np.ndarray,
        seen_arms: np.ndarray,
        agent_rewards: np.ndarray,
    ) -> None:
        """Add the outcome of a step of N learners.

        Args:
            rows: of the learners, in order.
            steps: of each in its episode, int64 [N].
            levels: chosen by `choose`, int64 [N].
            arms: arm pulled, agent labels, int64 [N].
            seen_arms: the same in principal labels, int64 [N].
            agent_rewards: reward units, float64 [N].
        """
        where, like = self._place(rows), self._like
        past, _ = self._past(where, steps)
        arm, level, reward = (
            torch.from_numpy(values).to(like.device).unsqueeze(1)
            for values in (seen_arms, levels, agent_rewards)
        )
        past.add(arm, level, reward.to(like))
        added = [getattr(past, name) for name in self._fields]
        self._tables["seen"][where, : -self._widths[-1]] = torch.cat(added, dim=-1)[:, 0]
        self._tables["seen"][where, -self._widths[-1] :] = _taken(self._tables["ahead"], where)
        kept = steps < self._max_steps
        if kept.any():
            self._reserve(int(steps[kept].max()) + 1)
            for table, values in zip(self._records, (arms, levels, agent_rewards), strict=False):
                table[rows[kept], steps[kept]] = values[kept]

    def _place(self, rows: np.ndarray) -> slice | Tensor:
        """Rows in order, as a slice if they follow each other, so that nothing is copied."""
        if rows[-1] - rows[0] == len(rows) - 1:
            return slice(int(rows[0]), int(rows[-1]) + 1)
        return torch.from_numpy(rows).to(self._like.device)

    def _past(self, where: slice | Tensor, steps: np.ndarray) -> tuple[HistoryState, Tensor]:
        """The history before the next step, axes [N, 1], and the state [N, 1, H]."""
        step = torch.from_numpy(steps).to(self._like)[:, None, None]
        parts = torch.split(_taken(self._tables["seen"], where).unsqueeze(1), self._widths, -1)
        fields: dict[str, Any] = dict(zip(self._fields, parts, strict=False))
        return HistoryState(game=self._games(where), step=step, **fields), parts[-1]

    def _games(self, where: slice | Tensor) -> GameBatch:
        numbers = _taken(self._tables["game"], where)
        bonuses, cost, budget, horizon = numbers.tensor_split([-3, -2, -1], dim=-1)
        return GameBatch(
            self._sizes,
            bonuses=bonuses,
            cost=cost.squeeze(1),
            max_interventions=budget.squeeze(1),
            horizons=horizon.squeeze(1),
        )

    def _refresh(self) -> None:
        """Bring the weights in the learners' games up to date."""
        stale, self._stale = sorted(self._stale), set()
        for first in range(0, len(stale), MOST_ROWS):
            where = self._place(np.array(stale[first : first + MOST_ROWS]))
            own = {name: _taken(self._tables[name], where) for name in self.names}
            given = {**self._meta, **own}
            self._network, weights = network_in(self._principal, given, self._games(where))
            num_axes = {name: each.dim() for name, each in self._network.weights().items()}
            self._common, self._unchanged = {}, []
            for name, weight in weights.items():
                if name in own and weight is own[name]:
                    self._unchanged.append(name)
                elif weight.dim() == num_axes[name]:
                    self._common[name] = weight
                elif not name.startswith(_CRITIC):
                    if name not in self._derived:
                        shape = len(self.slots), *weight.shape[1:]
                        self._derived[name] = weight.new_zeros(shape)
                    self._derived[name][where] = weight

    def _grow(self, num_rows: int) -> None:
        for tables in (self._tables, self._derived):
            for name, table in tables.items():
                grown = table.new_zeros(num_rows, *table.shape[1:])
                grown[: len(table)] = table
                tables[name] = grown
        added = num_rows - len(self.slots)
        self._records = [np.pad(table, ((0, added), (0, 0))) for table in self._records]
        self.slots = np.pad(self.slots, (0, added))

    def _reserve(self, num_steps: int) -> None:
        """Make room for the first steps of episodes."""
        size = self._records[0].shape[1]
        if num_steps > size:
            size = min(self._max_steps, max(_FIRST_STEPS, 2 * size, num_steps)) - size
            self._records = [np.pad(table, ((0, 0), (0, size))) for table in self._records]


def _taken(table: Tensor, where: slice | Tensor) -> Tensor:
    return table[where] if isinstance(where, slice) else table.index_select(0, where)
