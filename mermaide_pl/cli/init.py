"""`mermaide init`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.output_paths import make_folder
from mermaide_pl.runtime.atomic_files import write_whole
from mermaide_pl.runtime.console import say

PROJECT = Path(__file__).parent / "project"
"""The files of a new project."""


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide init",
        description="Write a small project to edit: a configuration, a population, a learner of"
        " your own, and a README with the commands to run.",
    )
    parser.add_argument("folder", type=str, help="where it goes; files there are not replaced")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Write the files of a new project."""
    given = parser().parse_args(list(arguments))
    folder = Path(given.folder)
    names = sorted(path.name for path in PROJECT.iterdir() if path.is_file())
    if existing := [name for name in names if (folder / name).exists()]:
        raise ValueError(f"{folder} has {', '.join(existing)} already; choose another folder")
    make_folder(folder, given.folder, option="the folder")
    for name in names:
        write_whole(folder / name, (PROJECT / name).read_bytes())
    say(f"{folder}: {', '.join(names)}")
    say(
        f"next: cd {quote(str(folder))} && mermaide fit --config config.yaml   (README.md has more)"
    )
