"""Findings and pages of a comparison, worked by hand."""

import math

import pandas as pd

from mermaide_pl.experiments.comparison.summary import QUANTITIES, findings, summary_page


def test_findings_by_hand():
    def row(method, shots, population, low, mean, high):
        numbers = {"return_low": low, "return_iqm": mean, "return_high": high}
        numbers |= {"return_t_low": low - 0.02, "return_t_high": high}
        return {
            "method": method,
            "shots": shots,
            "population": population,
            "normalised_return_iqm": 2 * mean,
            **numbers,
        }

    table = [
        row("burst", 0, "ucb", 0.1, 0.2, 0.3),
        row("burst", 0, "exp3", 0.4, 0.5, 0.6),
        row("burst", 0, "all", 0.3, 0.35, 0.4),
        row("burst", 0, "mean", 0.3, 0.35, 0.4),
        row("ours", 0, "ucb", 0.2, 0.3, 0.4),
        row("ours", 0, "exp3", 0.1, 0.2, 0.3),
        row("ours", 0, "all", 0.2, 0.25, 0.3),
        row("ours", 0, "mean", 0.2, 0.125, 0.3),
        row("ours", 1, "ucb", 0.31, 0.4, 0.5),
        row("ours", 1, "exp3", 0.05, 0.1, 0.2),
        row("ours", 1, "all", 0.2, 0.3, 0.3),
        row("ours", 1, "mean", 0.2, 0.375, 0.3),
        row("oracle", 0, "ucb", 0.9, 0.9, 0.9),
        row("oracle", 0, "exp3", 0.9, 0.9, 0.9),
        row("oracle", 0, "all", 0.9, 0.9, 0.9),
    ]
    gains = {("ucb", 0): -0.1, ("exp3", 0): -0.1, ("ucb", 1): 0.01, ("exp3", 1): 0.0}
    improvement = [
        {"over": "burst", "population": population, "shots": shots, "gain_low": gain}
        for (population, shots), gain in gains.items()
    ]
    assert findings(pd.DataFrame(table), pd.DataFrame(improvement), "ours") == [
        "ours at 0 shots: normalised return 0.250 in the mean over populations, 0.500 of all taken"
        " together",
        "ours at 1 shots: normalised return 0.750 in the mean over populations, 0.600 of all taken"
        " together",
        "above burst: on 1 of 2 (not exp3); clearly: on 1 of 2 (not exp3); clearly by t: on 0 of 2;"
        " run by run: on 1 of 2 (not exp3)",
        "1 shots above 0 shots: on 1 of 2 (not exp3)",
    ]


def test_of_a_single_run_only_the_means_are_compared():
    nan = math.nan

    def row(method, mean):
        return {
            "method": method,
            "shots": 1 if method == "ours" else 0,
            "normalised_return_iqm": mean,
            "return_low": nan,
            "return_iqm": mean,
            "return_high": nan,
            "return_t_low": nan,
            "return_t_high": nan,
        }

    table = [
        {**row(method, mean), "population": population}
        for method, mean in (("none", 0.1), ("ours", 0.5))
        for population in ("ucb", "mean", "all")
    ]
    gain = {"over": "none", "population": "ucb", "shots": 1, "gain_low": nan}
    assert findings(pd.DataFrame(table), pd.DataFrame([gain]), "ours") == [
        "ours at 1 shots: normalised return 0.500 in the mean over populations, 0.500 of all taken"
        " together",
        "above no intervention: on 1 of 1",
    ]


def test_page_by_hand():
    def row(method, shots, cost, *interval, trained_on="ucb"):
        numbers = {
            f"{quantity}_{bound}": value
            for quantity in QUANTITIES
            for bound, value in zip(("low", "iqm", "high"), interval, strict=True)
        }
        numbers |= {f"return_t_{bound}": interval[0] for bound in ("low", "high")}
        return {
            **{"trained_on": trained_on, "observation": "partial", "cost": cost},
            **{"method": method, "shots": shots, "population": "mean", "num_runs": 2},
            **numbers,
        }

    nan = math.nan
    table = [
        row("burst", 0, 0.5, 0.1, 0.25, 0.3),
        row("ours", 0, 0.5, nan, 0.5, nan),
        row("ours", 1, 0.5, nan, nan, nan),
        row("burst", 0, 0.25, 0.1, 0.125, 0.2),
        row("burst", 0, 0.5, 0.0, 0.0, 0.0, trained_on="exp3"),
    ]
    table += [{**one, "population": "all"} for one in table]
    condition = {"trained_on": "ucb", "observation": "partial", "cost": 0.5}
    probability = {"probability": 0.75, "low": 0.5, "high": 1.0}
    gain = {"gain_mean": 0.25, "gain_low": 0.125, "gain_high": 0.375}
    compared = {"method": "ours", "shots": 1, "over": "burst", "population": "all"}
    row_of_all = {**condition, **compared, **probability, **gain}
    improvement = [{**row_of_all, "population": "mean"}, row_of_all]
    page = summary_page(pd.DataFrame(table), pd.DataFrame(improvement), "ours")

    def section(heading):
        return page.split(f"{heading}\n\n")[1].split("\n\n")[0].splitlines()

    assert section("## trained on ucb, partial information: return, mean over populations") == [
        "| method, shots |     cost 0.25 |      cost 0.5 |",
        "|---------------|---------------|---------------|",
        "| burst         | 0.125 ± 0.050 | 0.250 ± 0.100 |",
        "| **ours, 0**   |               |         0.500 |",
        "| **ours, 1**   |               |             - |",
    ]
    assert "trained on exp3, partial information: return" not in page  # has one cost only
    assert section("### Probability that a run of ours has the higher return") == [
        "| over  |        at 1 shots |",
        "|-------|-------------------|",
        "| burst | 0.75 [0.50, 1.00] |",
    ]
    assert section("### Gain of ours in return at 1 shots, run by run") == [
        "| over  |        `mean` |",
        "|-------|---------------|",
        "| burst | 0.250 ± 0.125 |",
    ]


def test_names_are_no_markup_of_the_page():
    numbers = {f"{q}_{b}": 0.5 for q in QUANTITIES for b in ("iqm", "low", "high")}
    numbers |= {"return_t_low": 0.5, "return_t_high": 0.5, "num_runs": 2}
    condition = {"trained_on": "<b>$t$", "observation": "partial", "cost": 0.5}
    table = [
        {**condition, "method": method, "shots": 0, "population": population, **numbers}
        for method in ("[/a]|b", "ours*")
        for population in ("x`|[bold]", ":smile:")
    ]
    page = summary_page(pd.DataFrame(table), pd.DataFrame(), "ours*")
    assert "## trained on &#60;b&#62;&#36;t&#36;, partial information, cost 0.5 (2 runs)" in page
    heading, rule, *lines = page.split("### Return\n\n")[1].split("\n\n")[0].splitlines()
    assert heading.startswith("| method, shots ") and rule.count("|") == 4
    assert "| `` x`\\|[bold] `` |" in heading and heading.endswith("`:smile:` |")
    assert [line.split(" |")[0].rstrip() for line in lines] == [
        "| &#91;/a&#93;&#124;b",
        "| **ours&#42;**",
    ]
    assert {line.count("|") for line in lines} == {4}
