"""A recurrent model of recorded choices as an agent: it chooses as those people did."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from mermaide_pl.agents import LearningRule, RuleSource
from mermaide_pl.principals.arm_forecast import ArmForecast
from mermaide_pl.principals.features import HistoryState


@dataclass(frozen=True)
class HumanFitted(RuleSource):
    """A recurrent model that was fitted to recorded choices, in place of a learning rule.

    Its agents choose with the model's probabilities of the next arm, given their own arms and
    rewards before. In a population of a file::

        rule:
          class_path: mermaide_pl.principals.HumanFitted
          init_args: {file: recurrent.ckpt}

    Arm 0 is what arm 0 was in the records. All agents are alike, and every episode begins anew, as
    with a person who was not met before. Only the PyTorch engine plays it; the choice of the engine
    sees to that.

    Args:
        file: of `mermaide fit-learner --save_recurrent`, or of `ArmForecast.save`.
    """

    file: str

    def __post_init__(self) -> None:
        self.model.requires_grad_(False)  # read at once, so that a mistake appears here

    @cached_property
    def model(self) -> ArmForecast:
        """The model in the file."""
        return ArmForecast.load(self.file).eval()

    @property
    def __name__(self) -> str:
        return "HumanFitted"

    def hyper_parameters(self) -> list[str]:
        """None: all is in the weights."""
        return []

    def check(self, hyper_parameters: Mapping[str, float], num_arms: int) -> None:
        """Nothing is left to check: the file was read, and says how many arms there are."""

    def for_tasks(self, labels: Sequence[str], drawn: Mapping[str, Tensor]) -> LearningRule:
        """The rule, the same for all tasks."""
        return ForecastRule(self.model)


@dataclass
class _State:
    """The memory of an agent, and its forecast of its own arm."""

    past: HistoryState  # axes [M, B]
    hidden: Tensor  # [M, B, H] float
    chances: Tensor  # [M, B, A] float, of the coming step


class ForecastRule(LearningRule):
    """Draws its arms from the forecast of a model, at level 0.

    Args:
        model: the model.
    """

    is_tensors = False  # a captured graph would not know one model from another

    def __init__(self, model: ArmForecast) -> None:
        self._model = model
        self._weights = {name: each.detach() for name, each in model.weights().items()}

    def to(self, base_rewards: Tensor) -> Self:
        """A copy with its weights on the device and in the dtype of `base_rewards`."""
        moved = copy.copy(self)
        moved._weights = {name: each.to(base_rewards) for name, each in self._weights.items()}
        return moved

    def num_uniforms(self, num_arms: int) -> int:
        """One, for the draw."""
        return 1

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> _State:
        """Nothing chosen.

        Raises:
            ValueError: if the records had another number of arms.
        """
        game, (tasks, num_arms) = self._model.game, base_rewards.shape
        if num_arms != game.num_arms:
            raise ValueError(
                f"HumanFitted was fitted to choices among {game.num_arms} arms, the game has"
                f" {num_arms}"
            )
        past = HistoryState.empty(base_rewards, game, tasks, num_episodes)
        hidden = self._model.recurrence.first_state(self._weights, tasks, num_episodes)
        return self._forecast(past, hidden)

    def act(self, state: _State, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """The first arm at which the sum of the probabilities exceeds the uniform number."""
        sums = state.chances.cumsum(-1)[..., :-1]  # the last arm has the rest
        return (sums <= uniforms).sum(-1)

    def update(self, state: _State, arms: Tensor, rewards: Tensor, uniforms: Tensor) -> _State:
        """Remember a choice and its reward."""
        state.past.add(arms, torch.zeros_like(arms), rewards)
        return self._forecast(state.past, state.hidden)

    def decision_variables(self, state: _State) -> tuple[Tensor, ...]:
        """The probabilities themselves, float [M, B, A]."""
        return (state.chances,)

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Those of the model."""
        return variables[0]

    @torch.no_grad()
    def _forecast(self, past: HistoryState, hidden: Tensor) -> _State:
        hidden, logits = self._model.step(self._weights, hidden, past)
        return _State(past, hidden, logits[..., 0, :].softmax(-1))
