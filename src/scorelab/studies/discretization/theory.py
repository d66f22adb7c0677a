"""The three errors of the discretized reverse OU process, exactly: CS 224 lecture 24, section 2, theorem 1.

For modes of unit variance whose means lie on a line the score is s_u(x) = -x + e^-u sum_i gamma_i m_i, where gamma is a
function of the coordinate y along the line. So the sampler's law is a product of two laws: the law of y, which is a
Markov chain with Gaussian steps, and N(0, c I) orthogonal to the line, which stays Gaussian because the score is linear
there. The law of y is followed on a grid, where the trapezoidal rule is exact to rounding, and c has a closed form: no
random number is drawn.

With h the step, r = 2 - e^h and N = T/h, from N(0, 1) and with the exact score

    c_N = c + (1 - c) r^2N,     c = (e^h + 1)/(3 - e^h) = 1 + h + O(h^2)

and Girsanov's theorem has, with I(u) = E|grad log q_u|^2 and E[grad log q_u(X_u) | X_u'] = e^-(u'-u) grad log q_u',

    KL(paths) = int_0^T I du - (2 (1 - e^-h) - h) sum_k I(T - k h).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy
from scipy import interpolate, special

from scorelab.laws.projected_law import log_odds
from scorelab.quadrature import gauss_hermite, integral

_REACH = 10.0  # standard deviations beyond the modes
_PER_DEVIATION = 1.3  # cells a standard deviation: the trapezoidal rule leaves exp(-2 pi^2 1.3^2) = 3e-15
_WIDEST = 0.06  # cells are no wider, so that the zeros of a difference of densities are found
_TAIL = 8.5  # standard deviations of a step; a normal variable is beyond them with probability 2e-17


@dataclass(frozen=True)
class Modes:
    """p N((1-p) a + b, I) + (1-p) N(-p a + b, I) in n dimensions, b parallel to a. distance: |a|. mean: mean of <x,
    a>/|a|, which is |b| with its sign. With the distance 0 there is one mode."""

    n: int
    p: float
    distance: float
    mean: float = 0.0

    @cached_property
    def weights(self):
        """The weights of the modes (2,)."""
        return numpy.array([self.p, 1 - self.p])

    @cached_property
    def centres(self):
        """The means of the modes along a (2,)."""
        return self.mean + self.distance * numpy.array([1 - self.p, -self.p])

    @property
    def lipschitz(self) -> float:
        """L of A1. The Hessian of log q_u is -I, except along a, where it is -1 + e^-2u |a|^2 gamma_1 gamma_2."""
        return max(1.0, self.distance**2 / 4 - 1)

    @property
    def second_moment(self) -> float:
        """m_2^2 of A2."""
        return self.n + self.mean**2 + self.p * (1 - self.p) * self.distance**2

    def line(self, width: float = _WIDEST, stretch: float = 1.0):
        """A uniform grid (points,) along a, beyond which no q_u has mass; `stretch` makes it so many times longer."""
        low = stretch * (min(self.centres.min(), 0) - _REACH)
        high = stretch * (max(self.centres.max(), 0) + _REACH)
        return numpy.linspace(low, high, math.ceil((high - low) / width) + 1)

    def ratio(self, y, u):
        """q_u/N(0, 1) - 1 along a, without loss of digits where q_u is close to N(0, 1); y and u are broadcast."""
        shift = numpy.multiply.outer(numpy.exp(-numpy.asarray(u, float)), self.centres)
        return (self.weights * numpy.expm1(shift * numpy.asarray(y)[..., None] - shift**2 / 2)).sum(-1)

    def density(self, y, u):
        """q_u along a."""
        shift = self._shift(u)
        return self.p * _normal(y - shift[..., 0]) + (1 - self.p) * _normal(y - shift[..., 1])

    def first(self, y, u):
        """gamma_1(y), the posterior weight of the first mode."""
        shift = self._shift(u)
        return special.expit(log_odds(y, self.p, shift[..., 0], shift[..., 1]))

    def mean_of_modes(self, y, u):
        """E[mean of the mode | y]: sum_i gamma_i m_i."""
        gamma = self.first(y, u)
        return gamma * self.centres[0] + (1 - gamma) * self.centres[1]

    def score(self, y, u):
        """(log q_u)' along a."""
        return numpy.exp(-u) * self.mean_of_modes(y, u) - y

    def _shift(self, u):
        return numpy.multiply.outer(numpy.exp(-numpy.asarray(u, float)), self.centres)

    def kl(self, u: float = 0.0) -> float:
        """KL(q_u || N(0, I))."""
        y = self.line()
        ratio = self.ratio(y, u)
        # r log r - (r - 1) of the ratio r, which does not cancel where q_u is close to N(0, 1)
        return float(integral(y, _normal(y) * (special.xlog1py(1 + ratio, ratio) - ratio)))

    def fisher(self, u):
        """I(u) = E|grad log q_u|^2 with the shape of u (times,)."""
        u = numpy.asarray(u, float)
        y = self.line(0.5 / max(self.distance, 2.0))  # gamma has its poles at distances above pi/|a| from the line
        parts = numpy.array_split(u.reshape(-1, 1), max(u.size // 500, 1))
        along = [integral(y, self.density(y, part) * self.score(y, part) ** 2) for part in parts]
        return self.n - 1 + numpy.concatenate(along).reshape(u.shape)

    def second_moment_at(self, u: float) -> float:
        """E|X_u|^2."""
        return self.n + (self.second_moment - self.n) * math.exp(-2 * u)


def _normal(y):
    return numpy.exp(-0.5 * y**2) / math.sqrt(2 * math.pi)


# Total variation. ---------------------------------------------------------------------------------------------------


def total_variation(y, difference) -> float:
    """Half the integral of |difference| (points,), a cubic spline through it cut at its zeros."""
    spline = interpolate.CubicSpline(y, difference)
    whole = spline.antiderivative()
    roots = numpy.sort(spline.roots(extrapolate=False))
    pieces = numpy.diff(whole(numpy.concatenate([y[:1], roots[numpy.isfinite(roots)], y[-1:]])))
    return float(0.5 * numpy.abs(pieces).sum())


def product_variation(y, p, q, outside: int, variance: float, reference: float) -> float:
    """TV of p x N(0, variance I) and q x N(0, reference I), the normal laws in `outside` dimensions.

    Their ratio depends on the squared radius alone and is monotone in it, so that for each y the set where the first is
    larger is a half-line of radii: what is left is an integral over y of chi-squared probabilities.
    """
    if not outside or variance == reference:
        return total_variation(y, p - q)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        log_ratio = numpy.log(q) - numpy.log(p) + 0.5 * outside * math.log(variance / reference)
        radius = numpy.maximum(log_ratio / (0.5 / reference - 0.5 / variance), 0)
    inside = special.chdtrc if variance > reference else special.chdtr
    values = p * inside(outside, radius / variance) - q * inside(outside, radius / reference)
    return float(integral(y, numpy.where(numpy.isnan(log_ratio), 0, values)))


def radial_variation(outside: int, variance: float, reference: float) -> float:
    """TV of N(0, variance I) and N(0, reference I) in `outside` dimensions."""
    if not outside or variance == reference:
        return 0.0
    radius = outside * math.log(variance / reference) / (1 / reference - 1 / variance)
    return float(abs(special.chdtr(outside, radius / reference) - special.chdtr(outside, radius / variance)))


def shift_variation(shift: float, variance: float = 1.0) -> float:
    """TV of N(shift, variance) and N(0, variance)."""
    return math.erf(abs(shift) / math.sqrt(8 * variance))


# Initialisation. ----------------------------------------------------------------------------------------------------


def initial_variation(modes: Modes, T: float) -> float:
    """TV(q_T, N(0, I)): the sampler starts from N(0, I), and should start from q_T."""
    y = modes.line()
    return total_variation(y, _normal(y) * modes.ratio(y, T))


def initial_variation_at_the_end(modes: Modes, T: float) -> float:
    """TV(p, q) for p the law that the exact reversed process has at its end when it starts from N(0, I).

    p(x)/q(x) = E[(N(0, I)/q_T)(X_T) | X_0 = x]: the difference goes through the OU process a second time.
    """
    y = modes.line()
    nodes, weights = (each.numpy() for each in gauss_hermite(120))
    later = math.exp(-T) * y[:, None] + math.sqrt(-math.expm1(-2 * T)) * nodes
    ratio = modes.ratio(later, T)
    return total_variation(y, modes.density(y, 0.0) * ((-ratio / (1 + ratio)) @ weights) / math.sqrt(2 * math.pi))


# The sampler. -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """The law of the samples of a sampler: the density of the coordinate along a on a grid (points,), and N(0, variance
    I) orthogonal to a."""

    y: numpy.ndarray
    density: numpy.ndarray
    variance: float

    def variation(self, modes: Modes, reference, variance: float = 1.0) -> float:
        """TV to the law with the density `reference` (points,) along a and N(0, variance I) orthogonal to a."""
        return product_variation(self.y, self.density, reference, modes.n - 1, self.variance, variance)

    def kl_from(self, modes: Modes, reference, variance: float = 1.0) -> float:
        """KL(the law of `variation` || this law)."""
        held = (reference > 1e-200) & (self.density > 1e-200)
        along = integral(self.y, special.rel_entr(reference[held], self.density[held]))
        share = variance / self.variance
        return float(along + 0.5 * (modes.n - 1) * (share - 1 - math.log(share)))


def reverse_process(modes: Modes, T: float, steps: int, *, error=None, from_noise: bool = False) -> Law:
    """Equation (8) with uniform steps: x' = e^h x + 2 (e^h - 1) s_{T-kh}(x) + sqrt(e^2h - 1) Z.

    It starts from q_T, or with `from_noise` from N(0, I). error: (y, u) -> what is added to the score along a.
    Raises ValueError if h >= log 3, where the variance diverges with the number of steps.
    """
    h = T / steps
    if h >= math.log(3):
        raise ValueError(f"h = {h:g}: below log 3 is needed")
    growth, deviation = math.expm1(h), math.sqrt(math.expm1(2 * h))
    steepest = max(1.0, abs(1 + growth * (1 + 2 * max(modes.distance**2 / 4 - 1, 0.0))))
    y = modes.line(min(deviation / (_PER_DEVIATION * steepest), _WIDEST), _stretch(T, steps))
    density = _normal(y) if from_noise else modes.density(y, T)
    for k in range(steps):
        u = T - k * h
        score = modes.score(y, u) + (0 if error is None else error(y, u))
        density = _after_step(y, density, (1 + growth) * y + 2 * growth * score, deviation)
    return Law(y, density, orthogonal_variance(h, steps))


def _stretch(T, steps) -> float:
    """How many times as far as the target the sampler reaches with long steps: the larger of its standard deviation and
    of the distance to which it takes a mean of modes at 1, at most sum_k 2 (e^h - 1) e^-(T-kh) |r|^(N-1-k)."""
    h = T / steps
    factor, k = abs(1 - math.expm1(h)), numpy.arange(steps)
    pushed = 2 * math.expm1(h) * numpy.exp(k * h - T) @ factor ** (steps - 1.0 - k)
    return max(1.0, float(pushed), math.sqrt((math.exp(h) + 1) / (3 - math.exp(h))))


def _after_step(y, density, means, deviation):
    """The density (points,) after the step x' ~ N(means(x), deviation^2)."""
    width = y[1] - y[0]
    at = (means - y[0]) / width
    reach = math.ceil(_TAIL * deviation / width)
    held = (density > 1e-60) & (at > -reach) & (at < len(y) - 1 + reach)
    cell = numpy.rint(at[held]).astype(int)
    offsets = numpy.arange(-reach, reach + 1)[:, None]
    kernel = numpy.exp(-0.5 * ((offsets - (at[held] - cell)) * (width / deviation)) ** 2)
    kernel *= density[held] * (width / (math.sqrt(2 * math.pi) * deviation))
    places = (cell + offsets + 2 * reach + 1).ravel()
    return numpy.bincount(places, kernel.ravel(), len(y) + 4 * reach + 2)[2 * reach + 1 : 2 * reach + 1 + len(y)]


def orthogonal_variance(h: float, steps: int, error: float = 0.0) -> float:
    """c after equation (8) from N(0, 1) with the score (-1 + error) z."""
    growth = math.expm1(h)
    factor = 1 + growth - 2 * growth * (1 - error)
    fixed = math.expm1(2 * h) / (1 - factor**2)
    return fixed + (1 - fixed) * factor ** (2 * steps)


def orthogonal_shift(h: float, steps: int, error: float) -> float:
    """The mean after equation (8) with the score -z + error."""
    return 2 * error * (1 - (1 - math.expm1(h)) ** steps)


def path_kl(modes: Modes, T: float, steps: int) -> float:
    """KL between the law of the paths of the reversed process and of equation (8) with the exact score, from q_T."""
    h = T / steps
    spread = modes.second_moment_at(0) - modes.second_moment_at(T)
    information = modes.kl() - modes.kl(T) + modes.n * T - 0.5 * spread  # int_0^T I, from d KL(q_u)/du
    frozen = modes.fisher(T - h * numpy.arange(steps)).sum()
    return float(information - (-2 * math.expm1(-h) - h) * frozen)


# Errors of the score, with L2 norm 1 at each time. --------------------------------------------------------------------


def constant_error(modes: Modes, y, u: float):
    """The constant 1 along a."""
    return numpy.ones_like(y)


def weight_error(modes: Modes, y, u: float):
    """The error proportional to the gradient of gamma_1. Among errors of one norm it moves the most weight to the
    first mode: a drift 2 e(y, u) changes E gamma_1(X_0) by int 2 E[e gamma_1'] du, as gamma_1 solves the backward
    equation."""
    gamma = modes.first(y, u)
    gradient = gamma * (1 - gamma)
    return gradient / math.sqrt(integral(y, modes.density(y, u) * gradient**2))


# The semester paper's setting. --------------------------------------------------------------------------------------


def localization(modes: Modes, end_angle: float, steps: int) -> tuple[Law, float]:
    """Euler-Maruyama for dY = m(Y; t) dt + dW on `steps` uniform angles from Y_0 = 0, t = tan^2(angle): the law of
    x = Y/sqrt(t (t+1)) at the end, and the u with e^-u = sin(angle), at which its exact law is q_u.

    Visconti 2025, section 7.3.
    """
    angles = numpy.linspace(0, end_angle, steps + 1)
    times = numpy.tan(angles) ** 2
    scales = numpy.sqrt(times * (times + 1))
    deviations = numpy.sqrt(numpy.diff(times)) / scales[1:]
    y = modes.line(min(deviations.min() / (_PER_DEVIATION * _steepest(modes, angles, times, scales)), _WIDEST))
    density, variance = _normal(y), 1.0
    for k in range(steps):
        sin, dt = math.sin(angles[k]), times[k + 1] - times[k]
        if k:
            mean = sin * y + (1 - sin**2) * modes.mean_of_modes(y, -math.log(sin))
        else:
            mean = numpy.full_like(y, modes.mean)
        density = _after_step(y, density, (scales[k] * y + dt * mean) / scales[k + 1], deviations[k])
        variance = ((scales[k] + dt * sin) / scales[k + 1]) ** 2 * variance + deviations[k] ** 2
    return Law(y, density, variance), -math.log(math.sin(end_angle))


def _steepest(modes, angles, times, scales) -> float:
    """The largest derivative of a step's mean."""
    sin = numpy.sin(angles[:-1])
    slope = sin + (1 - sin**2) * sin * modes.distance**2 / 4
    return float(max(1.0, ((scales[:-1] + numpy.diff(times) * slope) / scales[1:]).max()))


def truncation_variation(modes: Modes, T: float) -> float:
    """TV of the law of Y_T/T, which has the variance 1 + 1/T in each mode, and the target."""
    y, deviation = modes.line(), math.sqrt(1 + 1 / T)
    blurred = _normal((y[:, None] - modes.centres) / deviation) @ modes.weights / deviation
    return product_variation(y, blurred, modes.density(y, 0.0), modes.n - 1, 1 + 1 / T, 1.0)
