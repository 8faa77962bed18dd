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

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from mermaide_pl.config.input_paths import DEFAULT_PRINCIPAL
from mermaide_pl.config.validation import one_line
from mermaide_pl.deployment.live_settings import LiveSettings, observed_reward
from mermaide_pl.deployment.live_state import LiveState
from mermaide_pl.deployment.logged_episode import Episode, support_of
from mermaide_pl.engines import Stream
from mermaide_pl.engines.noise import Part, uniforms
from mermaide_pl.game import nearest_allowed
from mermaide_pl.game.trajectory import relabel_target_first
from mermaide_pl.meta_learning.adaptation import adapt_to_groups
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.support import carry_state
from mermaide_pl.meta_learning.within_episode import InnerLoops
from mermaide_pl.principals import (
    HistoryState,
    Weights,
    allowed_logits,
    network_in,
    sample_levels,
)
from mermaide_pl.runtime.checkpoints import read_checkpoint, upgraded_weights, write_checkpoint

_FIRST_DRAWS = 1024
_KEY = "live"  # in a checkpoint: its entries in addition to the trained principal


class LivePrincipal:
    """Steers one learning agent that runs outside this package.

    At each step `intervene` returns a level, the agent pulls an arm and learns from its reward,
    plus ``game.bonuses[level]`` if that arm was the target, and `observe` takes the outcome. A
    wrong call raises a ValueError of one line and changes nothing.

    A principal with `AdaptationWithinEpisodes` takes its gradient steps in `observe`. With one
    after every 50 of 200 steps, a step takes 1.15 times as long in the mean
    (`benchmarks/live.py`); each encodes the whole episode, so they take longer the longer it is.

    Args:
        module: the trained principal.
        **settings: those of `LiveSettings`.
    """

    _state: LiveState
    _output: tuple[Tensor, Tensor, Tensor | None] | None  # of the next step; None before its pass
    _uniforms: Tensor | None  # float, to sample the levels of this episode with, more as it goes on

    def __init__(self, module: MermaideModule, **settings: Any) -> None:
        self.module, self.settings = module, LiveSettings(**settings)
        self.game = self.settings.game(module)
        self.target_arm = self.settings.target_in(self.game)
        arms = torch.arange(self.game.num_arms)[None]
        labels = relabel_target_first(arms, torch.tensor([self.target_arm]))
        self._labels: list[int] = labels[0].tolist()  # either labelling to the other
        self._begin(module.principal.weights(), [])

    def __repr__(self) -> str:
        """The settings and the game."""
        return f"LivePrincipal({self.settings}), for games of {self.game}"

    @classmethod
    def load(cls, path: str | Path = DEFAULT_PRINCIPAL, **settings: Any) -> Self:
        """Load a trained principal, or resume a live one exactly where it was saved.

        Args:
            path: a checkpoint, ``pretrained:NAME`` or NAME alone, or a file written by `save`.
            **settings: those of `LiveSettings`. A saved principal brings its own: they may be left
                out, and must not differ.

        Raises:
            ValueError: one line that says what is wrong with the file or the settings.
        """
        checkpoint = read_checkpoint(path)
        saved = checkpoint.get(_KEY)
        kept = saved if isinstance(saved, dict) else {"engine": "auto"}
        engine = kept.get("engine", kept.get("kernel"))  # as it was once called
        module = MermaideModule.from_checkpoint(checkpoint, path, engine=engine).eval()
        if saved is None:
            return cls(module, **settings)
        try:
            live = cls(module, **saved["settings"])
            weights = {
                # files of earlier versions have no "running"
                name: upgraded_weights(saved.get(name, saved["weights"]))
                for name in ("weights", "running")
            }
            live._be_in(live._state.like_this({**saved, **weights}, live.game))
        except (
            *(AttributeError, IndexError, KeyError, OverflowError),
            *(RuntimeError, TypeError, ValueError),
        ) as error:
            reason = one_line(error)
            raise ValueError(
                f"{path} is not a live principal that can resume here: {reason}"
            ) from None
        chosen, own = LiveSettings(**settings).plain(), live.settings.plain()
        for name in settings:
            if chosen[name] != own[name]:
                raise ValueError(
                    f"{path} was saved with {name} = {own[name]}, got {settings[name]}; it cannot"
                    " change"
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
            "settings": self.settings.plain(),
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
        steps, allowed = self._state.steps, self._state.past.allowed_levels
        if allowed is not None:
            level_logits = allowed_logits(level_logits, allowed)
        if self._uniforms is None:
            levels = level_logits.argmax(-1)
        else:
            if len(steps) == len(self._uniforms):
                self._uniforms = self._draw(2 * len(steps))
            levels = sample_levels(level_logits, self._uniforms[len(steps)])
        if allowed is not None:  # rounding may draw another one
            levels = nearest_allowed(levels, allowed, self.game.signs)
        return int(levels)

    @torch.inference_mode()
    def observe(self, arm: str | int, agent_reward: float | None = None) -> None:
        """Record the outcome of the step.

        Args:
            arm: label of the arm that the agent pulled.
            agent_reward: reward the agent received, bonus included, in reward units. Required by a
                principal with full information, refused by one with partial information.

        Raises:
            ValueError: before `intervene`, or for an impossible observation.
        """
        state = self._state
        if state.level is None:
            raise ValueError("observe: call intervene first, it chooses the level of the step")
        arm = self.settings.position("observe: arm", arm, self.game)
        reward, level = observed_reward(agent_reward, self.game), state.level
        hidden, _, _ = self._forward("observe")
        seen, levels = torch.tensor([[[self._labels[arm]]], [[level]]], device=hidden.device)
        state.past.add(seen, levels, hidden.new_full((1, 1), reward))
        state.steps.add(arm, level, reward)
        state.hidden, state.level, self._output = hidden, None, None
        loop, played = self.module.inner_loop, len(state.steps)
        if (
            isinstance(loop, InnerLoops)
            and not played % loop.every
            and played < self.game.num_steps
        ):
            self._learn(loop)

    def _learn(self, inner_loop: InnerLoops) -> None:
        """Take the gradient steps within the episode; weights that are not finite are not taken."""
        state, module = self._state, self.module
        first = len(state.steps) - inner_loop.every
        with torch.inference_mode(False), torch.no_grad():
            (support,) = support_of(
                [state.steps], self.target_arm, self.game, state.hidden, in_order=True
            )
            principal, objective, played = module.principal, module.objective, support.episodes
            weights, output = inner_loop.learn(
                principal, state.running, objective, played, first, module.engine
            )
            if not _finite(weights):
                weights = carry_state(state.running, output)
            state.running = {name: weight.detach() for name, weight in weights.items()}
            state.hidden = principal.first_state(state.running, 1, 1)
            self._playing = network_in(principal, state.running, self.game)

    def forecast(self) -> Tensor:
        """Forecast of the agent's next arm at every level.

        Returns:
            ``p(a_t | history, u)``, float [L, A], arms in the user's order.

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
        budget, and by the principal as it was adapted then, also within episodes. And levels that
        were not sampled give little information on the policy: unless `sampling_seed` is given, a
        principal with a world model learns from the arms alone, as from a history without
        propensities; one without a world model treats the levels as sampled, since it has nothing
        else to learn from.

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
        if self.settings.sampling_seed is None:
            objective = objective.forecast_alone()
        with torch.inference_mode(False), torch.no_grad():
            weights, _ = adapt_to_groups(principal, inner_loop, objective, support, module.engine)
        if not _finite(weights):
            raise ValueError("adapt: the adapted weights are not finite; the weights are unchanged")
        self._begin(weights, state.ended)
        return len(state.ended)

    def _begin(self, weights: Weights, ended: list[Episode]) -> None:
        """Begin an episode."""
        weights = {name: weight.detach() for name, weight in weights.items()}
        hidden = self.module.principal.first_state(weights, 1, 1)
        past = HistoryState.empty(hidden, self.game, 1, 1)
        steps = Episode([], [], [], None)
        self._be_in(LiveState(weights, weights, ended, steps, past, hidden, None))

    def _be_in(self, state: LiveState) -> None:
        """Continue from a state, from which everything else follows."""
        self._state, self._output, self._uniforms = state, None, None
        self._playing = network_in(self.module.principal, state.running, self.game)
        if self.settings.sampling_seed is not None:
            self._uniforms = self._draw(min(self.game.num_steps, _FIRST_DRAWS))

    def _draw(self, num_steps: int) -> Tensor:
        """Random numbers for the first steps of this episode, float [num_steps]."""
        number = len(self._state.ended)
        seeds = [self.settings.sampling_seed or 0]
        numbers = uniforms(seeds, Stream.LIVE, Part.PRINCIPAL, (1, num_steps), number)
        return numbers[0, 0].to(self._state.hidden)

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
            network, weights = self._playing
            self._output = network.step(weights, state.hidden, state.past)
        return self._output


def _finite(weights: Weights) -> bool:
    """True if all weights are finite."""
    return all(bool(weight.isfinite().all()) for weight in weights.values())
