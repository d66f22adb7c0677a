"""The conditional mean of two modes of one width in closed form: its slopes, its limits, its distance from a line.

Everything is along a = mu_1 - mu_2, in the signal coordinate u = <y_t, a>/(t |a|^2) of the localization process
Y_t = t X + sqrt(t) G. In u the means of the modes are 1 apart at every t: Visconti 2025, sections 7.3, 7.5.
"""

import math
from dataclasses import dataclass

import numpy
import torch

from scorelab.laws.projected_law import ProjectedLaw
from scorelab.quadrature import REACH, converged, normal_trapezoid

#: coordinates of a slope: <y_t, a>; u = <y_t, a>/(t |a|^2); <y_t, a> over its standard deviation in a mode, which for
#: modes of unit width is <x_phi, a>/|a|
COORDINATES = ("state", "scaled", "standardised")


def _nine_digits(value):
    """Two resolutions of a number have to agree to 9 digits."""
    return 1e-9 * abs(value)


@dataclass(frozen=True)
class TwoModeMean:
    """p N(mu_1, s^2 I) + (1-p) N(mu_2, s^2 I); p, |a|^2, s, and c, the mean of <X, a>/|a|^2, which is 0 in the text.

    With v = 1 + s^2 t, the variance of <y_t, a>/|a| in a mode over t, and gamma_1 the logistic function of `log_odds`,

        log_odds = log(p/(1-p)) + [<y_t, a> - t |a|^2 b]/v = log(p/(1-p)) + |a|^2 t (u - b)/v
        <m, a>/|a|^2 = (s^2 t u + c + gamma_1 - p)/v

    where b = c + 1/2 - p is the middle of the modes. `u` and `t` are numbers or tensors that broadcast; results are
    float64.
    """

    p: float
    a_squared: float
    std: float = 1.0
    centre: float = 0.0

    @classmethod
    def of(cls, target) -> "TwoModeMean":
        """The closed form for a target. Raises ValueError unless it has two modes, apart and of equal width."""
        if (why := target.lacks("gaussian_modes", "projection", "speciation")) is not None:
            raise ValueError(f"a {type(target).__name__}; a mixture of two Gaussian modes is needed: {why}")
        if len(target.weights) != 2:
            raise ValueError(f"a mixture of {len(target.weights)} modes; exactly two are needed")
        if bool(target.std[0] != target.std[1]):
            raise ValueError(f"std = {target.std.tolist()}; two modes of one standard deviation are needed")
        difference = target.means[0] - target.means[1]
        if not bool(difference.any()):
            raise ValueError("two modes with one mean; two that are apart are needed")
        law = target.projection(difference)
        return cls(float(target.weights[0]), float(difference.square().sum()), float(target.std[0]), law.mean)

    @property
    def middle(self) -> float:
        """b, the middle between the means of the modes."""
        return self.centre + 0.5 - self.p

    @property
    def logit(self) -> float:
        """log(p/(1-p)), the log-odds without any signal."""
        return math.log(self.p) - math.log1p(-self.p)

    @property
    def between(self) -> float:
        """kappa = p (1-p)/Var u at t = infinity: the share of the variance of <X, a> that lies between the modes."""
        apart = self.p * (1 - self.p) * self.a_squared / self.std**2
        return apart / (1 + apart)

    def _v(self, t):
        return 1 + self.std**2 * _tensor(t)

    # The functions. -------------------------------------------------------------------------------------------------

    def log_odds(self, u, t):
        """log gamma_1/(1 - gamma_1); equations (14) and (15)."""
        return self.logit + self.a_squared * _tensor(t) * (_tensor(u) - self.middle) / self._v(t)

    def weight(self, u, t):
        """gamma_1 = P(mode 1 | y_t)."""
        return torch.sigmoid(self.log_odds(u, t))

    def mean(self, u, t):
        """<E[X | y_t], a>/|a|^2."""
        signal = self.std**2 * _tensor(t) * _tensor(u)
        return (signal + self.centre + self.weight(u, t) - self.p) / self._v(t)

    def transition(self, t):
        """The u where gamma_1 = 1/2: b - v log(p/(1-p))/(|a|^2 t). The text's tau(t) of equation (16) is t |a|^2 u."""
        return self.middle - self._v(t) * self.logit / (self.a_squared * _tensor(t))

    def law(self, t: float) -> ProjectedLaw:
        """The exact law of u at a time."""
        first = self.centre + 1 - self.p
        std = math.sqrt((self.std**2 + 1 / t) / self.a_squared)
        return ProjectedLaw([self.p, 1 - self.p], [first, first - 1], [std, std])

    def density_level(self, t: float, share: float) -> float:
        """The density above which `law` has a share of its mass, by a sum over 2^14 points."""
        law = self.law(t)
        ends = law.quantile([1e-9, 1 - 1e-9])
        density = law.pdf(torch.linspace(float(ends[0]), float(ends[1]), 2**14, dtype=torch.float64))
        density = density.sort(descending=True).values
        mass = density.cumsum(0)
        return float(density[int(torch.searchsorted(mass, share * mass[-1]))])

    # Slopes. --------------------------------------------------------------------------------------------------------

    def slope(self, t, coordinate: str):
        """The largest slope of gamma_1, which it has at gamma_1 = 1/2: a quarter of the slope of the log-odds, which is

        state: 1/v, falling in t. scaled: |a|^2 t/v, growing to |a|^2/s^2. standardised: |a| sqrt(t/v), growing to
        |a|/s.
        """
        t, v = _tensor(t), self._v(t)
        if coordinate == "state":
            return 0.25 / v
        gain = self.a_squared * t / v
        return 0.25 * (gain if coordinate == "scaled" else gain.sqrt())

    def largest_slope(self, coordinate: str) -> float:
        """The supremum of `slope` over t > 0, which no t attains: 1/4, |a|^2/(4 s^2), |a|/(4 s)."""
        ratio = self.a_squared / self.std**2
        return 0.25 * {"state": 1.0, "scaled": ratio, "standardised": math.sqrt(ratio)}[coordinate]

    def sharp_time(self, threshold, coordinate: str):
        """t_sharp = inf {t > 0: slope > threshold}, equation (17) with threshold = 1/epsilon > 0; infinite without a t.

        state: 0 below 1/4, where the slope is above the threshold from the start on, and infinite from 1/4 on.
        scaled: 4 h/(|a|^2 - 4 s^2 h) at threshold h. standardised: 16 h^2/(|a|^2 - 16 s^2 h^2).
        """
        threshold = _tensor(threshold)
        reached = threshold < self.largest_slope(coordinate)
        if coordinate == "state":
            found = torch.zeros_like(threshold)
        else:
            gain = 4 * threshold if coordinate == "scaled" else 16 * threshold**2
            found = gain / (self.a_squared - self.std**2 * gain)
        return torch.where(reached, found, math.inf)

    def sharp_until(self, threshold):
        """sup {t > 0: slope in <y_t, a> > threshold} = (1/(4 h) - 1)/s^2; 0 without such t."""
        return ((0.25 / _tensor(threshold) - 1) / self.std**2).clamp_min(0.0)

    def mean_slope(self, t):
        """The largest slope of <m, a>/|a|^2 in u: s^2 t/v + |a|^2 t/(4 v^2)."""
        v = self._v(t)
        return self.std**2 * _tensor(t) / v + self.slope(t, "scaled") / v

    @property
    def steepest_time(self) -> float:
        """The t of the largest `mean_slope`: (|a|^2 + 4 s^2)/(|a|^2 - 4 s^2)/s^2; infinite for |a| <= 2 s."""
        ratio = self.a_squared / (4 * self.std**2)
        return (ratio + 1) / (ratio - 1) / self.std**2 if ratio > 1 else math.inf

    # Linearity. -----------------------------------------------------------------------------------------------------

    def nonlinearity(self, t: float) -> float:
        """The share of Var <m, a> that the best linear function of <y_t, a> leaves: 1 - corr(<m, a>, <y_t, a>)^2.

        As Cov(m, Y_t) = Cov(X, Y_t), the best line for m is the best line for X, and with k = `between` and r = s^2 t

            <m, a>/|a|^2 - line = [gamma_1 - p - k r (u - c)/(r + 1 - k)]/(r + 1),

        whose second moment is a quadrature over each mode, to 9 digits. The line explains the variance
        V^2/(V + 1/(t |a|^2)), where V = p (1-p) + s^2/|a|^2.
        """
        share, r, law = self.between, self.std**2 * t, self.law(t)

        def squared_rest(step):
            z, mass = normal_trapezoid(1, round(2 * REACH / step) + 1)
            u = law.means.unsqueeze(1) + law.stds.unsqueeze(1) * z
            bent = self.weight(u, t) - self.p - share * r * (u - self.centre) / (r + 1 - share)
            return float(law.weights @ (bent.square() @ mass)) / (r + 1) ** 2

        # The distance of the poles of gamma_1 from the real line is pi over the slope of the log-odds.
        rest, _ = converged(squared_rest, 1.0 / max(4 * float(self.slope(t, "standardised")), 3.0), _nine_digits)
        spread = self.p * (1 - self.p) + self.std**2 / self.a_squared
        return rest / (spread**2 / law.variance + rest)

    def nonlinearity_limits(self, t):
        """The leading terms of `nonlinearity` for t -> 0 and t -> infinity, each with the shape of t.

        With A = |a|^2 and k = `between`, the first is k^2 (1-2p)^2 A t/2, or k^2 (A t)^2/24 for p = 1/2. The second is
        E[(gamma - p - k (u - c))^2]/(V s^4 t^2) over clean data, which is k (1-k)/(s^2 t)^2 for modes that are apart.
        """
        t, scale = _tensor(t), self.a_squared * _tensor(t)
        skew = (1 - 2 * self.p) ** 2
        early = self.between**2 * (0.5 * skew * scale if skew > 0 else scale**2 / 24)
        far = 1e6 / self.std**2
        return early, self.nonlinearity(far) * (far / t) ** 2

    def most_nonlinear(self) -> tuple[float, float]:
        """The largest `nonlinearity` over t, and its t."""
        from scipy.optimize import minimize_scalar

        logs = numpy.linspace(-12.0, 8.0, 81) - math.log(self.a_squared)
        best = max(logs, key=lambda log_t: self.nonlinearity(math.exp(log_t)))
        found = minimize_scalar(
            lambda log_t: -self.nonlinearity(math.exp(log_t)),
            bounds=(best - 0.25, best + 0.25),
            method="bounded",
            options={"xatol": 1e-8},
        )
        return float(-found.fun), math.exp(float(found.x))


def _tensor(value):
    return torch.as_tensor(value, dtype=torch.float64)
