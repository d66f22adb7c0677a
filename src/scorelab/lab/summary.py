"""The short table at the end of a run."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from scorelab.files import made_from
from scorelab.lab.runs import Run


def summary(run: Run, study):
    """Print the closing table of a finished run, and the paths of its pages, its figures and its numbers."""
    console = Console()
    with made_from(run / "metrics.json", "its numbers do not make the closing table"):
        closing = study.closing(run.metrics)
    if closing is not None:
        if closing.rows:
            table = Table(*closing.headings, box=None, pad_edge=False)
            for row in closing.rows:
                table.add_row(*row)
            console.print(table)
        for line in closing.lines:
            console.print(line, soft_wrap=True, highlight=False, markup=False)
    figures = sorted(path for path in (run / "figures").glob("[!.]*") if path.suffix != ".npz")
    pages = sorted(run.path.glob("*.md"))
    for path in [*pages, *figures, run / "metrics.json", *run.path.glob("report.html")]:
        console.print(_short(path), soft_wrap=True, highlight=False, markup=False)


def _short(path: Path) -> str:
    """A path as seen from the working directory, if it lies below it."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
