import torch

from mermaide_pl.deployment.logs import read_choices
from mermaide_pl.experiments.learners.choices import Choices, folds_of

LOG = """agent,episode,step,arm,agent_reward
ann,1,1,1,0.5
bob,1,1,2,1
ann,1,2,0,0.25
ann,2,1,1,-1
bob,1,3,0,3
bob,1,2,1,2
"""


def test_a_table_becomes_padded_tensors(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    choices = Choices.of(read_choices(tmp_path / "log.csv"))
    assert choices.agents == ("ann", "bob")
    assert choices.num_arms == 3
    assert choices.arms.tolist() == [[[1, 0, 0], [1, 0, 0]], [[2, 1, 0], [0, 0, 0]]]
    assert choices.rewards.tolist() == [[[0.5, 0.25, 0], [-1, 0, 0]], [[1, 2, 3], [0, 0, 0]]]
    assert choices.recorded.tolist() == [
        [[True, True, False], [True, False, False]],
        [[True, True, True], [False, False, False]],
    ]
    assert Choices.of(read_choices(tmp_path / "log.csv", num_arms=5), 5).num_arms == 5
    assert choices.chosen([1]).agents == ("bob",)
    assert torch.equal(choices.chosen([1]).arms, choices.arms[1:])


def test_earlier_choices_are_a_share_of_each_agents(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    choices = Choices.of(read_choices(tmp_path / "log.csv"))
    # two thirds of three choices each
    assert choices.earlier(0.7).tolist() == [
        [[True, True, False], [False, False, False]],
        [[True, True, False], [False, False, False]],
    ]
    assert choices.earlier(1.0).equal(choices.recorded)


def test_folds_are_disjoint_of_one_size_and_by_seed():
    folds = folds_of(23, 5, seed=1)
    assert sorted(torch.bincount(folds).tolist()) == [4, 4, 5, 5, 5]
    assert folds.equal(folds_of(23, 5, seed=1))
    assert not folds.equal(folds_of(23, 5, seed=2))
