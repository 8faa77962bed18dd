"""The inner loop given to a principal that was trained without one."""

from dataclasses import replace

import pytest
import torch

from mermaide_pl import AgentFamily, Game, MermaideModule, Population
from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.paired_evaluation import adapted_player
from mermaide_pl.experiments.comparison.inner_loop_choice import choose_inner_loop
from mermaide_pl.meta_learning import GradientAdaptation, NoAdaptation
from mermaide_pl.principals import Architecture, NoWorldModel, SharedForecast

GAME = Game(num_arms=3, num_steps=12)
AGENTS = Population([AgentFamily(UCB)], num_arms=3).sample(range(8), split="val")


def build(world_model):
    torch.manual_seed(0)
    architecture = Architecture(hidden_size=4, policy_size=4, world_model=world_model)
    return MermaideModule(GAME, architecture, NoAdaptation()).eval()


def test_the_return_of_a_candidate_is_that_after_its_step():
    module = build(SharedForecast(size=4))
    *_, tried = choose_inner_loop(module, AGENTS, rates=[0.0, 0.5], policy_weights=[1.0, 0.05])
    assert [(row["inner_lr"], row["inner_policy_weight"]) for row in tried] == [
        (0.0, 0.0),
        (0.5, 1.0),
        (0.5, 0.05),
    ]
    for row in tried[1:]:
        other = build(SharedForecast(size=4))
        weights, share = other.principal.weights(), row["inner_policy_weight"]
        other.inner_loop = GradientAdaptation(0.5, learn_inner_lr=False).build(weights)
        other.objective = replace(other.objective, inner_policy_weight=share)
        player = adapted_player(other, 1)(AGENTS)
        played = rollout(AGENTS, player, GAME, stream=Stream.SCORE, num_episodes=2)
        assert row["val_return"] == pytest.approx(played.returns.mean().item())
    assert tried[1]["val_return"] != tried[2]["val_return"]


@pytest.mark.parametrize("best", range(3))
def test_the_best_is_taken(monkeypatch, best):
    returns = iter([0.5 if number == best else 0.25 for number in range(3)])

    class Played:
        @property
        def returns(self):
            return torch.tensor([next(returns)])

    module = build(SharedForecast(size=4))
    monkeypatch.setattr(module, "scored_episodes", lambda *_: Played())
    inner_loop, objective, _ = choose_inner_loop(
        module, AGENTS, rates=[0.0, 0.5], policy_weights=[1.0, 0.05]
    )
    assert inner_loop.num_shots == (1 if best else 0)
    assert objective.inner_policy_weight == [0.0, 1.0, 0.05][best]
    assert module.inner_loop.num_shots == module.objective.inner_policy_weight == 0


def test_without_a_world_model_only_the_rate_is_chosen():
    *_, tried = choose_inner_loop(
        build(NoWorldModel()), AGENTS, rates=[0.0, 0.1], policy_weights=[1.0, 0.05]
    )
    assert [row["inner_lr"] for row in tried] == [0.0, 0.1]
