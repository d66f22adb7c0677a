"""Tables and plain text in Markdown."""

import re
from collections.abc import Iterable


def text(plain) -> str:
    """Plain text as one line of Markdown: whitespace becomes single blanks, and characters with a meaning lose it."""
    line = " ".join(str(plain).split())
    return re.sub(r"([\\*`])", r"\\\1", line).replace("<", "&lt;")


def table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """The lines of a table. The cells are Markdown, so that names and errors have to pass through `text` before.

    A cell may have bars and line breaks: neither ends it.
    """
    headings = list(headings)
    return [_line(cells) for cells in (headings, ["---"] * len(headings), *rows)]


def _line(cells) -> str:
    whole = (re.sub(r"\s+", " ", cell).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(whole)} |"
