"""Gather the runs below a directory into sweep.csv, sweep.md and one figure, from what lies there alone.

It works on a sweep that is finished, running or interrupted, and on any folder of single runs.
"""

from pathlib import Path

import numpy
import pandas
import yaml
from rich.console import Console

from scorelab.errors import ScorelabError
from scorelab.files import write_text
from scorelab.runs import Run

#: columns of sweep.md: a metric, its heading
MAIN = {
    "projection.w1": "W1",
    "projection.w1_floor": "W1 floor",
    "projection.mode_weight": "mode weight",
    "path_kl.total": "path KL (nats)",
    "training.excess_risk": "excess risk",
    "training.seconds": "training (s)",
}
_BOOKKEEPING = ("seed",)


def gather(directory: Path | str) -> pandas.DataFrame:
    """Write sweep.csv, sweep.md and figures/projection.png; return the table, one row a job.

    Columns: job, state, error, the swept parameters (those overrides whose values vary, and no others), and every
    number of metrics.json by its dotted name. Raises ScorelabError if there is no run below the directory.
    """
    directory = Path(directory)
    found = sorted((path.parent for path in directory.glob("*/status.json")), key=_natural)
    if not found:
        raise ScorelabError(f"{directory}: no run directory below it")
    runs = [Run(path) for path in found]
    rows = []
    for run in runs:
        status = run.status
        row = {"job": run.path.name, "state": status["state"], "error": status.get("error")}
        row |= {f"={key}": value for key, value in _overrides(run, status).items()}
        if status["state"] == "done":
            row |= dict(_flatten(run.metrics))
        rows.append(row)
    table = pandas.DataFrame(rows)
    swept = [name for name in table if name.startswith("=")]
    constant = [name for name in swept if table[name].nunique(dropna=False) == 1]
    table = table.drop(columns=constant).rename(columns={name: name[1:] for name in swept if name not in constant})
    parameters = [name[1:] for name in swept if name not in constant]
    for name in parameters:  # a job that did not set what others did has the value of its configuration
        table[name] = [
            _configured(run, name) if pandas.isna(value) else value
            for run, value in zip(runs, table[name], strict=True)
        ]
    leading = ["job", "state", *parameters]
    table = table[[*leading, *(name for name in table if name not in leading and name != "error"), "error"]]
    table.attrs["parameters"] = parameters
    write_text(directory / "sweep.csv", table.to_csv(index=False))
    write_text(directory / "sweep.md", _markdown(directory.name, table))
    _draw(directory, table)
    return table


def summarise(table: pandas.DataFrame) -> pandas.DataFrame:
    """The done jobs grouped over seeds: parameters, count, and mean and standard error of each main metric."""
    parameters = [name for name in table.attrs["parameters"] if name not in _BOOKKEEPING]
    done = table[table["state"] == "done"]
    metrics = [name for name in MAIN if name in done and done[name].notna().any()]
    groups = done.groupby(parameters, dropna=False, sort=False) if parameters else [((), done)]
    rows = []
    for key, group in groups:
        row = dict(zip(parameters, key, strict=True)) | {"count": len(group)}
        for name in metrics:
            values = group[name].dropna().to_numpy(float)
            row[name] = values.mean() if len(values) else numpy.nan
            row[f"{name}.se"] = values.std(ddof=1) / numpy.sqrt(len(values)) if len(values) > 1 else numpy.nan
        rows.append(row)
    return pandas.DataFrame(rows, columns=[*parameters, "count", *(f for n in metrics for f in (n, f"{n}.se"))])


def print_sweep(table: pandas.DataFrame, directory: Path):
    """Print the summary, every job that is not done with its error, and where things are."""
    console = Console(width=None if Console().is_terminal else 200)
    console.print(_text_table(summarise(table)), highlight=False, soft_wrap=True)
    for row in table[table["state"] != "done"].to_dict("records"):
        parameters = " ".join(f"{name}={row[name]}" for name in table.attrs["parameters"])
        why = f": {row['error']}" if isinstance(row["error"], str) else ""
        console.print(
            f"job {row['job']} ({parameters}) {row['state']}{why}", highlight=False, soft_wrap=True, markup=False
        )
    console.print(f"{directory / 'sweep.csv'}\n{directory / 'sweep.md'}", highlight=False, soft_wrap=True)


def _overrides(run: Run, status: dict) -> dict:
    """What was asked of a run: key -> value."""
    overrides = status.get("overrides")
    if overrides is None and (run / ".hydra" / "overrides.yaml").is_file():
        overrides = yaml.safe_load((run / ".hydra" / "overrides.yaml").read_text())
    pairs = (override.lstrip("+~").partition("=") for override in overrides or [])
    return {key: _typed(value) for key, _, value in pairs}


def _configured(run: Run, key: str):
    """The value that a run's configuration gives to a dotted key; None if it has none."""
    if not (run / "config.yaml").is_file():
        return None
    value = yaml.safe_load((run / "config.yaml").read_text())
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return str(value) if isinstance(value, (dict, list)) else value


def _typed(text: str):
    try:
        value = yaml.safe_load(text)
        return float(text) if isinstance(value, str) else value if isinstance(value, (int, float, bool)) else text
    except (ValueError, yaml.YAMLError):
        return text


def _flatten(metrics: dict, prefix: str = ""):
    for key, value in metrics.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            yield f"{prefix}{key}", value


def _natural(path: Path):
    return (0, int(path.name), "") if path.name.isdigit() else (1, 0, path.name)


def _number(value, error) -> str:
    if not numpy.isfinite(value):
        return ""
    return f"{value:.4g}" if not numpy.isfinite(error) else f"{value:.4g} ± {error:.2g}"


def _cells(summary: pandas.DataFrame) -> tuple[list[str], list[list[str]]]:
    metrics = [name for name in MAIN if name in summary]
    parameters = list(summary.columns[: list(summary.columns).index("count")])
    heading = [*parameters, "count", *(MAIN[name] for name in metrics)]
    rows = [
        [*(str(row[name]) for name in parameters), f"{row['count']:.0f}"]
        + [_number(row[name], row[f"{name}.se"]) for name in metrics]
        for row in summary.to_dict("records")
    ]
    return heading, rows


def _markdown(name: str, table: pandas.DataFrame) -> str:
    heading, rows = _cells(summarise(table))
    lines = [f"# {name}", "", f"{len(table)} jobs, {(table['state'] == 'done').sum()} done."]
    lines += ["Mean ± standard error over seeds; `count` runs each.", ""]
    lines += [_line(heading), _line(["---"] * len(heading)), *map(_line, rows)]
    rest = table[table["state"] != "done"]
    if len(rest):
        columns = ["job", *table.attrs["parameters"], "state", "error"]
        lines += ["", "## Not done", "", _line(columns), _line(["---"] * len(columns))]
        lines += [_line(["" if value is None else str(value) for value in row]) for row in rest[columns].to_numpy()]
    if "projection.w1" in table:
        lines += ["", "![projections](figures/projection.png)"]
    return "\n".join(lines) + "\n"


def _line(cells) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _text_table(summary: pandas.DataFrame):
    from rich.table import Table

    heading, rows = _cells(summary)
    table = Table(*heading, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    return table


def _draw(directory: Path, table: pandas.DataFrame):
    """One figure with the projection of every job that is done."""
    from scorelab.figures.files import load_arrays, save_figure
    from scorelab.figures.projection import grid
    from scorelab.figures.style import house_style

    panels = []
    for row in table[table["state"] == "done"].to_dict("records"):
        path = directory / row["job"] / "figures" / "projection.npz"
        if path.is_file():
            title = ", ".join(f"{name.rpartition('.')[2]}={row[name]}" for name in table.attrs["parameters"])
            panels.append((title or row["job"], load_arrays(path)))
    if panels:
        with house_style():
            save_figure(grid(panels), directory / "figures" / "projection.png")
