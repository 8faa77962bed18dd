"""The rollout in PyTorch, step by step: any device, any agent, any principal."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from mermaide_pl.engines.noise import Noise, by_step
from mermaide_pl.game import AnyGame, allowed_levels, nearest_allowed
from mermaide_pl.game.trajectory import Trajectory, relabel_target_first
from mermaide_pl.populations import TaskBatch
from mermaide_pl.principals import LearnedPlayer, Player, RolloutContext


@dataclass(frozen=True)
class Step:
    """One step of a rollout; axes [M, B], else as the fields of a `Trajectory`."""

    arms: Tensor
    levels: Tensor
    agent_rewards: Tensor
    observed_arms: Tensor
    observed_agent_rewards: Tensor


class VectorGame:
    """Episodes with M agents, played step by step in parallel; the caller chooses the levels.

    Args:
        tasks: M tasks.
        game: the rules.
        noise: the random numbers.
    """

    def __init__(self, tasks: TaskBatch, game: AnyGame, noise: Noise) -> None:
        self.tasks, self.game = tasks, game
        self.agents = tasks.agents(
            [by_step(numbers) for numbers in noise.agents],
            by_step(noise.rewards),
            num_episodes=noise.num_episodes,
        )
        self.observation_uniforms = by_step(noise.observation)

    def start(self) -> None:
        """Go to the first step; equal levels then give equal steps."""
        self.agents.start()
        target_arm = self.tasks.target_arm
        all_arms = torch.arange(self.game.num_arms, device=target_arm.device)
        all_arms = all_arms.expand(len(self.tasks), -1)
        self._principal_label = relabel_target_first(all_arms, target_arm)
        axes = self.observation_uniforms.shape[1:3]
        # steps with a bonus on the target, and on the others
        self._interventions = self.tasks.base_rewards.new_zeros(*axes, len(self.game.signs[0]))

    def play_step(self, step: int, levels: Tensor) -> Step:
        """Play one step.

        Args:
            step: its number.
            levels: chosen by the principal, int64 [M, B]; where the budgets do not leave one, the
                nearest that they leave is played (`nearest_allowed`).
        """
        game, like = self.game, self.tasks.base_rewards
        allowed = allowed_levels(game, self._interventions, step)
        if allowed is not None:
            levels = nearest_allowed(levels, allowed, game.signs)
            self._interventions = self._interventions + game.interventions_of(levels, like)
        bonus, other_bonus = game.bonus_of(levels, like), game.other_bonus_of(levels, like)
        arms = self.agents.act(step, bonus if other_bonus is None else bonus - other_bonus)
        agent_rewards = self.agents.learn(step, arms, bonus, other_bonus)
        observation, uniforms = self.game.observation, self.observation_uniforms[step]
        seen = observation.arms(arms, uniforms, self.game.num_arms)
        return Step(
            arms=arms,
            levels=levels,
            agent_rewards=agent_rewards,
            observed_arms=self._principal_label.gather(1, seen),
            observed_agent_rewards=observation.agent_rewards(agent_rewards, uniforms),
        )


class RolloutInputs(VectorGame):
    """Everything a rollout reads, random numbers included, so that it can be played again."""

    def __init__(self, tasks: TaskBatch, player: Player, game: AnyGame, noise: Noise) -> None:
        super().__init__(tasks, game, noise)
        self.player = player
        self.context = RolloutContext(
            tasks, self.agents, game, noise.num_episodes, by_step(noise.principal)
        )

    def tensors(self) -> list[Tensor]:
        """All tensors that differ between rollouts of one `signature`."""
        assert isinstance(self.player, LearnedPlayer)
        weights = list(self.player.weights.values())
        own = [self.tasks.target_arm, self.observation_uniforms, self.context.uniforms]
        return [*own, *self.agents.tensors(), *weights]

    def signature(self) -> tuple[object, ...]:
        """Everything two rollouts must have in common to run the same sequence of kernels."""
        assert isinstance(self.player, LearnedPlayer)
        rules = tuple(type(rule) for rule in self.agents.rules)
        shapes = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in self.tensors())
        players = type(self.player), id(self.player.principal)
        autocast = torch.is_autocast_enabled(self.context.uniforms.device.type)
        return *players, self.game, self.tasks.reward_model, rules, shapes, autocast


@dataclass(frozen=True)
class Segment:
    """Consecutive steps of episodes.

    Args:
        before: the same episodes up to its first step, axes [M, B, t], as played with the same
            tasks and random numbers; None from the beginning.
        end: the step before which it ends; None for the whole episode.
    """

    before: Trajectory | None = None
    end: int | None = None

    @property
    def first(self) -> int:
        """Its first step."""
        return 0 if self.before is None else self.before.levels.shape[2]

    def end_in(self, game: AnyGame) -> int:
        """The step before which it ends."""
        return game.num_steps if self.end is None else self.end


WHOLE = Segment()
"""Whole episodes."""


def play(inputs: RolloutInputs, segment: Segment = WHOLE) -> Trajectory:
    """Play the episodes; equal inputs give equal trajectories.

    Steps played earlier are played again by the agents, and observed by the player.
    """
    player, steps = inputs.player, []
    # thousands of small operations: inference mode saves a part of the cost of each
    with torch.inference_mode():
        inputs.start()
        player.start(inputs.context)
        for number in range(segment.end_in(inputs.game)):
            if segment.before is not None and number < segment.first:
                levels = segment.before.levels[:, :, number]
            else:
                levels = player.act(number)
            step = inputs.play_step(number, levels)
            player.observe(step.levels, step.observed_arms, step.observed_agent_rewards)
            steps.append(step)
    # stacked outside inference mode: these episodes are learned from
    recorded = {
        item.name: torch.stack([getattr(step, item.name) for step in steps], dim=2)
        for item in fields(Step)
    }
    return Trajectory.of(inputs.game, inputs.tasks.target_arm, **recorded)
