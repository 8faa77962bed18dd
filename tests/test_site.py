"""The site: it builds strictly, documents every public name, and reads anywhere."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from pages import ROOT

import mermaide_pl

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
PHONE = 390  # pixels
ROOMS = [
    f"mermaide_pl.{path.parent.name}"
    for path in sorted((ROOT / "mermaide_pl").glob("*/__init__.py"))
    if "__all__" in path.read_text(encoding="utf-8")
]
PROBE = """<!doctype html><body><pre id="widths"></pre><script>
const pages = %s, widths = {};
let running = 4;  // pages at once
function next(frame) {
  const page = pages.shift();
  if (page === undefined) {
    if (--running === 0)
      document.getElementById("widths").textContent = JSON.stringify(widths);
    return;
  }
  frame.onload = () => {
    widths[page] = frame.contentDocument.documentElement.scrollWidth;
    next(frame);
  };
  frame.src = page;
}
for (let i = running; i > 0; i--) {
  const frame = document.createElement("iframe");
  frame.style.cssText = "width: %dpx; height: 800px; border: 0";
  document.body.append(frame);
  next(frame);
}
</script></body>"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Folder of the site."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_pictures_are_drawn(tmp_path):
    subprocess.run([sys.executable, "docs/pictures.py", "--out", tmp_path], cwd=ROOT, check=True)
    kept = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == kept


def pages_of(site: Path) -> list[Path]:
    return [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]


def test_every_public_name_is_in_the_reference(site):
    reference = "".join(path.read_text(encoding="utf-8") for path in (site / "api").glob("*.html"))
    rooms = ["mermaide_pl", *ROOMS]
    names = [f"{room}.{name}" for room in rooms for name in import_module(room).__all__]
    assert len(names) > 100 and set(mermaide_pl.__all__) <= {n.split(".")[-1] for n in names}
    assert [name for name in names if f'id="{name}"' not in reference] == []


def test_it_asks_no_other_server(site):
    for page in pages_of(site):
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'<(?:script|img|iframe)[^>]*src="(?:https?:)?//[^"]*"', text) == [], page
        assert re.findall(r'<link[^>]*href="(?:https?:)?//[^"]*"', text) == [], page


def test_formulas_read_without_javascript(site):
    text = (site / "method.html").read_text(encoding="utf-8")
    formulas = re.findall(r"<math.*?</math>", text, flags=re.DOTALL)
    assert len(formulas) > 100
    assert [formula for formula in formulas if "\\" in formula] == []
    for page in pages_of(site):
        assert "arithmatex" not in page.read_text(encoding="utf-8"), page


def test_no_macro_is_left(site):
    for page in pages_of(site):
        assert "{{" not in page.read_text(encoding="utf-8"), page


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
def test_no_page_is_wider_than_a_phone(site):
    names = [path.relative_to(site).as_posix() for path in pages_of(site)]
    probe = site / "probe.html"
    probe.write_text(PROBE % (json.dumps(names), PHONE), encoding="utf-8")
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu"),
            *("--allow-file-access-from-files", "--virtual-time-budget=60000", "--dump-dom"),
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=400,
    )
    (said,) = re.findall(r'<pre id="widths">(\{.*?\})</pre>', done.stdout)
    widths = json.loads(said)
    assert sorted(widths) == sorted(names)
    assert {name: width for name, width in widths.items() if width > PHONE} == {}
