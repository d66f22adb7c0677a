"""How a sampler is called: shapes, seeds, types, and what it does to others. Each function is a property of `Check`."""

import math

import torch

from scorelab.conformance.checking import kind_of
from scorelab.conformance.noise import ChosenDraws
from scorelab.errors import one_line
from scorelab.randomness import default_stream

#: numbers of steps that are odd or very few
FEW = (1, 2, 3, 7)
#: samples of a run in which draws are moved: a number that no other axis of a draw has, and no size is a multiple of
BATCH = 61
#: how far samples may be from each other that rounding alone makes different
ROUNDING = 1e-5


class Asked:
    """A denoiser that remembers how it is asked, and looks whether its answers are written to.

    disturb: whether the answer for the first state is off. calls: (dtype, device, angle) of each evaluation.
    """

    def __init__(self, target, disturb=False):
        self.target, self.disturb, self.calls, self.written_to = target, disturb, [], False
        self.last = None

    def __call__(self, x, angle):
        self.look()
        self.calls.append((x.dtype, x.device, angle))
        answer = self.target.posterior_mean(x, angle).to(x)
        if self.disturb:
            answer = answer.clone()
            answer[0] += 10.0
        self.last = (answer, answer.clone())
        return answer

    def look(self):
        """Note whether the last answer was written to."""
        if self.last is not None:
            self.written_to |= not torch.equal(*self.last)


def shape(check):
    """Samples are (count, n) and finite."""
    x = check.draw(check.gaussian, 8, 5)
    wrong = wrong_samples(check, x)
    if wrong is None and not bool(torch.isfinite(x).all()):
        wrong = f"5 samples have the shape (5, {check.n}), and are not finite"
    return wrong is None, wrong or f"5 samples have the shape (5, {check.n})"


def wrong_samples(check, x) -> str | None:
    """What is wrong with type and shape of five samples."""
    if not isinstance(x, torch.Tensor):
        return f"5 samples have the type {kind_of(x)}; a torch tensor (5, {check.n}) is needed"
    if x.shape != (5, check.n):
        return f"5 samples have the shape {tuple(x.shape)}; (5, {check.n}) is needed"
    return None


def repeatable(check):
    """One seed gives the same samples again."""
    same = torch.equal(check.draw(check.gaussian, 8, seed=1), check.draw(check.gaussian, 8, seed=1))
    return same, "the same seed gives the same samples" if same else "one seed gives other samples again"


def seed(check):
    """Another seed gives other samples."""
    other = not torch.equal(check.draw(check.gaussian, 8, seed=1), check.draw(check.gaussian, 8, seed=2))
    return other, "another seed gives other samples" if other else "two seeds give the same samples"


def global_state(check):
    """All draws come from the generator: torch's global random state neither matters nor moves."""
    drawn, touched = [], False
    for state in (1, 2):
        with default_stream(state):
            before = torch.get_rng_state()
            drawn.append(check.draw(check.gaussian, 8, seed=1))
            touched |= not torch.equal(before, torch.get_rng_state())
    right = torch.equal(*drawn) and not touched
    return right, "draws from the generator alone" if right else "draws from torch's global random state"


def answers(check):
    """The denoiser's answers are not written to."""
    asked = Asked(check.gaussian)
    check.draw(check.gaussian, 8, denoiser=asked)
    asked.look()
    right = not asked.written_to
    return right, "leaves the denoiser's answers as they are" if right else "writes over the denoiser's answers"


def batch(check):
    """A sample does not change if the denoiser's answer for another sample does, or the normal draws of the other one;
    and no draw is shared by all samples."""
    plain, disturbed = (check.draw(check.gaussian, 8, denoiser=Asked(check.gaussian, each)) for each in (False, True))
    if not (moved := _apart(plain[1:], disturbed[1:])) <= ROUNDING:  # also where it is not a number
        return False, f"samples depend on others of their batch, by {moved:.2g}"
    if torch.equal(plain[0], disturbed[0]):
        return False, "a sample does not depend on what the denoiser says of it"
    (plain, _), (own, _), (common, shapes) = (_with_moved_draws(check, which) for which in (None, "own", "common"))
    if not (moved := _apart(plain[1:], own[1:])) <= ROUNDING:
        return False, f"samples depend on the draws of others of their batch, by {moved:.2g}"
    if not _apart(plain, common) <= ROUNDING:
        shared = next(shape for shape in shapes if math.prod(shape) % BATCH)
        return False, f"a normal draw of the shape {shared} is shared by all {BATCH} samples"
    return True, "no sample depends on another one"


def _with_moved_draws(check, which):
    """(samples, shapes of the normal draws) from fixed draws, of which some are moved: which = own, what the first
    sample draws; common, draws that have no part for each sample; None, none."""

    def source(number, shape):
        draw = torch.randn(shape, generator=torch.Generator().manual_seed(number))
        if which == "common" and math.prod(shape) % BATCH:
            draw += 3.0
        if which == "own" and not math.prod(shape) % BATCH:
            places = [axis for axis, size in enumerate(shape) if size == BATCH]
            # where no axis counts the samples, the first number is the first sample's, in whatever order they are
            first = draw.select(places[0], 0) if len(places) == 1 else draw.flatten()[:1]
            first += 3.0
        return draw

    with ChosenDraws(source) as chosen:
        return check.draw(check.gaussian, 8, BATCH), chosen.shapes


def _apart(a, b) -> float:
    return float((a - b).abs().max())


def dtype(check):
    """States and samples have torch's default type."""
    asked, before = Asked(check.gaussian), torch.get_default_dtype()
    x = check.draw(check.gaussian, 8, denoiser=asked)
    kinds = {each[0] for each in asked.calls} | {x.dtype}
    right = kinds == {before}
    names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
    return right, f"states are {names}" + ("" if right else f", and torch's default is {before}")


def device(check):
    """With another default device, and a generator there, nothing is left on the CPU."""
    if not torch.cuda.is_available():
        return None, "not measured: there is one device, the CPU"
    asked, there = Asked(check.gaussian), torch.device("cuda", torch.cuda.current_device())
    with there:
        x = check.draw(check.gaussian, 8, denoiser=asked, device=there)
    places = {str(each[1]) for each in asked.calls} | {str(x.device)}
    right = places == {str(there)}
    return right, f"with {there} states and samples are on {', '.join(sorted(places))}"


def evaluations(check):
    """More steps ask the denoiser more often."""
    counts = {}
    for steps in (8, 16):
        asked = Asked(check.gaussian)
        check.draw(check.gaussian, steps, denoiser=asked)
        counts[steps] = len(asked.calls)
    each = (counts[16] - counts[8]) / 8
    found = f"{counts[8]} and {counts[16]} evaluations for 8 and 16 steps, {each:g} for one more step"
    return each > 0, found, {"evaluations_8": counts[8], "evaluations_a_step": each}


def few_steps(check):
    """Samples are finite also with 1, 2, 3 and 7 steps; a ValueError is a refusal."""
    refused, wrong = [], []
    for steps in FEW:
        try:
            x = check.draw(check.gaussian, steps)
        except ValueError as error:
            refused.append(f"{steps} ({one_line(error)})")
            continue
        if x.shape != (64, check.n) or not bool(torch.isfinite(x).all()):
            wrong.append(str(steps))
    found = "1, 2, 3 and 7 steps give finite samples" if not wrong else f"not finite at {', '.join(wrong)} steps"
    return not wrong, found + (f"; refuses {', '.join(refused)}" if refused else "")


PROPERTIES = (
    shape,
    repeatable,
    seed,
    global_state,
    answers,
    batch,
    dtype,
    device,
    evaluations,
    few_steps,
)
