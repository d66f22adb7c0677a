"""report.html: what a run found, on one page that needs nothing else."""

import shlex
import sys

from scorelab.blocks import Cell, Code, Heading, Paragraph, Pictures, Table, page
from scorelab.files import made_from, write_text
from scorelab.lab.config import Config
from scorelab.lab.runs import Run
from scorelab.laws.estimate import DEVIATIONS, shown
from scorelab.studies.base import Number, leaves, lookup, not_measured


def write_page(run: Run, config: Config):
    """Write report.html into the directory of a run that is done."""
    with made_from(run / "metrics.json", "its numbers make no page"):
        content = page(blocks(run, config), title(config))
    write_text(run / "report.html", content)


def blocks(run: Run, config: Config) -> list:
    """The blocks of the page."""
    metrics = run.metrics
    found = [Heading(1, title(config)), *findings(config, metrics), *_pictures(run, config.study)]
    missing = not_measured(metrics)
    if missing:
        found += [Heading(2, "Not measured"), *map(Paragraph, missing)]
    return [*found, Heading(2, "How to repeat it"), *_again(run, config, metrics), *_configuration(config)]


def findings(config: Config, metrics) -> list:
    """The blocks that say what a run found: its verdicts, and the closing table."""
    study, said, found = config.study, verdicts(config, metrics), []
    if config.general.replicas > 1:
        found.append(Paragraph(f"Means over {config.general.replicas} replicas, with their standard errors."))
    decided = [(name, differs) for name, (_, differs) in said.items() if differs is not None]
    if decided:
        off = [name for name, differs in decided if differs]
        whole = f"{len(off)} differ: {', '.join(off)}" if off else "none differs"
        of = f"Of {len(decided)} numbers that exact samples have as well"
        found.append(Paragraph(f"{of}, {whole}, by {limit(metrics):.3g} deviations.", conclusion=True))
    closing = study.closing(metrics)
    if closing is not None:
        rows = [[Cell(text) for text in row] for row in closing.rows]
        rows = [[*row, Cell(said.get(row[0].text, ("", None))[0])] for row in rows]
        found += [Table([*closing.headings, ""], rows)] if rows else []
        found += [Paragraph(line) for line in closing.lines if line not in not_measured(metrics)]
    return found


def verdicts(config: Config, metrics) -> dict[str, tuple[str, bool | None]]:
    """Name of a number of the closing table -> what it says; see `sentence`."""
    numbers = [each for number in config.study.headline for each in number.among(list(leaves(metrics)))]
    return {each.name: verdict for each in numbers if (verdict := sentence(each, metrics)) is not None}


def title(config: Config) -> str:
    """What a run is of, in a few words."""
    parts = (config[group].cls.__name__ for group in ("target", "denoiser") if config.uses(group))
    first, count = config.general.seed, config.general.replicas
    seeds = f"seed {first}" if count == 1 else f"seeds {first} to {first + count - 1}"
    return ", ".join([config["study"].cls.__name__, *parts, seeds])


def sentence(number: Number, metrics) -> tuple[str, bool | None] | None:
    """What a number says beside its exact value or its floor, and whether it differs from what exact samples have, None
    where the floor is no such value; None for a number that was not measured, or that is held against nothing."""
    value, error, reference = (lookup(metrics, key) for key in (number.key, number.error_key, number.reference_key))
    deviation = lookup(metrics, f"{number.reference_key}_deviation")
    if value is None or reference is None:
        return None
    if any(isinstance(each, list) for each in (value, error, reference, deviation)):
        return None
    if number.held == "exact":
        if not error:
            return None
        off = (value - reference) / error
        return f"{abs(off):.2g} standard errors from the exact value", abs(off) > limit(metrics)
    ratio = f"{value / reference:.3g} times the floor" if reference else f"the floor is {shown(reference)}"
    if not deviation:
        return ratio, None
    above = (value - reference) / deviation
    return f"{ratio}, {max(above, 0.0):.2g} deviations above it", above > DEVIATIONS


def limit(metrics) -> float:
    """How many standard errors are too many: 4, and more where the error is that of a mean over few replicas, by the
    quantile of Student's t that is as rare."""
    count = lookup(metrics, "replicas.count")
    if count is None:
        return DEVIATIONS
    from scipy import stats

    return float(stats.t.isf(stats.norm.sf(DEVIATIONS), count - 1))


def _pictures(run: Run, study) -> list:
    """The figures of the run, each with what the module that draws it says of it."""
    found = []
    for path in sorted((run / "figures").glob("[!.]*.png")):
        name = path.stem
        place = {"replicas": "scorelab.figures.replicas", **study.figures}.get(name.partition("-")[0])
        told = sys.modules.get(_module(type(study), place)) if isinstance(place, str) else None
        found.append((path, (told.__doc__ or name).split("\n\n")[0].replace("\n", " ") if told else name))
    return [Heading(2, "Figures"), Pictures(found)] if found else []


def _module(study, place: str) -> str:
    owner = next(base for base in study.__mro__ if "figures" in vars(base))
    return sys.modules[owner.__module__].__package__ + place if place.startswith(".") else place


def _again(run: Run, config: Config, metrics) -> list:
    """The command, and where the numbers come from."""
    of = metrics.get("run", {})
    general, whence = config.general, of.get("sampled_from")
    given = [word for word in run.overrides if whence or not word.startswith("stage=")]
    words = shlex.join(["python", "run.py", *given])
    if general.run is not None and not config.samples_anew:
        # the stage that was done again had keys of its own, which the configuration has
        words += "\n" + shlex.join(["python", "run.py", f"stage={general.stage}", f"run={run.path}", "..."])
    versions = ", ".join(f"{name} {version}" for name, version in of.get("versions", {}).items())
    rows = {"directory": str(run.path), "code": of.get("git_commit"), "versions": versions, "device": of.get("device")}
    rows |= {"seconds": of.get("wall_seconds"), "fingerprint": of.get("fingerprint")}
    if whence:
        rows["sampled by the network of"] = f"{whence['run']}, fingerprint {whence['fingerprint']}"
    cells = ((name, f"{value:.4g}" if isinstance(value, float) else str(value)) for name, value in rows.items())
    return [Code(words), Table(["", ""], [[*map(Cell, row)] for row in cells])]


def _configuration(config: Config) -> list:
    rows = []
    for group, part in config.components.items():
        data = config.data[group]
        keys = ", ".join(f"{key}={_value(value)}" for key, value in data.items() if key != "_target_")
        rows.append([Cell(group), Cell(part.cls.__name__), Cell(keys)])
    return [Heading(2, "Configuration"), Table(["group", "class", "keys"], rows)]


def _value(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list) and len(value) > 12:
        return f"[{len(value)} values]"
    return "null" if value is None else str(value)
