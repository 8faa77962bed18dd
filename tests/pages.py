"""The pages that people read, for the tests of what they say."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


def text_of(name: str) -> str:
    """A page."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text_of(name), flags=re.DOTALL)


def commands(*names: str) -> list[list[str]]:
    """Every shell command of the pages, continued lines joined."""
    text = "\n".join(block for name in names for block in blocks(name, "bash"))
    lines = text.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


def tables(name: str) -> list[list[list[str]]]:
    """The tables of a page: the cells of every row, that of the headings first."""
    found = re.findall(r"(?:^\|.*\|\n)+", text_of(name) + "\n", flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for table in found
    ]
