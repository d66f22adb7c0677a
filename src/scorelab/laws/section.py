"""Declarations of the numbers in metrics.json: where each one stands, its unit, and what it means."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from scorelab.markdown import table


@dataclass(frozen=True)
class Section:
    """Numbers that stand at one place of metrics.json, or at several places under the same names.

    name: the dotted name of the place; blanks separate several places. A part of three or more capitals, such as
    METHOD, stands for any name. intro: the Markdown above the table. rows: (keys, unit, meaning). The keys are the
    names below the place; blanks separate them. A key that begins with an underscore is added to the first key, so
    "w1 _standard_error" declares w1 and w1_standard_error. The unit of a pure number is 1.
    """

    name: str
    intro: str
    rows: tuple[tuple[str, str, str], ...]

    @property
    def places(self) -> list[str]:
        """The dotted names of the places."""
        return self.name.split()

    @property
    def keys(self) -> list[str]:
        """Every declared key by its dotted name."""
        return [f"{place}.{key}" for place in self.places for keys, _, _ in self.rows for key in _names(keys)]

    def lines(self) -> list[str]:
        """The section as lines of Markdown."""
        inside = "." in self.places[0]
        title = ", ".join(f"`{place}`" for place in self.places) if inside else self.name
        cells = ((", ".join(f"`{key}`" for key in _names(keys)), unit, meaning) for keys, unit, meaning in self.rows)
        above = [f"{'###' if inside else '##'} {title}", ""]
        for paragraph in filter(None, self.intro.split("\n\n")):
            above += [*textwrap.wrap(paragraph, 120, break_long_words=False, break_on_hyphens=False), ""]
        return above + table(("key", "unit", "meaning"), cells)


def undeclared(metrics: Mapping, sections: Iterable[Section]) -> list[str]:
    """The dotted names of the numbers of a metrics.json that no section declares.

    A key under `not_measured` has to be declared as well; it names a number or a whole place.
    """
    sections = list(sections)
    numbers = [key for section in sections for key in section.keys]
    places = [place for section in sections for place in section.places]
    unknown = {key for key in leaves(metrics) if not _named(key, numbers)}
    return sorted(unknown | {key for key in metrics.get("not_measured", ()) if not _named(key, numbers + places)})


def _names(keys: str) -> list[str]:
    first, *others = keys.split()
    return [first, *(f"{first}{key}" if key.startswith("_") else key for key in others)]


def _named(key: str, declared: list[str]) -> bool:
    parts = key.split(".")
    return any(matches(name.split("."), parts) for name in declared)


def matches(declared: list[str], parts: list[str]) -> bool:
    """Whether the parts of a dotted name are those that are declared, where some of these may stand for any name."""
    return len(declared) == len(parts) and all(
        name == part or stands_for_any(name) for name, part in zip(declared, parts, strict=True)
    )


def stands_for_any(part: str) -> bool:
    """Whether a part of a declared name stands for any name: it has three or more letters, all of them capitals."""
    return part.isupper() and len(part) > 2


def leaves(metrics: Mapping, prefix: str = "") -> Iterator[str]:
    """Dotted names of what is neither a dictionary nor a list of dictionaries, without `not_measured`."""
    for key, value in metrics.items():
        name = f"{prefix}{key}"
        inner = value if isinstance(value, list) else [value]
        if inner and all(isinstance(item, Mapping) for item in inner):
            for item in inner:
                yield from leaves(item, f"{name}.")
        elif name.partition(".")[0] != "not_measured":
            yield name
