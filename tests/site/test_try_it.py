"""The interactive page: its learners are the package's, and it steers as a live principal does."""

import json
import re
import shutil
import subprocess
from dataclasses import fields
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Event, Thread

import chromium
import numpy as np
import pytest
import torch
from matplotlib.image import imread

from mermaide_pl import LivePrincipal, agents
from mermaide_pl.agents import GaussianReward
from mermaide_pl.game import Game

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "try_it"
SCRIPTS = ("random.js", "learners.js", "game.js")
NODE = shutil.which("node")
browse = partial(chromium.browse, virtual_ms=60000, timeout_s=300)
needs_node = pytest.mark.skipif(NODE is None, reason="there is no node")
needs_browser = pytest.mark.skipif(
    chromium.BROWSER is None or shutil.which("npm") is None,
    reason="there is no Chromium, or no npm",
)
SETTINGS = {"numArms": 10, "numSteps": 200, "bonus": 1, "cost": 0.5, "noise": 0.1, "seed": 3}
VARIANTS = [
    ("UCB", {}),
    ("UCB", {"beta": 1.4, "numArms": 2}),
    ("EpsilonGreedy", {"epsilon": 0.3, "decay": 0.01, "numArms": 50}),
    ("Softmax", {"temperature": 0.2, "noise": 0.5}),
    ("GaussianThompson", {"prior_mean": 0.8, "noise": 0.3}),
    ("RescorlaWagner", {"perseveration": 0.2, "learning_rate": 0.5}),
    ("RescorlaWagner", {"perseveration": -0.3, "numArms": 4}),
]


def by_node(script: str):
    """What a script gives, which knows the page's own ones."""
    sources = "".join((PAGE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    command = [str(NODE), "-e", f"{sources}\nconsole.log(JSON.stringify({script}))"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def settings_of(rule: str, changes: dict) -> dict:
    """The settings of the page for a variant, the rule's other parameters as they are there."""
    defaults = {item.name: item.default for item in fields(getattr(agents, rule))}
    given = {name: changes.get(name, value) for name, value in defaults.items()}
    others = {name: value for name, value in changes.items() if name not in defaults}
    return {**SETTINGS, **others, "rule": rule, "parameters": given}


def arms_of(settings: dict, drawn: dict, levels: list[int]) -> list[int]:
    """Arms that the package's rule picks, with the page's random numbers."""
    base = torch.tensor([drawn["baseRewards"]], dtype=torch.float64)
    rule = getattr(agents, settings["rule"])(**settings["parameters"]).to(base)
    assert rule.num_uniforms(settings["numArms"]) == len(drawn["agent"][0])
    state = rule.init(base, torch.tensor([drawn["target"]]), 1)
    noise, bonus = GaussianReward(settings["noise"]), base.new_zeros(1, 1)
    found = []
    for level, uniforms, reward in zip(levels, drawn["agent"], drawn["rewards"], strict=True):
        numbers = base.new_tensor(uniforms).view(1, 1, -1)
        arm = rule.act(state, bonus, numbers)
        paid = noise.sample(base.gather(1, arm), base.new_tensor(reward).view(1, 1))
        paid = paid + level * settings["bonus"] * (arm == drawn["target"])
        state = rule.update(state, arm, paid, numbers)
        found.append(int(arm))
    return found


@needs_node
@pytest.mark.parametrize(("rule", "changes"), VARIANTS)
def test_its_learners_pick_the_arms_that_the_package_s_pick(rule, changes):
    settings = settings_of(rule, changes)
    played = by_node(
        f"""(() => {{
          const settings = {json.dumps(settings)}, drawn = drawEpisode(settings);
          const play = new Play(settings, drawn);
          for (let step = 0; step < settings.numSteps; step++) play.advance(step % 3 ? 0 : 1);
          return {{drawn, ...play}};
        }})()"""
    )
    drawn, levels = played["drawn"], played["levels"]
    assert played["arms"] == arms_of(settings, drawn, levels)
    aligned = np.array(played["arms"]) == drawn["target"]
    rewards = aligned - settings["cost"] * settings["bonus"] * np.array(levels)
    np.testing.assert_allclose(played["returns"][1:], rewards.cumsum(), atol=1e-9)
    assert played["hits"][-1] == aligned.sum() and played["numBonuses"] == sum(levels)


@needs_node
def test_its_learners_have_the_parameters_of_the_package_s():
    rules = by_node(
        "Object.fromEntries(Object.entries(RULES).map(([name, rule]) => [name, rule.parameters]))"
    )
    assert len(rules) == 5
    for name, parameters in rules.items():
        own = {item.name: item for item in fields(getattr(agents, name))}
        assert list(parameters) == list(own)
        for key, told in parameters.items():
            bounds = own[key].metadata
            assert told["value"] == own[key].default
            assert told["min"] >= bounds["low"] and told["min"] > bounds["above"]
            assert told["max"] <= bounds["high"]


@needs_node
def test_quantiles_are_those_of_the_normal_distribution():
    uniforms = [1e-12, 1e-5, 0.01, 0.074, 0.076, 0.3, 0.5, 0.8, 0.93, 0.999, 1 - 1e-9]
    found = by_node(f"{uniforms}.map(normalQuantile)")
    expected = torch.special.ndtri(torch.tensor(uniforms, dtype=torch.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@needs_node
def test_seeds_draw_different_numbers_and_targets_that_are_not_the_best():
    drawn = by_node(
        "[1, 2, 3, 4, 5, 6].map(seed => drawEpisode({rule: 'UCB', numArms: 3, numSteps: 4, seed}))"
    )
    assert len({each["rewards"][0] for each in drawn}) == len(drawn)
    for each in drawn:
        assert each["target"] != int(np.argmax(each["baseRewards"]))
    mean = by_node(
        "(draw => Array.from({length: 20000}, draw).reduce((a, b) => a + b) / 20000)"
        "(uniformNumbers(9, 1))"
    )
    assert abs(mean - 0.5) < 4 * np.sqrt(1 / 12 / 20000)


def test_it_asks_no_other_server_and_labels_every_field():
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    scripts = "".join(file.read_text(encoding="utf-8") for file in PAGE.glob("*.js"))
    found = set(re.findall(r"https?://[\w./]+", page + scripts))
    assert found == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in scripts
    fields_of_page = re.findall(r'<(?:input|select)\s+(?:id="(\w+)")', page)
    assert len(fields_of_page) >= 9
    for name in fields_of_page:
        assert f'<label for="{name}">' in page, name
    for source in re.findall(r'<script src="(\w+\.js)"', page):
        assert (PAGE / source).exists()


def test_its_burst_is_the_one_that_was_tuned():
    """For the default game, which is also the page's."""
    rows = json.loads((ROOT / "results" / "quickstart.json").read_text(encoding="utf-8"))
    rates = {row["intervention_rate_mean"] for row in rows if row["method"] == "burst"}
    (length,) = {round(rate * Game().num_steps) for rate in rates}
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    assert f"{length} of {Game().num_steps} steps are the best" in page
    assert re.search(rf'name="burst"[^>]* value="{length}"', page)
    for name, value in (("numSteps", 200), ("numArms", 10), ("cost", 0.5), ("bonus", 1)):
        assert re.search(rf'name="{name}"[^>]* value="{value}"', page), name


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A copy of the page with its vendored files, as the site has it."""
    spec = spec_from_file_location("try_it", ROOT / "docs" / "hooks" / "try_it.py")
    hook = module_from_spec(spec)
    spec.loader.exec_module(hook)
    folder = tmp_path_factory.mktemp("site") / "try_it"
    hook.build()
    shutil.copytree(PAGE, folder)
    return folder


# a browser waits for the request to be answered before it looks at the page
HOLD = """<script>
  fetch("ADDRESS/hold", {mode: "no-cors"});
  const release = () => fetch("ADDRESS/release", {mode: "no-cors"});
</script></head>"""
PROBE = """<pre id="probe"></pre><script>
(async () => {
  const principal = await Principal.load(), settings = SETTINGS;
  const episode = new Episode(settings, principal), forecasts = [];
  while (!episode.isOver) {
    forecasts.push((await episode.decide()).forecast);
    await episode.advance();
  }
  const {plays, drawn} = episode;
  at("probe").textContent = JSON.stringify({plays, drawn, forecasts});
  release();
})();
</script></body>"""
WATCH = """<script>
  new MutationObserver(() => {
    const text = at("result").textContent;
    if (text.startsWith("Step 10 ")) at("step").click();
    if (text.startsWith("Step 11 ")) at("end").click();
    if (text.startsWith("After")) release();
  }).observe(at("result"), {childList: true});
</script></body>"""


class Holding(SimpleHTTPRequestHandler):
    """Serves a folder, and answers /hold only after /release."""

    def do_GET(self):
        if self.path not in ("/hold", "/release"):
            super().do_GET()
            return
        if self.path == "/release":
            self.server.released.set()
        self.server.released.wait(240)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def held(page):
    """The address of a static server for the site."""
    handler = partial(Holding, directory=str(page.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.released = Event()
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def probed(page: Path, server: ThreadingHTTPServer, script: str) -> Path:
    """The page with a script at its end, during which the browser waits."""
    server.released.clear()
    hold = HOLD.replace("ADDRESS", f"http://127.0.0.1:{server.server_port}")
    text = (page / "index.html").read_text(encoding="utf-8")
    text = text.replace("</head>", hold).replace("</body>", script)
    (page / "probe.html").write_text(text, encoding="utf-8")
    return page / "probe.html"


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize(
    "changes",
    [{}, {"rule": "EpsilonGreedy", "numArms": 4, "cost": 0.2, "bonus": 0.7, "budget": 30}],
    ids=["UCB", "epsilon-greedy, a budget"],
)
def test_it_steers_as_a_live_principal_does(page, held, changes):
    """Opened as a file, without a server."""
    budget = changes.get("budget")
    settings = {**settings_of("UCB", {}), "burst": 130, "budget": budget}
    if changes:
        settings |= settings_of(
            changes["rule"], {key: changes[key] for key in ("numArms", "cost", "bonus")}
        )
    probe = probed(page, held, PROBE.replace("SETTINGS", json.dumps(settings)))
    dom = browse("--dump-dom", probe.as_uri())
    assert "CONSOLE" not in dom.stderr
    found = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', dom.stdout)[1])
    drawn, plays, forecasts = found["drawn"], found["plays"], found["forecasts"]
    live = LivePrincipal.load(
        "universal",
        arms=range(settings["numArms"]),
        target_arm=drawn["target"],
        num_steps=settings["numSteps"],
        bonuses=(0.0, settings["bonus"]),
        cost=settings["cost"],
        max_interventions=budget,
    )
    steered = plays["principal"]
    for arm, level, forecast in zip(steered["arms"], steered["levels"], forecasts, strict=True):
        assert live.intervene() == level
        np.testing.assert_allclose(live.forecast(), forecast, atol=1e-5)
        live.observe(arm)
    for name, play in plays.items():
        assert len(play["levels"]) == 200
        assert play["arms"] == arms_of(settings, drawn, play["levels"]), name
    assert sum(plays["burst"]["levels"]) == min(130, budget or 130)
    assert 0 < sum(steered["levels"]) <= (budget or 200) and not any(plays["alone"]["levels"])


@pytest.mark.slow
@needs_browser
def test_a_browser_shows_the_episode(page, held, tmp_path):
    """Served by a static server, at the width of a desk and of a phone."""
    pictures = {width: tmp_path / f"{width}.png" for width in (1300, 500)}
    outputs = {file: f"--screenshot={file}" for file in pictures.values()} | {None: "--dump-dom"}
    for (width, _), output in zip([*pictures.items(), (1300, None)], outputs.values(), strict=True):
        name = probed(page, held, WATCH).name
        address = f"http://127.0.0.1:{held.server_port}/try_it/{name}#rule=Softmax&run=10"
        seen = browse(f"--window-size={width},2600", output, address)
        assert "CONSOLE" not in seen.stderr
    dom = seen.stdout
    assert re.search(r"After 200 steps: steered, the learner picked the target in \d+%", dom)
    assert dom.count("<polyline") == 6 and "The episode is over." in dom
    assert [*re.findall(r'<th scope="row">.*?</span>([\w ]+)<', dom)] == [
        *("Principal", "Burst", "Left alone")
    ]
    for width, file in pictures.items():
        picture = imread(file)[..., :3]
        assert picture.shape[1] == width
        edge = picture[:, -4:]
        assert (edge == edge[0, 0]).all(), width  # nothing reaches beyond it
        assert (np.abs(picture - edge[0, 0]) > 0.05).any(-1).mean() > 0.03
