"""Stage `analyse`: claims.json, the section `claims` of metrics.json and the arrays of the figures."""

import logging
import os
import time
import traceback
from collections import Counter

from joblib import Parallel, delayed, parallel_config

from scorelab.claims import Budget, judge
from scorelab.claims.claim import Claim
from scorelab.claims.registry import every_claim
from scorelab.errors import ConfigError, one_line
from scorelab.files import write_json
from scorelab.progress import Progress
from scorelab.workers import computing, end_with_parent

log = logging.getLogger("scorelab")


def run(study, context):
    """Measure the claims on all cores, or on `threads` of them. If the measurement of a claim ends in an error, the
    other claims go on."""
    general = context.config.general
    if study.list:
        raise ConfigError("claims.list: goes with the command line; in Python, scorelab.claims.registry.every_claim()")
    claims = sorted(study.selected(context.config), key=lambda claim: -claim.cost)
    jobs = min(study.jobs or general.threads or os.cpu_count(), len(claims))
    log.info("measuring %d claims in %d processes", len(claims), jobs)
    tasks = (delayed(measured)(claim.id, study.quick, general.seed, general.extensions) for claim in claims)
    results = {}
    where = {"backend": "loky", "inner_max_num_threads": 1} if jobs > 1 else {"backend": "sequential"}
    with parallel_config(**where), Progress("measuring", len(claims), "claims", lines=len(claims)) as progress:
        for result, arrays in Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks):
            results[result["id"]] = result
            _write(context, results)
            for name, values in arrays.items():
                context.save_arrays(f"{name}-{result['id']}", values)
            progress.update(len(results), f"{result['id']} {result['verdict']}")
    results = _write(context, results)
    counted = Counter(result["verdict"] for result in results)
    seconds = sum(result["seconds"] for result in results)
    metrics = {"count": len(results), "verdicts": dict(sorted(counted.items())), "quick": study.quick}
    context.update_metrics("claims", metrics | {"unexpected": unexpected(results), "core_seconds": seconds})


def _write(context, results: dict) -> list[dict]:
    """Write claims.json, which grows as results come, and return the results in the order of their ids."""
    results = [results[name] for name in sorted(results)]
    write_json(context.run / "claims.json", results)
    return results


def unexpected(results: list[dict]) -> list[str]:
    """The ids of results whose verdict is not the recorded one."""
    return [each["id"] for each in results if each["verdict"] != each["recorded"]]


@computing(1)  # the numbers are the same in any number of processes, and no process waits for another
def measured(name: str, quick: bool, seed: int, extensions=()) -> tuple[dict, dict]:
    """Measure one claim, in a process that may be new: its entry of claims.json, and the arrays of its figures."""
    end_with_parent()
    claim = every_claim(extensions)[name]
    started = time.perf_counter()
    try:
        evidence = claim.measure(Budget(quick, seed, name))
        found = {"verdict": judge(evidence), "finding": claim.finding.format(**evidence.numbers)}
        parts = {"printed": evidence.stated, "corrected": evidence.corrected}
        found["comparisons"] = [_plain(part, comparison) for part, several in parts.items() for comparison in several]
        found |= {"numbers": {key: _number(value) for key, value in evidence.numbers.items()}}
        found |= {"counterexample": evidence.counterexample}
        arrays = evidence.figures
    except Exception as error:
        found, arrays = {"verdict": "error", "error": one_line(error), "traceback": traceback.format_exc()}, {}
    return _declared(claim) | found | {"seconds": time.perf_counter() - started}, arrays


def _declared(claim: Claim) -> dict:
    return {key: getattr(claim, key) for key in ("id", "source", "statement", "corrected", "recorded", "fault")}


def _plain(part: str, comparison) -> dict:
    keys = ("what", "value", "relation", "against", "error", "tolerance", "outcome")
    return {"statement": part} | {key: getattr(comparison, key) for key in keys}


def _number(value):
    return value if isinstance(value, (int, str)) else float(value)
