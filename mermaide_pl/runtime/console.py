"""Printing: names appear literally, and no terminal or locale can end a run with an error."""

from __future__ import annotations

import re
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from mermaide_pl.config.validation import printable

_OF_MARKDOWN = re.compile(r"[\\`*~|<>&$#\[\]]|(?<!\w)_|_(?!\w)")


def let_streams_replace() -> None:
    """Make standard output and error print ``?`` for characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a replacement stream may be of any kind
            stream.reconfigure(errors="replace")


def say(line: str) -> None:
    """Print one line literally, with escapes for control characters."""
    print(printable(line), flush=True)


class _LiteralConsole(Console):
    def render_str(self, text: str, *args: Any, **options: Any) -> Text:
        """Render text literally, with escapes for what would command the terminal."""
        return super().render_str("\n".join(map(printable, text.split("\n"))), *args, **options)


def console(**options: Any) -> Console:
    """A console of rich that prints text literally: ``[b]`` and ``:smile:`` are not markup.

    Args:
        options: further arguments of rich's console, e.g. ``file``.
    """
    let_streams_replace()
    # a notebook gets plain text too: for more, rich warns that it lacks ipywidgets
    return _LiteralConsole(markup=False, emoji=False, force_jupyter=False, **options)


def markdown(text: str) -> str:
    """Escape a text so that Markdown and HTML show it literally, also within a table."""
    return _OF_MARKDOWN.sub(lambda sign: f"&#{ord(sign[0])};", printable(text))


def markdown_code(text: str) -> str:
    """Format a text as code in Markdown, also within a table."""
    text = printable(text).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    if not longest:
        return f"`{text}`"
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"
