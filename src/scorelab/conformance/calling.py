"""How a sampler is called: shapes, seeds, types, and what it does to others. Each function is a property of `Check`."""

import torch

from scorelab.errors import one_line
from scorelab.randomness import default_stream

#: numbers of steps that are odd or very few
FEW = (1, 2, 3, 7)


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
    right = isinstance(x, torch.Tensor) and x.shape == (5, check.n) and bool(torch.isfinite(x).all())
    found = f"shape {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
    return right, f"5 samples have the {found}" + ("" if right else f"; (5, {check.n}), finite, is needed")


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
    """A sample does not change if the denoiser's answer for another sample does."""
    plain, disturbed = (check.draw(check.gaussian, 8, denoiser=Asked(check.gaussian, each)) for each in (False, True))
    moved = (plain[1:] - disturbed[1:]).abs().max() if len(plain) > 1 else torch.zeros(())
    right = float(moved) <= 1e-5 and not torch.equal(plain[0], disturbed[0])
    found = "no sample depends on another one"
    return right, found if right else f"samples depend on others of their batch, by {float(moved):.2g}"


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
