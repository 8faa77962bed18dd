"""One decision step of a trained principal as a module of tensors alone, to be exported."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mermaide_pl.game import AnyGame, FullInformation, Game, GameBatch
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.within_episode import InnerLoops
from mermaide_pl.principals import (
    HistoryState,
    LearnedPrincipal,
    UniversalPrincipal,
    allowed_logits,
)

NUM_ARM_TALLIES = 3  # of each arm: pulls, 1 + step of the latest one, sum of rewards
_NUM_BONUS_TOTALS = 2  # bonuses paid and offered; interventions of each column follow


class Decision(NamedTuple):
    """Outputs of a `DecisionStep` for N learners, and its state for the step after."""

    chosen_level: Tensor  # [N] int64, the most probable level
    level_probabilities: Tensor  # [N, L] float, 0 where a budget leaves a level no more
    new_hidden: Tensor  # [N, H] float
    new_arm_tallies: Tensor  # [N, A, 3] float
    new_totals: Tensor  # [N, 2 + C] float
    forecast: Tensor | None  # [N, L, A] float, p(a_t | history, u); None without a world model


class DecisionStep(nn.Module):
    """One step of a principal with N learners, all of whose state goes in and comes out.

    It decides as a `LivePrincipal` that does not adapt. Arm 0 is the target.

    Args:
        module: the trained principal.

    Raises:
        ValueError: if it takes gradient steps within the episode.
    """

    def __init__(self, module: MermaideModule) -> None:
        super().__init__()
        if isinstance(module.inner_loop, InnerLoops):
            raise ValueError(
                "a principal with AdaptationWithinEpisodes takes gradient steps as it plays, which"
                " a graph of one step cannot hold"
            )
        self.principal: LearnedPrincipal = module.principal
        self.game: Game = module.game

    @property
    def plays_any_game(self) -> bool:
        """True if the numbers of the game are inputs."""
        return isinstance(self.principal, UniversalPrincipal)

    def forward(
        self,
        step: Tensor,
        arm: Tensor,
        level: Tensor,
        agent_reward: Tensor,
        hidden: Tensor,
        arm_tallies: Tensor,
        totals: Tensor,
        bonuses: Tensor | None = None,
        cost: Tensor | None = None,
        num_steps: Tensor | None = None,
        max_interventions: Tensor | None = None,
        full_information: Tensor | None = None,
    ) -> Decision:
        """Take in the step before, and decide this one.

        At step 0 an episode begins, and all inputs but those of the game count for nothing.

        Args:
            step: number of this step in its episode, from 0, int64 [N].
            arm: arm that was pulled in the step before, int64 [N].
            level: level that was played then, int64 [N].
            agent_reward: what the agent received then, bonus included, float [N]; counts for
                nothing if the principal does not see it.
            hidden: recurrent state, float [N, H].
            arm_tallies: pulls, 1 + step of the latest pull, and sum of rewards of each arm, float
                [N, A, 3].
            totals: bonuses paid and offered, and interventions of each column, float [N, 2 + C].
            bonuses: of each level, reward units, the first 0 and the last the largest, float
                [N, L]; this and the following for a principal that plays any game, else None.
            cost: what the principal pays for one unit of bonus, float [N].
            num_steps: T, float [N]; infinite in an endless game.
            max_interventions: budget of interventions, float [N]; infinite for any number.
            full_information: True if the principal sees the agent's rewards, bool [N].
        """
        game: AnyGame = self.game
        if self.plays_any_game:
            if (
                bonuses is None
                or cost is None
                or num_steps is None
                or max_interventions is None
                or full_information is None
            ):
                raise ValueError("DecisionStep: the numbers of the game are missing")
            agent_reward = torch.where(full_information, agent_reward, 0.0)
            numbers = bonuses, cost, num_steps, max_interventions
            game = _ToldGames(arm_tallies, *numbers, full_information=full_information)
        elif not game.observation.sees_agent_rewards:
            agent_reward = torch.zeros_like(agent_reward)
        past = _past(game, step, arm, level, agent_reward, arm_tallies, totals)
        hidden, level_logits, arm_logits = self._step(game, hidden, step == 0, past)
        allowed = past.allowed_levels
        if allowed is not None:
            level_logits = allowed_logits(level_logits, allowed)
        probabilities = level_logits.softmax(-1)
        if allowed is not None:
            probabilities = torch.where(allowed, probabilities, 0.0)
        tallies = torch.stack([past.pulls, past.latest, past.reward_sums], dim=-1)
        sums = torch.cat([past.paid, past.offered, past.interventions], dim=-1)
        forecast = None if arm_logits is None else arm_logits.softmax(-1)[:, 0]
        return Decision(
            level_logits.argmax(-1)[:, 0],
            probabilities[:, 0],
            hidden[:, 0],
            tallies[:, 0],
            sums[:, 0],
            forecast,
        )

    def _step(
        self, game: AnyGame, hidden: Tensor, begins: Tensor, past: HistoryState
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Forward pass; learners are tasks of one episode."""
        principal, weights = self.principal, self.principal.weights()
        first = principal.first_state(weights, hidden.shape[0], 1)
        hidden = torch.where(begins[:, None, None], first, hidden.unsqueeze(1))
        if isinstance(principal, UniversalPrincipal):
            network, _ = principal.in_game(weights, principal.game)
            return network.step(principal.weights_in(weights, game), hidden, past)
        return principal.step(weights, hidden, past)


def _past(
    game: AnyGame,
    step: Tensor,
    arm: Tensor,
    level: Tensor,
    agent_reward: Tensor,
    arm_tallies: Tensor,
    totals: Tensor,
) -> HistoryState:
    """The history before this step, axes [N, 1]."""
    pulls, latest, reward_sums = arm_tallies.unsqueeze(1).unbind(-1)
    paid, offered, interventions = totals.unsqueeze(1).tensor_split([1, _NUM_BONUS_TOTALS], dim=-1)
    begins, step = (each[:, None, None] for each in (step == 0, step.to(totals)))
    past = HistoryState(
        game=game,
        step=step - 1.0,
        last_arm=pulls,  # this and the next two are set by the step that is added
        last_level=paid,
        last_reward=paid,
        pulls=pulls.clone(),
        reward_sums=reward_sums.clone(),
        latest=latest.clone(),
        paid=paid.clone(),
        offered=offered.clone(),
        interventions=interventions.clone(),
    )
    past.add(arm[:, None], level[:, None], agent_reward[:, None])
    seen = {item.name: getattr(past, item.name) for item in fields(past)[2:]}
    known: dict[str, Any] = {name: torch.where(begins, 0.0, value) for name, value in seen.items()}
    return replace(past, step=step, **known)


class _ToldGames(GameBatch):
    """A game for each learner, whose numbers, sizes among them, are inputs of a graph.

    Args:
        arm_tallies: float [N, A, 3], gives A.
        bonuses: float [N, L].
        cost: float [N].
        num_steps: float [N].
        max_interventions: float [N].
        full_information: bool [N].
    """

    has_budget = True

    def __init__(
        self,
        arm_tallies: Tensor,
        bonuses: Tensor,
        cost: Tensor,
        num_steps: Tensor,
        max_interventions: Tensor,
        *,
        full_information: Tensor,
    ) -> None:
        # with full information rewards are added up; hidden ones are zeros
        super().__init__(
            Game(observation=FullInformation()),
            bonuses=bonuses,
            cost=cost,
            max_interventions=max_interventions,
            horizons=num_steps,
        )
        self._num_arms, self._full_information = arm_tallies.shape[1], full_information

    @property
    def num_arms(self) -> int:
        """A."""
        return self._num_arms

    @property
    def signs(self) -> tuple[tuple[int, ...], ...]:
        """Those of two levels, for the number of columns."""
        return ((0,), (1,))

    def pays(self, like: Tensor) -> Tensor:
        """See `Game`."""
        levels = torch.arange(self.num_levels, device=like.device)
        return (levels > 0).to(like).unsqueeze(-1)

    def sees_agent_rewards(self, like: Tensor) -> Tensor:
        """See `Game`; float [N, 1, ...]."""
        return self._full_information.to(like).view(-1, *[1] * (like.dim() - 1))
