r"""Render `$...$` and `$$...$$` to MathML when the site is built: it reads without JavaScript."""

import html
import re

from latex2mathml.converter import convert

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', flags=re.DOTALL)


def on_page_content(content, **_):
    """Replace the formulas of a page."""
    return FORMULA.sub(_mathml, content)


def _mathml(formula):
    block = formula[1] == "div"
    mathml = convert(html.unescape(formula[2]).strip(), display="block" if block else "inline")
    mathml = mathml.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>')
    return f'<div class="formula">{mathml}</div>' if block else mathml
