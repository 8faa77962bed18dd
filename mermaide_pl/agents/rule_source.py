"""What makes the learning rule of a family that needs more than numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from torch import Tensor

from mermaide_pl.agents.base import LearningRule


class RuleSource(ABC):
    """Given as the `rule` of a family, it makes the rule for the tasks of a batch."""

    @property
    @abstractmethod
    def __name__(self) -> str:
        """Its name in messages."""

    @abstractmethod
    def hyper_parameters(self) -> list[str] | None:
        """Names of the hyper-parameters that it allows; None if it takes any."""

    @abstractmethod
    def for_tasks(self, labels: Sequence[str], drawn: Mapping[str, Tensor]) -> LearningRule:
        """The learning rule of m tasks.

        Args:
            labels: name of each task in messages.
            drawn: hyper-parameters, each [m].
        """

    @abstractmethod
    def check(self, hyper_parameters: Mapping[str, float], num_arms: int) -> None:
        """Check that agents can be made and can choose.

        Raises:
            ValueError: one line that says what is wrong.
        """
