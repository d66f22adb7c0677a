"""Any smooth density in the plane, with its posterior by quadrature to a stated accuracy.

Let p be the density, and let the noisy state x = sin X + cos G have the noise r = cos/sin in units of X. There are two
rules, each for a range of r; h is the step of a square grid on which p is resolved.

Wide noise, r >= 2h: sums over the grid. The Gaussian is a product of a factor for each coordinate, so that the sums for
many states are products of matrices, E_1 P E_2^T.

Narrow noise, r < 2h: the Gauss-Hermite rule around x/sin, E f(x/sin + r Z), in which p is nearly a polynomial.

The grid is refined until the two rules agree on the posterior mean at r = 2h, where both have most to do. The Bayes
risk at narrow noise is 2 r^2 - r^4 J(r), where J is the Fisher information of X + r G, the second moment of its score;
its density is found by Fourier transforms on the grid.
"""

import math

import numpy
import torch

from scorelab.channel import sin_cos
from scorelab.errors import ScorelabError
from scorelab.laws import tabulated
from scorelab.laws.tabulated import Tabulated
from scorelab.progress import foretold
from scorelab.quadrature import NotResolved, gauss_hermite
from scorelab.randomness import stream
from scorelab.targets.base import CAPABILITIES, Target
from scorelab.targets.blurred import Blurred
from scorelab.targets.signal import orthogonal_variance

#: points of a side of the grid, states on which the rules are compared, and points of the Gauss-Hermite rule
_SIDES, _PROBES, _LOCAL = (64, 96, 128, 192, 256, 384, 512, 768, 1024), 256, 20
#: the noise, in steps of the grid, from which on the grid is summed over
_SWITCH = 2.0
#: log of the density at the edge of the box, in units of its largest value; densities at a time
_EDGE, _BLOCK = math.log(1e-9), 2**20
NO_SCORE = "log_density is not differentiable by torch, and the target has no score"


class PlaneDensity(Target):
    """A smooth density in the plane, given by its logarithm up to a constant.

    log_density: function from points (count, 2), float64, to numbers (count,); -inf stands for a density of 0. A
    score needs a function that is made of operations of torch. low, high: the square [low, high]^2, at whose edge the
    density is at most 1e-9 of its largest value. accuracy: of the posterior mean, root mean square over noisy
    states, in units of the standard deviation of X. direction: (1, 0).

    Raises ScorelabError, which begins with the name of the argument, for a function that returns something else, for a
    box that cuts the density, and where the accuracy is not reached with a grid of 1024^2 points.
    """

    def __init__(self, log_density, low: float, high: float, accuracy: float = 1e-6):
        self.n, self.log_density, self.low, self.high, self.accuracy = 2, log_density, low, high, accuracy
        self.direction = torch.tensor([1.0, 0.0], dtype=torch.float64)
        nodes, weights = gauss_hermite(_LOCAL)
        self._z = torch.cartesian_prod(nodes, nodes)
        self._log_share = torch.cartesian_prod(weights.log(), weights.log()).sum(1) - math.log(2 * math.pi)
        error = math.inf
        for side in _SIDES:
            self._lay(side)
            error = self._disagreement()
            if error <= accuracy:
                break
        else:
            raise ScorelabError(
                f"accuracy = {accuracy:g}: not reached by {side} x {side} points, whose error is {error:.1e}; "
                "a larger accuracy, a smaller box or a smoother density is needed"
            )
        probe = torch.full((1, 2), 0.5 * (low + high), dtype=torch.float64, requires_grad=True)
        with torch.enable_grad():
            self._differentiable = bool(self._log(probe).requires_grad)

    def _log(self, points):
        """log_density at points (count, 2). Raises ScorelabError for anything but numbers (count,) below infinity."""
        found = self.log_density(points)
        if not isinstance(found, torch.Tensor) or found.shape != points.shape[:1]:
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ScorelabError(f"log_density returns {shape} for points {tuple(points.shape)}: (count,) is needed")
        if bool((found.isnan() | (found == math.inf)).any()):
            at = points[(found.isnan() | (found == math.inf)).nonzero()[0, 0]].tolist()
            raise ScorelabError(f"log_density at {at}: a number below infinity is needed")
        return found.double()

    @torch.no_grad()
    def _lay(self, side):
        """Lay a grid of side x side points."""
        self.line = torch.linspace(self.low, self.high, side, dtype=torch.float64)
        self.step = float(self.line[1] - self.line[0])
        table = torch.cat([self._log(block) for block in torch.cartesian_prod(self.line, self.line).split(_BLOCK)])
        table = table.reshape(side, side)
        largest = float(table.max())
        if largest == -math.inf:
            raise ScorelabError(f"box = [{self.low:g}, {self.high:g}]: the density is 0 in it")
        edge = float(torch.cat([table[0], table[-1], table[:, 0], table[:, -1]]).max()) - largest
        if edge > _EDGE:
            raise ScorelabError(
                f"box = [{self.low:g}, {self.high:g}]: the density at its edge is {math.exp(edge):.1e} of its largest; "
                "1e-9 at most is needed, in a larger box"
            )
        masses = torch.exp(table - largest)
        total = float(masses.sum())
        self._log_total = largest + math.log(total * self.step**2)  # of exp(log_density)
        self._table, self._masses = table, masses / total
        across = self._masses.sum(1), self._masses.sum(0)
        self.mean = torch.stack([each @ self.line for each in across])
        offsets = [self.line - each for each in self.mean]
        squares = [each @ offset**2 for each, offset in zip(across, offsets, strict=True)]
        both = offsets[0] @ self._masses @ offsets[1]
        self.covariance = torch.stack([squares[0], both, both, squares[1]]).reshape(2, 2)

    @torch.no_grad()
    def _disagreement(self):
        """The distance of the posterior means by the two rules, root mean square, in standard deviations of X."""
        generator, noise = stream(0, "plane density"), _SWITCH * self.step
        node = torch.multinomial(self._masses.flatten(), _PROBES, replacement=True, generator=generator)
        shift = torch.rand(_PROBES, 2, generator=generator, dtype=torch.float64) - 0.5
        x = torch.cartesian_prod(self.line, self.line)[node] + self.step * shift
        x = x + noise * torch.randn(x.shape, generator=generator, dtype=torch.float64)
        one, other = self._wide(x, x.new_ones(()), x.new_tensor(noise)), self._narrow(x, x.new_tensor(noise))
        off = (one[1] - other[1]).square().sum(1).mean().sqrt()
        return float(off / self.covariance.trace().sqrt())

    def _own(self, attribute):
        return super()._own(attribute) and not (attribute == "noisy_score" and not self._differentiable)

    def lacks(self, *names):
        why = super().lacks(*names)
        return NO_SCORE if why == CAPABILITIES["score"].lacking and not self._differentiable else why

    # The posterior. -------------------------------------------------------------------------------------------------

    def _wide(self, x, sin, cos):
        """log p_phi(x) (count,), E[X | x] (count, 2) and tr Cov[X | x] (count,) by the grid; x (count, 2)."""
        line, factors, tops = self.line, [], 0.0
        sin, cos = (value.expand(len(x)).unsqueeze(1) for value in (sin, cos))
        for k in range(2):
            exponent = -0.5 * ((x[:, k : k + 1] - sin * line) / cos) ** 2
            top = exponent.amax(1, keepdim=True)
            factors.append(torch.exp(exponent - top))
            tops = tops + top.squeeze(1)
        first, second = factors
        centre = line.mean()
        offsets = line - centre
        at = second @ self._masses.T  # sum over the second coordinate, (count, side)
        mass = (first * at).sum(1)
        along = first * at
        one, squares = along @ offsets, along @ offsets**2
        at = first @ self._masses
        two, squares = (second * at) @ offsets, squares + (second * at) @ offsets**2
        safe = mass.clamp_min(1e-290)
        mean = torch.stack([one, two], 1) / safe.unsqueeze(1)
        variance = (squares / safe - mean.square().sum(1)).clamp_min(0)
        log_mass, mean = safe.log() + tops, mean + centre
        lost = mass < 1e-280  # next to none of the mass is near: sums of logarithms
        if bool(lost.any()):
            parts = [
                self._far(*each)
                for each in zip(*(some[lost].split(64) for some in (x, sin.squeeze(1), cos.squeeze(1))), strict=True)
            ]
            log_mass[lost], mean[lost], variance[lost] = (torch.cat(some) for some in zip(*parts, strict=True))
        return log_mass - torch.log(2 * math.pi * cos.squeeze(1) ** 2), mean, variance

    def _far(self, x, sin, cos):
        """log of the sum, mean and variance of `_wide` for states that are far from nearly all of the mass."""
        exponents = [-0.5 * ((x[:, k : k + 1] - sin[:, None] * self.line) / cos[:, None]) ** 2 for k in range(2)]
        joint = exponents[0].unsqueeze(2) + exponents[1].unsqueeze(1) + self._masses.clamp_min(1e-300).log()
        share = torch.softmax(joint.flatten(1), 1).reshape(joint.shape)
        sums = share.sum(2), share.sum(1)
        mean = torch.stack([each @ self.line for each in sums], 1)
        variance = sum((sums[k] * (self.line - mean[:, k : k + 1]) ** 2).sum(1) for k in range(2))
        return torch.logsumexp(joint.flatten(1), 1), mean, variance

    def _narrow(self, y, noise):
        """The same for y = x/sin with noise r, () or (count,), by the Gauss-Hermite rule; the density is that of y."""
        noise = noise.expand(len(y)).reshape(-1, 1)
        parts = []
        for some, each in zip(y.split(2048), noise.split(2048), strict=True):
            places = some.unsqueeze(1) + each.unsqueeze(1) * self._z.to(y.device)
            joint = self._log(places.reshape(-1, 2)).reshape(len(some), -1) + self._log_share.to(y.device)
            total = torch.logsumexp(joint, 1)
            share = torch.exp(joint - torch.where(total == -math.inf, 0.0, total).unsqueeze(1))
            moved = share @ self._z.to(y.device)
            variance = each.squeeze(1) ** 2 * (share @ self._z.to(y.device).square().sum(1) - moved.square().sum(1))
            parts.append((total - self._log_total, some + each * moved, variance))
        return tuple(torch.cat(each) for each in zip(*parts, strict=True))

    def _posterior(self, x, angle):
        """The log density of x, E[X | x] and tr Cov[X | x], float64, for states x (count, 2)."""
        x = x.double()
        sin, cos = (value.expand(len(x), 1).squeeze(1) for value in sin_cos(angle, x))
        wide = cos >= _SWITCH * self.step * sin
        if bool(wide.all()):
            return self._wide(x, sin, cos)
        found = x.new_empty(len(x)), torch.empty_like(x), x.new_empty(len(x))
        for rows, parts in (
            (wide, self._wide(x[wide], sin[wide], cos[wide]) if bool(wide.any()) else None),
            (~wide, self._narrow(x[~wide] / sin[~wide, None], cos[~wide] / sin[~wide])),
        ):
            if parts is not None:
                for whole, part in zip(found, parts, strict=True):
                    whole[rows] = part
        found[0][~wide] -= 2 * sin[~wide].log()
        return found

    def posterior_mean(self, x, angle):
        return self._posterior(x, angle)[1].to(x.dtype)

    def posterior_variance(self, x, angle):
        return self._posterior(x, angle)[2].to(x.dtype)

    def noisy_log_prob(self, x, angle):
        return self._posterior(x, angle)[0].to(x.dtype)

    def noisy_score(self, x, angle):
        """grad log p_phi(x): (sin E[X | x] - x)/cos^2 where the noise is wide, and E[grad log p(X) | x]/sin where it is
        narrow, (count, 2)."""
        y = x.double()
        sin, cos = (value.expand(len(x), 1) for value in sin_cos(angle, y))
        wide = (cos >= _SWITCH * self.step * sin).squeeze(1)
        score = torch.empty_like(y)
        if bool(wide.any()):
            mean = self._wide(y[wide], sin[wide].squeeze(1), cos[wide].squeeze(1))[1]
            score[wide] = (sin[wide] * mean - y[wide]) / cos[wide] ** 2
        if not bool(wide.all()):
            with torch.enable_grad():
                places = (y[~wide] / sin[~wide]).detach().requires_grad_()
                log_prob = self._narrow(places, (cos / sin)[~wide].squeeze(1))[0]
                score[~wide] = torch.autograd.grad(log_prob.sum(), places)[0] / sin[~wide]
        return score.to(x.dtype)

    def posterior_risk(self, clean, x, angle):
        """The posterior variance, which has the mean of the squared error and less noise, (count,)."""
        return self.posterior_variance(x, angle)

    def bayes_risk(self, angle):
        """`bayes_risk`: see the module."""
        angle = torch.as_tensor(angle, dtype=torch.float64)
        found = [self._risk(each) for each in foretold("Bayes risk", angle.flatten().tolist(), "angles")]
        return torch.tensor(found, dtype=torch.float64).reshape(angle.shape)

    def _risk(self, angle) -> float:
        sin, cos = (float(value) for value in sin_cos(angle, torch.zeros((), dtype=torch.float64)))
        if cos < _SWITCH * self.step * sin:
            return self._narrow_risk(cos / sin)
        # the noisy states on a lattice with a step of half the narrowest width of their law, which resolves the risk
        width, reach = math.hypot(_SWITCH * self.step * sin, cos), 8.5 * cos
        low, high = sin * self.low - reach, sin * self.high + reach
        x = torch.linspace(low, high, math.ceil((high - low) / (0.4 * min(width, cos))), dtype=torch.float64)
        factor = torch.exp(-0.5 * ((x.unsqueeze(1) - sin * self.line) / cos) ** 2)
        factor = factor * (float(x[1] - x[0]) / (math.sqrt(2 * math.pi) * cos))
        offsets = [self.line - each for each in self.mean]
        mass = factor @ self._masses @ factor.T
        means = [
            (factor * offsets[0]) @ self._masses @ factor.T,
            factor @ self._masses @ (factor * offsets[1]).T,
        ]
        kept = sum(each.square() for each in means) / mass.clamp_min(1e-300)
        return float(self.covariance.trace()) - float(kept.sum())

    def _narrow_risk(self, noise) -> float:
        """2 r^2 - r^4 J(r)."""
        side = len(self.line)
        turns = 2 * math.pi * torch.from_numpy(numpy.fft.fftfreq(side, self.step))
        waves = torch.fft.fft2(self._masses / self.step**2)
        waves = waves * torch.exp(-0.5 * noise**2 * (turns.unsqueeze(1) ** 2 + turns**2))
        density = torch.fft.ifft2(waves).real
        slopes = [torch.fft.ifft2(1j * turn * waves).real for turn in (turns.unsqueeze(1), turns)]
        there = density > 1e-12 * density.max()
        information = sum((slope[there] ** 2 / density[there]).sum() for slope in slopes) * self.step**2
        return 2 * noise**2 - noise**4 * float(information)

    def output_law(self, angle, output):
        """See `Target.output_law`; None for outputs other than `scaled`."""
        if output != "scaled" or angle >= math.pi / 2:
            return super().output_law(angle, output)
        noise = 1 / math.tan(angle)
        return Blurred(self, noise, lambda d, r: self.projection(d).noisy(1.0, (r / float(d.norm())) ** 2))

    # The law itself. ------------------------------------------------------------------------------------------------

    def _across(self, unit, places):
        """The density of <X, unit> at places (count,), up to a constant: an integral across the direction."""
        other = torch.stack([-unit[1], unit[0]])
        corners = torch.cartesian_prod(*[torch.tensor([self.low, self.high], dtype=torch.float64)] * 2) @ other
        steps = math.ceil(float(corners.max() - corners.min()) / self.step)
        line = torch.linspace(float(corners.min()), float(corners.max()), steps + 1, dtype=torch.float64)
        found = []
        for some in places.split(max(_BLOCK // len(line), 1)):
            points = some.reshape(-1, 1, 1) * unit + line.reshape(1, -1, 1) * other
            inside = ((points >= self.low) & (points <= self.high)).all(2)
            log = self._log(points.clamp(self.low, self.high).reshape(-1, 2)).reshape(len(some), -1)
            found.append((torch.exp(log - self._log_total) * inside).sum(1))
        return torch.cat(found)

    @torch.no_grad()
    def projection(self, direction):
        """`projection`: as a table, whose density is 1e-7 of its largest value or better."""
        direction = torch.as_tensor(direction, dtype=torch.float64)
        length = direction.norm()
        unit = direction / length
        ends = torch.cartesian_prod(*[torch.tensor([self.low, self.high], dtype=torch.float64)] * 2) @ unit
        ends = torch.linspace(float(ends.min()), float(ends.max()), 17, dtype=torch.float64)
        try:
            return Tabulated(lambda y: self._across(unit, y * length), ends / length, 1e-7)
        except NotResolved as error:
            raise ScorelabError(f"log_density: {error}; a smoother density is needed") from None

    def noisy_projection(self, direction, angle):
        direction = torch.as_tensor(direction, dtype=torch.float64)
        law, cos = self.projection(direction), float(sin_cos(angle, direction[0])[1])
        return law if cos == 0 else law.noisy(math.sin(angle), (cos / float(direction.norm())) ** 2)

    def orthogonal_variance(self, direction):
        return orthogonal_variance(self.covariance, direction)

    @torch.no_grad()
    def sample(self, count, generator, dtype=torch.float32):
        """Draw the first coordinate by its distribution function, and the second by that given the first."""
        u = torch.rand(2, count, generator=generator, dtype=torch.float64)
        if "_marginal" not in vars(self):
            self._marginal = self.projection(torch.tensor([1.0, 0.0], dtype=torch.float64))
        first = self._marginal.quantile(u[0])
        edges = torch.linspace(self.low, self.high, len(self.line) // 4 + 1, dtype=torch.float64)
        nodes = tabulated.nodes_of(edges[:-1], edges[1:]).flatten()
        rows = max(_BLOCK // len(nodes), 1)
        second = [self._given(*each, edges, nodes) for each in zip(first.split(rows), u[1].split(rows), strict=True)]
        return torch.stack([first, torch.cat(second)], 1).to(dtype)

    def _given(self, first, u, edges, nodes):
        """The second coordinate (count,) with the conditional probability u (count,) below it."""
        points = torch.stack([first.unsqueeze(1).expand(-1, len(nodes)), nodes.expand(len(first), -1)], 2)
        log = self._log(points.reshape(-1, 2)).reshape(len(first), len(edges) - 1, -1)
        values = torch.exp(log - log.amax((1, 2), keepdim=True))
        below = tabulated.antiderivative(tabulated.coefficients(values))  # at u = 1: the mass of each piece
        masses = below.sum(2).clamp_min(0)
        heights = masses.cumsum(1)
        wanted = u.unsqueeze(1) * heights[:, -1:]
        piece = torch.searchsorted(heights, wanted).clamp_max(masses.shape[1] - 1)
        rest = (wanted - heights.gather(1, piece) + masses.gather(1, piece)).squeeze(1)
        here = below[torch.arange(len(first)), piece.squeeze(1)]
        low, high = -torch.ones_like(u), torch.ones_like(u)
        for _ in range(50):
            middle = 0.5 * (low + high)
            left = tabulated.horner(here, middle) < rest
            low, high = torch.where(left, middle, low), torch.where(left, high, middle)
        start, end = edges[piece.squeeze(1)], edges[piece.squeeze(1) + 1]
        return 0.5 * (start + end) + 0.5 * (end - start) * low
