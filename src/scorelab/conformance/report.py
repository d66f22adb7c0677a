"""A report: properties that were checked, with what was measured and what is right."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from scorelab.versions import versions


class NotMeasured(Exception):
    """Why a property is not measured; the text completes "not measured: ..."."""


@dataclass(frozen=True)
class Property:
    """One property.

    name: a word or two with underscores. passed: None where it was not measured or where nothing is right or wrong
    about it. measured: what was found, as a sentence. numbers: name -> number, the numbers in it.
    """

    name: str
    passed: bool | None
    measured: str
    numbers: dict = field(default_factory=dict)

    def line(self, width: int = 0) -> str:
        """The property in a line of a table; width: of the column with the name."""
        mark = {True: "ok  ", False: "FAIL", None: "-   "}[self.passed]
        return f"{mark} {self.name:{width}}  {self.measured}"


@dataclass(frozen=True)
class Report:
    """What was found of a sampler or a denoiser; it prints as a table and shows itself in a notebook.

    name: of what was checked. properties: in the order in which they were checked. curves: numbers by the number of
    steps, a list of dictionaries.
    """

    name: str
    properties: tuple[Property, ...]
    curves: list[dict] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no property fails."""
        return not self.failures

    @property
    def failures(self) -> list[str]:
        """The names of the properties that fail."""
        return [each.name for each in self.properties if each.passed is False]

    def __getitem__(self, name: str) -> Property:
        return next(each for each in self.properties if each.name == name)

    @property
    def table(self):
        """A pandas DataFrame with a row for each property."""
        import pandas

        rows = [{"property": each.name, "passed": each.passed, "measured": each.measured} for each in self.properties]
        return pandas.DataFrame(rows)

    @property
    def figure(self):
        """A matplotlib Figure of the curves; None if there are none."""
        from scorelab.conformance.figure import figure
        from scorelab.figures.style import house_style

        if not self.curves:
            return None
        with house_style():
            return figure(self)

    def to_json(self) -> str:
        """Everything, with the versions that it was found with."""
        content = {"name": self.name, "passed": self.passed, "failures": self.failures, "versions": versions()}
        properties = [asdict(each) for each in self.properties]
        return json.dumps(content | {"properties": properties, "curves": self.curves}, indent=2)

    def save(self, directory: Path | str):
        """Write conformance.json, and conformance.png where there is a figure. Raises ScorelabError where it cannot."""
        from scorelab.figures.files import save_figure
        from scorelab.files import make_folder, write_text

        directory = Path(directory)
        make_folder(directory)
        write_text(directory / "conformance.json", self.to_json())
        if (figure := self.figure) is not None:
            save_figure(figure, directory / "conformance.png")

    @property
    def conclusion(self) -> str:
        """One sentence."""
        checked = [each for each in self.properties if each.passed is not None]
        if self.passed:
            return f"{self.name}: passes {len(checked)} of {len(checked)} properties"
        return f"{self.name}: fails {len(self.failures)} of {len(checked)} properties: {', '.join(self.failures)}"

    def __str__(self):
        width = max((len(each.name) for each in self.properties), default=0)
        return "\n".join([*(each.line(width) for each in self.properties), self.conclusion])

    def _repr_html_(self):
        return self.table.to_html(index=False) + f"<p>{self.conclusion}</p>"
