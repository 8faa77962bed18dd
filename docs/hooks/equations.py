"""Show the equations and the pseudocode of docstrings as they are written, line by line."""

import re
import textwrap

from griffe import Extension

SECTION = re.compile(
    r"^(Equations?|Pseudocode):\n((?:[ \t]*\n|[ \t]+.*(?:\n|$))+)", flags=re.MULTILINE
)


class Equations(Extension):
    """Makes a code block of each such section, before the docstring is read."""

    def on_object(self, *, obj, **_):
        """Change the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = SECTION.sub(_code_block, obj.docstring.value)


def _code_block(section):
    lines = textwrap.dedent(section[2]).strip("\n").rstrip()
    return f"**{section[1]}**\n\n```text\n{lines}\n```\n\n"
