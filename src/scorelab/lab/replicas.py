"""One configuration with several seeds: `replicas=R`.

The run directory has R ordinary runs, replicas/0 ... replicas/R-1, with the seeds seed ... seed + R - 1, without
pictures of their own. On a GPU their trainings are one stack. The run itself has what the replicas have on
average: each number of metrics.json is a mean, and its standard error is that of the mean over replicas.
"""

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy

from scorelab.errors import ScorelabError, one_line
from scorelab.files import make_folder, write_bytes, write_json
from scorelab.lab.config import Config, check
from scorelab.lab.execution import begin, provenance, stages_of
from scorelab.lab.execution import execute as execute_one
from scorelab.lab.page import write_page
from scorelab.lab.runs import PROGRESS, Run, flat
from scorelab.lab.stacked import pays, train
from scorelab.lab.tracked import Tracked
from scorelab.progress import reported, tell

log = logging.getLogger("scorelab")

_ERROR = "_standard_error"


def execute(run: Run, config: Config):
    """Run the stages that a checked configuration asks for, with all its replicas; see
    `scorelab.lab.execution.execute`, which does it for one. A run that is done is left as it is; only its page is made,
    where the process was killed before it did so."""
    if config.general.stage == "all" and run.state == "done":
        log.info("%s is done: nothing is left to do", run.path)
        if not (run / "report.html").is_file():
            _write_page(run, config)
        return
    if config.general.replicas == 1:
        execute_one(run, config)
    else:
        _execute_several(run, config)
    if config.general.stage == "all" or config.general.run is not None:  # else there are no results yet
        _write_page(run, config)


def _write_page(run, config):
    try:
        write_page(run, config)
    except ScorelabError as error:  # the run is done all the same
        log.warning("report.html: not written (%s)", one_line(error))


def _execute_several(run: Run, config: Config):
    from scorelab.figures import replicas as figure
    from scorelab.lab.context import Context

    stages, started = stages_of(config), time.perf_counter()
    context = Context(run, config)
    begin(context, stages)
    tracked = Tracked(run, config)
    try:
        every = replicas_of(run, config)
        with reported(run / PROGRESS):
            finish(every, fresh=config.general.run is None, stacked=pays(context.device))
        run.mark("running", stages=[*run.status["stages"], *stages])
        run.mark("running", wall_seconds=run.status["wall_seconds"] + time.perf_counter() - started)
        write_json(run / "metrics.json", collect(run, every) | {"run": provenance(config, run, context.device)})
        figure.draw([own.path for own, _ in every], run / "figures", config.general.figures)
        run.mark("done")
    except KeyboardInterrupt:
        run.mark("interrupted")
        log.error("interrupted; training.resume=%s goes on", run.path)
        raise
    except (Exception, SystemExit) as error:
        run.mark("failed", error=one_line(error))
        raise
    finally:
        tracked.end()


def replicas_of(run: Run, config: Config) -> list[tuple[Run, Config]]:
    """The run and the configuration of each replica; directories that are not there yet are made."""
    general, replicas = config.general, []
    for number in range(general.replicas):
        own = Run(run.path / "replicas" / str(number))
        where = {"seed": general.seed + number, "replicas": 1}
        where["run"] = general.run and str(Path(general.run, "replicas", str(number)))
        where["figures"] = config.data["figures"] | {"formats": []}  # stage=plot run=replicas/0 draws one
        replicas.append((own, check(config.data | where).tracked_by(general.tracking)))
        if not (own / "config.yaml").is_file():
            make_folder(own.path)
            own.save_config(replicas[-1][1])
            own.mark("pending", fingerprint=replicas[-1][1].fingerprint)
    return replicas


def finish(replicas: list[tuple[Run, Config]], fresh: bool, stacked: bool):
    """Bring all replicas to their end. fresh: whether those that are done stay. stacked: whether they are trained as
    one stack.

    Raises ScorelabError at the end if one of them failed; the others are finished all the same.
    """
    left = [(own, config) for own, config in replicas if not (fresh and own.state == "done")]
    untrained = [(own, config) for own, config in left if own.needs(next(iter(config.study.stages)))]
    failed = train(untrained) if fresh and stacked and len(untrained) > 1 else set()
    reasons = [f"replica {own.path.name}: {own.status['error']}" for own, _ in left if own.path in failed]
    for done, (own, config) in enumerate(left):
        tell(what="replicas", done=done, total=len(left), unit="replicas")
        if own.path in failed:
            continue
        log.info("replica %s, seed %d", own.path.name, config.general.seed)
        try:
            execute_one(own, config)
        except ScorelabError as error:
            reasons.append(f"replica {own.path.name}: {one_line(error)}")
            log.error(reasons[-1])
    if reasons:
        raise ScorelabError(f"{len(reasons)} of {len(replicas)} replicas failed; {reasons[0]}")


def collect(run: Run, replicas: list[tuple[Run, Config]]) -> dict:
    """Write replicas.csv and the figure `replicas`, and return what metrics.json has of all replicas."""
    import pandas

    every, missing = [own.metrics for own, _ in replicas], {}
    for metrics in every:
        missing |= metrics.pop("not_measured", {})
        metrics.pop("run", None)
    seeds = [config.general.seed for _, config in replicas]
    rows = [{"seed": seed} | dict(flat(metrics)) for seed, metrics in zip(seeds, every, strict=True)]
    write_bytes(run / "replicas.csv", pandas.DataFrame(rows).to_csv(index=False).encode())
    means = average(every) | {"replicas": {"count": len(every), "seeds": seeds}}
    return means | ({"not_measured": missing} if missing else {})


def average(every: list[dict]) -> dict:
    """The means over replicas of the numbers, and of the entries of lists of numbers, that all of them have; a standard
    error is that of the mean, and of a number that all have alike, as a reference is, the one that they have. Other
    values are kept where all are equal."""
    means = {}
    for key, first in every[0].items():
        values = [each.get(key) for each in every]
        if all(isinstance(value, Mapping) for value in values):
            means[key] = average(values)
        elif key.endswith(_ERROR) and (base := _number_of(key, every[0])) is not None:
            found = [each.get(base) for each in every]
            if all(value == found[0] for value in found):  # a reference that all have, with the error that it has
                means[key] = first
                continue
            spread = _over_replicas(found, lambda table: table.std(0, ddof=1))
            if spread is not None:
                means[key] = _scaled(spread, 1 / math.sqrt(len(every)))
        elif all(value == first for value in values) and not key.endswith("_floor_deviation"):
            means[key] = first
        elif (mean := _over_replicas(values, lambda table: table.mean(0))) is not None:
            of_one = key.endswith("_floor_deviation")  # the mean of as many sets has a smaller one
            means[key] = _scaled(mean, 1 / math.sqrt(len(every))) if of_one else mean
    return means


def _number_of(error: str, metrics: dict) -> str | None:
    """The key of the number that a standard error is of: NAME, or NAME_mean where NAME is a list of many numbers."""
    name = error.removesuffix(_ERROR)
    kinds = {key: isinstance(metrics[key], list) for key in (name, f"{name}_mean") if key in metrics}
    return next((key for key, listed in kinds.items() if listed == isinstance(metrics[error], list)), None)


def _over_replicas(values, function):
    """A function of a table (replicas, ...) of numbers; None for values that are no such table."""
    if any(isinstance(value, bool) for value in values):
        return None
    try:
        table = numpy.array(values, dtype=float)
    except (TypeError, ValueError):
        return None
    result = function(table) if table.size and numpy.isfinite(table).all() else None
    return None if result is None else result.tolist()


def _scaled(value, factor):
    return [_scaled(one, factor) for one in value] if isinstance(value, list) else value * factor
