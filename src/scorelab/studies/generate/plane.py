"""Pictures in the plane: the samples, the field and the paths of a target of two dimensions, and the samples and the
paths of three modes in the plane through their means."""

import math
from dataclasses import dataclass

import numpy
import torch

from scorelab.channel import HALF_PI, posterior_mean_to_noise
from scorelab.devices import on
from scorelab.files import remove
from scorelab.randomness import BLOCK, stream
from scorelab.samplers import DDIM
from scorelab.samplers.loop import draw_samples
from scorelab.studies.generate.trajectories import exact_process
from scorelab.targets import GaussianMixture
from scorelab.targets.base import Target

FIGURES = ("plane", "fields", "flow")
#: samples that are drawn as dots, exact samples that the window is made from, and states evaluated at once
_DOTS, _WINDOW_DRAWS, _AT_ONCE = 5000, 8000, 4096
#: cells of the density in one direction, about; and the mean count that a bin in the bulk should have
_CELLS, _PER_BIN = 200, 15
#: the shares of bins are settled where finer cells change none by more than this part of the largest; most cells
_SETTLED, _MOST_CELLS = 1e-3, 2000
#: points of the fields in one direction; their times, as angles after the data are scaled to unit variance
_POINTS, _FIELD_ANGLES = 60, (0.2, 0.4875, 0.775, 1.0625, 1.35)
#: angles and cells of the moving density
_FRAMES, _FRAME_CELLS = 40, 80
#: how many standard deviations of the noise a window shows
_NOISE_SHOWN = 3.3


@dataclass(frozen=True)
class Plane:
    """A plane that a target is drawn in.

    target: the target, of n dimensions. law: its law in the plane, a target of two dimensions. basis: an orthonormal
    basis (2, n); None for a target of two dimensions, whose coordinates are drawn as they are. labels: of the axes.

    The basis is orthonormal and the noise isotropic: so x_phi in the plane is sin times the law plus cos times standard
    normal noise, and the exact process of the target, projected, is the exact process of the law.
    """

    target: Target
    law: Target
    basis: torch.Tensor | None
    labels: tuple[str, str]

    def of(self, x) -> torch.Tensor:
        """The coordinates (count, 2) of states x (count, n), float64, on the CPU."""
        x = torch.as_tensor(x, dtype=torch.float64, device="cpu")
        return x if self.basis is None else x @ self.basis.T

    def modes(self, x, angle: float) -> numpy.ndarray:
        """The mode with the largest posterior weight at each state x (count, n), (count,); 0 where there are none."""
        if not self.target.can("modes"):
            return numpy.zeros(len(x), int)
        return self.target.posterior_weights(x.cpu(), angle).argmax(1).numpy()


def plane_of(target) -> Plane | None:
    """The plane that a target is drawn in: its own two dimensions, or the plane through the means of exactly three
    isotropic Gaussian modes; None for any other target, and for three means on a line."""
    if tuple(target.shape) == (2,):
        return Plane(target, target, None, ("$x_1$", "$x_2$"))
    if target.lacks("gaussian_modes") or len(target.weights) != 3:
        return None
    first, second = target.means[0] - target.means[1], target.means[2] - target.means[1]
    along = first / first.norm()
    across = second - (second @ along) * along
    if not float(across.norm()) > 1e-9 * float(second.norm()):
        return None
    basis = torch.stack([along, across / across.norm()])
    law = GaussianMixture(target.weights, target.means @ basis.T, target.std)
    return Plane(target, law, basis, (r"along $\mu_1-\mu_2$", "across, in the plane of the means"))


def clear(context):
    """Remove the figures that an earlier run of this stage may have left."""
    for path in (path for name in FIGURES for path in (context.run / "figures").glob(f"{name}.*")):
        remove(path)


# Samples. -----------------------------------------------------------------------------------------------------------


def samples(context, plane: Plane, output_law) -> dict:
    """The arrays of the figure `plane`. output_law: the law of an exact sampler's outputs, None if it is not known.

    samples, exact_samples (some, 2): the first samples, and as many draws of the law that an exact sampler's outputs
    have. count: all samples. x, y (cells + 1,): the edges of a grid in the window. log_density (cells, cells): the log
    of the mean density of this law in each cell, with rows along y. edges_x, edges_y (bins + 1,), counts and expected
    (bins, bins): how many of all samples lie in a bin, and how many of exact ones are expected. T: that of the law.
    Where the law is not known, the density and what is expected are absent, and exact_samples are those of the target.
    """
    generator = stream(context.seed, "plane")
    draw, log_density, end = _outputs(context, plane, output_law)
    low, high = window(draw(_WINDOW_DRAWS, generator))
    found = {"labels": plane.labels, "count": len(context.samples), "low": low, "high": high}
    found["samples"] = plane.of(numpy.array(context.samples[:_DOTS])).float()
    found["exact_samples"] = draw(len(found["samples"]), generator).float()
    if end < HALF_PI:
        found["T"] = math.tan(end) ** 2
    if log_density is not None:
        found |= _histogram(context, plane, log_density, low, high)
    return {name: numpy.asarray(values) for name, values in found.items()}


def _outputs(context, plane, output_law):
    """What an exact sampler returns, in the plane: a function that draws it, its log density, None where it is not
    known, and the angle at which the noise in it stands."""
    if context.process is None and context.sampling.output == "scaled":
        end = context.sampling.end_angle(context.schedule)
        sin, cos = math.sin(end), math.cos(end) if end < HALF_PI else 0.0

        def draw(count, generator):
            clean = plane.law.sample(count, generator, torch.float64)
            return clean + cos / sin * torch.randn(clean.shape, generator=generator, dtype=torch.float64)

        return draw, _checked(plane.law, lambda u: plane.law.noisy_log_prob(sin * u, end) + 2 * math.log(sin)), end
    found = None if output_law is None else plane_of(output_law)
    law = plane.law if found is None else found.law
    density = None if found is None else _checked(law, lambda u: law.noisy_log_prob(u, HALF_PI))
    return lambda count, generator: law.sample(count, generator, torch.float64), density, HALF_PI


def _checked(law, log_density):
    """The log density; None for a law without a density, such as one of atoms at the end of the channel."""
    if law.lacks("density"):
        return None
    try:
        log_density(torch.zeros(1, 2, dtype=torch.float64))
    except ValueError:
        return None
    return log_density


def window(points):
    """The lower left and the upper right corner, (2,) each, of a square that holds nearly all of points (count, 2)."""
    low, high = torch.quantile(points, torch.tensor([0.001, 0.999], dtype=torch.float64), dim=0)
    half, centre = 0.58 * float((high - low).max()), (low + high) / 2
    return (centre - half).numpy(), (centre + half).numpy()


def _histogram(context, plane, log_density, low, high):
    """The density on a grid, and the counts of all samples beside what is expected, in bins of several cells."""
    x, y = (numpy.linspace(low[k], high[k], _CELLS + 1) for k in (0, 1))
    heaviest = numpy.sort(numpy.exp(_on(log_density, x, y)).ravel())[::-1]
    occupied = numpy.searchsorted(heaviest.cumsum() / heaviest.sum(), 0.95) / heaviest.size
    count = len(context.samples)
    bins = int(numpy.clip(math.sqrt(count / _PER_BIN / max(occupied, 1e-3)), 8, 60))
    edges_x, edges_y = (numpy.linspace(low[k], high[k], bins + 1) for k in (0, 1))
    fold = max(_CELLS // bins, 2)
    density, shares = _shares(log_density, edges_x, edges_y, fold)
    counts = numpy.zeros((bins, bins))
    for first in range(0, count, 2**16):
        part = plane.of(numpy.array(context.samples[first : first + 2**16])).numpy()
        counts += numpy.histogram2d(part[:, 1], part[:, 0], (edges_y, edges_x))[0]
    found = {"edges_x": edges_x, "edges_y": edges_y, "counts": counts, "expected": count * shares}
    found |= {"x": _refined(edges_x, fold), "y": _refined(edges_y, fold)}
    return found | {"log_density": numpy.log(numpy.maximum(density, 1e-300)).astype(numpy.float32)}


def _shares(log_density, edges_x, edges_y, fold):
    """The mean density in the cells of which each bin has fold * fold, and the share of the law in each bin, by the
    midpoint rule in cells that are halved until no share changes by much, or there are too many of them."""
    bins, finer, before = len(edges_x) - 1, 1, None
    area = float((edges_x[1] - edges_x[0]) * (edges_y[1] - edges_y[0]))
    while True:
        cells = fold * finer
        density = numpy.exp(_on(log_density, _refined(edges_x, cells), _refined(edges_y, cells)))
        shares = area * density.reshape(bins, cells, bins, cells).mean((1, 3))
        settled = before is not None and numpy.abs(shares - before).max() <= _SETTLED * shares.max()
        if settled or 2 * bins * cells > _MOST_CELLS:
            return density.reshape(bins * fold, finer, bins * fold, finer).mean((1, 3)), shares
        before, finer = shares, 2 * finer


def _refined(edges, fold):
    return numpy.linspace(edges[0], edges[-1], fold * (len(edges) - 1) + 1)


def _on(function, x, y):
    """The values of a function of points (count, 2) in the middle of the cells between the edges x and y, with rows
    along y."""
    points = _grid((x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2)
    return torch.cat([function(part) for part in points.split(_AT_ONCE)]).numpy().reshape(len(y) - 1, len(x) - 1)


def _grid(x, y):
    """The points (len(y) len(x), 2) of a grid, one row along y after the other."""
    return torch.from_numpy(numpy.stack(numpy.meshgrid(x, y), -1).reshape(-1, 2))


# Fields. ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def fields(context, plane: Plane) -> dict:
    """The arrays of the figure `fields`; none for a target of more dimensions, without a density or a posterior mean,
    and for a denoiser that is no function of the state and its angle.

    angle (times,): evenly spaced after the data are scaled to unit variance. x, y (times, points); exact and learned
    (times, points, points, 2), with rows along y: cos times the score, which is minus the posterior mean of the noise,
    on the grid of states x_phi. log_density (times, points, points): that of the exact noisy law. rms (times,): the
    root of the mean squared length of the difference under this law, by the sum over the grid.
    """
    target, denoiser = context.target, context.compared
    if plane.basis is not None or target.lacks("density", "posterior_mean") or denoiser.chooses:
        return {}
    if denoiser.incomparable(target) is not None:
        return {}
    clean = target.sample(_WINDOW_DRAWS, stream(context.seed, "fields"), torch.float64)
    scale = float(clean.var(0).mean().sqrt())
    low, high = window(clean)
    found = {name: [] for name in ("angle", "x", "y", "exact", "learned", "log_density", "rms")}
    there = on(target, denoiser.device)
    for angle in (math.atan(math.tan(each) / scale) for each in _FIELD_ANGLES):
        x, y = _noisy_window(low, high, angle, _POINTS)
        states = _grid(x, y)
        moved = states.float().to(denoiser.device)
        means = there.posterior_mean(moved, angle), denoiser(moved, angle)
        exact, learned = (posterior_mean_to_noise(mean.double().cpu(), states, angle) for mean in means)
        density = target.noisy_log_prob(states, angle)
        weight = torch.softmax(density, 0)
        found["rms"].append(math.sqrt(float(weight @ (learned - exact).square().sum(1))))
        shape = (_POINTS, _POINTS)
        values = (angle, x, y, -exact.view(*shape, 2), -learned.view(*shape, 2), density.view(shape).float())
        for name, value in zip(list(found)[:6], values, strict=True):
            found[name].append(numpy.asarray(value))
    return {name: numpy.array(values) for name, values in found.items()} | {"labels": numpy.array(plane.labels)}


def _noisy_window(low, high, angle, points):
    """A square grid, (points,) along each axis, that shows the noisy law of data in the window."""
    centre, half = math.sin(angle) * (low + high) / 2, math.sin(angle) * float(high[0] - low[0]) / 2
    half = math.hypot(half, _NOISE_SHOWN * math.cos(angle))
    return (numpy.linspace(each - half, each + half, points) for each in centre)


# Paths. -------------------------------------------------------------------------------------------------------------


class Paths:
    """An observer that keeps paths in a plane, for `observe` of `scorelab.samplers.loop.simulate` and `exact_process`.

    states: the coordinates (count, 2) at each grid point so far. last: the last state and its angle.
    """

    def __init__(self, plane: Plane):
        self.plane, self.states, self.last = plane, [], None

    def __call__(self, k, angle, x):
        """Keep the state x (count, n) at the grid point k."""
        self.states.append(self.plane.of(x).float().clone())
        self.last = x.clone(), angle

    def arrays(self, name: str) -> dict:
        """NAMEpaths (count, steps + 1, 2), and NAMEmode (count,), the mode that a path ends in."""
        return {f"{name}paths": torch.stack(self.states, 1).numpy(), f"{name}mode": self.plane.modes(*self.last)}


def flow(study, context, paths: Paths) -> dict:
    """The arrays of the figure `flow`: the paths of the sampler that were observed, as many exact paths, and as many
    paths of the probability flow of the denoiser, by DDIM from the same noise on the same grid.

    angle (steps + 1,); of each kind paths (count, steps + 1, 2), in states x_phi, and the mode that a path ends in
    (count,); x, y (cells + 1,), log_density (cells, cells): the exact law at the last angle, where it is known. With
    study.animation also frame_angle (frames,) and frame_density (frames, cells, cells) on frame_x and frame_y.
    """
    plane, angles = paths.plane, [float(angle) for angle in context.angles]
    count = len(paths.states[0])
    found = {"angle": numpy.array(angles), "labels": numpy.array(plane.labels)} | paths.arrays("")
    exact = Paths(Plane(plane.law, plane.law, None, plane.labels))
    exact_process(plane.law, angles, count, stream(context.seed, "paths in the plane"), exact)
    found |= exact.arrays("exact_")
    found |= _probability_flow(context, plane, count).arrays("flow_")
    clean = plane.law.sample(_WINDOW_DRAWS, stream(context.seed, "paths in the plane"), torch.float64)
    low, high = window(clean)
    low, high = numpy.minimum(low, -_NOISE_SHOWN), numpy.maximum(high, _NOISE_SHOWN)  # of data and of noise
    centre, half = (low + high) / 2, float((high - low).max()) / 2
    found |= {"low": centre - half, "high": centre + half}
    x, y = (numpy.linspace(each - half, each + half, _CELLS + 1) for each in centre)
    final = _checked(plane.law, lambda u: plane.law.noisy_log_prob(u, angles[-1]))
    if final is not None:
        found |= {"x": x, "y": y, "log_density": _on(final, x, y).astype(numpy.float32)}
    if study.animation and final is not None:
        at = numpy.linspace(angles[0], angles[-1], _FRAMES)
        x, y = (numpy.linspace(edges[0], edges[-1], _FRAME_CELLS + 1) for edges in (x, y))
        density = [_on(lambda u, phi=phi: plane.law.noisy_log_prob(u, phi), x, y) for phi in at.tolist()]
        found |= {"frame_angle": at, "frame_x": x, "frame_y": y}
        found["frame_density"] = numpy.exp(numpy.array(density)).astype(numpy.float32)
    return found


def _probability_flow(context, plane, count) -> Paths:
    observed, seed = Paths(plane), context.sampling_seed
    job = {"rule": DDIM(eta=0.0), "count": count, "batch_size": count + BLOCK, "output": "scaled"}
    where = {"angles": context.angles, "observe": observed, "device": context.device}
    job = context.sampling.model_copy(update=job)
    for _ in draw_samples(job, context.schedule, context.denoiser, context.target.shape, seed, **where):
        pass
    return observed
