"""Samplers whose normal draws are chosen: an affine sampler is then known exactly, without any sampling error.

For a Gaussian target the posterior mean is affine, and a sampler is an affine function of its normal draws z_j:

    x = b + sum_j A_j z_j,        E x = b,        Cov x = sum_j A_j A_j^T.

A run in which row i of one draw is a unit vector and all else is 0 has a column of an A_j as its row i.
"""

from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from scorelab.conformance.report import NotMeasured

_ATEN = torch.ops.aten
#: operations whose results are standard normal draws
_NORMAL = (_ATEN.randn, _ATEN.randn_like)
#: operations that draw something else
_OTHER = (_ATEN.rand, _ATEN.rand_like, _ATEN.uniform_, _ATEN.bernoulli, _ATEN.bernoulli_, _ATEN.randint, _ATEN.randperm)
_OTHER += (_ATEN.exponential_, _ATEN.multinomial, _ATEN.random_)
#: the size of a unit draw, so small that a sampler which clips does not clip it
UNIT = 0.125
#: the sizes of draws of which a sampler is checked to be affine: as in a sample, and far beyond
ORDINARY, LARGE = 1.0, 100.0


#: why nothing exact is known of a sampler, and its paths are not coupled
OTHER = "it draws other numbers than normal ones"


class NotAffine(NotMeasured):
    """Why the moments of a sampler are not known exactly."""


class ChosenDraws(TorchDispatchMode):
    """Within it, the standard normal draws of torch are those of `source(number, shape)`, counted from 0.

    shapes: of the draws so far. other: whether something else than normal numbers was drawn.
    """

    def __init__(self, source):
        super().__init__()
        self.source, self.shapes, self.other = source, [], False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found, packet = function(*args, **(kwargs or {})), function.overloadpacket
        if packet in _NORMAL:
            return self._draw(found)
        if packet is _ATEN.normal_:
            mean, std = (*args[1:3], *(0.0, 1.0)[len(args[1:3]) :])
            return args[0].copy_(self._draw(found) * std + mean)
        if packet is _ATEN.normal:
            raise NotAffine("it draws by torch.normal of tensors, in place of standard normal numbers")
        self.other |= packet in _OTHER
        return found

    def _draw(self, like):
        values = self.source(len(self.shapes), tuple(like.shape)).to(like)
        self.shapes.append(tuple(like.shape))
        return values


@dataclass(frozen=True)
class Moments:
    """What a sampler does with a Gaussian target, exactly up to rounding.

    mean (n,), covariance (n, n): of its samples. draws: how many normal draws it makes. defects: size of the draws ->
    how far the sampler is from affine, relative to the sample. asked: (angle, mean (n,), covariance (n, n)) of the
    state at each evaluation of the denoiser.
    """

    mean: torch.Tensor
    covariance: torch.Tensor
    draws: int
    defects: dict[float, float]
    asked: tuple


def moments_on(law, sample) -> Moments:
    """The exact moments of a sampler on a Gaussian law, asked with its exact posterior mean.

    sample: a function (denoiser, count) -> samples (count, n).
    """

    def run(count, watch):
        def denoiser(x, angle):
            watch(x, angle)
            return law.posterior_mean(x, angle).to(x)

        return sample(denoiser, count)

    return moments(run, law.n)


def moments(run, n: int) -> Moments:
    """The moments of a sampler.

    run(count, watch): draws `count` samples (count, n) for a Gaussian target, and gives watch(x, angle) each state that
    the denoiser is asked for. Raises NotAffine if the moments cannot be had in this way.
    """
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        return _moments(run, n)
    except NotAffine:
        raise
    except Exception:  # one that is made for single precision alone; its own error is raised below
        torch.set_default_dtype(before)
        return _moments(run, n)
    finally:
        torch.set_default_dtype(before)


def _moments(run, n: int) -> Moments:
    with ChosenDraws(lambda number, shape: torch.zeros(shape)) as chosen:
        run(2, lambda x, angle: None)
    if chosen.other:
        raise NotAffine(OTHER)
    if any(shape != (2, n) for shape in chosen.shapes):
        raise NotAffine(f"it makes draws of other shapes than (count, n): {sorted(set(chosen.shapes))[0]}")
    draws = len(chosen.shapes)
    if not draws:
        raise NotAffine("it draws nothing by torch")
    tests = torch.randn(2, draws, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sizes = (ORDINARY, LARGE)

    def source(number, shape):
        values = torch.zeros(shape, dtype=torch.float64)
        if number < draws:
            values[1 + number * n : 1 + (number + 1) * n] = UNIT * torch.eye(n, dtype=torch.float64)
            for row, size in enumerate(sizes):
                values[1 + draws * n + row] = size * tests[row, number]
        return values

    asked = []
    with ChosenDraws(source):
        x = run(1 + draws * n + len(sizes), lambda x, angle: asked.append((angle, x.detach().double().clone())))
    x = x.detach().double().cpu()
    offset, matrices = _affine(x, draws, n)
    defects = {}
    for row, size in enumerate(sizes):
        expected = offset + size * torch.einsum("jab,jb->a", matrices, tests[row])
        found = x[1 + draws * n + row]
        largest = max(float(found.abs().max()), float(expected.abs().max()), 1e-300)
        defects[size] = float((found - expected).abs().max()) / largest
    states = []
    for angle, state in asked:
        if state.shape == x.shape:
            own, parts = _affine(state, draws, n)
            states.append((angle, own, torch.einsum("jab,jcb->ac", parts, parts)))
    return Moments(offset, torch.einsum("jab,jcb->ac", matrices, matrices), draws, defects, tuple(states))


def _affine(x, draws, n):
    """b (n,) and the A_j (draws, n, n), of the rows of a run."""
    return x[0], ((x[1 : 1 + draws * n] - x[0]) / UNIT).view(draws, n, n).mT
