"""Stage `analyse`: every sampler whose library is there, the section `peers` of metrics.json, reproductions.json."""

import importlib
import logging
import math
import os
import platform
from importlib import metadata, util

import numpy
import torch
from joblib import Parallel, delayed, parallel_config

from scorelab.conformance import check_sampler, laws
from scorelab.errors import one_line
from scorelab.files import write_json
from scorelab.laws.estimate import Estimate
from scorelab.progress import Progress
from scorelab.studies.peers import LIBRARIES, measurements, reproduce
from scorelab.workers import computing, end_with_parent

log = logging.getLogger("scorelab")

#: library -> its name on PyPI, where it is another one
_PACKAGES = {"k_diffusion": "k-diffusion"}


def run(study, context):
    """Measure one sampler after the other; one that raises an error is not measured, and the others go on."""
    peers, found = study.selected, {"evaluations": study.evaluations, "machine": _machine()}
    found["versions"] = {library: version(library) or "not installed" for library in LIBRARIES}
    arrays = {"names": [], "libraries": [], "titles": [], "orders": []}
    jobs = min(study.jobs or context.config.general.threads or os.cpu_count(), len(peers))
    where = {"backend": "loky", "inner_max_num_threads": 1} if jobs > 1 else {"backend": "sequential"}
    with parallel_config(**where), Progress("measuring", len(peers), "samplers", lines=len(peers)) as progress:
        tasks = (delayed(_measured)(study, peer, context.seed) for peer in peers)
        results = Parallel(n_jobs=jobs, return_as="generator")(tasks)
        for number, (peer, (one, curve)) in enumerate(zip(peers, results, strict=True), 1):
            progress.update(number, peer.title)
            found[peer.name] = {"library": peer.library, "title": peer.title, "claimed": peer.order} | one
            context.update_metrics("peers", found)
            if curve is not None:
                arrays["names"].append(peer.name)
                arrays["libraries"].append(peer.library)
                arrays["titles"].append(peer.title)
                arrays["orders"].append(math.nan if peer.order is None else peer.order)
                arrays |= {f"{peer.name}.{key}": numpy.array(values, float) for key, values in curve.items()}
    if arrays["names"]:
        context.save_arrays("peers", {key: numpy.asarray(value) for key, value in arrays.items()})
    write_json(context.run / "reproductions.json", reproduce.everything({peer.library for peer in peers}, jobs))


@computing(1)
def _measured(study, peer, seed):
    """In a process that may be new: the numbers of a sampler, and its curve for the figure, or the reason and None."""
    end_with_parent()
    if version(peer.library) is None:
        extra = f"{_PACKAGES.get(peer.library, peer.library)} is not installed (pip install 'scorelab[peers]')"
        return {"order": Estimate.missing(extra)}, None
    law = laws.gaussian()
    try:
        module = importlib.import_module(f"scorelab.conformance.peers.{peer.library}")
        sampler, end_noise = module.named(peer.kind, **peer.options)
        return _numbers(study, peer, sampler, end_noise, law, seed)
    except Exception as error:  # whatever somebody else's code raises
        return {"order": Estimate.missing(f"it raises {one_line(error)}")}, None


def _numbers(study, peer, sampler, end_noise, law, seed):
    found = {"steps": [measurements.steps_for(sampler, law, count) for count in study.evaluations]}
    found["strong_order"] = measurements.strong_order(sampler, study.steps, study.paths, study.batches, seed)
    found["cost"], found["cost_spread"] = measurements.cost(sampler, law, study.repeats)
    if study.check:
        given = {"steps": tuple(study.steps), "count": 1024, "law_steps": 256, "seed": seed}
        found["failures"] = check_sampler(sampler, order=peer.order, end_noise=end_noise, **given).failures
    try:
        every = [measurements.exact_moments(sampler, law, steps) for steps in study.steps]
        at = [steps and measurements.exact_moments(sampler, law, steps) for steps in found["steps"]]
    except measurements.NotAffine as why:
        return found | {"order": Estimate.missing(str(why))}, None
    found["order"] = measurements.order(every, law, study.steps)
    rows = [measurements.errors(each, law, end_noise) if each else {} for each in at]
    found |= {f"{key}_bias": [row.get(key) for row in rows] for key in ("mean", "variance", "covariance")}
    curve = [measurements.errors(each, law, end_noise) for each in every]
    return found, {
        "evaluations": [len(each.asked) for each in every],
        "error": [math.hypot(row["mean"], row["covariance"]) for row in curve],
    }


def version(library: str) -> str | None:
    """The version of a library; None if it is not installed."""
    if util.find_spec(library) is None:
        return None
    return metadata.version(_PACKAGES.get(library, library))


def _machine() -> str:
    return f"{platform.machine()}, 1 thread, torch {torch.__version__}"
