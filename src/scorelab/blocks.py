"""Blocks of a page as Markdown and as one HTML file that needs nothing else."""

import base64
import html
import re
import urllib.parse
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from scorelab.errors import printable
from scorelab.markdown import table, text

#: a page with so many headings of level 2 begins with a list of them
_MANY = 5


@dataclass(frozen=True)
class Heading:
    """A heading of level 1 or 2."""

    level: int
    text: str

    @property
    def anchor(self) -> str:
        """The name by which a link on the page finds it: that which code hosts give to a heading in Markdown."""
        return re.sub(r"[^\w -]", "", printable(self.text).lower()).strip().replace(" ", "-")


@dataclass(frozen=True)
class Contents:
    """Links to headings."""

    headings: list[Heading]


@dataclass(frozen=True)
class Paragraph:
    """Plain text; a conclusion is set apart."""

    text: str
    conclusion: bool = False


@dataclass(frozen=True)
class Code:
    """A command, as it is typed."""

    text: str


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and the number that the cell is sorted by."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """Headings and rows of cells."""

    headings: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Pictures:
    """Files with their captions."""

    items: list[tuple[Path, str]]


def _with_contents(blocks: list) -> list:
    """The blocks, with links to the headings of level 2 before the first of them, where there are many."""
    places = [place for place, block in enumerate(blocks) if isinstance(block, Heading) and block.level == 2]
    if len(places) < _MANY:
        return blocks
    return [*blocks[: places[0]], Contents([blocks[place] for place in places]), *blocks[places[0] :]]


def markdown(blocks: list, home: Path) -> str:
    """Blocks as Markdown; pictures are links relative to `home`."""
    parts = []
    for block in _with_contents(blocks):
        match block:
            case Contents(headings):
                parts.append("\n".join(f"- [{text(each.text)}](#{each.anchor})" for each in headings))
            case Heading(level, title):
                parts.append(f"{'#' * level} {text(title)}")
            case Paragraph(said, conclusion):
                parts.append(f"**{text(said)}**" if conclusion else text(said))
            case Code(typed):
                parts.append("\n".join(f"    {line}" for line in typed.splitlines()))
            case Table(headings, rows):
                cells = ((text(cell.text) for cell in row) for row in rows)
                parts.append("\n".join(table(map(text, headings), cells)))
            case Pictures(items):
                links = (urllib.parse.quote(path.relative_to(home).as_posix()) for path, _ in items)
                lines = (f"![{text(caption)}]({link})" for link, (_, caption) in zip(links, items, strict=True))
                parts.append("\n\n".join(lines))
    return "\n\n".join(parts) + "\n"


def plain(blocks: list) -> str:
    """Blocks as plain text, for a terminal; pictures are their paths."""
    parts = []
    for block in blocks:
        match block:
            case Heading(_, said) | Paragraph(said, _):
                parts.append(printable(said))
            case Code(typed):
                parts.append("\n".join(map(printable, typed.splitlines())))
            case Table(headings, rows):
                parts.append(_aligned([headings, *([cell.text for cell in row] for row in rows)]))
            case Pictures(items):
                parts.append("\n".join(printable(path) for path, _ in items))
    return "\n\n".join(parts)


def _aligned(rows: list[list[str]]) -> str:
    """Rows of texts as lines whose columns stand below each other."""
    rows = [[printable(text) for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def page(blocks: list, title: str) -> str:
    """Blocks as one HTML page with its pictures inside."""
    frame = (resources.files("scorelab") / "page.html").read_text()
    before, after = frame.replace("{{title}}", html.escape(title)).split("{{body}}")
    return before + "\n".join(map(_element, _with_contents(blocks))) + after


def fragment(blocks: list) -> str:
    """Blocks as HTML that a notebook puts into a page of its own, where no script sorts the tables."""
    return re.sub(r"</?button[^>]*>", "", "\n".join(map(_element, blocks)))


def _element(block) -> str:
    match block:
        case Contents(headings):
            links = (f'<li><a href="#{each.anchor}">{html.escape(printable(each.text))}</a></li>' for each in headings)
            return f"<nav><ul>{''.join(links)}</ul></nav>"
        case Heading(level, text):
            return f'<h{level} id="{block.anchor}">{html.escape(printable(text))}</h{level}>'
        case Paragraph(text, conclusion):
            mark = ' class="conclusion"' if conclusion else ""
            return f"<p{mark}>{html.escape(printable(text))}</p>"
        case Code(typed):
            return "<pre>" + "\n".join(html.escape(printable(line)) for line in typed.splitlines()) + "</pre>"
        case Table(headings, rows):
            head = "".join(
                f'<th><button type="button">{html.escape(printable(text))}</button></th>' for text in headings
            )
            body = "\n".join(f"<tr>{''.join(map(_data, row))}</tr>" for row in rows)
            return f'<div class="table"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
        case Pictures(items):
            return f'<div class="pictures">{"".join(_picture(path, caption) for path, caption in items)}</div>'
    raise TypeError(type(block))


def _data(cell: Cell) -> str:
    kind = ' class="long"' if len(cell.text) > 60 else ""
    kind = kind if cell.value is None else f' class="number" data-value="{cell.value!r}"'
    return f"<td{kind}>{html.escape(printable(cell.text))}</td>"


def _picture(path: Path, caption: str) -> str:
    content = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(printable(caption), quote=True)
    image = f'<img alt="{text}" src="data:image/png;base64,{content}">'
    return f'<figure><button type="button">{image}</button><figcaption>{text}</figcaption></figure>'
