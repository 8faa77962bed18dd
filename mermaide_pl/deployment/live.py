"""A trained principal that steers a learner running elsewhere: one agent, step by step.

```python
principal = LivePrincipal.load("mixed-partial", target_arm=3)
for _ in range(principal.game.num_steps):
    level = principal.intervene()  # pay game.bonuses[level] if the learner pulls arm 3
    principal.observe(arm=learner_pulls_an_arm_and_learns(level))
principal.end_episode()
principal.adapt()  # to what this learner did, for its next episodes
```
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self, TypedDict, Unpack

import torch
from torch import Tensor

from mermaide_pl.config.validation import LARGEST_REWARD, check_number, one_line, whole_number
from mermaide_pl.deployment.live_state import LiveState
from mermaide_pl.deployment.logged_episode import Episode, support_of
from mermaide_pl.engines import Stream
from mermaide_pl.engines.noise import Part, uniforms
from mermaide_pl.game.trajectory import relabel_target_first
from mermaide_pl.meta_learning.adaptation import adapt_to_groups
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.principals import HistoryState, Weights, sample_levels
from mermaide_pl.runtime.checkpoints import read_checkpoint, upgraded_weights, write_checkpoint

_KEY = "live"  # in a checkpoint: its entries in addition to the trained principal


class Settings(TypedDict, total=False):
    """Keyword arguments of a `LivePrincipal`, see there."""

    target_arm: int
    max_interventions: int | None
    sampling_seed: int | None


class LivePrincipal:
    """Steers one learning agent that runs outside this package.

    At each step `intervene` returns a level, the agent pulls an arm and learns from its reward,
    plus ``game.bonuses[level]`` if that arm was the target, and `observe` takes the outcome. A
    wrong call raises a ValueError of one line and changes nothing.

    Args:
        module: the trained principal, whose number of arms and steps are those of the agent's game.
        target_arm: the arm that the principal prefers, labelled 0 to A - 1 as the user labels arms.
        max_interventions: most interventions (levels above 0) of an episode, in place of the
            game's; None for those of the game. When they are used up, every further level is 0.
        sampling_seed: levels are sampled from the policy, as in training, with random numbers that
            depend on this seed, the episode and the step alone; None plays the most probable level,
            as the principal is scored.
    """

    _state: LiveState
    _output: tuple[Tensor, Tensor, Tensor | None] | None  # of the next step; None before its pass
    _uniforms: Tensor | None  # [T] float, to sample the levels of this episode with

    def __init__(
        self,
        module: MermaideModule,
        *,
        target_arm: int = 0,
        max_interventions: int | None = None,
        sampling_seed: int | None = None,
    ) -> None:
        self.module, self.game = module, module.game
        last = self.game.num_arms - 1
        try:
            self.target_arm = whole_number("target_arm", target_arm, low=0, high=last)
        except ValueError as error:
            raise ValueError(f"{error}: this principal is for games of {self.game}") from None
        if max_interventions is not None:
            max_interventions = whole_number("max_interventions", max_interventions, low=0)
            self.game = replace(self.game, max_interventions=max_interventions)
        self.max_interventions = max_interventions
        if sampling_seed is not None:
            sampling_seed = whole_number("sampling_seed", sampling_seed, low=0, high=2**64 - 1)
        self.sampling_seed = sampling_seed
        labels = relabel_target_first(torch.arange(last + 1)[None], torch.tensor([self.target_arm]))
        self._labels: list[int] = labels[0].tolist()  # either labelling to the other
        self._begin(module.principal.weights(), [])

    def __repr__(self) -> str:
        """The settings and the game."""
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in Settings.__annotations__)
        return f"LivePrincipal({settings}), for games of {self.game}"

    @classmethod
    def load(cls, path: str | Path, **settings: Unpack[Settings]) -> Self:
        """Load a trained principal, or resume a live one exactly where it was saved.

        Args:
            path: a checkpoint, ``pretrained:NAME`` or NAME alone, or a file written by `save`.
            **settings: keyword arguments of `LivePrincipal`. A saved one brings its own: they may
                be left out, and must not differ.

        Raises:
            ValueError: one line that says what is wrong with the file or the settings.
        """
        checkpoint = read_checkpoint(path)
        saved = checkpoint.get(_KEY)
        kept = saved if isinstance(saved, dict) else {"engine": "auto"}
        engine = kept.get("engine", kept.get("kernel"))  # as it was once called
        module = MermaideModule.from_checkpoint(checkpoint, path, engine=engine).eval()
        fresh = cls(module, **settings)
        if saved is None:
            return fresh
        try:
            live = cls(module, **saved["settings"])
            weights = upgraded_weights(saved["weights"])
            live._be_in(live._state.like_this({**saved, "weights": weights}, live.game))
        except (
            *(AttributeError, IndexError, KeyError, OverflowError),
            *(RuntimeError, TypeError, ValueError),
        ) as error:
            reason = one_line(error)
            raise ValueError(
                f"{path} is not a live principal that can resume here: {reason}"
            ) from None
        for name, given in settings.items():
            if given != (own := getattr(live, name)):
                raise ValueError(
                    f"{path} was saved with {name} = {own}, got {given}; it cannot change"
                )
        return live

    def save(self, path: str | Path) -> None:
        """Write all that `load` needs to resume; the file is replaced whole or not at all.

        It may be called at any moment. The file is a checkpoint too: plain data and tensors, no
        code. Other readers of checkpoints find the principal before adaptation in it.

        Raises:
            ValueError: one line that says why it cannot be written.
        """
        live = {
            "settings": {name: getattr(self, name) for name in Settings.__annotations__},
            "engine": self.module.engine_name,
            **self._state.describe(),
        }
        checkpoint = {"state_dict": self.module.state_dict(), _KEY: live}
        self.module.on_save_checkpoint(checkpoint)
        write_checkpoint(checkpoint, path)

    def intervene(self) -> int:
        """The level for the next step, 0 for "do not intervene".

        Called again before `observe`, it returns the same level.

        Raises:
            ValueError: if all steps of the episode were played.
        """
        if self._state.level is None:
            self._state.level = self._choose(self._forward("intervene")[1])
        return self._state.level

    def _choose(self, level_logits: Tensor) -> int:
        steps = self._state.steps
        spent, budget = sum(level > 0 for level in steps.levels), self.game.max_interventions
        if budget is not None and spent >= budget:
            return 0
        if self._uniforms is None:
            return int(level_logits.argmax(-1))
        return int(sample_levels(level_logits, self._uniforms[len(steps)]))

    @torch.inference_mode()
    def observe(self, arm: int, agent_reward: float | None = None) -> None:
        """Record the outcome of the step.

        Args:
            arm: the arm that the agent pulled, in the user's labels.
            agent_reward: reward the agent received, bonus included, in reward units. Required by a
                principal with full information, refused by one with partial information.

        Raises:
            ValueError: before `intervene`, or for an impossible observation.
        """
        state = self._state
        if state.level is None:
            raise ValueError("observe: call intervene first, it chooses the level of the step")
        arm = whole_number("observe: arm", arm, low=0, high=self.game.num_arms - 1)
        reward, level = self._seen(agent_reward), state.level
        hidden, _, _ = self._forward("observe")
        seen, levels = torch.tensor([[[self._labels[arm]]], [[level]]], device=hidden.device)
        state.past.add(seen, levels, hidden.new_full((1, 1), reward))
        state.steps.add(arm, level, reward)
        state.hidden, state.level, self._output = hidden, None, None

    def _seen(self, agent_reward: float | None) -> float:
        if not self.game.observation.sees_agent_rewards:
            if agent_reward is not None:
                raise ValueError(
                    "observe: this principal has partial information, it sees arms only:"
                    " leave agent_reward out"
                )
            return 0.0
        if agent_reward is None:
            raise ValueError("observe: this principal has full information, give agent_reward too")
        try:
            reward = float(agent_reward)
        except (OverflowError, TypeError, ValueError):
            raise ValueError(
                f"observe: agent_reward must be a number, got {agent_reward!r}"
            ) from None
        bounds = {"low": -LARGEST_REWARD, "high": LARGEST_REWARD}
        check_number("observe: agent_reward", reward, **bounds)
        return reward

    def forecast(self) -> Tensor:
        """Forecast of the agent's next arm at every level.

        Returns:
            ``p(a_t | history, u)``, float [L, A], arms in the user's labels.

        Raises:
            ValueError: without a world model, or if all steps of the episode were played.
        """
        arm_logits = self._forward("forecast")[2]
        if arm_logits is None:
            raise ValueError("forecast: this principal has no world model (NoWorldModel)")
        return arm_logits[0, 0].softmax(-1)[:, self._labels]

    def end_episode(self) -> None:
        """End the episode, early or not; an `intervene` without an observed outcome is dropped.

        Raises:
            ValueError: if no step was observed.
        """
        state = self._state
        if not len(state.steps):
            raise ValueError("end_episode: no step of this episode has been observed")
        self._begin(state.weights, [*state.ended, state.steps])

    def adapt(self) -> int:
        """Adapt to this agent, for the following episodes.

        The step is that of `evaluate`, with two differences. The episodes were played within the
        budget, and by the principal as it was adapted then. And levels that were not sampled give
        little information on the policy: unless `sampling_seed` is given, a principal with a world
        model learns from the arms alone, as from a history without propensities; one without a
        world model treats the levels as sampled, since it has nothing else to learn from.

        The inner loop was trained to start from the meta weights, so it does so every time, on all
        episodes since the principal was new: adapting after every episode is 1, 2, 3, ... shots.
        Episodes that were ended early count by their steps.

        Returns:
            The number of episodes that it adapted on.

        Raises:
            ValueError: within an episode, before the first, or without an inner loop.
        """
        if not self.module.inner_loop.num_shots:
            raise ValueError("adapt: this principal was trained without adaptation (NoAdaptation)")
        state = self._state
        if len(state.steps) or state.level is not None:
            raise ValueError("adapt: an episode is running, call end_episode first")
        if not state.ended:
            raise ValueError("adapt: no episode has ended yet")
        module, in_order = self.module, self.module.inner_loop.chain_length > 1
        support = support_of(
            state.ended, self.target_arm, self.game, state.hidden, in_order=in_order
        )
        principal, inner_loop, objective = module.principal, module.inner_loop, module.objective
        if self.sampling_seed is None:
            objective = objective.forecast_alone()
        with torch.inference_mode(False), torch.no_grad():
            weights, _ = adapt_to_groups(principal, inner_loop, objective, support, module.engine)
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            raise ValueError("adapt: the adapted weights are not finite; the weights are unchanged")
        self._begin(weights, state.ended)
        return len(state.ended)

    def _begin(self, weights: Weights, ended: list[Episode]) -> None:
        """Begin an episode."""
        weights = {name: weight.detach() for name, weight in weights.items()}
        hidden = self.module.principal.first_state(weights, 1, 1)
        past = HistoryState.empty(hidden, self.game, 1, 1)
        self._be_in(LiveState(weights, ended, Episode([], [], [], None), past, hidden, None))

    def _be_in(self, state: LiveState) -> None:
        """Continue from a state, from which everything else follows."""
        self._state, self._output, self._uniforms = state, None, None
        if self.sampling_seed is not None:
            shape, number = (1, self.game.num_steps), len(state.ended)
            numbers = uniforms([self.sampling_seed], Stream.LIVE, Part.PRINCIPAL, shape, number)
            self._uniforms = numbers[0, 0].to(state.hidden)

    @torch.inference_mode()
    def _forward(self, asked: str) -> tuple[Tensor, Tensor, Tensor | None]:
        """Forward pass of the next step: state [1, 1, H], level and arm logits [1, 1, L (, A)]."""
        state = self._state
        if len(state.steps) == self.game.num_steps:
            raise ValueError(
                f"{asked}: all {self.game.num_steps} steps of the episode were played,"
                " call end_episode"
            )
        if self._output is None:
            step = self.module.principal.step
            self._output = step(state.weights, state.hidden, state.past)
        return self._output
