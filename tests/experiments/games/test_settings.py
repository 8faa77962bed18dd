from mermaide_pl.agents import GaussianReward
from mermaide_pl.experiments.games import settings
from mermaide_pl.experiments.games.settings import Setting, columns, groups, varied
from mermaide_pl.game import Game
from mermaide_pl.populations import packaged


def test_the_default_is_the_default_game_with_its_agents():
    assert Setting().game == Game()
    population = packaged("unseen_ucb")
    assert Setting().agents(population) == population


def test_numbers_reach_game_and_agents():
    setting = Setting(4, 50, 0.25, 3.0, 0.5)
    assert setting.game == Game(num_arms=4, num_steps=50, cost=0.25, bonuses=(0.0, 3.0))
    agents = setting.agents(packaged("train_universal"))
    assert (agents.reward_model, agents.games) == (GaussianReward(0.5), None)
    assert Setting.of_row({**columns(setting), "method": "burst"}) == setting


def test_groups_hold_as_many_games_as_their_values_have():
    assert {name: len(each) for name, each in groups().items()} == {
        "one number at a time": 14,
        "arms × steps": 15,
        "cost × bonus": 12,
        "random combinations": 20,
    }
    lines = groups()["one number at a time"]
    assert all(
        sum(getattr(one, name) != getattr(Setting(), name) for name in settings.VALUES) <= 1
        for one in lines
    )
    assert varied(["cost"]) == [Setting(cost=cost) for cost in (0.1, 0.25, 0.5, 1.0)]


def test_random_combinations_are_the_same_each_time_and_in_no_other_group():
    *others, drawn = groups().values()
    assert drawn == groups()["random combinations"]
    assert len(set(drawn)) == 20
    assert not set(drawn) & {setting for group in others for setting in group}
    assert {columns(setting)["random_seed"] for setting in drawn} == {settings.RANDOM_SEED}
    assert columns(Setting())["random_seed"] == ""
