"""`mermaide download`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.output_paths import check_named
from mermaide_pl.runtime.checkpoint_archive import download
from mermaide_pl.runtime.console import say


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide download",
        description="Fetch the principals of the recorded comparisons, an archive of `mermaide"
        " pack`, and check them; the same command resumes where it stopped.",
    )
    parser.add_argument("--url", type=str, required=True, help="the archive of the release")
    parser.add_argument("--out", type=str, default="results", help="folder, by default results")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Fetch the principals of the recorded comparisons."""
    given = parser().parse_args(list(arguments))
    check_named(given.out)
    written, present = download(given.url, Path(given.out))
    say(f"{given.out}: {written} files written, {present} were there already")
