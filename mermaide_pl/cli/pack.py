"""`mermaide pack`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import CHECKSUMS
from mermaide_pl.runtime.checkpoint_archive import pack
from mermaide_pl.runtime.console import say


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide pack",
        description="Pack the principals of comparisons into one archive, which a release carries;"
        f" their checksums go to {CHECKSUMS} in the folder.",
    )
    parser.add_argument("--folder", type=str, default="results", help="where the comparisons are")
    parser.add_argument("--out", type=str, required=True, help="the archive, a ZIP file")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Pack the principals of comparisons."""
    given = parser().parse_args(list(arguments))
    names = pack(Path(given.folder), Path(given.out))
    size = Path(given.out).stat().st_size / 1e6
    say(f"{given.out}: {len(names)} files, {size:.1f} MB; {Path(given.folder, CHECKSUMS)}")
