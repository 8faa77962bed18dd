import pytest

from mermaide_pl.evaluation.methods import PRINCIPAL
from mermaide_pl.metrics.intervals import Estimate
from mermaide_pl.reporting.figures import draw_choice_engineering

LABELS = {"a": "model A", "people": "people"}


def test_three_panels_show_the_rows():
    forecasts = [
        {"model": "a", "split": split, **Estimate(mean, -0.7, -0.5).columns("log_probability")}
        for split, mean in (("people", -0.55), ("schedules", -0.65))
    ]
    biases = [
        {"model": model, "schedule": number, "bias_mean": bias}
        for model, values in (("people", (0.5, 0.6)), ("a", (0.55, 0.7)))
        for number, bias in enumerate(values)
    ]
    principals = [
        {"model": "a", "method": method, "shots": shots, "bias_mean": bias}
        for method, shots, bias in (("schedule", 0, 0.6), (PRINCIPAL, 0, 0.7), (PRINCIPAL, 1, 0.8))
    ]
    published = {"A's": ("model A", -0.6), "others'": ("", -0.5)}
    figure = draw_choice_engineering(forecasts, published, biases, principals, LABELS)
    left, middle, right = figure.axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["model A", "others'"]
    (crosses,) = (line for line in left.lines if line.get_label() == "published")
    assert crosses.get_xydata().tolist() == [[-0.6, 0.0], [-0.5, -1.0]]
    assert middle.lines[0].get_xydata().flatten().tolist() == pytest.approx([50, 55, 60, 70])
    found = {line.get_label(): line.get_ydata()[0] for line in right.lines}
    assert found == pytest.approx(
        {"schedules": 60.0, "principal, 0 shots": 70.0, "principal, 1 shot": 80.0}
    )
