from dataclasses import replace

import pytest
import torch

from mermaide_pl.game import Game
from mermaide_pl.game.trajectory import Trajectory, relabel_target_first


def build() -> Trajectory:
    """One task, two episodes, four steps."""
    levels = torch.tensor([[[0, 1, 2, 0], [0, 0, 0, 0]]])
    aligned = torch.tensor([[[True, True, True, False], [False, False, False, True]]])
    return Trajectory(
        arms=torch.zeros(1, 2, 4, dtype=torch.long),
        levels=levels,
        aligned=aligned,
        rewards=torch.tensor([[[1.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]]),
        agent_rewards=torch.zeros(1, 2, 4),
        observed_arms=torch.zeros(1, 2, 4, dtype=torch.long),
        observed_agent_rewards=torch.zeros(1, 2, 4),
        game=Game(num_steps=4, bonuses=(0.0, 0.5, 1.0)),
    )


def test_summaries_per_episode():
    trajectory = build()
    assert trajectory.returns.tolist() == [[0.375, 0.25]]
    assert trajectory.alignment.tolist() == [[0.75, 0.25]]
    assert trajectory.intervention_rate.tolist() == [[0.5, 0.0]]


def test_summaries_have_the_type_of_the_rewards():
    trajectory = build()
    double = replace(trajectory, rewards=trajectory.rewards.double())
    for quantity in (double.returns, double.alignment, double.intervention_rate):
        assert quantity.dtype == torch.float64


@pytest.mark.parametrize("name", ["levels", "aligned", "rewards", "observed_arms"])
def test_fields_of_another_shape_are_refused(name):
    trajectory = build()
    wrong = getattr(trajectory, name)[..., :3]
    with pytest.raises(ValueError, match=rf"\.{name} must be \[M, B, T\] = \(1, 2, 4\), got"):
        replace(trajectory, **{name: wrong})


def test_fields_without_task_axis_are_refused():
    trajectory = build()
    flat = {name: value[0] for name, value in vars(trajectory).items() if name != "game"}
    with pytest.raises(ValueError, match=r"must be \[M, B, T\]"):
        Trajectory(**flat, game=trajectory.game)


def test_the_target_becomes_arm_0_and_arm_0_takes_its_label():
    arms = torch.tensor([[[0, 1, 2, 3]], [[0, 1, 2, 3]], [[0, 1, 2, 3]]])
    relabelled = relabel_target_first(arms, torch.tensor([2, 0, 3]))
    expected = [[[2, 1, 0, 3]], [[0, 1, 2, 3]], [[3, 1, 2, 0]]]
    assert relabelled.tolist() == expected


@pytest.mark.parametrize("axes", [(), (5,), (5, 2)], ids=len)
def test_relabelling_is_its_own_inverse(axes):
    generator = torch.Generator().manual_seed(0)
    arms = torch.randint(6, (4, *axes), generator=generator)
    target = torch.tensor([0, 5, 2, 3])
    relabelled = relabel_target_first(arms, target)
    assert torch.equal(relabel_target_first(relabelled, target), arms)
    is_target = arms == target.view(-1, *[1] * len(axes))
    assert torch.equal(relabelled == 0, is_target)
