import re
from functools import partial

import chromium
import httpx
import numpy as np
import pytest
from http_learners import GAMES, play_episode
from matplotlib.image import imread

from mermaide_pl.service import api

browse = partial(chromium.browse, virtual_ms=5000, timeout_s=120)
needs_browser = pytest.mark.skipif(chromium.BROWSER is None, reason="there is no Chromium")


def fill(address: str) -> None:
    """Add learners, of which one has played."""
    with httpx.Client(base_url=address, timeout=60) as client:

        def ask(name, route, body):
            return client.post(f"/learners/{name}/{route}", json=body).raise_for_status().json()

        for name, settings in GAMES.items():
            client.post("/learners", json={"name": name, **settings}).raise_for_status()
        for episode in range(2):
            play_episode(ask, "budget", episode)
        client.put("/learners/full/paused", json={"paused": True}).raise_for_status()


def test_the_page_asks_no_other_server():
    text = api._PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text  # names of learners are text


@pytest.mark.slow
@needs_browser
def test_a_browser_shows_the_learners(on_a_port, tmp_path):
    with on_a_port() as address:
        fill(address)
        shot = tmp_path / "page.png"
        seen = browse("--window-size=1200,900", f"--screenshot={shot}", address)
        narrow = tmp_path / "narrow.png"
        browse("--window-size=500,2000", f"--screenshot={narrow}", address)
        dom = browse("--dump-dom", f"{address}/#budget").stdout
    assert "CONSOLE" not in seen.stderr
    assert [*re.findall(r"<tr[^>]*><td>(\w+)<", dom)] == sorted(GAMES)
    assert re.search('aria-selected="true"[^>]*><td>budget<', dom)
    assert len(re.findall("paused</span>", dom)) == 1
    assert "episode 2, step 0" in dom and "budget left 3" in dom and "adapted before" in dom
    for quantity in ("alignment", "intervention_rate"):
        (points,) = re.findall(rf'points="([^"]*)"[^>]*class="{quantity}"', dom)
        assert len(points.split()) == 48
    assert len(re.findall("<rect ", dom)) == 8  # four arms at two levels
    picture = imread(shot)[..., :3]
    edge = imread(narrow)[90:300, -4:, :3]  # below the header, beside the list
    assert (edge == edge[0, 0]).all() and edge[0, 0].max() < 1  # nothing reaches beyond it
    inked = (np.abs(picture - picture[-5, 5]) > 0.05).any(-1)
    assert inked[:, :480].mean() > 0.01 and inked[:, 500:].mean() > 0.01


@pytest.mark.slow
@needs_browser
def test_a_person_may_pause_a_learner_there(on_a_port, tmp_path, monkeypatch):
    probe = """<script>setTimeout(() => {
        document.getElementById("pause").click();
        }, 1000)</script></body>"""
    page = tmp_path / "page.html"
    page.write_text(api._PAGE.read_text().replace("</body>", probe))
    monkeypatch.setattr(api, "_PAGE", page)
    with on_a_port() as address:
        fill(address)
        for is_paused in (True, False):
            dom = browse("--dump-dom", f"{address}/#budget").stdout
            assert httpx.get(f"{address}/learners/budget").json()["paused"] is is_paused
            assert ("Resume</button>" in dom) is is_paused


@pytest.mark.slow
@needs_browser
def test_without_the_token_the_page_says_so(on_a_port):
    with on_a_port(token="secret") as address:
        assert "a token is needed" in browse("--dump-dom", address).stdout
