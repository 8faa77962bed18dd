import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from mermaide_pl import LiveFleet, LivePrincipal, MermaideModule
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.principals import UniversalArchitecture

ARMS = ["blue", "green", "red"]


def universal() -> MermaideModule:
    torch.manual_seed(3)
    module = MermaideModule(Game(4, 6), UniversalArchitecture(6, 5, 5, 4), engine="torch")
    for weight in module.principal.parameters():
        weight.data += 0.7 * torch.randn_like(weight)
    return module.eval()


def play(live: LivePrincipal, arms: list[object], rewards: list[float] | None = None) -> list[int]:
    levels = []
    for step, arm in enumerate(arms):
        levels.append(live.intervene())
        live.observe(arm, *([] if rewards is None else [rewards[step]]))
    return levels


def test_a_universal_principal_plays_the_game_it_is_told():
    live = LivePrincipal(
        universal(), arms=ARMS, target="red", cost=0.2, bonuses=(0.0, 0.3, 0.5), num_steps=50
    )
    game = live.game
    assert (game.num_arms, game.num_steps, game.cost, game.bonuses) == (3, 50, 0.2, (0, 0.3, 0.5))
    assert not game.endless
    assert live.forecast().shape == (3, 3)
    assert live.target_arm == 2


def test_without_a_number_of_steps_it_plays_on():
    live = LivePrincipal(universal(), arms=ARMS, sampling_seed=1)
    assert live.game.endless
    play(live, [ARMS[number % 3] for number in range(1100)])
    live.end_episode()
    assert live.adapt() == 1


def test_random_numbers_do_not_depend_on_how_many_are_drawn(monkeypatch):
    arms = [ARMS[number % 2] for number in range(40)]
    once = play(LivePrincipal(universal(), arms=ARMS, sampling_seed=1), arms)
    monkeypatch.setattr("mermaide_pl.deployment.live._FIRST_DRAWS", 3)
    assert play(LivePrincipal(universal(), arms=ARMS, sampling_seed=1), arms) == once
    assert len(set(once)) == 2


def test_labels_stand_for_positions():
    by_label = LivePrincipal(universal(), arms=ARMS, target="green", num_steps=30)
    by_position = LivePrincipal(universal(), arms=range(3), target_arm=1, num_steps=30)
    pulls = [number % 3 for number in range(30)]
    assert play(by_label, [ARMS[pull] for pull in pulls]) == play(by_position, pulls)


def test_rewards_are_observed_if_they_are_said_to_be():
    live = LivePrincipal(universal(), arms=ARMS, full_information=True)
    assert isinstance(live.game.observation, FullInformation)
    play(live, ["red"], [0.5])
    live.intervene()
    with pytest.raises(ValueError, match="give agent_reward too"):
        live.observe("red")


def test_a_saved_one_resumes_in_its_game(tmp_path):
    path, live = tmp_path / "agent.live", LivePrincipal(universal(), arms=ARMS, target="red")
    play(live, [*ARMS, *ARMS])
    live.save(path)
    loaded = LivePrincipal.load(path, target="red", arms=ARMS)
    assert loaded.game == live.game
    assert play(loaded, ARMS) == play(live, ARMS)
    with pytest.raises(ValueError, match="saved with target = red, got blue; it cannot change"):
        LivePrincipal.load(path, target="blue")


FOREIGN = {
    "numpy": {
        "arms": np.array(["blue", "green", "red"]),
        "target": np.str_("red"),
        "bonuses": np.array([0.0, 0.5]),
        "cost": np.float32(0.25),
        "num_steps": np.int64(30),
        "max_interventions": np.int32(9),
        "full_information": np.False_,
    },
    "integers": {"arms": np.array([10, 20, 30]), "target": np.int64(20)},
    "torch": {"bonuses": torch.tensor([0.0, 0.5]), "cost": torch.tensor(0.25)},
    "position": {"target_arm": np.int64(2)},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_numbers_of_other_libraries_are_saved_and_described(name, tmp_path):
    settings, path = FOREIGN[name], tmp_path / "agent.live"
    live = LivePrincipal(universal(), **settings)
    pulled = settings.get("arms", np.arange(4))[1]
    play(live, [pulled] * 3)
    live.save(path)
    loaded = LivePrincipal.load(path)
    assert (loaded.game, loaded.target_arm) == (live.game, live.target_arm)
    assert play(loaded, [pulled]) == play(live, [pulled])
    fleet, twin = LiveFleet(universal()), LiveFleet(universal())
    fleet.add("ann", **settings)
    twin.restore("ann", json.loads(json.dumps(fleet.describe("ann"))))
    assert twin.game("ann") == fleet.game("ann") == live.game


def test_with_a_number_of_steps_the_end_is_known():
    module = universal()
    module.game = replace(module.game, endless=True)
    assert LivePrincipal(module).game.endless
    told = LivePrincipal(module, num_steps=9).game
    assert (told.endless, told.num_steps) == (False, 9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arms": "red"}, "two or more different texts or integers, got 'red'"),
        ({"arms": ["red"]}, "two or more different"),
        ({"arms": ["red", "red"]}, "two or more different"),
        ({"arms": [0.5, 1.5]}, "two or more different"),
        ({"arms": ARMS, "target": "pink"}, "target must be one of blue, green, red, got 'pink'"),
        ({"target": 4}, "target must be a whole number from 0 to 3, got 4"),
        ({"num_steps": 0}, "num_steps must be a whole number from 1 to 10000000, got 0"),
        ({"bonuses": [0.5]}, "Game.bonuses must start with 0"),
        ({"bonuses": 0.5}, "bonuses must be a list of numbers, got 0.5"),
        ({"bonuses": "01"}, "bonuses must be a list of numbers, got '01'"),
        ({"bonuses": (0.0, "1")}, "bonuses must be a finite number, got '1'"),
        ({"bonuses": (0.0, 2.0, 1.0)}, "Game.bonuses must be in rising order"),
        ({"cost": -1.0}, "cost must be a finite number and at least 0"),
        ({"cost": "a"}, "cost must be a finite number .* got 'a'"),
        ({"full_information": "no"}, "full_information must be True or False, got 'no'"),
        ({"arms": 3}, "two or more different texts or integers, got 3"),
        ({"arms": np.array(3)}, "two or more different texts or integers, got array"),
        ({"arms": [True, False]}, "two or more different texts or integers"),
        ({"bonuses": np.array(0.5)}, "bonuses must be a list of numbers, got array"),
        ({"cost": torch.tensor([0.5, 0.6])}, "cost must be a finite number"),
        ({"target_arm": True}, "target_arm must be a whole number"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LivePrincipal(universal(), **settings)


def test_a_principal_for_one_game_refuses_another():
    module = MermaideModule(Game(4, 6), engine="torch")
    with pytest.raises(ValueError, match=r"for games of 4 arms.*not of 3 arms.*universal"):
        LivePrincipal(module, arms=ARMS)
    with pytest.raises(ValueError, match=r"not of 4 arms, 6 steps, bonuses 0, 1, cost 0\.1"):
        LivePrincipal(module, cost=0.1)
    assert LivePrincipal(module, arms=["a", "b", "c", "d"], target="d").target_arm == 3
