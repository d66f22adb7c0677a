"""What is left of finished runs, for Python and for notebooks: numbers, tables, arrays, figures, samples, networks."""

import base64
import html
import io
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scorelab.blocks import Code, Heading, Paragraph, fragment, plain
from scorelab.errors import ConfigError, ScorelabError, printable
from scorelab.lab import page, runs
from scorelab.lab.config import Config
from scorelab.studies.base import Cell, Table, not_measured


class Figures(Mapping):
    """Figure name -> matplotlib Figure, drawn when it is asked for; a notebook shows all of them.

    names: of the figures. draw: function from a name to a Figure.
    """

    def __init__(self, names: Iterable[str], draw: Callable):
        self._drawn, self._draw = dict.fromkeys(names), draw

    def __getitem__(self, name: str):
        if self._drawn[name] is None:
            self._drawn[name] = self._draw(name)
        return self._drawn[name]

    def __iter__(self):
        return iter(self._drawn)

    def __len__(self):
        return len(self._drawn)

    def __repr__(self):
        return f"Figures({', '.join(self)})"

    def _repr_html_(self) -> str:
        return "\n".join(
            f"<figure>{_image(figure)}<figcaption>{html.escape(printable(name))}</figcaption></figure>"
            for name, figure in self.items()
        )


def _image(figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f'<img style="max-width: 100%" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


@dataclass
class Result:
    """A finished run; `print` and a notebook show what it found.

    directory: the run directory. metrics: the content of metrics.json. config: the checked configuration. reads:
    whether the target may be built of data outside of the directory, which the configuration names.
    """

    directory: Path
    metrics: dict = field(repr=False)
    config: Config = field(repr=False)
    reads: bool = field(default=True, repr=False)

    @cached_property
    def _context(self):
        from scorelab.lab.context import Context

        return Context(runs.Run(self.directory), self.config)

    @cached_property
    def arrays(self) -> dict:
        """Figure name -> the arrays that the figure is drawn from."""
        return self._context.all_arrays()

    @cached_property
    def figures(self) -> Figures:
        """Figure name -> matplotlib Figure, for the figures that the study declares."""
        return Figures(self._context.figure_names(), self._context.figure)

    @cached_property
    def samples(self):
        """The samples, (count, n) float32, mapped from the file."""
        self._require_one("samples")
        return self._context.samples

    @cached_property
    def target(self):
        """The target of the run, with its exact answers. Raises ConfigError if the study uses none, and if the target
        is made of data outside of the directory that may not be read."""
        self._require_reads()
        return self._context.target

    @cached_property
    def denoiser(self):
        """The trained `Denoiser` on the CPU, ready to be called: denoiser(x, angle) is the posterior mean of the noisy
        states x (count, n), float32, at an angle.

        Raises ScorelabError if the run has no such file, and what `target` raises.
        """
        from scorelab.lab.denoiser_file import load_denoiser

        self._require_one("a network")
        self._require_reads()
        return load_denoiser(self.directory / "denoiser.safetensors", self.config).eval().requires_grad_(False)

    @cached_property
    def replicas(self) -> "list[Result]":
        """The runs that the numbers of a run with `replicas=R` are means of; empty for any other run."""
        count = self.config.general.replicas
        every = [runs.Run(self.directory / "replicas" / str(number)) for number in range(count if count > 1 else 0)]
        return [Result(run.path, run.metrics, run.checked(self.config.general.extensions), self.reads) for run in every]

    @property
    def table(self):
        """The closing table as a pandas DataFrame: numbers in full precision, `held against` a floor or an exact value,
        `reference` this value, `verdict` what they say together. Empty if the study closes with no table."""
        closing = self.config.study.closing(self.metrics)
        said = {name: text for name, (text, _) in page.verdicts(self.config, self.metrics).items()}
        return _frame(closing or Table((), []), said)

    @property
    def overrides(self) -> list[str]:
        """What the run was asked for."""
        return runs.Run(self.directory).overrides

    def _require_one(self, what: str):
        """Raise ScorelabError for a run with replicas, each of which has its own of this."""
        if self.config.general.replicas > 1:
            raise ScorelabError(f"{self.directory}: each replica has {what} of its own; see result.replicas[0]")

    def _require_reads(self):
        for key, value in () if self.reads else self.config["target"].places("reads"):
            where = f"a place outside of {self.directory}, which no file there chooses"
            raise ConfigError(f"{key} = {value}: {where}; scorelab.load(..., reads=True) allows it")

    def _blocks(self) -> list:
        asked = shlex.join(["python", "run.py", *self.overrides])
        found = [*page.findings(self.config, self.metrics), *map(Paragraph, not_measured(self.metrics))]
        return [Heading(2, page.title(self.config)), *found, Code(f"{asked}\n{self.directory}")]

    def __str__(self):
        return plain(self._blocks())

    def _repr_html_(self) -> str:
        return fragment(self._blocks())


def _frame(closing: Table, said: Mapping[str, str]):
    """A closing table as a DataFrame, with the verdicts of its rows, name -> sentence."""
    import pandas

    columns, before = {}, ""
    for place, heading in enumerate(closing.headings):
        name = f"{before} ± s.e." if heading == "± s.e." and before != "measured" else heading
        before = heading if heading != "± s.e." else before
        cells = [row[place] for row in closing.rows]
        if heading == "held against":
            columns[heading] = [cell.partition(" ")[0] for cell in cells]
            name = "reference"
        columns[name] = [_value(cell) for cell in cells]
    table = pandas.DataFrame(columns)
    if "" in table:
        table = table.set_index("").rename_axis(None)
        if said:
            table["verdict"] = [said.get(name, "") for name in table.index]
    return table


def _value(cell: str):
    """The number of a cell, nan for an empty one, else its text."""
    if isinstance(cell, Cell):
        return cell.number
    try:
        return float(cell or "nan")
    except ValueError:
        return str(cell)


@dataclass
class SweepResult:
    """The runs below a directory, as of a sweep; `print` and a notebook show its table.

    directory: of the sweep. table: a pandas DataFrame with a row for each job, also for one that failed: the job, its
    state, the swept parameters, every number of metrics.json by its dotted name, the error. summary: the jobs that are
    done, grouped over seeds: means and standard errors of the main numbers. runs: job -> Result, of those that are
    done. reads: as for a `Result`.
    """

    directory: Path
    table: object = field(repr=False)
    extensions: tuple = field(default=(), repr=False)
    reads: bool = field(default=False, repr=False)

    @cached_property
    def runs(self) -> dict[str, Result]:
        done = self.table[self.table["state"] == "done"]["job"]
        every = {job: runs.Run(self.directory / job) for job in done}
        return {
            job: Result(run.path, run.metrics, run.checked(self.extensions), self.reads) for job, run in every.items()
        }

    @property
    def summary(self):
        from scorelab.lab.jobs import summarise

        return summarise(self.table)

    @cached_property
    def figures(self) -> Figures:
        """Figure name -> matplotlib Figure, as in the folder `figures` of a sweep."""
        from scorelab.lab.overviews import overviews

        drawings = overviews(self.directory, self.table)
        return Figures(drawings, lambda name: drawings[name].draw(self.directory / "figures" / f"{name}.png"))

    def _blocks(self) -> list:
        from scorelab.lab.gather import main_blocks

        return [*main_blocks(self.directory, self.table), Code(str(self.directory))]

    def __str__(self):
        return plain(self._blocks())

    def _repr_html_(self) -> str:
        return fragment(self._blocks())
