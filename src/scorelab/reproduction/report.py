"""The report of the runs below a directory: of the semester paper or of the thesis."""

import re
import urllib.parse
from dataclasses import replace
from pathlib import Path

from scorelab.blocks import Pictures, markdown, page
from scorelab.errors import ScorelabError, one_line
from scorelab.files import inside, made_from, make_folder, remove, require_closed, write_bytes, write_text
from scorelab.lab.rows import UNREADABLE
from scorelab.reproduction.collect import Entry, collect


def write_report(directory: Path | str, docs: Path | str | None = None) -> list[Path]:
    """Write report.md and report.html of the runs below a directory, and return their paths.

    docs: a folder where report.md is written too, with its pictures. Raises ScorelabError if there is no run below
    the directory, or if a link leads out of it or out of the folder.
    """
    directory = Path(directory)
    require_closed(directory)
    found = collect(directory)
    contents = _paper(found)
    blocks = contents([_tried(entry, directory, contents) for entry in found], directory.resolve().name)
    paths = [directory / "report.md", directory / "report.html"]
    write_text(paths[0], markdown(blocks, directory))
    write_text(paths[1], page(blocks, blocks[0].text))
    if docs is not None:
        paths.append(_publish(blocks, Path(docs)))
    return paths


def _publish(blocks: list, folder: Path) -> Path:
    """Write the Markdown and its pictures into one folder that needs nothing else.

    The pictures of an earlier report that lie directly in the folder are deleted.
    """
    make_folder(folder)
    before = inside(folder, "report.md")
    links = re.findall(r"!\[[^]]*\]\(([^)/]*)\)", before.read_text(errors="replace")) if before.is_file() else []
    earlier = {urllib.parse.unquote(link) for link in links}
    for path in folder.glob("*.png"):
        if path.name in earlier:
            remove(path)
    own = []
    for block in blocks:
        if isinstance(block, Pictures):
            copies = [folder / f"{path.parents[1].name}-{path.name}" for path, _ in block.items]
            for (path, _), copy in zip(block.items, copies, strict=True):
                write_bytes(inside(folder, copy.name), path.read_bytes())
            block = Pictures([(copy, caption) for copy, (_, caption) in zip(copies, block.items, strict=True)])
        own.append(block)
    write_text(folder / "report.md", markdown(own, folder))
    return folder / "report.md"


def _tried(entry: Entry, home: Path, contents) -> Entry:
    """A run as it is, or without numbers where its numbers make no report: then it takes no other run with it."""
    if entry.metrics is None:
        return entry
    try:
        with made_from(entry.path / "metrics.json", "its numbers make no report"):
            markdown(contents([entry], ""), home)
    except ScorelabError as error:
        return replace(entry, state=UNREADABLE, error=one_line(error), metrics=None)
    return entry


def _paper(entries: list[Entry]):
    """The function that makes the blocks of the report: that of the document whose presets the runs have."""
    from scorelab.reproduction import thesis
    from scorelab.reproduction.semester import contents as semester

    of_thesis = any(str(entry.preset).startswith("thesis_") for entry in entries)
    return thesis.contents if of_thesis else semester.contents
