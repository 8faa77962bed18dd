from dataclasses import replace

import pytest
import torch

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import packaged
from mermaide_pl.principals import (
    GreedyPlayer,
    MisinformedPrincipal,
    UniversalArchitecture,
)

GAME = Game(num_arms=4, num_steps=30)
SHORT = replace(GAME, max_interventions=5)


@pytest.fixture
def principal():
    torch.manual_seed(7)  # intervenes at some steps
    small = UniversalArchitecture(hidden_size=8, policy_size=8, critic_size=8, forecast_size=4)
    made = small.build(SHORT)
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(std=1.0)
    return made


def play(principal, game):
    tasks = packaged("unseen_ucb").sample(range(8), split="test", game=game)
    player = GreedyPlayer(principal, principal.weights())
    return rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=2)


def test_it_plays_as_without_a_budget_until_it_is_cut_off(principal):
    free = play(principal, GAME)
    cut_off = play(MisinformedPrincipal(principal, GAME), SHORT)
    spent = (free.levels > 0).cumsum(2)
    before = spent <= 5  # equal past up to the first level that the budget forbids
    assert torch.equal(cut_off.levels[before], free.levels[before])
    assert ((cut_off.levels > 0).sum(2) == spent[..., -1].clamp(max=5)).all()
    assert 5 < spent[..., -1].max() < 30
    assert not torch.equal(play(principal, SHORT).levels, cut_off.levels)


def test_the_forward_pass_is_that_in_the_game_it_is_told(principal):
    misinformed = MisinformedPrincipal(principal, GAME)
    played = play(misinformed, SHORT)
    with torch.no_grad():
        told = misinformed(misinformed.weights(), played)
        free = principal(principal.weights(), replace(played, game=GAME))
        aware = principal(principal.weights(), played)
    assert torch.equal(told.level_logits, free.level_logits)
    assert not torch.equal(told.level_logits, aware.level_logits)


def test_games_of_other_sizes_are_refused(principal):
    with pytest.raises(ValueError, match="num_arms is 4 in the game played, 3 in the one told"):
        MisinformedPrincipal(principal, Game(num_arms=3, num_steps=30))
