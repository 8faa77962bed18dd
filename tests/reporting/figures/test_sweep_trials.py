import numpy as np

from mermaide_pl.reporting.figures.sweep_trials import draw_sweep

ROWS = [
    {"trial": 0, "state": "done", "val/return": 0.3, "rate": 0.01, "inner": "m.NoAdaptation"},
    {"trial": 1, "state": "pruned", "val/return": 0.1, "rate": 0.1, "inner": "m.Other"},
    {"trial": 2, "state": "done", "val/return": 0.2, "rate": 0.02, "inner": "m.Other"},
    {"trial": 3, "state": "failed", "val/return": "", "rate": 0.5, "inner": "m.Other"},
    {"trial": 4, "state": "done", "val/return": 0.4, "rate": 0.03, "inner": "m.Other"},
]
PARAMETERS = {"rate": "meta_lr", "inner": "adaptation"}


def points(collection) -> list[list[float]]:
    return np.round(collection.get_offsets(), 9).tolist()


def test_values_by_trial_with_the_best_so_far():
    axes = draw_sweep(ROWS, "val/return", PARAMETERS).axes[0]
    done, pruned = axes.collections
    assert points(done) == [[0, 0.3], [2, 0.2], [4, 0.4]]
    assert points(pruned) == [[1, 0.1]]
    (best,) = axes.lines
    assert list(best.get_xdata()) == [0, 2, 4]
    assert list(best.get_ydata()) == [0.3, 0.3, 0.4]


def test_the_best_may_be_the_least():
    figure = draw_sweep(ROWS, "val/return", PARAMETERS, maximises=False)
    assert list(figure.axes[0].lines[0].get_ydata()) == [0.3, 0.2, 0.2]


def test_values_against_each_parameter():
    _, rate, inner = draw_sweep(ROWS, "val/return", PARAMETERS, logarithmic={"rate"}).axes[:3]
    assert rate.get_xscale() == "log"
    assert rate.get_xlabel() == "meta_lr"
    assert points(rate.collections[0]) == [[0.01, 0.3], [0.02, 0.2], [0.03, 0.4]]
    assert inner.get_xscale() == "linear"
    labels = [label.get_text() for label in inner.get_xticklabels()]
    assert labels == ["No\nAdaptation", "Other"]


def test_a_search_of_which_nothing_is_done_can_be_drawn():
    figure = draw_sweep([ROWS[3]], "val/return", PARAMETERS, logarithmic={"rate"})
    figure.canvas.draw()
    assert not figure.axes[0].collections
