"""Gather the runs below a directory into sweep.csv, sweep.md and figures, from what lies there alone.

It works on a sweep that is finished, running or interrupted, and on any folder of single runs, at any depth.
"""

import shlex
from pathlib import Path

import numpy
import pandas
from rich.console import Console

from scorelab.blocks import Cell, Heading, Paragraph, Pictures, Table, markdown, page
from scorelab.errors import printable
from scorelab.files import write_text
from scorelab.lab.jobs import columns_of, grouping, groups_of, summarise, tabulate
from scorelab.lab.overviews import write_overviews
from scorelab.lab.trials import Trials
from scorelab.laws.estimate import shown

#: up to so many parameters have a column each in sweep.md; more share one column, which names what each job asked for
_COLUMNS = 4


def gather(directory: Path | str, extensions=()) -> pandas.DataFrame:
    """Write sweep.csv, sweep.md, sweep.html and the figures that the studies of the runs declare; return the table, one
    row a job: see `scorelab.lab.jobs.tabulate`, which also says what is raised."""
    directory = Path(directory)
    table = tabulate(directory, extensions)
    write_text(directory / "sweep.csv", table.to_csv(index=False))
    drawn = write_overviews(directory, table)
    blocks = _blocks(directory, table, drawn)
    write_text(directory / "sweep.md", markdown(blocks, directory))
    write_text(directory / "sweep.html", page(blocks, directory.name))
    return table


def print_sweep(table: pandas.DataFrame, directory: Path):
    """Print the summary, every job that is not done with its error, and the paths of the tables."""
    console = Console(width=None if Console().is_terminal else 200)
    console.print(_text_table(table), highlight=False, soft_wrap=True)
    searched = Trials.of(directory, table)
    for line in searched.lines(table) if searched is not None else ():
        console.print(printable(line), highlight=False, soft_wrap=True, markup=False)
    for row in table[table["state"] != "done"].to_dict("records"):
        given = {name: row[name] for name in table.attrs["parameters"] if not pandas.isna(row[name])}
        parameters = " ".join(f"{name}={value}" for name, value in given.items())
        why = f": {row['error']}" if isinstance(row["error"], str) else ""
        line = printable(f"job {row['job']} ({parameters}) {row['state']}{why}")
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if table.attrs["left_out"]:
        names = " ".join(table.attrs["left_out"])
        console.print(
            f"extensions {names}: not imported, so that the tables and figures of their studies are left out; "
            f"python scripts/gather.py {shlex.quote(str(directory))} {names} imports them",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    for name in ("sweep.csv", "sweep.md", "sweep.html"):
        console.print(printable(directory / name), highlight=False, soft_wrap=True, markup=False)


def _cells(table: pandas.DataFrame) -> tuple[list[str], list[list[str]]]:
    summary, parameters = summarise(table), grouping(table)
    headings = columns_of(table)
    metrics = [name for name in headings if name in summary]
    leading = [[str(row[name]) for name in parameters] for row in summary.to_dict("records")]
    if len(parameters) > _COLUMNS:
        parameters = ["configuration"]
        leading = [[table.attrs["labels"][group["job"].iloc[0]]] for _, group in groups_of(table)]
    heading = [*parameters, "count", *(headings[name] for name in metrics)]
    rows = [
        [*values, f"{row['count']:.0f}", *(_cell(row[name], row[f"{name}_standard_error"]) for name in metrics)]
        for values, row in zip(leading, summary.to_dict("records"), strict=True)
    ]
    return heading, rows


def _cell(value, error) -> str:
    return shown(value, error) if numpy.isfinite(value) else ""


def _blocks(directory: Path, table: pandas.DataFrame, drawn: dict[str, str]) -> list:
    """The blocks of sweep.md and sweep.html. drawn: name of a figure -> what it leaves out."""
    blocks = main_blocks(directory, table)
    for name, of in drawn.items():
        blocks.append(Pictures([(directory / "figures" / f"{name}.png", name)]))
        blocks += [Paragraph(f"{of}.")] if of else []
    return blocks


def main_blocks(directory: Path, table: pandas.DataFrame) -> list:
    """A heading, how many jobs are done, the table of those that are, and why the others are not."""
    heading, rows = _cells(table)
    blocks = [
        Heading(1, directory.name),
        Paragraph(f"{len(table)} jobs, {(table['state'] == 'done').sum()} done."),
        Paragraph("Mean ± standard error over seeds; count: runs of each configuration."),
        Table(heading, [[Cell(cell) for cell in row] for row in rows]),
    ]
    searched = Trials.of(directory, table)
    blocks += searched.blocks(table) if searched is not None else []
    rest = table[table["state"] != "done"]
    if len(rest):
        columns = ["job", *table.attrs["parameters"], "state", "error"]
        given = [[Cell("" if value is None else str(value)) for value in row] for row in rest[columns].to_numpy()]
        blocks += [Heading(2, "Not done"), Table(columns, given)]
    return blocks


def _text_table(table: pandas.DataFrame):
    from rich.markup import escape
    from rich.table import Table as Printed

    heading, rows = _cells(table)
    printed = Printed(*(escape(printable(name)) for name in heading), box=None, pad_edge=False)
    for row in rows:
        printed.add_row(*(escape(printable(cell)) for cell in row))
    return printed
