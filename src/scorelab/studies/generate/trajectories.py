"""Sampling paths beside paths of the exact process: when they commit to a mode, and the laws of their states."""

import math

import numpy
import torch

from scorelab.channel import mix
from scorelab.laws.estimate import Estimate
from scorelab.metrics.projection import LawComparison, exact_floor, project
from scorelab.once import once
from scorelab.randomness import stream
from scorelab.targets import GaussianMixture

#: name of a metric -> the posterior weight of its final mode from which on a path counts as committed to this mode
THRESHOLDS = {"commitment_t": 0.5, "commitment_90_t": 0.9}
_EXACT_PATHS, _BLOCK = 4000, 500
#: times at which posterior weights are observed, and the first and last of them in speciation times
_TIMES, _FIRST, _LAST = 400, 1e-2, 1e2
_QUARTILES = (0.25, 0.5, 0.75)


class Record:
    """An observer that keeps numbers of paths, for `observe` of `scorelab.samplers.loop.simulate` and `exact_process`.

    angles (steps + 1,), float64: the grid. projection (steps + 1, count): <x_phi, a>/|a|^2. times (points,), float64:
    the angles, in increasing order and within the grid, at which the weights are observed. weights (points, count, K):
    the exact posterior weights gamma_k(x_phi) of the modes; a target without modes counts as one mode.

    A path may leave its mode and come back between two points of the grid. So Y_t = tan/cos x_phi is completed between
    them by a Brownian bridge, which is its exact law there, whatever the target; only in the coordinates that the
    weights depend on, see `in_span`.
    """

    def __init__(self, target, angles, count: int, generator, times=None):
        self.target, self.angles = target, torch.as_tensor(angles, dtype=torch.float64)
        self.small, self.coordinates = in_span(target)
        self.projection = torch.empty(len(self.angles), count, dtype=torch.float64)
        self.modes = len(target.weights) if target.can("modes") else 1
        self.times = self.angles if times is None else times
        self.weights = torch.ones(len(self.times), count, self.modes, dtype=torch.float64)
        self.generator, self._seen, self._before = generator, 0, None

    def __call__(self, k, angle, x):
        """Keep the state x (count, *shape) at the grid point k, and the weights up to there."""
        x = x.cpu()
        self.projection[k] = project(x, self.target.direction)
        if self.modes == 1:
            return
        x = self.coordinates(x.double(), angle)
        end, state = math.tan(angle) ** 2, x * math.tan(angle) / math.cos(angle)
        time, y = (0.0, torch.zeros_like(state)) if self._before is None else self._before
        if self._seen and float(self.times[self._seen - 1]) == angle:
            self._seen -= 1  # a rule that comes back to an angle is observed at its last visit
        while self._seen < len(self.times) and (at := float(self.times[self._seen])) <= angle:
            if at < angle:
                now = math.tan(at) ** 2
                noise = torch.randn(y.shape, generator=self.generator, dtype=torch.float64)
                spread = math.sqrt((now - time) * (end - now) / (end - time))
                y, time = y + (now - time) / (end - time) * (state - y) + spread * noise, now
            there = x if at == angle else y * math.cos(at) / math.tan(at)
            self.weights[self._seen] = self.small.posterior_weights(there, at)
            self._seen += 1
        self._before = end, state

    @property
    def mode(self):
        """The mode that each path ends in, which is the mode with the largest posterior weight, shape (count,)."""
        return self.weights[-1].argmax(-1)

    def commitment(self, threshold: float):
        """The time t = tan^2 from which on the posterior weight of a path's final mode stays above the threshold.

        Shape (count,), float64. The time is interpolated, linearly in the angle, between the last of `times` where the
        weight is below the threshold and the next one. It is the first of them where the weight is never below the
        threshold, and infinite where the weight is still below the threshold at the end.
        """
        final = self.weights[:, torch.arange(len(self.mode)), self.mode]
        steps = len(final) - 1
        last = torch.where(final < threshold, torch.arange(steps + 1).unsqueeze(1), -1).amax(0)
        low, high = last.clamp(0, steps - 1), (last + 1).clamp(1, steps)
        before, after = (final.gather(0, index.unsqueeze(0))[0] for index in (low, high))
        share = ((threshold - before) / (after - before)).nan_to_num(0.0).clamp(0, 1)
        angle = self.times[low] + share * (self.times[high] - self.times[low])
        angle = torch.where(last < 0, self.times[0], angle)
        return torch.where(last == steps, math.inf, torch.tan(angle) ** 2)

    def switched(self, angle: float):
        """Whether a path had another leading mode than its final mode at `angle` or later, shape (count,), bool."""
        late = self.weights[self.times >= angle].argmax(-1)
        return (late != self.mode).any(0)


def observed_angles(target, angles):
    """The angles at which posterior weights are observed, which do not depend on the grid but for its ends.

    They are evenly spaced in log t around the speciation time, and the two ends of the grid are among them. For a
    target without a known speciation time they are the angles of the grid.
    """
    angles = torch.as_tensor(angles, dtype=torch.float64)
    speciation = target.speciation_angle() if target.can("modes", "speciation") else None
    if speciation is None:
        return angles
    first, last = (math.log(factor) + 2 * math.log(math.tan(speciation)) for factor in (_FIRST, _LAST))
    between = torch.linspace(first, last, _TIMES, dtype=torch.float64).mul(0.5).exp().atan()
    inside = between[(between > angles[0]) & (between < angles[-1])]
    return torch.cat([angles[:1], inside, angles[-1:]])


# The exact process. -------------------------------------------------------------------------------------------------


@torch.no_grad()
def exact_process(target, angles, count: int, generator, observe):
    """Call `observe(k, angle, x)` on exact paths of stochastic localization on a grid of angles, as `simulate` does on
    the paths of a sampler.

    The paths are Y_t = t X + W_t at t = tan^2(phi), where W has independent increments, as x_phi = sin X + cos W_t /
    sqrt(t). All clocks share this process: it is the time reversal of every noising process of this package. At angle 0
    x is an independent standard normal vector: its limit there is uncorrelated with W_t / sqrt(t) at any t > 0.
    """
    clean = target.sample(count, generator)
    brownian, time = torch.zeros_like(clean), 0.0
    for k, angle in enumerate(float(angle) for angle in angles):
        next_time = math.tan(angle) ** 2
        step = torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
        brownian.add_(step, alpha=math.sqrt(max(next_time - time, 0.0)))
        time = next_time
        observe(k, angle, mix(clean, brownian / math.sqrt(time) if time > 0 else step, angle))


def in_span(target):
    """A target of few dimensions with the same posterior weights, and the function from (x, angle) to its states.

    The weights of modes of one width depend on the span of their means alone: the target is the mixture there, its
    origin the first mean. Any other target is returned as it is, and so are its states.
    """
    if target.lacks("gaussian_modes") or len(target.weights) < 2 or bool((target.std != target.std[0]).any()):
        return target, lambda x, angle: x
    first, offsets = target.means[0], target.means[1:] - target.means[0]
    basis, lengths = torch.linalg.qr(offsets.T)
    places = torch.cat([offsets.new_zeros(1, len(lengths)), lengths.T])
    small = GaussianMixture(target.weights, places, target.std)
    return small, lambda x, angle: (x - math.sin(angle) * first.to(x)) @ basis.to(x)


# Metrics. -----------------------------------------------------------------------------------------------------------


def trajectory_metrics(record: Record, repeats: int, generator) -> tuple[dict, dict]:
    """Commitment of the recorded paths and of exact paths: metrics, and the arrays of the figure `trajectories`.

    A target with one mode has no commitment, and without known modes the commitment is not measured. repeats: number of
    bootstrap sets.
    """
    target, angles = record.target, record.angles
    metrics = {"count": len(record.mode)}
    arrays = {"angle": angles, "projection": record.projection.T.float(), "mode": record.mode}
    arrays |= _noisy_densities(record)
    if (why := target.lacks("modes")) is not None:
        metrics |= dict.fromkeys((*THRESHOLDS, "switched_after_speciation"), Estimate.missing(why))
    if record.modes > 1:
        speciation = target.speciation_angle() if target.can("speciation") else None
        exact = exact_commitment(record.small, angles, record.times, speciation, _EXACT_PATHS)
        own = {name: record.commitment(threshold).numpy() for name, threshold in THRESHOLDS.items()}
        if speciation is not None:
            own["switched"] = record.switched(speciation).numpy()
            arrays["speciation"] = speciation
        metrics |= {"exact_count": _EXACT_PATHS}
        metrics["speciation_t"] = None if speciation is None else math.tan(speciation) ** 2
        for name in THRESHOLDS:
            metrics |= _quantiles(name, own[name], exact[name], repeats, generator)
            arrays |= {name: own[name], f"{name}_exact": exact[name]}
        metrics |= _share("switched_after_speciation", own.get("switched"), exact.get("switched"))
        if (why := target.lacks("speciation")) is not None:
            metrics |= dict.fromkeys(("speciation_t", "switched_after_speciation"), Estimate.missing(why))
    return metrics, {name: numpy.asarray(values) for name, values in arrays.items()}


@once
def exact_commitment(target, angles, times, speciation, paths: int):
    """The numbers of exact paths that `trajectory_metrics` needs, a block of paths at a time to bound the memory. They
    are those of the target, by the same draws for every run."""
    blocks, generator = [], stream(0, "trajectories")
    for _ in range(0, paths, _BLOCK):
        record = Record(target, angles, _BLOCK, generator, times)
        exact_process(target, angles, _BLOCK, generator, record)
        block = {name: record.commitment(threshold) for name, threshold in THRESHOLDS.items()}
        blocks.append(block if speciation is None else block | {"switched": record.switched(speciation)})
    return {name: torch.cat([block[name] for block in blocks]).numpy() for name in blocks[0]}


def _quantiles(name, values, exact, repeats, generator):
    """Median and quartiles of two sets of times, which may be infinite, with bootstrap standard errors."""
    metrics = {}
    for suffix, times in (("", values), ("_exact", exact)):
        draws = torch.randint(len(times), (repeats, len(times)), generator=generator).numpy()
        at = numpy.quantile(times, _QUARTILES, method="inverted_cdf")
        again = numpy.quantile(times[draws], _QUARTILES, axis=1, method="inverted_cdf")
        with numpy.errstate(invalid="ignore"):  # infinite times have no spread
            error = again.std(1, ddof=1)
        metrics |= {f"{name}{suffix}": float(at[1]), f"{name}{suffix}_standard_error": float(error[1])}
        metrics |= {f"{name}_quartiles{suffix}": at[::2].tolist()}
        metrics |= {f"{name}_quartiles{suffix}_standard_error": error[::2].tolist()}
    return metrics


def _share(name, values, exact):
    """The share of the paths for which `values` is true, with its standard error; None without values."""
    metrics = {}
    for suffix, found in (("", values), ("_exact", exact)):
        share = Estimate() if found is None else Estimate.share(found)
        metrics |= {f"{name}{suffix}": share.value, f"{name}{suffix}_standard_error": share.standard_error}
    return metrics


def _noisy_densities(record, angles: int = 180, points: int = 320):
    """The exact density of the projection at evenly spaced angles, (angles, points), for the figure's background, on a
    grid (points,); the grid alone where the law is not known."""
    if record.target.lacks("noisy_projection"):
        low, high = record.projection.min(), record.projection.max()
        return {"grid": torch.linspace(float(low), float(high), points, dtype=torch.float64)}
    at = torch.linspace(float(record.angles[0]), float(record.angles[-1]), angles, dtype=torch.float64)
    laws = [_law(record.target, angle) for angle in at.tolist()]
    ends = torch.stack([law.quantile([1e-4, 1 - 1e-4]) for law in (laws[0], laws[angles // 2], laws[-1])])
    margin = 0.05 * float(ends.max() - ends.min())
    grid = torch.linspace(float(ends.min()) - margin, float(ends.max()) + margin, points, dtype=torch.float64)
    density = torch.stack([law.pdf(grid) for law in laws])
    return {"density_angle": at, "grid": grid, "density": density.float()}


def _law(target, angle):
    return target.noisy_projection(target.direction, angle)


def law_metrics(record: Record, repeats: int, generator) -> tuple[dict, dict]:
    """W1 of the projection to its exact law at six angles: metrics, which are lists over the angles, and the arrays of
    the figure `laws`. repeats: sets of exact samples that the floor is measured on, and bootstrap sets.

    The distances are not measured, and there are no arrays, where the target does not know these laws."""
    target = record.target
    if (why := target.lacks("noisy_projection")) is not None:
        return {"law_w1": Estimate.missing(why)}, {}
    chosen = law_points(target, record.angles)
    angles, values = record.angles[chosen], record.projection[chosen]
    rows, exact, grids = [], [], []
    for angle, x in zip(angles.tolist(), values, strict=True):
        law = _law(target, angle)
        comparison = LawComparison(law, len(x))
        floor = exact_floor(law, len(x), repeats)["w1"]
        error = comparison.standard_errors(x, repeats, generator)["w1"]
        rows.append((comparison.wasserstein_1(x), error, *floor))
        ends = law.quantile([1e-4, 1 - 1e-4]).tolist()
        grids.append(torch.linspace(*ends, 401, dtype=torch.float64))
        exact.append(law.pdf(grids[-1]))
    names = ("w1", "w1_standard_error", "w1_floor", "w1_floor_deviation")
    columns = {"angle": angles.tolist(), "t": (torch.tan(angles) ** 2).tolist()}
    columns |= {name: list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    arrays = {name: numpy.array(column) for name, column in columns.items()} | {"values": values.float().numpy()}
    arrays |= {"grid": torch.stack(grids).numpy(), "exact": torch.stack(exact).cpu().numpy()}
    return {f"law_{name}": column for name, column in columns.items()}, arrays


def law_points(target, angles, count: int = 6) -> list[int]:
    """Indices of `count` grid points up to the last, evenly spaced in half the angle plus half the information, each
    as a share of its own total. The information is 1 - R(phi)/R(first), R the Bayes risk of the projection given its
    own noisy version: in the angle alone most points would lie where everything is settled. For a target without a
    known risk the points are evenly spaced in the angle."""
    angles = torch.as_tensor(angles, dtype=torch.float64)
    place = (angles - angles[0]) / (angles[-1] - angles[0])
    if target.can("signal_risk"):
        risk = target.signal_risk(angles).reshape(-1, len(angles))[0]
        place = 0.5 * place + 0.5 * (risk[0] - risk) / (risk[0] - risk[-1])
    wanted = torch.arange(1, count + 1, dtype=torch.float64) / count
    return sorted(set((place - wanted.unsqueeze(1)).abs().argmin(1).tolist()))
