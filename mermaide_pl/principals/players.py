"""The interface through which any principal plays, and the learned principals behind it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from mermaide_pl.agents import AgentGroup
from mermaide_pl.config.validation import check_levels
from mermaide_pl.game import AnyGame
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals.features import CountFeatures, HistoryState
from mermaide_pl.principals.layers import Weights
from mermaide_pl.principals.protocol import LearnedPrincipal, allowed_logits
from mermaide_pl.principals.universal import network_in


@dataclass(frozen=True)
class RolloutContext:
    """Everything that a player may read at the start of a rollout."""

    tasks: TaskBatch  # privileged: only oracles may look
    agents: AgentGroup  # privileged: only oracles may look
    game: AnyGame
    num_episodes: int  # B
    uniforms: Tensor  # [T, M, B] float, the principal's own; 0.5 unless it `is_random`


class Player(ABC):
    """A principal during a rollout: chooses levels, then observes the outcome."""

    is_random: bool = True
    """True if the player reads its random numbers; else they need not be drawn."""

    @abstractmethod
    def start(self, context: RolloutContext) -> None:
        """Begin new episodes."""

    @abstractmethod
    def act(self, step: int) -> Tensor:
        """Levels for this step, int64 [M, B]."""

    @abstractmethod
    def observe(self, levels: Tensor, arms: Tensor, agent_rewards: Tensor) -> None:
        """See the step's outcome.

        Args:
            levels: levels played, int64 [M, B].
            arms: observed arms, principal labels, int64 [M, B].
            agent_rewards: observed agent rewards, float [M, B].
        """


class LearnedPlayer(Player):
    """Plays a learned principal by sampling from its policy, as training requires.

    Args:
        principal: the module.
        weights: meta weights, or fast weights of the tasks it will play with.
        weights_per_episode: True if the fast weights are of every episode, [M * B, ...].
    """

    def __init__(
        self, principal: LearnedPrincipal, weights: Weights, weights_per_episode: bool = False
    ) -> None:
        self.principal = principal
        self.weights = {name: weight.detach() for name, weight in weights.items()}
        self.weights_per_episode = weights_per_episode

    def in_game(self, game: AnyGame, num_episodes: int) -> Self:
        """The same player as a principal for games of this size alone, see `network_in`.

        Args:
            game: the rules.
            num_episodes: B.
        """
        repeats = num_episodes if self.weights_per_episode else 1
        playing = network_in(self.principal, self.weights, game.repeated(repeats))
        return type(self)(*playing, self.weights_per_episode)

    def start(self, context: RolloutContext) -> None:
        """Reset the history."""
        self._uniforms, game = context.uniforms, context.game
        self._shape = shape = tuple(context.uniforms.shape[1:])
        if self.weights_per_episode:
            shape, game = (shape[0] * shape[1], 1), game.repeated(shape[1])
        self._playing = network_in(self.principal, self.weights, game)
        self._hidden = self.principal.first_state(self.weights, *shape)
        self._past = HistoryState.empty(context.uniforms, game, *shape)

    def act(self, step: int) -> Tensor:
        """Levels for this step."""
        network, weights = self._playing
        self._hidden, logits, _ = network.step(weights, self._hidden, self._past)
        if (allowed := self._past.allowed_levels) is not None:
            logits = allowed_logits(logits, allowed)
        return self._choose(logits.reshape(*self._shape, -1), self._uniforms[step])

    def _choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        return sample_levels(logits, uniforms)

    def observe(self, levels: Tensor, arms: Tensor, agent_rewards: Tensor) -> None:
        """Add the step to the history."""
        seen = (each.reshape(self._past.paid.shape[:-1]) for each in (arms, levels, agent_rewards))
        self._past.add(*seen)


def sample_levels(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Levels drawn from the policy.

    Args:
        logits: of each level, float [..., L].
        uniforms: uniform numbers in (0, 1), float [...].

    Returns:
        int64 [...].
    """
    threshold = logits.softmax(-1).cumsum(-1)[..., :-1]
    return (uniforms.unsqueeze(-1) > threshold).sum(-1)


class GreedyPlayer(LearnedPlayer):
    """Plays the most probable level of a learned principal, as in scored episodes."""

    is_random = False

    def _choose(self, logits: Tensor, uniforms: Tensor) -> Tensor:
        return logits.argmax(-1)


class LearningPlayer(ABC):
    """A principal that learns within the episode: its weights change every few steps.

    `rollout` plays each part of the episodes with the player that it is then.
    """

    is_random: bool
    """True if levels are sampled."""
    every: int
    """Steps between changes of the weights."""

    @abstractmethod
    def playing(self, played: Trajectory | None) -> LearnedPlayer:
        """The principal that plays the next steps, of one step less than `every` at the end.

        Args:
            played: the episodes so far, axes [M, B, t]; None before the first step.

        Returns:
            A `LearnedPlayer` or `GreedyPlayer` whose weights are of each task [M, ...], or with
            `weights_per_episode` of each episode [M * B, ...], and whose episodes go on in the
            recurrent state of its weights.
        """


class FunctionPlayer(Player):
    """Plays any function of `CountFeatures`: a principal trained with another library.

    The features are the observations of `mermaide_pl.deployment.gym_env`.

    Args:
        function: features of N episodes, float32 [N, F], to their levels, integers [N].
    """

    is_random = False

    def __init__(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        self.function = function

    def start(self, context: RolloutContext) -> None:
        """Reset the history."""
        self._game = context.game
        self._past = HistoryState.empty(context.uniforms, context.game, *context.uniforms.shape[1:])

    def act(self, step: int) -> Tensor:
        """Levels returned by the function.

        Raises:
            ValueError: if it does not return one level for each episode.
        """
        features = CountFeatures().features(self._past)
        num_tasks, num_episodes, _ = features.shape
        levels = np.asarray(self.function(features.flatten(0, 1).float().cpu().numpy()))
        check_levels(
            "levels of a FunctionPlayer", levels, num_tasks * num_episodes, self._game.num_levels
        )
        return torch.as_tensor(levels).long().view(num_tasks, num_episodes).to(features.device)

    def observe(self, levels: Tensor, arms: Tensor, agent_rewards: Tensor) -> None:
        """Add the step to the history."""
        self._past.add(arms, levels, agent_rewards)
