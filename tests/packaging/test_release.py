"""A release: one version everywhere, a citation, and templates of issues."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from mermaide_pl import __version__

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / ".github" / "ISSUE_TEMPLATE"


def test_one_version_everywhere():
    (newest, *_) = re.findall(r"^## \[([\d.]+)\] - \d{4}-\d\d-\d\d$", changelog(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert newest == citation["version"] == __version__


def changelog() -> str:
    return (ROOT / "CHANGELOG.md").read_text()


def test_changes_are_grouped():
    assert set(re.findall(r"^### (.*)$", changelog(), re.MULTILINE)) <= {
        "Added",
        "Changed",
        "Fixed",
    }


def test_the_citation_names_software_and_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "license"} <= citation.keys()
    assert citation["authors"] == [{"name": "mermaide_pl contributors"}]
    (paper,) = citation["references"]
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Banerjee", "Phade", "Ermon", "Zheng"]


@pytest.mark.parametrize("name", ["bug.yml", "question.yml"])
def test_templates_ask_for_what_is_needed(name):
    template = yaml.safe_load((TEMPLATES / name).read_text())
    assert template["name"]
    assert template["description"]
    fields = {field["id"]: field for field in template["body"]}
    required = {id for id, field in fields.items() if field.get("validations", {}).get("required")}
    assert required == {"bug.yml": {"what", "command", "versions"}, "question.yml": {"goal"}}[name]
    assert all(field["attributes"]["label"] for field in fields.values())


def test_a_release_tries_what_it_builds():
    # a `make` that runs the tests hands its flags down, and then this one would say more
    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    told = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/.release", "release", "MAKE=true", "VENV=.venv"],
        cwd=ROOT,
        env=outside,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    steps = ("-m build", "twine check --strict", "-m venv", ".whl", "mermaide fit", ".tar.gz")
    places = [told.index(step) for step in steps]
    assert places == sorted(places)
    assert told.count("mermaide fit") == 2
    assert told.rstrip().endswith("true try-it docs")
