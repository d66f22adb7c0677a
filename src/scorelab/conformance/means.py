"""Denoisers of every form as one: a function of (x, angle) that returns a posterior mean, watched as it is called."""

import torch

from scorelab.denoisers import Denoiser
from scorelab.denoisers.convention import Convention
from scorelab.denoisers.module import ModuleDenoiser
from scorelab.devices import CPU
from scorelab.errors import ScorelabError


class Watched(torch.nn.Module):
    """Somebody's function, and what it does with what it is given. The function itself keeps its mode.

    function: of two tensors, or of a tensor and a number. names: of the two. written_to: the names of those that some
    call wrote to. kinds: (dtype, device) of the state -> those of the answer, of all calls.
    """

    def __init__(self, function, names):
        super().__init__()
        self._function = (function,)  # in a tuple: not a part of this module, whose mode others set
        self.names, self.written_to, self.kinds = names, set(), {}

    def forward(self, *given):
        before = [each.detach().clone() if isinstance(each, torch.Tensor) else each for each in given]
        answer = self._function[0](*given)
        for name, old, new in zip(self.names, before, given, strict=True):
            if isinstance(new, torch.Tensor) and not torch.equal(old, new.detach()):
                self.written_to.add(name)
        if isinstance(answer, torch.Tensor):
            self.kinds[given[0].dtype, given[0].device] = (answer.dtype, answer.device)
        return answer


class Plain(Denoiser):
    """A function of (x, angle) as a denoiser of ours. watched: its `Watched`. each: whether it wants an angle (count,)
    for its states, and no number."""

    def __init__(self, function):
        super().__init__()
        self.watched, self.place, self.each = Watched(function, ("x", "angle")), place_of(function), False

    @property
    def device(self):
        return self.place

    def forward(self, x, angle):
        if self.each and not (isinstance(angle, torch.Tensor) and angle.dim()):
            angle = torch.as_tensor(float(angle), dtype=x.dtype, device=x.device).expand(len(x))
        return self.watched(x, angle)


class Declared(ModuleDenoiser):
    """A function of (state, time) with a convention as a denoiser of ours. watched: its `Watched`."""

    def __init__(self, function, convention: Convention):
        watched = Watched(function, ("state", "time"))
        super().__init__(watched, **vars(convention))
        self.watched, self.place = watched, place_of(function)

    @property
    def device(self):
        return self.place


def as_denoiser(function, convention: Convention | None = None) -> Denoiser:
    """A denoiser of ours with an attribute `watched`, of a function, a module or a denoiser.

    Raises ScorelabError for what cannot be called, and for a denoiser of ours with a convention.
    """
    if not callable(function):
        raise ScorelabError(
            f"denoiser: a function denoiser(x, angle) or model(state, time) is needed, not {function!r}"
        )
    if convention is None:
        return Plain(function)
    if isinstance(function, Denoiser):
        raise ScorelabError("convention: a denoiser of scorelab has none, it is a function of (x, angle)")
    return Declared(function, convention)


def place_of(function) -> torch.device:
    """Where the parameters and buffers of a module are; the CPU for any other function."""
    if not isinstance(function, torch.nn.Module):
        return CPU
    if isinstance(function, Denoiser):
        return function.device
    return next((each.device for each in (*function.parameters(), *function.buffers())), CPU)
