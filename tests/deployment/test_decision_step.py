"""One step with its state outside decides as a live principal does."""

import pytest
import torch
from decision_episodes import GAMES, largest_difference, live_in, numbers_of

from mermaide_pl import LivePrincipal, MermaideModule
from mermaide_pl.deployment.decision_step import DecisionStep
from mermaide_pl.game import CHOICE_ENGINEERING, FullInformation, Game
from mermaide_pl.meta_learning import AdaptationWithinEpisodes, GradientAdaptation
from mermaide_pl.principals import (
    Architecture,
    LastStep,
    LinearForecast,
    MinGRU,
    NoWorldModel,
    UniversalArchitecture,
)

SPECIALISED = {
    "partial": Architecture(6, 5),
    "last step, linear": Architecture(6, 5, history=LastStep(), world_model=LinearForecast()),
    "no world model": Architecture(6, 5, world_model=NoWorldModel()),
    "minGRU": Architecture(6, 5, recurrence=MinGRU()),
}
GAME = Game(num_arms=4, num_steps=12, bonuses=(0.0, 0.4, 1.0), max_interventions=5)


def module_of(architecture, game=GAME, **settings) -> MermaideModule:
    torch.manual_seed(8)
    module = MermaideModule(game=game, architecture=architecture, engine="torch", **settings)
    with torch.no_grad():
        for name, weight in module.principal.named_parameters():
            if "out" in name or "arm_" in name:
                weight.mul_(20.0)  # strong preferences
    return module.eval()


def by(module: MermaideModule):
    """Decides by the module, outputs by name."""
    step = DecisionStep(module).eval()

    @torch.no_grad()
    def decide(inputs):
        decision = step(**inputs)._asdict()
        return {name: value.numpy() for name, value in decision.items() if value is not None}

    return decide


@pytest.mark.parametrize("name", GAMES)
def test_a_universal_principal_in_every_game(name):
    live = live_in(GAMES[name])
    assert largest_difference(live, by(live.module), numbers_of(live)) < 1e-5


def test_a_universal_principal_of_another_recurrence():
    module = module_of(UniversalArchitecture(hidden_size=6, recurrence=MinGRU()))
    live = LivePrincipal(module, num_steps=30)
    assert largest_difference(live, by(module), numbers_of(live)) < 1e-5


@pytest.mark.parametrize("name", SPECIALISED)
def test_specialised_principals(name):
    module = module_of(SPECIALISED[name])
    assert largest_difference(LivePrincipal(module, target_arm=2), by(module), {}) < 1e-5


@pytest.mark.parametrize(
    "game", [Game(4, 12, observation=FullInformation()), CHOICE_ENGINEERING], ids=str
)
def test_specialised_principals_in_other_games(game):
    module = module_of(Architecture(6, 5), game)
    assert largest_difference(LivePrincipal(module, target_arm=1), by(module), {}) < 1e-5


def test_learners_of_one_call_do_not_mix():
    """One begins while another is in its fourth step, in another game."""
    live = live_in(GAMES["ten arms"])
    step = DecisionStep(live.module).eval()
    generator = torch.Generator().manual_seed(0)
    both = {
        "step": torch.tensor([0, 3]),
        "arm": torch.tensor([4, 2]),
        "level": torch.tensor([1, 0]),
        "agent_reward": torch.tensor([0.3, 0.6]),
        "hidden": torch.randn(2, 64, generator=generator),
        "arm_tallies": torch.tensor([1.0, 0.5, 0.7]).expand(2, 10, 3),
        "totals": torch.ones(2, 3),
        "bonuses": torch.tensor([[0.0, 1.0], [0.0, 2.0]]),
        "cost": torch.tensor([0.5, 0.1]),
        "num_steps": torch.tensor([100.0, torch.inf]),
        "max_interventions": torch.tensor([torch.inf, 7.0]),
        "full_information": torch.tensor([True, False]),
    }
    with torch.no_grad():
        together = step(**both)
        for row in range(2):
            alone = step(**{name: value[row : row + 1] for name, value in both.items()})
            for one, two in zip(alone, together, strict=True):
                torch.testing.assert_close(one[0], two[row])


def test_gradient_steps_within_the_episode_are_refused():
    module = module_of(
        Architecture(6, 5),
        adaptation=AdaptationWithinEpisodes(every=4, between=GradientAdaptation()),
    )
    with pytest.raises(ValueError, match="AdaptationWithinEpisodes takes gradient steps"):
        DecisionStep(module)


def test_the_numbers_of_the_game_are_needed():
    live = live_in(GAMES["ten arms"])
    with pytest.raises(ValueError, match="numbers of the game are missing"):
        largest_difference(live, by(live.module), {})
