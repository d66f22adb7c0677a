"""The parts `evaluations` and `corrected` of bench_sampling.py."""

import itertools
import sys

from bench_sampling_rows import (
    COUNT,
    DIMENSION,
    EARLY,
    EVALUATIONS,
    FAST,
    FEW,
    GRIDS,
    NATIVE,
    SAMPLERS,
    SCHEDULES,
    Problem,
    Row,
    table,
)


def evaluations(arguments):
    """Search the fewest evaluations of every row, and measure the rows that need few."""
    problem = Problem(4000 if arguments.quick else COUNT)
    floor, fast = problem.floor, {name: SAMPLERS[name] for name in FAST}
    print(f"W1 floor of {problem.count} samples: mean {floor:.5f}, deviation {problem.floor_deviation:.5f}\n")
    tables = {
        "stochastic localization, output=scaled, T = 99.3": (SAMPLERS, GRIDS),
        "other schedules on their own grids, output=scaled": (fast | NATIVE, SCHEDULES),
        "stochastic localization, output=posterior_draw": (fast, EARLY),
    }
    if arguments.quick:
        few = {name: SAMPLERS[name] for name in FAST[:2]}
        tables = {title: (few, dict(list(columns.items())[2:4])) for title, (_, columns) in tables.items()}
    best = []
    for title, (samplers, columns) in tables.items():
        rows = []
        for name, overrides in samplers.items():
            cells = []
            for column, more in columns.items():
                row = Row(problem, [*overrides, *more])
                found = row.search()
                cells.append(f"> {EVALUATIONS[-1]}" if found is None else row.with_evaluations(found).nfe)
                if found is not None and found <= FEW:
                    best.append((found, name, column, row))
            rows.append((name, *cells))
            print(f"{title}: {rows[-1]}", file=sys.stderr, flush=True)
        print(f"Evaluations, {title}:\n")
        table(("sampler", *columns), rows)
    rows = []
    for found, name, column, row in sorted(best, key=lambda entry: entry[0]):
        job = row.with_evaluations(found)
        w1, error, variance = row.measured(job, arguments.seeds)
        exact = f"{row.orthogonal(job):+.2%}"
        rows.append((job.nfe, name, column, f"{w1 / floor:.2f} +- {error / floor:.2f}", f"{variance:+.2%}", exact))
        print(rows[-1], file=sys.stderr, flush=True)
    print(f"{arguments.seeds} sets of {problem.count} samples in {DIMENSION} dimensions:\n")
    head = ("evaluations", "sampler", "grid", "W1 over its floor", "orthogonal variance, error", "the chain's own")
    table(head, rows)


def corrected(arguments):
    """Measure the predictor-corrector, whose step depends on all dimensions, at given counts of evaluations."""
    problem, rows = Problem(4000 if arguments.quick else COUNT), []
    for predictor, count in itertools.product(("ancestral", "ddim"), (16,) if arguments.quick else (32, 64, 128)):
        overrides = ["sampler=predictor_corrector", f"sampler.predictor={predictor}", *GRIDS["log_snr"]]
        row = Row(problem, overrides)
        w1, error, variance = row.measured(row.with_evaluations(count), max(arguments.seeds // 2, 1))
        rows.append((predictor, count, f"{w1 / problem.floor:.2f} +- {error / problem.floor:.2f}", f"{variance:+.2%}"))
    print("predictor_corrector, one correction a step, snr = 0.1, stochastic localization, grid log_snr:\n")
    table(("predictor", "evaluations", "W1 over its floor", "orthogonal variance, error"), rows)
