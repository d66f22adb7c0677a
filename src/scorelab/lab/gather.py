"""Gather the runs below a directory into sweep.csv, sweep.md and figures, from what lies there alone.

It works on a sweep that is finished, running or interrupted, and on any folder of single runs, at any depth.
"""

import logging
import shlex
from numbers import Real
from pathlib import Path

import numpy
import pandas
import yaml
from rich.console import Console

from scorelab.blocks import Cell, Heading, Paragraph, Pictures, Table, markdown, page
from scorelab.errors import ScorelabError, one_line, printable
from scorelab.files import made_from, read_yaml, remove, require_closed, write_text
from scorelab.lab.curves import curves
from scorelab.lab.runs import Run, asked, beneath, flat
from scorelab.laws.estimate import Estimate, shown
from scorelab.nodes import GROUPS, resolve
from scorelab.options import show
from scorelab.studies.base import Study, function_of, lookup

log = logging.getLogger("scorelab")
#: swept parameters that do not make another configuration
_BOOKKEEPING = ("seed",)
#: the state of a job whose files cannot be read
UNREADABLE = "unreadable"
#: up to so many parameters have a column each in sweep.md; more share one column, which names what each job asked for
_COLUMNS = 4
#: so many panels has an overview of runs at most, and so many configurations has the comparison; a page has no more
_PANELS, _COMPARED = 24, 48


def gather(directory: Path | str, extensions=()) -> pandas.DataFrame:
    """Write sweep.csv, sweep.md, sweep.html and the figures that the studies of the runs declare; return the table, one
    row a job.

    Columns: job (its place below the directory), state, error, the swept parameters (the overrides whose values vary),
    and every number of metrics.json by its dotted name. `attrs["labels"]` has for each job the swept parameters that it
    asked for itself, without the seed, as text. extensions: packages whose studies may be imported; `attrs["left_out"]`
    names the others that the runs need. A job whose files are damaged is a row with the state `unreadable` and the
    reason. Raises ScorelabError if there is no run below the directory, or if a link leads out of it.
    """
    directory = Path(directory)
    require_closed(directory)
    runs = beneath(directory)
    if not runs:
        raise ScorelabError(f"{directory}: no run directory below it")
    rows, configurations = zip(*(_row(directory, run, extensions) for run in runs), strict=True)
    table = pandas.DataFrame(rows)
    table.attrs["studies"] = list(filter(None, dict.fromkeys(_study(saved, extensions) for saved in configurations)))
    table.attrs["left_out"] = sorted({name for saved in configurations for name in _not_imported(saved, extensions)})
    swept = [name for name in table if name.startswith("=")]
    asked_for = table[table["state"] != UNREADABLE]  # what the others asked for is not known
    constant = [name for name in swept if asked_for[name].nunique(dropna=False) == 1]
    parameters = [name[1:] for name in swept if name not in constant]
    repeated = [name for name in parameters if name in table]  # numbers that only repeat a swept key
    table = table.drop(columns=[*constant, *repeated]).rename(columns={f"={name}": name for name in parameters})
    table.attrs["labels"] = dict(zip(table["job"], _labels(table, parameters), strict=True))
    for name in parameters:  # a job that did not set a parameter has the value of its configuration
        table[name] = [
            _configured(run, saved, name) if pandas.isna(value) else value
            for run, saved, value in zip(runs, configurations, table[name], strict=True)
        ]
    leading = ["job", "state", *parameters]
    table = table[[*leading, *(name for name in table if name not in leading and name != "error"), "error"]]
    table.attrs["parameters"] = parameters
    write_text(directory / "sweep.csv", table.to_csv(index=False))
    drawn = _draw(directory, table)
    blocks = _blocks(directory, table, drawn)
    write_text(directory / "sweep.md", markdown(blocks, directory))
    write_text(directory / "sweep.html", page(blocks, directory.name))
    return table


def _row(directory: Path, run: Run, extensions) -> tuple[dict, dict]:
    """The row of a job, in which the parameters that it asked for have names that begin with =, and its saved
    configuration; this is empty where the job cannot be read."""
    row = {"job": run.path.relative_to(directory).as_posix(), "state": UNREADABLE, "error": None}
    try:
        status, given = run.status, {f"={key}": _typed(value) for key, value in asked(run.overrides).items()}
        numbers, saved = {}, run.saved
        if status["state"] == "done":
            numbers = dict(flat({key: value for key, value in run.metrics.items() if key != "not_measured"}))
            _require_numbers(run, _study(saved, extensions), numbers)
        return row | {"state": status["state"], "error": status.get("error")} | given | numbers, saved
    except ScorelabError as error:
        return row | {"error": one_line(error)}, {}


def _study(saved: dict, extensions) -> type[Study] | None:
    """The class of the study of a saved configuration; None if it names no class that may be imported, and can be."""
    try:
        return resolve("study", lookup(saved, "study._target_"), [*extensions])
    except ScorelabError:
        return None


def _not_imported(saved: dict, extensions) -> list[str]:
    """The extensions that a saved configuration has its study from, and that are not among `extensions`."""
    named, path = saved.get("extensions"), str(lookup(saved, "study._target_"))
    others = [str(name) for name in named if name not in extensions] if isinstance(named, list) else []
    return [name for name in others if path.startswith(f"{name}.")]


def _declared(table: pandas.DataFrame, what: str) -> list:
    """The numbers that the studies of the runs declare in the class variable `what`, without repetitions."""
    numbers = dict.fromkeys(one for study in table.attrs["studies"] for one in getattr(study, what))
    return [each for number in numbers for each in number.among(table.columns)]


def _require_numbers(run: Run, study: type[Study] | None, metrics: dict):
    """Raise ScorelabError for a job whose metrics.json has something else where its study declares a number."""
    declared = () if study is None else (*study.columns, *study.compared)
    for number in (each for one in declared for each in one.among(metrics)):
        for key in {number.key, number.error_key, number.reference_key} & {*metrics}:
            value = metrics[key]
            if not (value is None or (isinstance(value, Real) and not isinstance(value, bool))):
                raise ScorelabError(f"{run / 'metrics.json'}: {key} = {show(value)}: a number is needed")


def _columns(table: pandas.DataFrame) -> dict[str, str]:
    """The metrics that the table shows: key -> heading."""
    return {number.key: number.heading or number.name for number in _declared(table, "columns")}


def summarise(table: pandas.DataFrame) -> pandas.DataFrame:
    """The done jobs grouped over seeds: parameters, count, and mean and standard error of each main metric."""
    parameters = _grouping(table)
    done = table[table["state"] == "done"]
    metrics = [name for name in _columns(table) if name in done and done[name].notna().any()]
    rows = []
    for key, group in _groups(table):
        row = dict(zip(parameters, key, strict=True)) | {"count": len(group)}
        for name in metrics:
            row |= Estimate.mean(group[name].dropna().to_numpy(float)).keys(name)
        rows.append(row)
    columns = [column for name in metrics for column in (name, f"{name}_standard_error")]
    return pandas.DataFrame(rows, columns=[*parameters, "count", *columns])


def _grouping(table: pandas.DataFrame) -> list[str]:
    """The swept parameters that distinguish configurations: all but the seed."""
    return [name for name in table.attrs["parameters"] if name not in _BOOKKEEPING]


def _groups(table: pandas.DataFrame):
    """The done jobs of each configuration: pairs of the values of its parameters and its rows, one row per seed."""
    done, parameters = table[table["state"] == "done"], _grouping(table)
    return done.groupby(parameters, dropna=False, sort=False) if parameters else [((), done)]


def _labels(table: pandas.DataFrame, parameters: list[str]):
    """Yield for each job the parameters that it asked for itself; the table has no other values yet."""
    names = [name for name in parameters if name not in _BOOKKEEPING]
    for row in table[names].to_dict("records"):
        yield ", ".join(_shown(name, value) for name, value in row.items() if not pandas.isna(value))


def _title(table: pandas.DataFrame, row: dict) -> str:
    """The title of a job's panel: the swept parameters that it has a value of, with the seed; else where it lies."""
    values = ((name, row[name]) for name in table.attrs["parameters"])
    return show(", ".join(_shown(name, value) for name, value in values if not pandas.isna(value)) or row["job"])


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _shown(name: str, value) -> str:
    """A parameter in a label: only the option for a group, the last part of the key and the value for any other key."""
    option = f"{value:.12g}" if isinstance(value, float) else show(value)
    return option if name in GROUPS else f"{_short(name)}={option}"


def print_sweep(table: pandas.DataFrame, directory: Path):
    """Print the summary, every job that is not done with its error, and the paths of the tables."""
    console = Console(width=None if Console().is_terminal else 200)
    console.print(_text_table(table), highlight=False, soft_wrap=True)
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


def _configured(run: Run, saved: dict, key: str):
    """The value that a saved configuration gives to a dotted key, None if it has none. Of a group it is the name of the
    option, or of the class where Hydra wrote no names."""
    value = lookup(saved, key)
    if isinstance(value, dict) and "_target_" in value:
        try:
            known = read_yaml(run / ".hydra" / "hydra.yaml")
        except ScorelabError:
            known = None
        name = lookup(known, f"hydra.runtime.choices.{key}") if isinstance(known, dict) else None
        return name if isinstance(name, str) else str(value["_target_"]).rpartition(".")[2]
    return str(value) if isinstance(value, (dict, list)) else value


def _typed(written: str):
    """The value of an override as a number or a truth value, if it is one; else as it was written."""
    try:
        value = yaml.safe_load(written)
        if isinstance(value, str):
            return value if written[0] in "'\"" else float(written)
        return value if isinstance(value, (int, float, bool)) else written
    except (ValueError, RecursionError, yaml.YAMLError):
        return written


def _cells(table: pandas.DataFrame) -> tuple[list[str], list[list[str]]]:
    summary, parameters = summarise(table), _grouping(table)
    columns = _columns(table)
    metrics = [name for name in columns if name in summary]
    leading = [[str(row[name]) for name in parameters] for row in summary.to_dict("records")]
    if len(parameters) > _COLUMNS:
        parameters = ["configuration"]
        leading = [[table.attrs["labels"][group["job"].iloc[0]]] for _, group in _groups(table)]
    heading = [*parameters, "count", *(columns[name] for name in metrics)]
    rows = [
        [*values, f"{row['count']:.0f}", *(_cell(row[name], row[f"{name}_standard_error"]) for name in metrics)]
        for values, row in zip(leading, summary.to_dict("records"), strict=True)
    ]
    return heading, rows


def _cell(value, error) -> str:
    return shown(value, error) if numpy.isfinite(value) else ""


def _blocks(directory: Path, table: pandas.DataFrame, drawn: dict[str, str]) -> list:
    """The blocks of sweep.md and sweep.html. drawn: name of a figure -> what it leaves out."""
    heading, rows = _cells(table)
    blocks = [
        Heading(1, directory.name),
        Paragraph(f"{len(table)} jobs, {(table['state'] == 'done').sum()} done."),
        Paragraph("Mean ± standard error over seeds; count: runs of each configuration."),
        Table(heading, [[Cell(cell) for cell in row] for row in rows]),
    ]
    rest = table[table["state"] != "done"]
    if len(rest):
        columns = ["job", *table.attrs["parameters"], "state", "error"]
        given = [[Cell("" if value is None else str(value)) for value in row] for row in rest[columns].to_numpy()]
        blocks += [Heading(2, "Not done"), Table(columns, given)]
    for name, of in drawn.items():
        blocks.append(Pictures([(directory / "figures" / f"{name}.png", name)]))
        blocks += [Paragraph(f"{of}.")] if of else []
    return blocks


def _text_table(table: pandas.DataFrame):
    from rich.markup import escape
    from rich.table import Table as Printed

    heading, rows = _cells(table)
    printed = Printed(*(escape(printable(name)) for name in heading), box=None, pad_edge=False)
    for row in rows:
        printed.add_row(*(escape(printable(cell)) for cell in row))
    return printed


def _compared(table: pandas.DataFrame) -> list:
    """The numbers to compare; none unless there are several configurations, and several seeds of one configuration."""
    sizes = [len(group) for _, group in _groups(table)]
    several = len(sizes) > 1 and max(sizes) > 1
    return [number for number in _declared(table, "compared") if number.key in table] if several else []


def _comparison(table: pandas.DataFrame, numbers) -> dict:
    """The arrays of the figure `comparison`, which has the first configurations."""
    groups = [group for _, group in _groups(table)][:_COMPARED]
    arrays = {"labels": [table.attrs["labels"][group["job"].iloc[0]] or "as configured" for group in groups]}
    arrays |= {"names": [number.key for number in numbers], "titles": [number.name for number in numbers]}
    arrays["scales"] = [number.scale for number in numbers]
    for number in numbers:
        seeds = max(map(len, groups))
        arrays[number.key] = [[*group[number.key], *[numpy.nan] * (seeds - len(group))] for group in groups]
        held = number.reference_key
        # One reference line is drawn for all configurations if their reference values are about the same.
        if held in table and table[held].max() - table[held].min() <= 0.3 * table[held].max():
            arrays[f"exact.{number.key}"] = table[held].mean()
    return arrays


def _losses(directory: Path, table: pandas.DataFrame) -> dict:
    """The arrays of the figure `losses`: the trainings of each configuration that several seeds have trained, part by
    part where the denoiser has parts. Empty if there is none."""
    from scorelab.figures.files import load_table

    arrays, titles = {}, []
    for _, group in _groups(table):
        if len(titles) >= _PANELS:
            break
        paths = [directory / job / "training.csv" for job in group["job"]]
        columns = [load_table(path, texts=("part",)) for path in paths if path.is_file()]
        if len(columns) < max(2, len(paths)):
            continue
        parts = [one.get("part", numpy.full(len(one["epoch"]), "")) for one in columns]
        for part in dict.fromkeys(parts[0]):
            runs = [{key: one[key][of == part] for key in one} for one, of in zip(columns, parts, strict=True)]
            if any(not numpy.array_equal(run["epoch"], runs[0]["epoch"]) for run in runs):
                continue  # trainings of other lengths, among runs that were put into one folder
            here = f"{len(titles)}."
            arrays[f"{here}epoch"] = runs[0]["epoch"]
            for name in ("loss", "validation_loss"):
                if all(name in run for run in runs):
                    arrays[here + name] = [run[name] for run in runs]
            if all("bayes_risk" in run for run in runs):
                least = numpy.array([run["bayes_risk"][-1] for run in runs])
                if numpy.ptp(least) <= 0.02 * abs(least.mean()):  # else the seed draws another target
                    arrays[f"{here}bayes_risk"] = least.mean()
            label = show(table.attrs["labels"][group["job"].iloc[0]])
            titles.append(", ".join(filter(None, (label, str(part).replace("_", " ")))))
    return {"titles": titles, **arrays} if titles else {}


def _draw(directory: Path, table: pandas.DataFrame) -> dict[str, str]:
    """Draw the overviews that the studies declare, the comparison of configurations, the losses of trainings over
    seeds, and the curves over a swept number; remove those that an earlier call drew and this one does not.

    Return the names of the figures, with what a figure is of where it leaves something out.
    """
    from scorelab.figures import comparison, losses
    from scorelab.figures import curves as of_a_number
    from scorelab.figures.files import load_arrays, save_arrays, save_figure
    from scorelab.figures.style import house_style

    drawn = {}
    for study in table.attrs["studies"]:
        for name in study.overviews:
            panels, of = ([], "") if name in drawn else _panels(directory, table, study, name)
            if panels:
                path = directory / "figures" / f"{name}.png"
                with house_style(), made_from(path, f"cannot be drawn from */figures/{name}.npz"):
                    save_figure(function_of(study, "overviews", name, "grid")(panels), path)
                drawn[name] = of
    numbers = _compared(table)
    own = {"comparison": (comparison, _comparison(table, numbers) if numbers else {})}
    own["losses"] = (losses, _losses(directory, table))
    done = table[table["state"] == "done"]
    own["curves"] = (of_a_number, curves(done, _grouping(table), _declared(table, "compared"), _shown))
    for name, (module, arrays) in own.items():
        if not arrays:
            continue
        path = directory / "figures" / f"{name}.npz"
        save_arrays(path, arrays)
        with house_style(), made_from(path, "cannot be drawn"):
            save_figure(module.figure(load_arrays(path)), path.with_suffix(".png"))
        drawn[name] = ""
    every = {*own, *(name for study in table.attrs["studies"] for name in study.overviews)}
    for name in every - drawn.keys():
        for extension in ("png", "npz"):
            remove(directory / "figures" / f"{name}.{extension}")
    count = len(list(_groups(table)))
    if "comparison" in drawn and count > _COMPARED:
        drawn["comparison"] = f"The first {_COMPARED} of {count} configurations"
    if "curves" in drawn and (settings := own["curves"][1]["settings"]) > of_a_number.MOST:
        drawn["curves"] = f"The first {of_a_number.MOST} of {settings} settings"
    panels = len(own["losses"][1].get("titles", ()))
    if panels >= _PANELS:
        drawn["losses"] = f"The first {panels} panels; there are {count} configurations"
    return drawn


def _panels(directory: Path, table: pandas.DataFrame, study: type[Study], name: str) -> tuple[list, str]:
    """The panels of an overview, pairs (title, arrays), and what they are of where some are left out: then they are of
    one run of each configuration, and not of all configurations."""
    from scorelab.figures.files import load_arrays

    panels, done = [], table[table["state"] == "done"]
    places = {job: directory / job / "figures" / f"{name}.npz" for job in done["job"]}
    found = done[[places[job].is_file() for job in done["job"]]]
    rows = found.to_dict("records")
    if len(rows) > _PANELS:
        rows = [group.to_dict("records")[0] for _, group in _groups(found)]
    shown = rows[:_PANELS]
    for row in shown:
        try:
            arrays = load_arrays(places[row["job"]])
            if name in study.complete:
                arrays.require_complete()
        except ScorelabError as error:
            log.warning("left out of figures/%s: %s", name, one_line(error))
            continue
        panels.append((_title(table, row), arrays))
    if len(shown) == len(found):
        return panels, ""
    what = f"One run each of {len(shown)} of {len(rows)} configurations; there are {len(found)} runs"
    log.info("figures/%s: %s", name, what)
    return panels, what
