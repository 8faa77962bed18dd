"""The principal of the example plays as it is trained, adapts, and learns."""

import re

import pytest
import torch

from examples import own_principal
from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.support import play_support
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import GreedyPlayer, LearnedPlayer

GAME = Game(num_arms=4, num_steps=12)
TASKS = Population([AgentFamily(UCB)], num_arms=4).sample(range(3), split="train")


@pytest.fixture
def principal():
    torch.manual_seed(0)
    return own_principal.WindowPrincipal(GAME, window=3, hidden_size=5)


@pytest.mark.parametrize("fast", [False, True], ids=["meta weights", "fast weights"])
@pytest.mark.parametrize("player_class", [LearnedPlayer, GreedyPlayer])
def test_it_plays_by_the_logits_that_it_learns_from(player_class, fast, principal, monkeypatch):
    weights = principal.weights()
    if fast:
        weights = {name: torch.randn(3, *weight.shape) for name, weight in weights.items()}
    logits, step = [], principal.step

    def recorded(*arguments):
        logits.append(step(*arguments)[1:])
        return step(*arguments)

    monkeypatch.setattr(principal, "step", recorded)
    played = rollout(
        TASKS, player_class(principal, weights), GAME, stream=Stream.SCORE, num_episodes=2
    )
    output = principal(weights, played)
    level_logits, arm_logits = (torch.stack(each, dim=2) for each in zip(*logits, strict=True))
    torch.testing.assert_close(level_logits, output.level_logits, rtol=0.0, atol=1e-5)
    torch.testing.assert_close(arm_logits, output.arm_logits, rtol=0.0, atol=1e-5)
    if player_class is GreedyPlayer:
        assert torch.equal(played.levels, output.level_logits.argmax(-1))


def test_every_weight_of_it_adapts(principal):
    inner_loop = GradientAdaptation().build(principal.weights())
    support = play_support(principal, inner_loop, TASKS, 1)
    weights, output = adapt(principal, inner_loop, Objective(), support)
    after = principal(weights, support)
    assert (after.log_arms.mean((1, 2)) > output.log_arms.mean((1, 2))).all()
    for name, weight in principal.weights().items():
        assert (weights[name] - weight).flatten(1).abs().amax(1).min() > 0.0


@pytest.mark.slow
def test_it_gains_over_no_intervention_and_its_beginning(capsys):
    own_principal.main()
    found = re.findall(r"(.+): return (\S+) before training, (\S+) after", capsys.readouterr().out)
    returns = {name: (float(before), float(after)) for name, before, after in found}
    nobody, _ = returns["no intervention"]
    for name in ("0 shots", "1 shot"):
        before, after = returns[name]
        assert abs(before - nobody) < 0.1
        assert after > max(before, nobody) + 0.2
