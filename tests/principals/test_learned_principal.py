"""The output of a principal, by hand."""

import math
from dataclasses import replace

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


def test_steps_after_the_budget_are_certain_and_have_no_gradient():
    played = replace(one_episode([0, 2, 1, 0], [0] * 4), game=Game(2, 4, (0.0, 1.0, 2.0)))
    logits = torch.randn(1, 1, 4, 3, requires_grad=True)
    free = PrincipalOutput.of(played, logits)
    assert played.allowed_levels is None
    limited = replace(played, game=replace(played.game, max_interventions=2))
    left = limited.allowed_levels[0, 0]
    assert left.tolist() == [[True] * 3] * 3 + [[True, False, False]]
    output = PrincipalOutput.of(limited, logits)
    assert torch.equal(output.level_logits[:, :, :3], free.level_logits[:, :, :3])
    assert torch.equal(output.log_levels[:, :, :3], free.log_levels[:, :, :3])
    assert output.level_logits.softmax(-1)[0, 0, 3].tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert output.log_levels[0, 0, 3] == 0.0
    total = (output.log_levels + output.level_logits[..., 0]).sum()
    (gradient,) = torch.autograd.grad(total, logits)
    assert (gradient[0, 0] == 0.0).all(-1).tolist() == [False, False, False, True]


def test_critic_forecast_and_memory_are_optional():
    output = PrincipalOutput.of(one_episode([1, 0], [0, 1]), torch.zeros(1, 1, 2, 2))
    assert output.values.tolist() == [[[0.0, 0.0]]]
    assert (output.arm_logits, output.log_arms, output.last_state) == (None, None, None)
