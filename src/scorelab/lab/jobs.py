"""The runs below a directory as one table, from what lies there alone, and for jobs of Slurm from its queue."""

import functools
from numbers import Real
from pathlib import Path

import pandas
import yaml

from scorelab.errors import ScorelabError, one_line
from scorelab.files import read_yaml, require_closed
from scorelab.lab import slurm_queue
from scorelab.lab.rows import UNREADABLE
from scorelab.lab.runs import Run, asked, beneath, flat
from scorelab.laws.estimate import Estimate, mean_over_causes
from scorelab.nodes import GROUPS, resolve
from scorelab.options import show
from scorelab.studies.base import Study, lookup

#: swept parameters that do not make another configuration
_BOOKKEEPING = ("seed", "sampler.seed")


class _Shared(dict):
    """A dictionary that nobody changes: pandas copies the attributes of a table for each part of it, even for a row,
    and of many runs this would take most of the time."""

    def __deepcopy__(self, memo):
        return self


def tabulate(directory: Path | str, extensions=()) -> pandas.DataFrame:
    """The runs at any depth below a directory as a table, one row a job; nothing is written.

    Columns: job (its place below the directory), state, error, the swept parameters (the overrides whose values vary),
    and every number of metrics.json by its dotted name. `attrs["labels"]` has for each job the swept parameters that it
    asked for itself, without the seed, as text, and `attrs["figures"]` the node `figures` of the configurations, None
    if they differ. extensions: packages whose studies may be imported; `attrs["left_out"]` names the others that the
    runs need. A job whose files are damaged is a row with the state `unreadable` and the
    reason. Raises ScorelabError if there is no run below the directory, or if a link leads out of it.
    """
    directory = Path(directory)
    require_closed(directory)
    runs = beneath(directory)
    if not runs and (directory / "status.json").is_file():
        raise ScorelabError(f"{directory}: is one run, which is gathered with others: name the folder that it lies in")
    if not runs:
        raise ScorelabError(f"{directory}: no run directory below it")
    told = functools.cache(slurm_queue.told)
    rows, configurations = zip(*(_row(directory, run, extensions, told) for run in runs), strict=True)
    table = pandas.DataFrame(rows)
    table.attrs["studies"] = list(filter(None, dict.fromkeys(study_of(saved, extensions) for saved in configurations)))
    table.attrs["left_out"] = sorted({name for saved in configurations for name in _not_imported(saved, extensions)})
    table.attrs["figures"] = _alike([saved.get("figures") for saved in configurations if saved])
    swept = [name for name in table if name.startswith("=")]
    asked_for = table[table["state"] != UNREADABLE]  # what the others asked for is not known
    constant = [name for name in swept if asked_for[name].nunique(dropna=False) == 1]
    parameters = [name[1:] for name in swept if name not in constant]
    repeated = [name for name in parameters if name in table]  # numbers that only repeat a swept key
    table = table.drop(columns=[*constant, *repeated]).rename(columns={f"={name}": name for name in parameters})
    table.attrs["labels"] = _Shared(zip(table["job"], _labels(table, parameters), strict=True))
    for name in parameters:  # a job that did not set a parameter has the value of its configuration
        table[name] = [
            _configured(run, saved, name) if pandas.isna(value) else value
            for run, saved, value in zip(runs, configurations, table[name], strict=True)
        ]
    leading = ["job", "state", *parameters]
    table = table[[*leading, *(name for name in table if name not in leading and name != "error"), "error"]]
    table.attrs["parameters"] = parameters
    return table


def _alike(values: list):
    """What all values are; None if they differ, or if there is none."""
    return values[0] if values and all(value == values[0] for value in values) else None


def _row(directory: Path, run: Run, extensions, told) -> tuple[dict, dict]:
    """The row of a job, in which the parameters that it asked for have names that begin with =, and its saved
    configuration; this is empty where the job cannot be read. told(directory of a sweep): number of a job -> what a
    queue knows of it, which is the reason where a job did not come to its end."""
    row = {"job": run.path.relative_to(directory).as_posix(), "state": UNREADABLE, "error": None}
    try:
        status, given = run.status, {f"={key}": _typed(value) for key, value in asked(run.overrides).items()}
        numbers, saved = {}, run.saved
        if status["state"] == "done":
            numbers = dict(flat({key: value for key, value in run.metrics.items() if key != "not_measured"}))
            _require_numbers(run, study_of(saved, extensions), numbers)
        error = status.get("error")
        if error is None and status["state"] in ("pending", "interrupted") and run.path.name.isdigit():
            error = told(run.path.parent).get(int(run.path.name))
        return row | {"state": status["state"], "error": error} | given | numbers, saved
    except ScorelabError as error:
        return row | {"error": one_line(error)}, {}


def study_of(saved: dict, extensions) -> type[Study] | None:
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


def declared(table: pandas.DataFrame, what: str) -> list:
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


def columns_of(table: pandas.DataFrame) -> dict[str, str]:
    """The metrics that the table shows: key -> heading."""
    return {number.key: number.heading or number.name for number in declared(table, "columns")}


def summarise(table: pandas.DataFrame) -> pandas.DataFrame:
    """The done jobs grouped over seeds: parameters, count, and mean and standard error of each main metric, see
    `mean_of`."""
    parameters = grouping(table)
    done = table[table["state"] == "done"]
    metrics = [name for name in columns_of(table) if name in done and done[name].notna().any()]
    rows = []
    for key, group in groups_of(table):
        row = dict(zip(parameters, key, strict=True)) | {"count": len(group)}
        for name in metrics:
            row |= mean_of(group, name).keys(name)
        rows.append(row)
    columns = [column for name in metrics for column in (name, f"{name}_standard_error")]
    return pandas.DataFrame(rows, columns=[*parameters, "count", *columns])


def mean_of(rows: pandas.DataFrame, key: str) -> Estimate:
    """The mean of a number over rows of a table that are one configuration, and its standard error.

    The jobs of one seed have one network, and those of one `sampler.seed` the same noise of the sampler: where both
    vary, the errors over the networks and over the noise are added in squares.
    """
    rows = rows[rows[key].notna()]
    if not len(rows):
        return Estimate.missing("there are no values")
    causes = [range(len(rows))]
    if all(name in rows and rows[name].nunique() > 1 for name in _BOOKKEEPING):
        own = rows["sampler.seed"].isna()  # such a job takes its noise from its seed
        noise = rows["sampler.seed"].astype(object).where(~own, "of " + rows["seed"].astype(str))
        causes = [rows["seed"], noise]
    return Estimate(*mean_over_causes(rows[key], *causes))


def networks_of(rows: pandas.DataFrame) -> pandas.DataFrame:
    """One row for each training among rows of a table that are one configuration: jobs that differ in `sampler.seed`
    alone have the same network."""
    if "sampler.seed" not in rows:
        return rows
    return rows.drop_duplicates("seed") if "seed" in rows else rows.head(1)


def grouping(table: pandas.DataFrame) -> list[str]:
    """The swept parameters that distinguish configurations: all but the seed."""
    return [name for name in table.attrs["parameters"] if name not in _BOOKKEEPING]


def groups_of(table: pandas.DataFrame):
    """The done jobs of each configuration: pairs of the values of its parameters and its rows, one row per seed."""
    done, parameters = table[table["state"] == "done"], grouping(table)
    return done.groupby(parameters, dropna=False, sort=False) if parameters else [((), done)]


def _labels(table: pandas.DataFrame, parameters: list[str]):
    """Yield for each job the parameters that it asked for itself; the table has no other values yet."""
    names = [name for name in parameters if name not in _BOOKKEEPING]
    for row in table[names].to_dict("records"):
        yield ", ".join(shown_value(name, value) for name, value in row.items() if not pandas.isna(value))


def title_of(table: pandas.DataFrame, row: dict) -> str:
    """The title of a job's panel: the swept parameters that it has a value of, with the seed; else where it lies."""
    values = ((name, row[name]) for name in table.attrs["parameters"])
    return show(", ".join(shown_value(name, value) for name, value in values if not pandas.isna(value)) or row["job"])


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def shown_value(name: str, value) -> str:
    """A parameter in a label: only the option for a group, the last part of the key and the value for any other key."""
    option = f"{value:.12g}" if isinstance(value, float) else show(value)
    return option if name in GROUPS else f"{_short(name)}={option}"


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
