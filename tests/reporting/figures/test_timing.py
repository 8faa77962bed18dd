import numpy as np

from mermaide_pl.reporting.figures import draw_timing

# interventions and alignment of two steps; b acts by the bonus it sees
SHARES = {"a_b": ([1.0, 0.25], [0.5, 0.75]), "b": ([0.0, 1.0], [0.0, 1.0])}
ROWS = [
    {
        "population": population,
        "step": step + 1,
        **{
            f"{quantity}_{bound}": values[step] + shift
            for quantity, values in zip(("intervention_rate", "alignment"), both, strict=True)
            for bound, shift in (("mean", 0.0), ("low", -0.125), ("high", 0.0625))
        },
    }
    for population, both in SHARES.items()
    for step in range(2)
]


def test_one_panel_for_each_population_with_both_lines():
    figure = draw_timing(ROWS)
    assert [axes.get_title() for axes in figure.axes] == ["a b", "b"]
    for axes, (interventions, alignment) in zip(figure.axes, SHARES.values(), strict=True):
        aligned, intervened = axes.lines
        assert intervened.get_xydata().tolist() == [[1, interventions[0]], [2, interventions[1]]]
        assert aligned.get_xydata().tolist() == [[1, alignment[0]], [2, alignment[1]]]


def test_bands_are_the_intervals():
    aligned, intervened = draw_timing(ROWS).axes[0].collections
    for band, mean in ((aligned, 0.75), (intervened, 0.25)):
        vertices = band.get_paths()[0].vertices
        heights = vertices[vertices[:, 0] == 2][:, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [mean - 0.125, mean + 0.0625])


def test_equal_lines_are_both_seen():
    aligned, intervened = draw_timing(ROWS).axes[1].lines
    assert aligned.get_ydata().tolist() == intervened.get_ydata().tolist()
    assert aligned.get_linewidth() > intervened.get_linewidth()
    assert aligned.get_zorder() == intervened.get_zorder()  # then the later one is on top
    assert aligned.get_color() != intervened.get_color()


def test_lines_and_axes_are_named():
    figure = draw_timing(ROWS)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["target pulled", "intervention"]
    assert figure.get_supxlabel() == "step t"
    assert figure.get_supylabel() == "share of episodes"
