import math

import numpy as np

from mermaide_pl.reporting.figures import draw_games

VALUES = {
    "num_arms": (2, 10),
    "num_steps": (50, 200),
    "cost": (0.1, 0.5),
    "bonus": (1.0,),
    "reward_noise": (0.1,),
}
DEFAULT = {"num_arms": 10, "num_steps": 200, "cost": 0.5, "bonus": 1.0, "reward_noise": 0.1}


def row(mean, method="principal", shots=1, defined=7, **numbers):
    return {
        **DEFAULT,
        **numbers,
        "method": method,
        "shots": shots,
        "num_populations": 7,
        "num_defined": defined,
        "normalised_return_mean": mean,
        "normalised_return_low": math.nan,
        "normalised_return_high": math.nan,
    }


def rows():
    yield from (row(0.5), row(0.4, shots=0), row(0.3, "burst", 0))
    for numbers in ({"num_arms": 2}, {"num_steps": 50}, {"cost": 0.1}):
        for method, shots, mean in (
            ("principal", 1, 0.8),
            ("principal", 0, 0.7),
            ("burst", 0, 0.6),
        ):
            yield row(mean, method, shots, 4 if "cost" in numbers else 7, **numbers)
    yield row(0.1, num_arms=2, num_steps=50)
    yield row(-9.0, num_arms=2, cost=0.1)  # of no panel


def test_maps_and_lines():
    figure = draw_games([*rows()], DEFAULT, VALUES)
    above, below = figure.subfigs
    arms, prices = above.axes[:2]
    np.testing.assert_allclose(arms.images[0].get_array(), [[0.1, 0.8], [0.8, 0.5]])
    assert [text.get_text() for text in arms.texts] == ["0.10", "0.80", "0.80", "0.50"]
    assert [text.get_text() for text in prices.texts] == ["0.80\n(4)", "0.50"]
    assert [label.get_text() for label in arms.get_yticklabels()] == ["50", "200"]
    assert len(below.axes) == len(VALUES)
    drawn = {line.get_label(): line for line in below.axes[0].lines}
    assert set(drawn) == {"oracle", "principal, 1 shot", "principal, 0 shots", "burst"}
    np.testing.assert_allclose(drawn["principal, 1 shot"].get_ydata(), [0.8, 0.5])
    np.testing.assert_allclose(drawn["burst"].get_ydata(), [0.6, 0.3])
    assert "brackets" in above.get_suptitle()
