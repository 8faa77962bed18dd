import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from mermaide_pl import AgentFamily, MermaideModule, Population
from mermaide_pl.agents import UCB, EpsilonGreedy, Softmax
from mermaide_pl.cli.main import main
from mermaide_pl.evaluation.methods import label_of
from mermaide_pl.evaluation.protocol import evaluate
from mermaide_pl.evaluation.tables import QUANTITIES
from mermaide_pl.reporting.report import page, write_report

SECTIONS = ["scores", "learning", "timing", "episode", "settings"]
RESULTS = json.loads((Path(__file__).parents[3] / "results" / "quickstart.json").read_text())
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Content of a page: elements, text, and the rows of its tables."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag  # well-formed

    def handle_data(self, data):
        self.text += f"{data} "
        if self.open and self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data

    def of(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def pictures(found: Page) -> list[np.ndarray]:
    prefix = "data:image/png;base64,"
    sources = [image["src"] for image in found.of("img")]
    assert all(source.startswith(prefix) for source in sources)
    return [
        imread(io.BytesIO(base64.b64decode(source.removeprefix(prefix), validate=True)))
        for source in sources
    ]


@pytest.fixture(scope="module")
def scored(run, tmp_path_factory) -> Path:
    """The page of a run that holds results."""
    folder = tmp_path_factory.mktemp("scored") / run.name
    shutil.copytree(run, folder)
    (folder / "results.json").write_text(json.dumps(RESULTS))
    return write_report(folder, folder / "new" / "report.html", num_agents=4)


def test_nothing_comes_from_outside(scored):
    text = scored.read_text()
    found = Page(text)
    for _, attributes in found.elements:
        assert not {"href", "srcset", "data", "onload", "onerror"} & set(attributes)
        assert (attributes.get("src") or "data:").startswith("data:")
    assert not found.of("script") and not found.of("link") and not found.of("iframe")
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_every_section_is_there_once(scored):
    found = Page(scored.read_text())
    assert [section["id"] for section in found.of("section")] == SECTIONS


def test_pictures_decode_and_are_described(scored):
    found = Page(scored.read_text())
    assert len(found.of("img")) == 4
    assert all(len(image["alt"]) > 40 for image in found.of("img"))
    for picture in pictures(found):
        assert picture.shape[1] == pytest.approx(3.4 * 300, abs=1)
        assert picture.std() > 0.01


def test_tables_are_the_recorded_results(scored):
    tables = Page(scored.read_text()).tables[:2]
    for table, population in zip(tables, ("unseen_ucb", "epsilon_greedy"), strict=True):
        rows = [row for row in RESULTS if row["population"] == population]
        for (name, *cells), row in zip(table[1:], rows, strict=True):
            shots = f" {row['shots']}-shot" if row["method"] == "principal" else ""
            assert name == label_of(row["method"]) + shots
            for cell, quantity in zip(cells, QUANTITIES, strict=True):
                mean, half = (float(part.replace("−", "-")) for part in cell.split(" ± "))
                width = row[f"{quantity}_high"] - row[f"{quantity}_low"]
                assert mean == pytest.approx(row[f"{quantity}_mean"], abs=5.01e-4)
                assert half == pytest.approx(width / 2, abs=5.01e-4)
    assert [len(table) for table in tables] == [9, 9]


def test_the_summary_holds_the_best_fixed_schedule_against_ours(scored):
    text = re.sub(r"\s+", " ", Page(scored.read_text()).text)
    expected = "unseen_ucb principal 0-shot 0.357 principal 1-shot 0.380 burst 0.352 oracle 0.480"
    assert expected in text
    assert "results.json" in text


def test_names_are_escaped(scored):
    found = Page(scored.read_text())
    assert "<tiny> & quick" in found.text
    assert not found.of("tiny")


def test_settings_and_families_are_those_of_the_checkpoint(scored):
    rows = [row for table in Page(scored.read_text()).tables[2:] for row in table]
    for row in (
        ["UCB", "as the rule has them", "50%"],
        ["EpsilonGreedy", "as the rule has them", "50%"],
        ["num_arms", "3"],
        ["num_steps", "8"],
        ["hidden_size", "4"],
        ["class", "GradientAdaptation"],
        ["meta_lr", "0.005"],
    ):
        assert rows.count(row) == 1


def test_without_results_it_plays_with_agents_like_those_trained_on(
    run, tmp_path, few_tuning_agents
):
    text = write_report(run, tmp_path / "report.html", num_agents=4).read_text()
    module = MermaideModule.load_from_checkpoint(run / "checkpoints" / "best.ckpt")
    trained_on = Population([AgentFamily(UCB), AgentFamily(EpsilonGreedy)], num_arms=3)
    expected = evaluate(
        run / "checkpoints" / "best.ckpt", {"": trained_on}, shots=module.eval_shots, num_agents=4
    )
    shown = [row[1].split(" ± ")[0] for row in Page(text).tables[0][1:]]
    assert shown == [f"{row['return_mean']:.3f}".replace("-", "−") for row in expected]
    assert "results.json" not in text


def test_populations_that_are_given_come_before_results(scored, tmp_path, few_tuning_agents):
    soft = {"soft": Population([AgentFamily(Softmax)], num_arms=3)}
    out = tmp_path / "report.html"
    write_report(scored.parents[1], out, populations=soft, num_agents=4)
    assert "unseen_ucb" not in out.read_text()
    assert "first episode with them (0-shot), for each family of learning rules (soft)" in re.sub(
        r"\s+", " ", out.read_text()
    )


def test_without_curves_it_says_so(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "results.json").write_text(json.dumps(RESULTS))
    for path in folder.glob("events*"):
        path.unlink()
    found = Page(write_report(folder, tmp_path / "report.html", num_agents=4).read_text())
    assert "There are no curves" in found.text
    assert len(pictures(found)) == 3


def test_panels_hold_training_and_every_number_of_shots():
    curves = {
        "train/return": [(1, 0.5)],
        "val/return_0shot": [(2, 0.25)],
        "val/return_12shot": [(2, 0.75)],
        "val/return": [(2, 9.0)],
        "val/normalised_return_0shot": [(2, 9.0)],
        "val/forecast_accuracy_0shot": [(2, 1.0)],
    }
    assert page._panels(curves) == {
        "return (reward units)": {
            "training": [(1, 0.5)],
            "validation, 0 shots": [(2, 0.25)],
            "validation, 12 shots": [(2, 0.75)],
        },
        "forecast accuracy (share)": {"validation, 0 shots": [(2, 1.0)]},
    }
    assert page._panels({}) == {}


def test_families_are_named_by_rule_or_population():
    one = Population([AgentFamily(UCB)])
    two = Population([AgentFamily(UCB), AgentFamily(Softmax), AgentFamily(UCB, weight=2.0)])
    named = page._families({"alone": one, "together": two})
    assert list(named) == ["alone", "UCB 2", "Softmax", "UCB 4"]
    assert [len(population.families) for population in named.values()] == [1] * 4
    assert named["UCB 4"].families[0].weight == 2.0


def browse(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
    ]
    return subprocess.run(
        [*command, "--virtual-time-budget=5000", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
def test_a_browser_shows_it(scored, tmp_path):
    shot = tmp_path / "page.png"
    seen = browse("--window-size=1000,3000", f"--screenshot={shot}", scored.resolve().as_uri())
    assert "CONSOLE" not in seen.stderr
    picture = imread(shot)[..., :3]
    assert picture.shape[:2] == (3000, 1000)
    inked = (np.abs(picture - picture[5, 5]) > 0.05).any(-1)
    assert inked[:1000].mean() > 0.01  # text and tables
    assert inked[1000:].mean() > 0.01  # pictures


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
def test_a_browser_finds_every_section_and_picture(scored, tmp_path):
    probe = """<script>addEventListener("load", () => {
        document.body.dataset.widths = [...document.images].map(i => i.naturalWidth).join(" ");
        document.body.dataset.overflow = document.documentElement.scrollWidth - innerWidth;
    })</script></body>"""
    copy = tmp_path / "probed.html"
    copy.write_text(scored.read_text().replace("</body>", probe))
    seen = browse("--window-size=600,1000", "--dump-dom", copy.as_uri())
    assert "CONSOLE" not in seen.stderr
    for section in SECTIONS:
        assert f'<section id="{section}">' in seen.stdout
    (widths,) = re.findall(r'data-widths="([\d ]*)"', seen.stdout)
    assert [int(width) for width in widths.split()] == pytest.approx([1020] * 4, abs=1)
    (overflow,) = re.findall(r'data-overflow="(-?\d+)"', seen.stdout)
    assert int(overflow) <= 0  # no scrolling sideways but within a table


def test_bytes_and_commands_in_names_are_shown_as_escapes(run, tmp_path, few_tuning_agents):
    folder = tmp_path / "r\x1b[1m"
    shutil.copytree(run, folder)
    population = Population([AgentFamily(UCB)], num_arms=3)
    written = write_report(
        folder, tmp_path / "page.html", populations={"p\udcff|$x$<b>": population}, num_agents=2
    )
    text = Page(written.read_text(encoding="utf-8")).text
    assert "r\\x1b[1m" in text
    assert "p\\xff|$x$<b>" in text


def test_a_name_that_tensorboard_cannot_take_is_refused_in_a_line(run, tmp_path, capsys):
    folder = tmp_path / "r\udce9"
    shutil.copytree(run, folder)
    rows = [row for row in RESULTS if row["population"] == RESULTS[0]["population"]]
    (folder / "results.json").write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["report", "--logdir", str(folder), "--out", str(tmp_path / "page.html")])
    line = capsys.readouterr().err
    assert re.search(r"^mermaide: error: .*/r\\xe9/events.*: must be UTF-8, surrogates not", line)
