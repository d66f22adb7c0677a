"""How a denoiser answers: shapes, types, and what it does to others. Each function is a property of `DenoiserCheck`."""

import copy
import math

import torch

from scorelab.conformance.checking import kind_of
from scorelab.errors import one_line
from scorelab.randomness import default_stream

#: states that answers are compared on, and their angle
COUNT, ANGLE = 16, 0.7
#: how far from each other answers may be that rounding alone makes different, by type, relative to the largest
ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}


def shape(check):
    """Answers have the shape of the states, for one state and for several."""
    for count in (COUNT, 1):
        _, _, x = check.states(ANGLE, count)
        if (wrong := wrong_answer(x, check.ask(x, ANGLE))) is not None:
            return False, wrong
    return True, "answers have the shape of the states"


def wrong_answer(x, found) -> str | None:
    """What is wrong with type and shape of the answer for states x."""
    if not isinstance(found, torch.Tensor):
        return f"states {tuple(x.shape)} are answered by the type {kind_of(found)}; a torch tensor is needed"
    if found.shape != x.shape:
        return f"states {tuple(x.shape)} are answered by the shape {tuple(found.shape)}"
    return None


def ends(check):
    """Answers are finite on the whole range [0, pi/2], also at both ends."""
    near = 1e-6 if check.dtype == torch.float64 else 1e-3
    wrong = []
    for angle in (0.0, near, *check.few, math.pi / 2 - near, math.pi / 2):
        _, _, x = check.states(angle, COUNT)
        if not bool(torch.isfinite(check.ask(x, angle)).all()):
            wrong.append(f"{angle:.6g}")
    found = "finite from pure noise to clean samples"
    return not wrong, found if not wrong else f"not finite at {', '.join(wrong)} rad"


def dtype(check):
    """The answer has the type of the state: single precision, and double where the denoiser takes it."""
    told, right, saved = [], True, check.denoiser.watched.kinds
    for kind in (torch.float32, torch.float64):
        name, (_, _, x) = str(kind).removeprefix("torch."), check.states(ANGLE, COUNT)
        saved.clear()
        try:
            check.ask(x.to(kind), ANGLE)
        except Exception as error:  # whatever it raises for a type that it is not made for
            told.append(f"refuses {name} ({one_line(error)[:60]})")
            right = right and kind != torch.get_default_dtype()
            continue
        answer = next(iter(saved.values()))[0]
        right = right and answer == kind
        told.append(f"{name} gives {str(answer).removeprefix('torch.')}")
    return right, "; ".join(told)


def device(check):
    """The answer is on the device of the state."""
    if not torch.cuda.is_available():
        return None, "not measured: there is one device, the CPU"
    there = torch.device("cuda", torch.cuda.current_device())
    function = check.function
    if isinstance(function, torch.nn.Module):
        function = copy.deepcopy(function).to(there)
    again = type(check)(function, check.target, check.convention, count=COUNT, seed=check.seed)
    _, _, x = check.states(ANGLE, COUNT)
    again.ask(x.to(there), ANGLE)
    places = {str(place) for (_, asked), (_, place) in again.denoiser.watched.kinds.items() if asked == there}
    return places == {str(there)}, f"states on {there} are answered on {', '.join(sorted(places))}"


def inputs(check):
    """Neither the states nor the times that it is given are written to."""
    watched, (_, _, x) = check.denoiser.watched, check.states(ANGLE, COUNT)
    watched.written_to.clear()
    check.ask(x, ANGLE)
    written = sorted(watched.written_to)
    return not written, f"writes to its {' and its '.join(written)}" if written else "leaves what it is given as it is"


def batch(check):
    """A state has the same answer whatever other states are there, and however many."""
    _, _, x = check.states(ANGLE, COUNT)
    other = x.clone()
    other[0] += 3.0
    together = check.ask(x, ANGLE)
    moved = _apart(together[1:], check.ask(other, ANGLE)[1:], together)
    moved = max(moved, _apart(together[: COUNT // 4], check.ask(x[: COUNT // 4], ANGLE), together))
    right = moved <= ROUNDING.get(check.dtype, 1e-2)
    found = "no answer depends on another state"
    return right, found if right else f"answers depend on the other states of the batch, by {moved:.2g}"


def angles(check):
    """One angle for all states and one for each state are the same, as a number and as a tensor."""
    _, _, x = check.states(ANGLE, COUNT)
    number, refused = check.ask(x, ANGLE), []
    forms = {"a tensor ()": torch.tensor(ANGLE, dtype=torch.float64)}
    forms["a tensor (count,)"] = forms["a tensor ()"].expand(COUNT)
    for name, angle in forms.items():
        try:
            apart = _apart(number, check.ask(x, angle.to(x)), number)
        except Exception:  # whatever it raises for a form that it is not made for
            refused.append(name)
            continue
        if apart > ROUNDING.get(check.dtype, 1e-2):
            return False, f"the angle as {name} gives other answers, by {apart:.2g}"
    if refused:
        return None, f"takes no angle as {' or '.join(refused)}"
    return True, "one angle for all states and one for each give the same answers"


def deterministic(check):
    """Two calls give the same answers, and torch's global random state neither matters nor moves."""
    _, _, x = check.states(ANGLE, COUNT)
    found, moved = [], False
    for state in (1, 2):
        with default_stream(state):
            before = torch.get_rng_state()
            found.append(check.ask(x, ANGLE))
            moved |= not torch.equal(before, torch.get_rng_state())
    apart = _apart(*found, found[0])
    if apart > ROUNDING.get(check.dtype, 1e-2):
        return False, f"two calls differ by {apart:.2g}, as with dropout that is left on"
    return not moved, "two calls agree" + ("; torch's global random state moves" if moved else "")


def _apart(a, b, scale) -> float:
    """How far two answers are from each other, relative to the largest."""
    return float((a - b).abs().max() / scale.abs().max().clamp_min(1e-30))


PROPERTIES = (shape, ends, dtype, device, inputs, batch, angles, deterministic)
