import pytest

from mermaide_pl.evaluation.tables import QUANTITIES, interval_text, method_label, print_table


def test_a_learned_method_is_named_with_its_shots():
    assert method_label({"method": "principal", "shots": 2}) == "principal 2-shot"
    assert method_label({"method": "none", "shots": 0}) == "no intervention"


@pytest.mark.parametrize(
    ("mean", "low", "high", "text"),
    [
        (0.3694, 0.354, 0.386, "0.369 ± 0.016"),
        (-0.25, -0.5, 0.0, "-0.250 ± 0.250"),
        (12.34, 10.0, 15.0, "12.3 ± 2.5"),
    ],
)
def test_half_of_the_interval_stands_behind_the_mean(mean, low, high, text):
    row = {"return_mean": mean, "return_low": low, "return_high": high}
    assert interval_text(row, "return") == text


def test_names_appear_literally(capsys):
    numbers = {f"{name}_{bound}": 0.5 for name in QUANTITIES for bound in ("mean", "low", "high")}
    names = ["a[/b]", "[bold red]x", ":smile:"]
    print_table(
        [
            {"population": f"{name}\x1b[1m", "method": name, "num_agents": 4, **numbers}
            for name in names
        ]
    )
    shown = capsys.readouterr().out
    for name in names:
        assert f"{name}\\x1b[1m: mean" in shown
        assert f"\n {name} " in shown or f"\n{name} " in shown
