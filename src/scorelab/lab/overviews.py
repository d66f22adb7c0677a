"""The figures of many runs: what their studies draw side by side, configurations compared, losses over seeds."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy
import pandas

from scorelab.errors import ScorelabError, one_line
from scorelab.files import made_from, remove
from scorelab.lab.config import Figures, Format
from scorelab.lab.curves import curves
from scorelab.lab.jobs import declared, grouping, groups_of, mean_of, networks_of, shown_value, title_of
from scorelab.lab.trials import Trials
from scorelab.options import show
from scorelab.studies.base import Study, function_of

log = logging.getLogger("scorelab")
#: so many panels has an overview of runs at most, and so many configurations has the comparison; a page has no more.
#: Of more they are picked evenly over the list of configurations, with the first and the last one.
_PANELS, _COMPARED = 24, 48


@dataclass(frozen=True)
class Overview:
    """A figure of many runs. make: returns it. left_out: what it is of, where it leaves something out. arrays: what it
    is drawn from, where no run has them. style: the text of a style on top of the house's."""

    make: Callable
    left_out: str = ""
    arrays: dict | None = None
    style: str | None = None

    def draw(self, path: Path):
        """The matplotlib Figure, in the house's style. path: its file, for the message of a ScorelabError."""
        from scorelab.figures.style import house_style

        what = f"cannot be drawn from */figures/{path.stem}.npz" if self.arrays is None else "cannot be drawn"
        with house_style(self.style), made_from(path, what):
            return self.make()


def overviews(directory: Path, table: pandas.DataFrame) -> dict[str, Overview]:
    """Name -> figure, of the runs of a table of `scorelab.lab.jobs.tabulate`: the overviews that the studies declare,
    the comparison of configurations, the losses of trainings over seeds, and the curves over a swept number; of a sweep
    that optimises what its trials found in the place of these."""
    from scorelab.figures import comparison, losses
    from scorelab.figures import curves as of_a_number
    from scorelab.figures import trials as of_trials
    from scorelab.figures.files import with_full_names

    found = {}
    for study in table.attrs["studies"]:
        for name in study.overviews:
            panels, left_out = ([], "") if name in found else _panels(directory, table, study, name)
            if panels:
                found[name] = Overview(_of_panels(study, name, panels), left_out)
    numbers, count = _compared(table), len(list(groups_of(table)))
    compared = _comparison(table, numbers) if numbers else {}
    trained, untold = _losses(directory, table)
    done = table[table["state"] == "done"]
    over = curves(done, grouping(table), declared(table, "compared"), shown_value)
    own = (("comparison", comparison, compared), ("losses", losses, trained), ("curves", of_a_number, over))
    searched = Trials.of(directory, table)
    if searched is not None:  # hardly two trials differ by one value alone
        own = (("trials", of_trials, searched.arrays()),) if len(searched.best) else ()
        compared = over = {}
    for name, module, arrays in own:
        if arrays:
            whole = with_full_names({key: numpy.asarray(values) for key, values in arrays.items()})
            found[name] = Overview(lambda module=module, whole=whole: module.figure(whole), "", arrays)
    if compared and count > _COMPARED:
        left_out = f"{_COMPARED} of {count} configurations, picked evenly"
        found["comparison"] = replace(found["comparison"], left_out=left_out)
    if over and over["settings"] > of_a_number.MOST:
        left_out = f"The first {of_a_number.MOST} of {over['settings']} settings"
        found["curves"] = replace(found["curves"], left_out=left_out)
    if untold and "losses" in found:
        found["losses"] = replace(found["losses"], left_out=untold)
    style = wanted(table).style
    return {name: replace(overview, style=style) for name, overview in found.items()}


def wanted(table: pandas.DataFrame) -> Figures:
    """How the figures of many runs are written: as all of them write their own, and as png for the page in any case."""
    try:
        figures = Figures(**table.attrs["figures"])
    except (TypeError, ValueError):  # they do it in different ways, or somebody wrote into the only configuration
        return Figures(formats=["png"], dpi=200)
    return figures.model_copy(update={"formats": sorted({*figures.formats, "png"})})


def _of_panels(study: type[Study], name: str, panels: list) -> Callable:
    return lambda: function_of(study, "overviews", name, "grid")(panels)


def write_overviews(directory: Path, table: pandas.DataFrame) -> dict[str, str]:
    """Draw the figures of many runs into the folder `figures`, see `wanted`; remove those that an earlier call drew and
    this one does not. Return the names of the figures, with what a figure is of where it leaves something out."""
    from scorelab.figures.files import save_arrays, save_figure

    found, how = overviews(directory, table), wanted(table)
    for name, overview in found.items():
        path = directory / "figures" / f"{name}.png"
        if overview.arrays is not None:
            save_arrays(path.with_suffix(".npz"), overview.arrays)
        figure = overview.draw(path)
        for extension in how.formats:
            save_figure(figure, path.with_suffix(f".{extension}"), how.dpi, how.style)
    every = {
        "comparison",
        "losses",
        "curves",
        "trials",
        *(name for study in table.attrs["studies"] for name in study.overviews),
    }
    for name in every:
        for extension in (*get_args(Format), "npz") if name not in found else {*get_args(Format)} - {*how.formats}:
            remove(directory / "figures" / f"{name}.{extension}")
    return {name: overview.left_out for name, overview in found.items()}


def _evenly(several: Sequence, most: int) -> list:
    """At most so many of several things, evenly picked, with the first and the last one."""
    count = min(most, len(several))
    return [several[place] for place in numpy.linspace(0, len(several) - 1, count).round().astype(int)]


def _compared(table: pandas.DataFrame) -> list:
    """The numbers to compare; none unless there are several configurations, and several seeds of one configuration."""
    sizes = [len(group) for _, group in groups_of(table)]
    several = len(sizes) > 1 and max(sizes) > 1
    return [number for number in declared(table, "compared") if number.key in table] if several else []


def _comparison(table: pandas.DataFrame, numbers) -> dict:
    """The arrays of the figure `comparison`."""
    groups = _evenly([group for _, group in groups_of(table)], _COMPARED)
    arrays = {"labels": [table.attrs["labels"][group["job"].iloc[0]] or "as configured" for group in groups]}
    arrays |= {"names": [number.key for number in numbers], "titles": [number.name for number in numbers]}
    arrays["scales"] = [number.scale for number in numbers]
    for number in numbers:
        seeds = max(map(len, groups))
        arrays[number.key] = [[*group[number.key], *[numpy.nan] * (seeds - len(group))] for group in groups]
        errors = [mean_of(group, number.key).standard_error for group in groups]
        arrays[f"error.{number.key}"] = [numpy.nan if error is None else error for error in errors]
        if number.reference_key in table:
            arrays[f"exact.{number.key}"] = [group[number.reference_key].mean() for group in groups]
    return arrays


def _losses(directory: Path, table: pandas.DataFrame) -> tuple[dict, str]:
    """The arrays of the figure `losses`: the trainings of each configuration that several seeds have trained, part by
    part where the denoiser has parts; empty if there is none. And what it is of where some are left out."""
    from scorelab.figures.files import load_table

    arrays, titles, trained = {}, [], []
    for group in (networks_of(group) for _, group in groups_of(table)):
        paths = [directory / job / "training.csv" for job in group["job"]]
        if len(paths) > 1 and all(path.is_file() for path in paths):
            trained.append((group, paths))
    parts = {*load_table(trained[0][1][0], texts=("part",)).get("part", ("",))} if trained else ("",)
    picked = _evenly(trained, max(_PANELS // len(parts), 1))
    for group, paths in picked:
        columns = [load_table(path, texts=("part",)) for path in paths]
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
    left_out = f"{len(picked)} of {len(trained)} configurations, picked evenly" if len(picked) < len(trained) else ""
    return ({"titles": titles, **arrays} if titles else {}), left_out


def _panels(directory: Path, table: pandas.DataFrame, study: type[Study], name: str) -> tuple[list, str]:
    """The panels of an overview, pairs (title, arrays), and what they are of where some are left out: then they are of
    one run of each configuration, and not of all configurations."""
    from scorelab.figures.files import load_arrays

    panels, done = [], table[table["state"] == "done"]
    places = {job: directory / job / "figures" / f"{name}.npz" for job in done["job"]}
    found = done[[places[job].is_file() for job in done["job"]]]
    rows = found.to_dict("records")
    if len(rows) > _PANELS:
        rows = [group.to_dict("records")[0] for _, group in groups_of(found)]
    shown = _evenly(rows, _PANELS)
    for row in shown:
        try:
            arrays = load_arrays(places[row["job"]])
            if name in study.complete:
                arrays.require_complete()
        except ScorelabError as error:
            log.warning("left out of figures/%s: %s", name, one_line(error))
            continue
        panels.append((title_of(table, row), arrays))
    if len(shown) == len(found):
        return panels, ""
    evenly = ", picked evenly" if len(shown) < len(rows) else ""
    what = f"One run each of {len(shown)} of {len(rows)} configurations{evenly}; there are {len(found)} runs"
    log.info("figures/%s: %s", name, what)
    return panels, what
