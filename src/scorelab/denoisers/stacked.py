"""Denoisers of one architecture as one denoiser: each is asked at its own states, all in one tensor program."""

import copy
import itertools

import torch
from torch.func import functional_call, stack_module_state, vmap

from scorelab.denoisers.base import Denoiser
from scorelab.devices import on
from scorelab.errors import one_line
from scorelab.once import content

#: how far an answer may be from the answer of the denoiser alone, relative, and the states that tell it
_TOLERANCE, _STATES = 1e-4, 4


class Unstackable(Exception):
    """Why networks cannot be computed together."""


class Stacked(Denoiser):
    """The denoisers d_0 ... d_{R-1} as one function of states (R count, *shape): the first `count` states are those of
    d_0, and so on.

    Its answers are those of the denoisers to the rounding of matrix products. shape: of one state. Raises Unstackable
    for denoisers of different architectures, for those that are more than one function of (x, angle), and for those
    that `torch.func.vmap` cannot take.
    """

    def __init__(self, denoisers: list[Denoiser], shape):
        super().__init__()
        first = denoisers[0]
        for each in denoisers:
            _require_plain(each)
            if type(each) is not type(first) or _shapes(each) != _shapes(first):
                raise Unstackable("they have different networks")
        self.count, self.static = len(denoisers), first.static
        self._jumps = [each.jumps() for each in denoisers]
        if any(jumps != self._jumps[0] for jumps in self._jumps):
            raise Unstackable("they jump at different angles")
        values, buffers = stack_module_state(denoisers)
        self.values = {name: value.detach() for name, value in (values | buffers).items()}
        # Kept in a tuple: its own parameters are not those of the stack.
        self._architecture = (copy.deepcopy(first).requires_grad_(False),)
        self._try(denoisers, shape)

    def forward(self, x, angle):
        """The posterior means of states (R count, *shape) at one angle, or at one for each state."""
        own = x.unflatten(0, (self.count, -1))
        several = isinstance(angle, torch.Tensor) and angle.dim() > 0
        if several:
            angle = angle.unflatten(0, (self.count, -1))
        (architecture,) = self._architecture

        def of_one(values, x, angle):
            return functional_call(architecture, values, (x, angle))

        return vmap(of_one, in_dims=(0, 0, 0 if several else None))(self.values, own, angle).flatten(0, 1)

    @property
    def device(self):
        return next(iter(self.values.values())).device

    def jumps(self):
        return self._jumps[0]

    @torch.no_grad()
    def _try(self, denoisers, shape):
        """Compare the answers at a few states with those of the denoisers alone."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(self.count * _STATES, *shape, generator=generator).to(self.device)
        try:
            found = self(x, 0.7).unflatten(0, (self.count, -1))
        except Exception as error:  # whatever vmap raises for an operation that it does not have
            raise Unstackable(f"torch.func.vmap cannot take them ({one_line(error)})") from None
        alone = torch.stack([each(own, 0.7) for each, own in zip(denoisers, x.chunk(self.count), strict=True)])
        if not float((found - alone).norm()) <= _TOLERANCE * float(alone.norm()):
            raise Unstackable("they differ in more than their parameters")


def beside(targets, device):
    """What stands beside a `Stacked` denoiser on its device: the exact posterior mean of each of R targets, at its own
    states. One target that all have, by content, stands there itself."""
    keys = {content(each) for each in targets} if len(targets) > 1 else {b""}
    if len(keys) == 1 and None not in keys:
        return on(targets[0], device)
    return _SideBySide([on(each, device) for each in targets])


class _SideBySide:
    def __init__(self, targets):
        self.targets = targets

    def posterior_mean(self, x, angle):
        """The posterior means of states (R count, *shape) at one angle."""
        parts = zip(self.targets, x.chunk(len(self.targets)), strict=True)
        return torch.cat([target.posterior_mean(own, angle) for target, own in parts])


def _require_plain(denoiser):
    """Raise Unstackable for a denoiser that is more than one function of (x, angle)."""
    if not isinstance(denoiser, Denoiser) or denoiser.exact or denoiser.chooses:
        raise Unstackable("they are no networks")
    if any(getattr(type(denoiser), name) is not getattr(Denoiser, name) for name in ("for_samples", "knowing")):
        raise Unstackable("they are another function for each sample")
    if any(module.training and isinstance(module, torch.nn.Dropout) for module in denoiser.modules()):
        raise Unstackable("they draw random numbers")


def _shapes(denoiser):
    held = itertools.chain(denoiser.named_parameters(), denoiser.named_buffers())
    return [(name, value.shape, value.dtype) for name, value in held]
