"""The output of a principal, by hand."""

import math

import pytest
import torch

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.principals import PrincipalOutput


def one_episode(levels: list[int], arms: list[int]) -> Trajectory:
    level, arm = torch.tensor([[levels]]), torch.tensor([[arms]])
    zeros = torch.zeros(1, 1, len(arms))
    return Trajectory(arm, level, arm == 0, zeros, zeros, arm, zeros, Game(2, len(arms)))


def test_output_of_logits_worked_by_hand():
    level_logits = torch.tensor([[[[0.0, math.log(3.0)], [0.0, 0.0]]]])
    # of two arms, at level 0 the first is three times as likely, at level 1 the second
    arm_logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]]).expand(1, 1, 2, 2, 2)
    output = PrincipalOutput.of(
        one_episode([1, 0], [0, 0]), level_logits, arm_logits=arm_logits, values=torch.ones(1, 1, 2)
    )
    assert output.log_levels.exp().flatten().tolist() == pytest.approx([0.75, 0.5])
    assert output.log_arms.exp().flatten().tolist() == pytest.approx([0.25, 0.75])
    assert output.values.tolist() == [[[1.0, 1.0]]]


def test_critic_forecast_and_memory_are_optional():
    output = PrincipalOutput.of(one_episode([1, 0], [0, 1]), torch.zeros(1, 1, 2, 2))
    assert output.values.tolist() == [[[0.0, 0.0]]]
    assert (output.arm_logits, output.log_arms, output.last_state) == (None, None, None)
