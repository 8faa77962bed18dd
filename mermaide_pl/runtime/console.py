"""Text on its way out: names appear as they are, and no terminal or locale ends a run."""

from __future__ import annotations

import re
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from mermaide_pl.config.validation import printable

_OF_MARKDOWN = re.compile(r"[\\`*~|<>&$#\[\]]|(?<!\w)_|_(?!\w)")


def let_streams_replace() -> None:
    """From now on standard output and error replace what their encoding lacks, by ``?``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what takes their place may be of any kind
            stream.reconfigure(errors="replace")


def say(line: str) -> None:
    """Print one line, whatever names are in it."""
    print(printable(line), flush=True)


class _LiteralConsole(Console):
    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Lines as they are, but for what would command the terminal."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), *args, **options)


def console(**options: Any) -> Console:
    """A console of rich for which text is no markup: ``[b]`` and ``:smile:`` are signs.

    Args:
        options: what rich's console is told besides, e.g. ``file``.
    """
    let_streams_replace()
    return _LiteralConsole(markup=False, emoji=False, **options)


def markdown(text: str) -> str:
    """Text that Markdown and HTML show as it is, also within a table."""
    return _OF_MARKDOWN.sub(lambda sign: f"&#{ord(sign[0])};", printable(text))


def markdown_code(text: str) -> str:
    """Text as code in Markdown, also within a table."""
    text = printable(text).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    if not longest:
        return f"`{text}`"
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"
