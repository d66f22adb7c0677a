"""`soak.py fuzz`: odd configurations are checked, and those that are accepted and small are run."""

import collections
import contextlib
import functools
import io
import json
import multiprocessing
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import hypothesis

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from odd_configurations import configurations, node_of
from odd_configurations import options as options_of

from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.config import check
from scorelab.lab.execution import execute
from scorelab.lab.runs import Run

#: a run that takes longer is counted as one without an end
PATIENCE = 120
#: a configuration with a larger whole number is not run: it may rightly take long
SMALL = 10_000
#: so little of everything that a run takes about a second
TINY = {
    "training": {"N": 64, "epochs": 1, "batch_size": 32},
    "sampler": {"count": 32, "steps": 16},
    "study": {"path_kl_angles": 2, "path_kl_draws": 4, "posterior_mean_draws": 4, "floor_repeats": 2},
}


def drawn(count: int, seed: int) -> list[dict]:
    """Odd configurations of the main job."""
    found = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(configurations(("target", "denoiser", "schedule", "sampler", "process", "training"), most=2))
    def gather(data):
        found.append(data)

    gather()
    return found


def fuzz(options) -> int:
    """Check and run odd configurations; print how they ended and return the number of faults."""
    ends, faults = collections.Counter(), []
    for data in drawn(options.count, options.seed):
        end, said = _end_of(data)
        ends[end] += 1
        if end in ("traceback", "no end", "not finite", "several lines"):
            faults.append(f"{end}: {said}\n{json.dumps(data, default=str)[:2000]}")
    print(
        "| end | configurations |",
        "| --- | --- |",
        *(f"| {end} | {number} |" for end, number in ends.items()),
        sep="\n",
    )
    print(*faults, sep="\n\n")
    return len(faults)


def _end_of(data) -> tuple[str, str]:
    """How a configuration ends, and what it says."""
    try:
        check(data)
    except ConfigError as error:
        return ("several lines" if "\n" in str(error) else "refused"), str(error)
    except Exception:
        return "traceback", traceback.format_exc()
    for group, keys in TINY.items():
        for key, value in keys.items():
            if isinstance(data.get(group), dict) and data[group].get(key) in _usual(group, key):
                data[group][key] = value
    if data.get("threads") is None:
        data["threads"] = 1  # several on a busy machine wait for each other
    if data["study"].get("_target_") != "scorelab.studies.Generate" or _largest(data) > SMALL:
        return "accepted", ""
    return _run(check(data))


@functools.cache
def _usual(group, key) -> list:
    """The values that the options of a group have, which are too large for a run of a second."""
    nodes = [node_of(group, name) or {} for name in options_of(group)]
    return [node[key] for node in nodes if key in node]


def _largest(node) -> float:
    """The largest whole number of a configuration, other than its seeds."""
    if isinstance(node, dict):
        return max((_largest(value) for key, value in node.items() if "seed" not in str(key)), default=0)
    if isinstance(node, list):
        return max(map(_largest, node), default=0)
    return node if isinstance(node, int) else 0


def _run(config) -> tuple[str, str]:
    """Run a configuration in a process of its own."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(config, there))
    process.start()
    end, said = here.recv() if here.poll(PATIENCE) else ("no end", f"after {PATIENCE} s")
    process.kill()
    process.join()
    return end, said


def _work(config, pipe):
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        run = Run(directory)
        with contextlib.redirect_stderr(io.StringIO()):
            execute(run, config)
        text = (directory / "metrics.json").read_text()
        bad = [word for word in ("NaN", "Infinity") if word in text]
        pipe.send(("not finite" if bad else "done", ", ".join(bad)))
    except ScorelabError as error:
        pipe.send(("several lines" if "\n" in str(error) else "one line", str(error)))
    except Exception:
        pipe.send(("traceback", traceback.format_exc()))
    finally:
        shutil.rmtree(directory, ignore_errors=True)
