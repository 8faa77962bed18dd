from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.runtime.run_settings import differences
from mermaide_pl.runtime.run_summary import setting_rows


def test_settings_by_hand():
    spec = {
        "game": {
            "class_path": "mermaide_pl.game.Game",
            "init_args": {
                "bonuses": [0.0, 1.0],
                "observation": {"class_path": "a.Partial", "init_args": {"arm_flip": 0.5}},
            },
        },
        "optimizer": {"type": "torch.optim.SGD"},
        "arguments": {"momentum": 0.9, "nesterov": True},
        "nothing": None,
        "empty": {},
        "num_episodes": 4,
    }
    assert list(setting_rows(spec).items()) == [
        ("game", "Game"),
        ("game.bonuses", "0.0, 1.0"),
        ("game.observation", "Partial"),
        ("game.observation.arm_flip", 0.5),
        ("optimizer", "SGD"),
        ("arguments.momentum", 0.9),
        ("arguments.nesterov", "yes"),
        ("nothing", "none"),
        ("num_episodes", 4),
    ]


def test_every_setting_of_a_module_is_one_number_or_text():
    rows = setting_rows(MermaideModule().spec)
    assert rows["game.cost"] == MermaideModule().game.cost
    assert rows["adaptation.inner_optimizer"] == "SGD"
    assert {type(value) for value in rows.values()} == {int, float, str}


def test_the_order_of_names_is_no_difference():
    ours, theirs = (
        {"families": [{"beta": {"init_args": names}}]}
        for names in ({"low": 0.1, "log": False}, {"log": False, "low": 0.1})
    )
    assert differences(theirs, ours) == {}
    theirs["families"][0]["beta"]["init_args"]["low"] = 0.2
    assert set(differences(theirs, ours)) == {"families"}
