"""All random numbers of a rollout: one record, drawn in one place.

Each task has a seed of its own. The numbers drawn for one
`Stream` and read by one `Part` are determined by seed, stream and part alone. So all scored methods
play with the same agents, whose rewards, choices and observations use the same random numbers in
the same episode and step: results differ only by the methods (common random numbers).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from mermaide_pl.game import AnyGame
from mermaide_pl.game.randomness import task_uniforms
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearningPlayer, Player


class Stream(Enum):
    """Purpose of the episodes played; each has its own random numbers, but SCORE has QUERY's."""

    SUPPORT = "support"  # the principal adapts on them
    ZERO_SHOT = "zero_shot"  # training: the loss before adaptation
    QUERY = "query"  # training: the loss after adaptation
    SCORE = "score"  # validation, test and evaluation
    TUNE = "tune"  # schedules and oracles are chosen by them
    LIVE = "live"  # a principal beside a learner that runs elsewhere

    @property
    def salt(self) -> str:
        """Key that separates its numbers from those of other streams with the same seed."""
        # no agent is both trained on and scored, so these two may share theirs
        return Stream.QUERY.value if self is Stream.SCORE else self.value


class Part(Enum):
    """Reader of the random numbers."""

    AGENT = "agent"  # the learning rule: ties, exploration
    REWARD = "reward"  # the agent's own reward
    OBSERVATION = "observation"  # what the principal sees
    PRINCIPAL = "principal"  # the level, where it is drawn at random


@dataclass(frozen=True)
class Noise:
    """Uniform numbers in (0, 1) for B episodes with each of M tasks.

    With common random numbers the first two have 1 in place of B: an agent draws the same in all
    its episodes, which then differ only by what the principal does.
    """

    agents: tuple[Tensor, ...]  # per family, float [m, B, T, numbers its rule reads]
    rewards: Tensor  # float [M, B, T]
    observation: Tensor  # float [M, B, T, numbers the observation reads]
    principal: Tensor  # float [M, B, T]; 0.5 throughout for a player that is not random

    @property
    def num_episodes(self) -> int:
        """B."""
        return self.principal.shape[1]


def uniforms(
    seeds: Sequence[int],
    stream: Stream,
    part: Part,
    shape: Sequence[int],
    number: int | None = None,
    first: int = 0,
) -> Tensor:
    """The numbers of one part, see `task_uniforms`.

    Args:
        seeds: one per task, M of them.
        stream: their purpose.
        part: their reader.
        shape: of one task's numbers, such as [B, T].
        number: of the episode, where episodes are played one by one.
        first: how many of the numbers to skip, a multiple of 8.

    Returns:
        float32 [M, *shape], on the CPU.
    """
    salt = stream.salt if number is None else f"{stream.salt}{number}"
    return task_uniforms(seeds, f"{salt}/{part.value}", shape, first)


def draw_noise(
    tasks: TaskBatch,
    player: Player | LearningPlayer | None,
    game: AnyGame,
    *,
    stream: Stream,
    num_episodes: int,
    number: int | None = None,
    common_random_numbers: bool = False,
) -> Noise:
    """Draw all random numbers of a rollout.

    Args:
        tasks: M tasks.
        player: the principal; None if levels come from outside.
        game: the rules.
        stream: purpose of the episodes.
        num_episodes: B.
        number: of the episode, where episodes are played one by one.
        common_random_numbers: if True, an agent draws the same numbers in all its episodes.

    Returns:
        Numbers with the device and dtype of ``tasks.base_rewards``.
    """
    like, num_steps = tasks.base_rewards, game.num_steps
    draws = 1 if common_random_numbers else num_episodes

    def draw(part: Part, *shape: int, seeds: Sequence[int] = tasks.seeds) -> Tensor:
        return uniforms(seeds, stream, part, shape, number).to(like)

    principal = like.new_full((), 0.5).expand(len(tasks), num_episodes, num_steps)
    if player is not None and player.is_random:
        principal = draw(Part.PRINCIPAL, num_episodes, num_steps)
    return Noise(
        agents=tuple(
            draw(
                Part.AGENT,
                *(draws, num_steps, family.rule.num_uniforms(game.num_arms)),
                seeds=[tasks.seeds[row] for row in family.rows.tolist()],
            )
            for family in tasks.families
        ),
        rewards=draw(Part.REWARD, draws, num_steps),
        observation=draw(Part.OBSERVATION, num_episodes, num_steps, game.observation.num_uniforms),
        principal=principal,
    )


def by_step(numbers: Tensor) -> Tensor:
    """[M, B, T, ...] as contiguous [T, M, B, ...], for a loop over steps."""
    return numbers.movedim(2, 0).contiguous()
