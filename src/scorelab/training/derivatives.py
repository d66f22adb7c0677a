"""Derivatives of a denoiser in its state, which can be differentiated in its parameters: v^T D_x m_hat v, tr D_x m_hat.

v^T D_x m_hat v = v . grad_x <m_hat, v>: one backward pass a direction, on the graph of one forward pass. A backward
pass through it gives the gradient in the parameters. The samples of a batch must not depend on one another.
"""

import contextlib
import itertools
import math

import torch
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from scorelab.errors import ScorelabError
from scorelab.randomness import default_stream, normal

#: for an exact trace, how many entries of states and directions are differentiated at a time
_CHUNK = 2**20
#: the steps of differences, in units of precision^0.4: so small that few states have a kink of the network in them
_STEPS = (1, 2, 4, 8)
#: the relative error beyond which a derivative is wrong
_TOLERANCE = 1e-3


def quadratic_forms(denoiser, x, angle, probes):
    """m_hat (count, *shape), and v^T D_x m_hat v (count, probes) for the probes v (count, probes, *shape)."""
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):  # the other kernels of attention have one derivative only
        states = x.detach().requires_grad_()
        values = denoiser(states.clone(), angle)  # a network may change its input in place
        forms = [_form(values, states, v, differentiable) for v in probes.unbind(1)]
    return values if differentiable else values.detach(), torch.stack(forms, 1)


def _form(values, states, v, differentiable):
    if not values.requires_grad:  # m_hat is a constant
        return v.new_zeros(len(v))
    # the gradient of a number: with a vector for it torch first imports sympy, which takes most of a second
    (slopes,) = torch.autograd.grad(
        (values * v).sum(), states, retain_graph=True, create_graph=differentiable, materialize_grads=True
    )
    return (slopes * v).flatten(1).sum(1)


def trace(denoiser, x, angle):
    """tr D_x m_hat, shape (count,). It takes some directions at a time, and a backward pass computes them again."""
    every = torch.eye(x[0].numel(), dtype=x.dtype, device=x.device).reshape(-1, *x.shape[1:])
    pieces = every.split(max(_CHUNK // x.numel(), 1))
    if len(pieces) == 1 or not torch.is_grad_enabled():
        return sum(_sum_of_forms(denoiser, x, angle, directions) for directions in pieces)
    parameters = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
    return _TraceInPieces.apply(denoiser, x, angle, pieces, *parameters)


def _sum_of_forms(denoiser, x, angle, directions):
    return quadratic_forms(denoiser, x, angle, directions.expand(len(x), *directions.shape))[1].sum(1)


class _TraceInPieces(torch.autograd.Function):
    """The trace, and its gradient in the parameters, with the graph of one piece in memory.

    `torch.utils.checkpoint` would repeat the forward pass for every derivative inside a piece.
    """

    @staticmethod
    def forward(context, denoiser, x, angle, pieces, *parameters):
        context.given, context.parameters = (denoiser, x, angle), parameters
        context.pieces, context.random = pieces, torch.get_rng_state()
        return sum(_sum_of_forms(denoiser, x, angle, directions) for directions in pieces)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, upstream):
        totals = [torch.zeros_like(parameter) for parameter in context.parameters]
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(context.random)
            for directions in context.pieces:
                part = _sum_of_forms(*context.given, directions) @ upstream
                for total, gradient in zip(totals, _gradients(part, context.parameters), strict=True):
                    total.add_(gradient)
        return None, None, None, None, *totals


def _gradients(value, parameters):
    """The gradients of a number, 0 where it does not depend on a parameter; the graph stays."""
    if not value.requires_grad:
        return [torch.zeros_like(parameter) for parameter in parameters]
    return torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)


# Whether torch has the derivatives. ---------------------------------------------------------------------------------


def require_derivatives(denoiser, x, angle, user: str):
    """Raise ScorelabError for a denoiser whose derivatives torch does not have, or does not have right.

    Some operations cannot be differentiated twice. And what a network hides from automatic differentiation, by
    `no_grad`, by `detach`, by rounding or in a derivative of its own, is missing in v^T D_x m_hat v or in its gradient.
    So both are compared with central differences: v^T D_x m_hat v along v, and its gradient along one direction of the
    parameters. They are compared in float64 if the network can compute in it.

    x (count, *shape), angle (count,): a few noisy states. user: what needs the derivatives, for the message.
    """
    name = f"denoiser {type(denoiser).__name__}"
    own, copy = _Copy(denoiser, x, angle), _in_double(denoiser, x, angle)
    if copy.mixes_samples():
        raise ScorelabError(
            f"{name}: its answer for one state depends on the others of the batch, as with batch normalisation in "
            f"training mode; {user} needs the derivative of each alone"
        )
    try:
        own.slopes()  # an operation may lack, in the network's own precision, the derivative that it has in float64
        wrong = copy.wrong_derivative()
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ScorelabError(f"{name} cannot be differentiated twice, which {user} needs ({reason})") from error
    if wrong is not None:
        raise ScorelabError(
            f"{name}: {wrong} by torch is not that of finite differences, as where a part of the network is under "
            f"torch.no_grad or detach; {user} needs it"
        )


def require_slopes(denoiser, x, angle, user: str):
    """Raise ScorelabError for a denoiser whose v^T D_x m_hat v torch does not have, or does not have right.

    It is compared with central differences, as in `require_derivatives`; its gradient in the parameters is not needed.
    x (count, *shape), angle (count,): a few noisy states. user: what needs the derivative, for the message.
    """
    name = f"denoiser {type(denoiser).__name__}"
    copy = _in_double(denoiser, x, angle)
    if copy.mixes_samples():
        raise ScorelabError(
            f"{name}: its answer for one state depends on the others of the batch, and {user} needs each alone"
        )
    try:
        wrong = copy.wrong_forms()
    except RuntimeError as error:
        raise ScorelabError(
            f"{name} cannot be differentiated, which {user} needs ({str(error).splitlines()[0]})"
        ) from error
    if wrong:
        raise ScorelabError(
            f"{name}: its derivative by torch is not that of finite differences, as where a part of it is under "
            f"torch.no_grad or detach, or steps; {user} needs it"
        )


def _in_double(denoiser, x, angle):
    """The denoiser as a `_Copy`, in float64 if it can compute in it."""
    with contextlib.suppress(Exception):  # a network may insist on its own precision
        double = _Copy(denoiser, x.double(), angle.double(), torch.float64)
        double.values(double.x)
        return double
    return _Copy(denoiser, x, angle)


class _Copy:
    """A denoiser at given states x, with probes v, as a function of x along v and of its parameters along a direction.

    The parameters are a little away from those of the denoiser, since an output layer of zeros would show nothing.
    Random numbers of the network are the same each time.
    """

    def __init__(self, denoiser, x, angle, dtype=None):
        """dtype: what the parameters and the buffers are turned into; None leaves each as it is."""
        draws = torch.Generator().manual_seed(0)
        self.denoiser, self.x, self.angle = denoiser, x, angle
        self.v = normal(x.shape, draws, x.dtype, x.device)
        tensors = itertools.chain(denoiser.named_parameters(), denoiser.named_buffers())
        self.tensors = {
            name: tensor.detach().to(dtype if tensor.is_floating_point() else None) for name, tensor in tensors
        }
        self.direction = {
            name: normal(parameter.shape, draws, self.tensors[name].dtype, parameter.device)
            / math.prod(parameter.shape[1:]) ** 0.5
            for name, parameter in denoiser.named_parameters()
            if parameter.requires_grad
        }

    def _field(self, along=0.0):
        """The denoiser as a function of (x, angle), and those of its parameters that are trained."""
        moved = {
            name: (self.tensors[name] + (0.1 + along) * one).requires_grad_() for name, one in self.direction.items()
        }

        def field(x, angle):
            others = {name: tensor.clone() for name, tensor in self.tensors.items() if name not in moved}
            with default_stream(0):
                return functional_call(self.denoiser, others | moved, (x, angle))

        return field, list(moved.values())

    def values(self, x):
        """m_hat at states x."""
        return self._field()[0](x, self.angle).detach()

    def mixes_samples(self) -> bool:
        """Whether the answer for the first state depends on the others."""
        others = torch.cat([self.x[:1], -self.x[1:]])
        here, there = self.values(self.x)[0], self.values(others)[0]
        return bool((here - there).abs().max() > _TOLERANCE * here.abs().max())

    def forms(self, state=0.0, along=0.0):
        """The terms of <m_hat, v>, (count, n), and v^T D_x m_hat v, (count,), at x + state v; and the parameters."""
        field, parameters = self._field(along)
        values, forms = quadratic_forms(field, self.x + state * self.v, self.angle, self.v.unsqueeze(1))
        return (values * self.v).flatten(1), forms.squeeze(1), parameters

    def slopes(self):
        """The derivatives of the sums of <m_hat, v> and of v^T D_x m_hat v along the direction of the parameters."""
        terms, forms, parameters = self.forms()
        directions = self.direction.values()
        return torch.stack(
            [
                sum((slope * one).sum() for slope, one in zip(_gradients(value, parameters), directions, strict=True))
                for value in (terms.sum(), forms.sum())
            ]
        )

    def wrong_forms(self) -> bool:
        """Whether v^T D_x m_hat v differs from central differences."""
        terms, forms, _ = self.forms()
        differences = self._differences(lambda h: self.forms(state=h)[0].sum(1))
        # a kink of the network may lie within a step of one state, hardly of most
        wrong = _differ(forms.detach(), differences, terms.detach().abs().sum(1))
        return bool(wrong.double().mean() > 0.5)

    def wrong_derivative(self) -> str | None:
        """The name of the derivative that differs from central differences; None if both agree with them."""
        if self.wrong_forms():
            return "v^T D_x m_hat v"
        terms, forms, _ = self.forms()
        size = terms.detach().abs().sum(1)
        differences = self._differences(lambda h: torch.stack([part.sum() for part in self.forms(along=h)[:2]]))
        hidden, wrong = _differ(self.slopes(), differences, size.sum() + forms.detach().abs().sum())
        return "the gradient of v^T D_x m_hat v" if wrong and not hidden else None

    def _differences(self, function):
        """Central differences of a function of a number at 0, by the step."""
        steps = [factor * torch.finfo(self.x.dtype).eps ** 0.4 for factor in _STEPS]
        return torch.stack([(function(h) - function(-h)) / (2 * h) for h in steps]).detach()


def _differ(found, differences, size):
    """Where derivatives are not those of differences, whose own error the spread over the steps tells."""
    error = 10 * (differences.amax(0) - differences.amin(0)) + size * torch.finfo(found.dtype).eps ** 0.5
    return (found - differences[0]).abs() > _TOLERANCE * found.abs() + error
