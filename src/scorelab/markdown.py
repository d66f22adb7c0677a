"""Tables and plain text in Markdown."""

import re
from collections.abc import Iterable

from scorelab.errors import printable


def text(plain) -> str:
    """Return plain text as one printable line of Markdown: whitespace becomes single blanks, special characters are
    escaped, and nothing is a link."""
    line = re.sub(r"&(?=#?\w+;)", "&amp;", printable(plain))
    return re.sub(r"([\\*`]|(?<=\])[(\[:])", r"\\\1", line).replace("<", "&lt;")


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table. The cells are Markdown: plain text, such as a name or an error, has to pass through `text`.

    A cell may have bars and line breaks; they do not end the cell.
    """
    headings = list(headings)
    return [_line(cells) for cells in (headings, ["---"] * len(headings), *rows)]


def _line(cells) -> str:
    whole = (re.sub(r"\s+", " ", cell).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(whole)} |"
