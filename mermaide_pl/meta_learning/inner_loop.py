"""The inner loop, a slot: a few differentiable gradient steps for all tasks at once.

The fast weights of the M tasks are stacked along a leading axis. The inner loss is the *sum* of the
tasks' losses, so every task's fast weights receive exactly their own gradient, and one `higher`
optimizer steps them all; the optimizers allowed here are element-wise, so this is the loop over
tasks, to rounding. This is the only file that imports `higher`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import higher
import torch
from torch import Tensor, nn

from mermaide_pl.config.validation import check_count, check_number
from mermaide_pl.meta_learning.inner_optimizer import check_differentiable
from mermaide_pl.principals import Weights
from mermaide_pl.principals.recurrence import INITIAL_STATE

InnerLoss = Callable[[Weights], Tensor]
"""Fast weights to the loss of each task, float [M]."""


Part: TypeAlias = Literal["initial_state", "recurrence", "world_model", "policy"]
"""A part of the principal that may adapt."""


class Adaptation(ABC):
    """Slot for the method by which a principal adapts to one agent."""

    @abstractmethod
    def build(self, weights: Weights) -> InnerLoop:
        """The inner loop for these meta weights."""


class InnerLoop(nn.Module, ABC):
    """Turns meta weights and a loss on support episodes into weights for each task.

    Weights and loss may be of any module on any data. A step of MAML on sine waves (Finn et al.,
    section 5.1), for M = 25 tasks of 10 points each:

    >>> import math, torch
    >>> from torch import nn
    >>> from mermaide_pl.principals import call_module
    >>> _ = torch.manual_seed(0)
    >>> network = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 1))
    >>> meta = dict(network.named_parameters())
    >>> inner_loop = GradientAdaptation(inner_lr=0.01).build(meta)
    >>> x, phase = 10.0 * torch.rand(25, 10, 1) - 5.0, math.pi * torch.rand(25, 1, 1)
    >>> def loss(weights):
    ...     return (call_module(network, weights, x) - torch.sin(x + phase)).square().mean((1, 2))
    >>> fast = inner_loop(meta, loss, num_tasks=25)
    >>> fast["0.weight"].shape
    torch.Size([25, 40, 1])
    >>> bool((loss(fast) < loss(meta)).all())
    True
    >>> loss(fast).mean().backward()  # to the meta weights and the inner rates
    """

    num_shots: int
    """K, support episodes per task."""

    adapted: tuple[Part, ...] = ()
    """Parts that take gradient steps."""

    carries_state: bool = False
    """True if episodes begin in the recurrent state in which the support episodes ended."""

    @property
    def chain_length(self) -> int:
        """Support episodes of which each begins in the recurrent state where the one before ended.

        As many as in training. Of more episodes there are several chains, each from the initial
        state, and the mean of the states at their ends is carried: on validation agents a chain
        longer than those of training does worse. Where no state is carried, episodes stand alone.
        """
        return self.num_shots if self.carries_state else 1

    @abstractmethod
    def forward(self, weights: Weights, loss: InnerLoss, num_tasks: int) -> dict[str, Tensor]:
        """Take the inner steps from the meta weights, see `adapt`.

        Args:
            weights: meta weights, ``theta``.
            loss: ``L_in``, of each task on its support episodes.
            num_tasks: M.

        Returns:
            ``phi``: the weights that adapt [M, ...], part of the graph if gradients are enabled,
            and the others as they were.
        """


@dataclass(frozen=True)
class NoAdaptation(Adaptation):
    """Ablation: plain training on many agents; the weights never change at test."""

    def build(self, weights: Weights) -> InnerLoop:
        """A loop of no steps."""
        return _NoInnerLoop()


class _NoInnerLoop(InnerLoop):
    num_shots = 0

    def forward(self, weights: Weights, loss: InnerLoss, num_tasks: int) -> dict[str, Tensor]:
        return dict(weights)


@dataclass(frozen=True)
class RecurrentAdaptation(Adaptation):
    """No gradient: the recurrent state is carried from the support episodes to the next ones.

    The recurrence itself learns to adapt. The K support episodes of training are played one after
    the other, each from the state in which the one before ended; of more at test, see
    `InnerLoop.chain_length`. Unlike in the source, an episode is not rewarded for
    information that helps the next one: each is played for its own return.

    Source: Duan et al., "RL^2: fast reinforcement learning via slow reinforcement learning", 2016;
    Wang et al., "Learning to reinforcement learn", 2016.

    Args:
        num_shots: K, support episodes per task.
    """

    num_shots: int = 1

    def __post_init__(self) -> None:
        check_count("RecurrentAdaptation.num_shots", self.num_shots, low=1)

    def build(self, weights: Weights) -> InnerLoop:
        """A loop of no steps that carries the state."""
        return _RecurrentInnerLoop(self.num_shots)


class _RecurrentInnerLoop(InnerLoop):
    carries_state = True

    def __init__(self, num_shots: int) -> None:
        super().__init__()
        self.num_shots = num_shots

    def forward(self, weights: Weights, loss: InnerLoss, num_tasks: int) -> dict[str, Tensor]:
        loss(weights)  # one forward pass on the support episodes, for the state at their end
        return dict(weights)


@dataclass(frozen=True)
class GradientAdaptation(Adaptation):
    """Gradient descent on the support episodes of each task; the equation is that of `adapt`.

    Source: Finn, Abbeel, Levine, "Model-agnostic meta-learning", ICML 2017, algorithm 3; learned
    rates as Li et al., "Meta-SGD", 2017, one rate per parameter tensor.

    Args:
        inner_lr: inner rate in the beginning.
        num_shots: K, support episodes per task.
        num_inner_steps: gradient steps on the same support episodes.
        first_order: leave out the derivative of the inner gradient (first-order MAML).
        learn_inner_lr: learn one inner rate per parameter tensor along with the weights.
        adapted: the parts of the principal that adapt; the critic, which belongs to ``policy``, has
            no inner loss and stays as it is. Without ``recurrence`` the recurrent state is shared
            by all tasks, as in Raghu et al., "Rapid learning or feature reuse? (ANIL)", ICLR 2020.
            ``initial_state`` is a context vector as in Zintgraf et al., "Fast context adaptation
            via meta-learning (CAVIA)", ICML 2019: where the recurrence begins.
        inner_optimizer: `torch.optim.SGD` or `torch.optim.Adam`, by import path in YAML. The Adam
            of `higher` adds eps before the bias correction: in step t it acts as torch's does with
            ``eps / sqrt(1 - beta_2^t)``.
        optimizer_args: further arguments of the inner optimizer, e.g. ``{momentum: 0.9}``.
        carries_state: if True, the next episodes also begin in the recurrent state in which
            the support episodes ended, as in `RecurrentAdaptation`. The paper's method does not.
    """

    inner_lr: float = 0.1
    num_shots: int = 1
    num_inner_steps: int = 1
    first_order: bool = False
    learn_inner_lr: bool = True
    adapted: tuple[Part, ...] = ("recurrence", "world_model", "policy")
    inner_optimizer: type[torch.optim.Optimizer] = torch.optim.SGD
    optimizer_args: dict[str, Any] = field(default_factory=dict)
    carries_state: bool = False

    def __post_init__(self) -> None:
        check_number("GradientAdaptation.inner_lr", self.inner_lr, above=0.0, high=1e6)
        check_count("GradientAdaptation.num_shots", self.num_shots, low=1)
        check_count("GradientAdaptation.num_inner_steps", self.num_inner_steps, low=1)
        given: Any = self.adapted  # a list from YAML, or a single name
        adapted = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "adapted", adapted)
        if not self.adapted or not set(self.adapted) <= set(get_args(Part)):
            raise ValueError(
                f"GradientAdaptation.adapted must hold one or more of {', '.join(get_args(Part))},"
                f" got {', '.join(self.adapted) or 'nothing'}"
            )
        if self.carries_state and "initial_state" in self.adapted:
            raise ValueError(
                "GradientAdaptation.adapted: adapting initial_state has no effect with"
                " carries_state=True: episodes start from the carried state"
            )
        check_differentiable(self.inner_optimizer, self.optimizer_args)

    def build(self, weights: Weights) -> InnerLoop:
        """The loop, with its rates."""
        names = [name for name in weights if part_of(name) in self.adapted]
        if not names:
            raise ValueError(
                f"GradientAdaptation.adapted = {', '.join(self.adapted)}:"
                " the principal has no such part,"
                f" allowed: {', '.join(sorted({part_of(name) for name in weights}))}"
            )
        return GradientInnerLoop(self, {name: weights[name].dim() for name in names})


def part_of(name: str) -> str:
    """The part of the principal that a parameter belongs to, of any module: by its prefix.

    Every parameter other than the initial state and those of ``policy`` and ``world_model`` counts
    as ``recurrence``.
    """
    if name == INITIAL_STATE:
        return "initial_state"
    part = name.partition(".")[0]
    return part if part in ("policy", "world_model") else "recurrence"


class GradientInnerLoop(InnerLoop):
    """The gradient steps of `GradientAdaptation`, and the logarithms of their rates.

    Args:
        settings: its hyper-parameters.
        num_axes: number of axes of each of the meta weights that adapt, by name.
    """

    def __init__(self, settings: GradientAdaptation, num_axes: Mapping[str, int]) -> None:
        super().__init__()
        self.num_shots = settings.num_shots
        self.carries_state = settings.carries_state
        self.adapted = settings.adapted
        self._settings = settings
        self._num_axes, self._names = dict(num_axes), list(num_axes)
        log_rates = torch.full((len(self._names),), settings.inner_lr).log()
        # log rates keep the rates positive; a fixed rate is a buffer, since DDP requires a
        # gradient for every parameter
        if settings.learn_inner_lr:
            self.log_rates: Tensor = nn.Parameter(log_rates)
        else:
            self.register_buffer("log_rates", log_rates)

    def rates(self) -> dict[str, float]:
        """Inner rate of each parameter tensor."""
        return dict(zip(self._names, self.log_rates.exp().tolist(), strict=True))

    def forward(self, weights: Weights, loss: InnerLoss, num_tasks: int) -> dict[str, Tensor]:
        """Take ``phi <- phi - alpha grad L_in(phi)`` n times; see the base class."""
        settings = self._settings
        track = torch.is_grad_enabled()
        stacked = [
            weights[name]
            if weights[name].dim() > number  # fast weights already
            else weights[name].expand(num_tasks, *weights[name].shape)
            for name, number in self._num_axes.items()
        ]
        # a fresh optimizer per call: a used one would carry its momentum into the inner loop
        leaves = [weights[name].detach() for name in self._names]  # which optimizers ask for
        groups = [{"params": [leaf], "lr": settings.inner_lr} for leaf in leaves]
        optimizer = settings.inner_optimizer(groups, **settings.optimizer_args)
        inner = higher.optim.get_diff_optim(
            optimizer,
            leaves,
            override={"lr": list(self.log_rates.exp().unbind())},
            track_higher_grads=track,
        )
        detach = _detach_all if settings.first_order else None
        with torch.enable_grad():
            if not track:
                stacked = [weight.detach().requires_grad_() for weight in stacked]
            for _ in range(settings.num_inner_steps):
                task_losses = loss({**weights, **dict(zip(self._names, stacked, strict=True))})
                stacked = inner.step(task_losses.sum(), params=stacked, grad_callback=detach)
        return {**weights, **dict(zip(self._names, stacked, strict=True))}


def _detach_all(gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if gradient is None else gradient.detach() for gradient in gradients]
