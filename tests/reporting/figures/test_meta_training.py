from typing import Any

import pytest

from mermaide_pl.reporting.figures import draw_meta_training


def landscape() -> list[dict]:
    def point(kind: str, x: float, y: float, payoff: float) -> dict:
        place = {"kind": kind, "x": x, "y": y, "share_x": 0.75, "share_y": 0.2}
        return place | {"payoff": payoff, "equilibrium_payoff": 0.5}

    # payoff grows to the right only
    grid = [point("grid", x, y, x / 10.0) for y in (-1.0, 0.0, 1.0) for x in (-3.0, -1.0, 1.0, 3.0)]
    return [
        *grid,
        point("path", -2.0, -0.5, 0.1),
        point("path", -1.0, 0.5, 0.2),
        point("path", 0.0, 0.0, 0.3),
    ]


def progress() -> list[dict]:
    return [
        {
            "method": method,
            "shots": shots,
            "agent_steps": steps,
            "payoff_mean": payoff,
            "payoff_low": payoff - 0.1,
            "payoff_high": payoff + 0.1,
            "rate_mean": rate,
            "rate_low": rate - 0.2,
            "rate_high": rate + 0.2,
            "equilibrium_payoff": 0.4,
            "equilibrium_rate": 0.6,
        }
        for method, shots, payoffs, rates in (
            ("mermaide", 0, (0.1, 0.2), (0.3, 0.4)),
            ("mermaide", 1, (0.1, 0.4), (0.5, 0.6)),
            ("reinforce", 0, (0.0, 0.3), (0.9, 0.7)),
        )
        for steps, payoff, rate in zip((0, 1_000_000), payoffs, rates, strict=True)
    ]


@pytest.fixture(scope="module")
def panels() -> dict[str, Any]:
    figure = draw_meta_training(landscape(), progress())
    figure.draw_without_rendering()
    parts = [axes for part in figure.subfigs for axes in part.axes]
    return dict(zip(("landscape", "bar", "payoff", "rate"), parts, strict=True))


def test_the_path_runs_from_start_to_end(panels) -> None:
    path, start, end = panels["landscape"].lines
    assert list(path.get_xdata()) == [-2.0, -1.0, 0.0]
    assert list(path.get_ydata()) == [-0.5, 0.5, 0.0]
    assert (list(start.get_xdata()), list(start.get_ydata())) == ([-2.0], [-0.5])
    assert (list(end.get_xdata()), list(end.get_ydata())) == ([0.0], [0.0])
    texts = {text.get_text(): text.xy for text in panels["landscape"].texts}
    assert texts == {"start": (-2.0, -0.5), "end": (0.0, 0.0)}


def test_contours_follow_the_share_of_the_equilibrium(panels) -> None:
    lines = panels["landscape"].collections[1]  # below the lines, the filled contours
    number = list(lines.levels).index(pytest.approx(0.2))
    # linear between grid points, so the line of 0.2 is where x is 1
    vertices = lines.get_paths()[number].vertices
    assert vertices[:, 0].tolist() == pytest.approx([1.0] * len(vertices))
    assert (vertices[:, 1].min(), vertices[:, 1].max()) == (-1.0, 1.0)


def test_axes_say_how_much_of_the_path_they_show(panels) -> None:
    axes = panels["landscape"]
    assert axes.get_xlabel() == "first principal direction (75% of variance)"
    assert axes.get_ylabel() == "second direction (20%)"
    assert panels["bar"].get_ylabel() == "payoff after 1 episode\n(share of the equilibrium's)"


@pytest.mark.parametrize(
    ("panel", "ends", "equilibrium"),
    [("payoff", [0.2, 0.4, 0.3], 0.4), ("rate", [0.4, 0.6, 0.7], 0.6)],
)
def test_progress_of_every_method_beside_the_equilibrium(panels, panel, ends, equilibrium) -> None:
    yardstick, *lines = panels[panel].lines
    assert list(yardstick.get_ydata()) == [equilibrium] * 2
    labels = ["MERMAIDE, 0 shots", "MERMAIDE, 1 shot", "REINFORCE, 0 shots"]
    assert [line.get_label() for line in lines] == labels
    assert [line.get_ydata()[-1] for line in lines] == ends
    assert [list(line.get_xdata()) for line in lines] == [[0, 1_000_000]] * 3
    assert panels[panel].texts[0].get_text() == "equilibrium"


def test_bands_are_the_intervals(panels) -> None:
    band = panels["rate"].collections[1].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.3)
    assert band[:, 1].max() == pytest.approx(0.8)


def test_panels_are_lettered_and_named(panels) -> None:
    drawn = [panels[name] for name in ("landscape", "payoff", "rate")]
    assert [axes.get_title(loc="left") for axes in drawn] == ["(a)", "(b)", "(c)"]
    assert panels["payoff"].get_ylabel() == "payoff\n(reward units per step)"
    assert panels["rate"].get_ylabel() == "interventions / T"
    assert panels["rate"].get_xlabel() == "agent steps of meta-training"
