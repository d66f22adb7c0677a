"""Stochastic localization Y_t = t X + sqrt(t) G on the line: its outputs, its measures mu_t, its change of variables.

Visconti 2025, section 6. Laws are `ProjectedLaw`s; expectations are sums that are exact to rounding.
"""

import math

import torch

from scorelab.quadrature import converged, trapezoid
from scorelab.theory.line import normal_density, score

# Outputs. -------------------------------------------------------------------------------------------------------------


def first_output(y, time):
    """The first output Y_T/T: Visconti 2025, section 6."""
    return y / time


def second_output(law, y, time):
    """m(Y_T; T) = E[X | Y_T], by Tweedie's formula for Y_T/T = X + G/sqrt(T)."""
    x = y / time
    return x + score(law.noisy(1.0, 1 / time), x) / time


def distances_of_atoms(time):
    """W2 distances of Y_T/T and of m = tanh(Y_T) to (delta_1 + delta_-1)/2; by symmetry the positive half goes to 1."""
    z, step = trapezoid(-10.0, 10.0, 20001)
    density = step * normal_density(z, 1.0)
    y = (time + math.sqrt(time) * z).abs()
    return [float(density @ (values - 1).square()) ** 0.5 for values in (y / time, torch.tanh(y))]


# Measures. ------------------------------------------------------------------------------------------------------------


def log_tilt_8(y, time, x):
    """-|y - t x|^2/(2t), Visconti 2025, section 6, equation (8)."""
    return -((y - time * x) ** 2) / (2 * time)


def printed_log_tilt_9(y, time, x):
    """<y, x> - |x|^2/(2t), the same section, equation (9)."""
    return y * x - x**2 / (2 * time)


def log_tilt_9(y, time, x):
    """Equation (8) multiplied out, without the terms that do not depend on x."""
    return y * x - 0.5 * time * x**2


class LocalizingMeasure:
    """mu_t by quadrature, for a mixture on the line and a tilt (y, t, x) -> log of dmu_t/dmu up to a constant."""

    def __init__(self, law, points):
        self.law, self.points = law, points

    def posterior(self, tilt, y, time):
        """mu_t for observations y (count,): nodes and weights (count, points).

        The nodes of an observation lie around the point where mu_t is largest; a wide grid finds this point first.
        """

        def log_density(x):
            return self.law.log_pdf(x) + tilt(y.unsqueeze(1), time, x)

        wide = torch.linspace(-1, 1, 801, dtype=torch.float64) * (1.1 * float(y.abs().max()) + 12)
        centre = wide[log_density(wide).argmax(1)]
        x = centre.unsqueeze(1) + torch.linspace(-12, 12, self.points, dtype=torch.float64)
        return x, torch.softmax(log_density(x), 1)

    def means(self, tilt, functions, y, time):
        """mu_t(f), shape (functions, count)."""
        x, weights = self.posterior(tilt, y, time)
        return torch.stack([(weights * function(x)).sum(1) for function in functions])

    def drift_of_means(self, tilt, functions, early, late, y):
        """E[mu_late(f) | Y_early = y] - mu_early(f), shape (functions, count): 0 for a martingale of measures.

        Given Y_s = y, X has the law of Bayes' rule, and Y_t = y + (t - s) X + sqrt(t - s) G.
        """
        gap, found = late - early, []
        x, truth = self.posterior(log_tilt_8, y, early)
        for start, clean, law in zip(y, x, truth, strict=True):
            middle = float(start + gap * (law @ clean))
            ends, width = trapezoid(middle - 8 * gap - 9.5 * gap**0.5, middle + 8 * gap + 9.5 * gap**0.5, self.points)
            density = normal_density(ends.unsqueeze(1) - start - gap * clean, gap) @ law
            found.append(width * self.means(tilt, functions, ends, late) @ density)
        return torch.stack(found, 1) - self.means(tilt, functions, y, early)

    def expected_variance(self, tilt, time):
        """E Var(mu_t) over the law of Y_t, to 8 digits. Raises NotResolved if two resolutions do not agree on them."""
        law = self.law.noisy(time, time)
        reach = 9.5 * law.variance**0.5

        def rule(step):
            y, width = trapezoid(law.mean - reach, law.mean + reach, round(200 / step) + 1)
            moments = [self.means(tilt, [lambda x: x, lambda x: x**2], part, time) for part in y.split(2000)]
            mean, square = torch.cat(moments, 1)
            return float(width * law.pdf(y) @ (square - mean**2))

        return converged(rule, 1.0, lambda value: 1e-8 * value)[0]


# The reversed OU process. ---------------------------------------------------------------------------------------------


def change_of_variables(time):
    """OU time and scale of stochastic localization at t: e^-2s = t/(t+1), Y_t = sqrt(t(t+1)) X_s."""
    return 0.5 * torch.log1p(1 / time), (time * (time + 1)).sqrt()
