"""What a sampler makes of a mixture, whose posterior mean is not linear. Each function is a property of `Check`."""

import itertools
import math
from dataclasses import dataclass, replace

import torch

from scorelab.conformance.noise import OTHER, ChosenDraws
from scorelab.conformance.slopes import MARGIN, order_of_gaps, order_of_means
from scorelab.laws.estimate import mean_and_error, shown
from scorelab.metrics.projection import weight_floor, weights_given
from scorelab.randomness import stream

#: a change of the mean over paths that is no more than rounding in single precision
_LEAST = 1e-5


@dataclass(frozen=True)
class Pair:
    """Samples (count, n), float64, with a number of steps and with twice as many, row by row from the same noise.

    paths: why the rows are not approximations of one path; None if they are.
    """

    coarse: torch.Tensor
    fine: torch.Tensor
    paths: str | None


def pairs(check) -> list[Pair]:
    """For each number of steps but the last, runs with it and with twice as many, from common random numbers.

    The first draw is the noise that paths start from. A sampler that draws nothing else starts all runs from it. With
    draws in the steps, the draw of a coarse step is that of its two fine steps, (z_1 + z_2)/sqrt(2), as the increments
    of one Brownian motion are over steps of about one length. All runs have their right law in any case.
    """
    steps, seed = check.options.steps, check.options.seed
    made = [_draws(check, each) for each in steps]
    drawn, other = [each.shapes for each in made], any(each.other for each in made)
    counts, shapes = [len(each) for each in drawn], {shape for each in drawn for shape in each}
    if max(counts) <= 1 or shapes != {(2, check.mixture.n)}:
        runs = [check.draw(check.mixture, each, check.options.count, seed).double() for each in steps]
        why = None if {*counts} == {1} and len(shapes) == 1 else "its draws are not one normal number for each entry"
        found = [Pair(*each, why) for each in itertools.pairwise(runs)]
    else:
        of_steps = zip(steps, itertools.pairwise(counts), strict=False)
        found = [_coupled(check, few, coarse, fine) for few, (coarse, fine) in of_steps]
    return [replace(each, paths=OTHER) for each in found] if other else found


def _coupled(check, steps: int, coarse: int, fine: int) -> Pair:
    """Runs with `steps` and with twice as many, of a sampler that makes `coarse` and `fine` draws in them."""
    count, generator = check.options.count, stream(check.options.seed, "common random numbers")
    noise = torch.randn(max(fine, 2 * coarse - 1), count, check.mixture.n, generator=generator)

    def of_two(number, shape):
        return noise[0] if number == 0 else (noise[2 * number - 1] + noise[2 * number]) / math.sqrt(2)

    runs = []
    for source, many in ((of_two, steps), (lambda number, shape: noise[number], 2 * steps)):
        with ChosenDraws(source):
            runs.append(check.draw(check.mixture, many, count).double())
    one = coarse - 1 in (steps, steps - 1) and fine - 2 * coarse + 1 in (0, 1)
    why = None if one else f"it makes {coarse} draws in {steps} steps, and they cannot be coupled"
    return Pair(*runs, why)


def _draws(check, steps):
    """The draws in a run of two samples."""
    with ChosenDraws(lambda number, shape: torch.zeros(shape)) as chosen:
        check.draw(check.mixture, steps, 2)
    return chosen


def draws_in_steps(check) -> bool:
    """Whether the sampler draws noise in its steps."""
    return len(_draws(check, check.options.steps[0]).shapes) > 1


def law(check):
    """`evaluate` finds nothing in samples of a mixture."""
    from scorelab.metrics.evaluation import evaluate

    steps, count = check.options.law_steps, check.options.count
    x = check.draw(check.mixture, steps, count, seed=check.options.seed)
    found = evaluate(x, _output_law(check), seed=check.options.seed, repeats=50)
    worst = [f"{each.title}: {each.verdict}" for each in found.findings if each.differs]
    text = f"{count} samples of a mixture with {steps} steps: "
    numbers = {each.name: each.deviations for each in found.findings if each.deviations is not None}
    return found.passed, text + ("; ".join(worst) or "nothing tells them from exact ones"), numbers


def _output_law(check):
    return check.mixture.output_law(math.atan2(1.0, check.options.end_noise), "scaled")


def weak_order(check):
    """The order of E f(x) for smooth bounded f: cosines and sines of six projections."""
    return order_of_means("means of smooth functions on a mixture", weak_changes(check), check.options.order)


def weak_changes(check) -> list[torch.Tensor]:
    """How the functions of each sample change from each number of steps to the next, (count,).

    Of the vector of all functions it is the part along the mean of the first change, the largest and best known one.
    """
    w = torch.randn(check.mixture.n, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def functions(x):
        return torch.cat([torch.cos(x @ w / 2), torch.sin(x @ w / 2)], 1)

    changes = [functions(each.fine) - functions(each.coarse) for each in check.pairs]
    first = changes[0].mean(0)
    return [change @ (first / first.norm().clamp_min(1e-300)) for change in changes]


def modes(check):
    """The weight of the first mode by the number of steps, beside the exact one."""
    rows = mode_rows(check)
    last, change = rows[-1], abs(rows[-1]["mode_weight"] - rows[-2]["mode_weight"])
    exact, error = float(check.mixture.weights[0]), last["mode_weight_standard_error"]
    right = abs(last["mode_weight"] - exact) <= 4 * error + change
    shares = ", ".join(f"{row['mode_weight']:.3f}" for row in rows)
    steps = f"{check.options.steps[0]} to {check.options.steps[-1]} steps"
    found = f"weight of a mode with {steps}: {shares}; the last {shown(last['mode_weight'], error)}, exact {exact:g}"
    return right, found, last


def mode_rows(check) -> list[dict]:
    """For each number of steps the mean posterior weight of the first mode, its standard error, and its floor: the
    standard deviation over as many exact samples."""
    exact = _output_law(check)
    samples = [check.pairs[0].coarse, *(each.fine for each in check.pairs)]
    floor, rows = weight_floor(exact, check.options.count, stream(check.options.seed, "floor")), []
    for x in samples:
        value, error = mean_and_error(weights_given(x, exact)[:, 0])
        rows.append({"mode_weight": value, "mode_weight_standard_error": error, "mode_weight_floor": floor})
    return rows


def strong_order(check):
    """The order of the distance between paths from the same noise.

    A rule that draws in its steps has the strong order 1/2 at least, whatever its weak order is.
    """
    why = next((each.paths for each in check.pairs if each.paths), None)
    if why is not None:
        return None, f"not measured: {why}"
    drawn = draws_in_steps(check)
    claimed = check.options.order if not drawn else 0.5
    passed, text, *numbers = order_of_gaps("paths on a mixture", path_gaps(check), _LEAST, claimed, 2 * MARGIN)
    if drawn:
        text = text.rpartition(";")[0] or text
        passed = bool(numbers[0]["order"] > 0.5 - MARGIN) if numbers else passed
        text += "; one half at least is right for a rule that draws in its steps"
    return passed, text, *numbers


def path_gaps(check) -> list[float]:
    """The root mean square distance between samples with each number of steps and the next."""
    return [float((each.fine - each.coarse).square().sum(1).mean().sqrt()) for each in check.pairs]


PROPERTIES = (law, weak_order, modes, strong_order)
