"""The choice of an engine, and what the native one hands on."""

import copy
import pickle

import pytest
import torch

from mermaide_pl.agents import UCB, BetaThompson
from mermaide_pl.engines import NativeEngine, Stream, TorchEngine, choose_engine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    GRU,
    Architecture,
    GreedyPlayer,
    MinGRU,
    NoIntervention,
    Principal,
)

GAME = Game(num_arms=3, num_steps=6)


class Recording(TorchEngine):
    """Notes what is asked of it."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def play(self, *arguments):
        self.asked.append("play")
        return super().play(*arguments)

    def forward(self, *arguments):
        self.asked.append("forward")
        return super().forward(*arguments)


def sample(rule=UCB):
    return Population([AgentFamily(rule)], num_arms=3).sample(range(4), split="test")


def play(engine, player, tasks=None):
    return rollout(
        tasks or sample(), player, GAME, stream=Stream.SCORE, num_episodes=2, engine=engine
    )


def test_engines_by_name():
    assert type(choose_engine("torch")) is TorchEngine
    assert type(choose_engine("auto")) is type(choose_engine("native")) is NativeEngine
    with pytest.raises(ValueError, match="engine must be one of auto, torch, native, got 'gpu'"):
        choose_engine("gpu")


def test_the_native_engine_hands_on_what_it_does_not_cover():
    fallback = Recording()
    engine = NativeEngine(fallback)
    known, own = (Principal(Architecture(4, 4, recurrence=r), GAME) for r in (GRU(), MinGRU()))
    played = play(engine, GreedyPlayer(known, known.weights()))
    engine.forward(known, known.weights(), played)
    assert fallback.asked == []
    play(engine, GreedyPlayer(own, own.weights()))
    output = engine.forward(own, own.weights(), played)
    play(engine, NoIntervention(), sample(BetaThompson))
    assert fallback.asked == ["play", "forward", "play"]
    assert torch.equal(output.level_logits, own(own.weights(), played).level_logits)
    assert engine.describe(known).startswith("native, ")
    assert engine.describe(own).startswith("torch, on cpu: the native engine does not support")


def test_both_engines_give_the_same():
    torch.manual_seed(0)
    principal = Principal(Architecture(4, 4), GAME)
    player = GreedyPlayer(principal, principal.weights())
    engines = choose_engine("native"), TorchEngine()
    native, reference = (play(engine, player) for engine in engines)
    assert torch.equal(native.arms, reference.arms)
    outputs = [engine.forward(principal, principal.weights(), native) for engine in engines]
    torch.testing.assert_close(outputs[0].level_logits, outputs[1].level_logits)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_an_engine_can_be_copied_to_another_process(again):
    principal = Principal(Architecture(4, 4), GAME)
    player = GreedyPlayer(principal, principal.weights())
    for name in ("torch", "auto"):
        engine = choose_engine(name)
        assert torch.equal(play(again(engine), player).arms, play(engine, player).arms)
