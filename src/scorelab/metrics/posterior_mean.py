"""The learned posterior mean against the exact one, at fixed angles."""

import itertools
import math

import numpy
import torch

from scorelab.channel import mix


def published_angles(switches=()) -> list[float]:
    """The twelve angles of figures 3 and 5: every eighteenth of 200 points on [0.1, pi/2 - 0.1].

    switches: times t in order, between which there are twelve such angles each, as in figure 8.
    """
    ends = [0.1, *(math.atan(math.sqrt(t)) for t in switches), math.pi / 2 - 0.1]
    return [angle for low, high in itertools.pairwise(ends) for angle in numpy.linspace(low, high, 200)[::18].tolist()]


@torch.no_grad()
def compare_posterior_means(denoiser, target, clean, angles, generator, trained_on: int | None):
    """Compare at each angle, on noisy states made from `clean` (count, n).

    Returns rows, one an angle, and arrays (angles, count) for the figure: `signal`, the projection of Y_t/t, and the
    projections of the `exact` and the `learned` posterior mean.

    relative_error is the published code's: the mean of sqrt(|m_hat - m|^2 / max(|m|^2, 0.1)). Its floor is that of a
    mixture whose K means alone are estimated from `trained_on` samples, E|m_hat - m|^2 = cos^4(phi) K n / N.
    """
    direction = target.direction.to(clean.dtype)
    scale = direction / direction.square().sum()
    rows, arrays = [], {"signal": [], "exact": [], "learned": []}
    for angle in angles:
        x = mix(clean, torch.randn(clean.shape, generator=generator), angle)
        of_learned, of_exact = denoiser.knowing(clean, target)
        exact, learned = of_exact(x, angle), of_learned(x, angle)
        squared = (learned - exact).double().square().sum(1)
        size = exact.double().square().sum(1).clamp_min(0.1)
        relative = torch.sqrt(squared / size)
        row = {"angle": angle, "t": math.tan(angle) ** 2}
        row |= {"relative_error": float(relative.mean()), "relative_error_se": _standard_error(relative)}
        if trained_on is not None:
            least = math.cos(angle) ** 2 * math.sqrt(len(target.weights) * target.n / trained_on)
            row["relative_error_floor"] = float((least / size.sqrt()).mean())
        row |= {"squared_error": float(squared.mean()), "squared_error_se": _standard_error(squared)}
        rows.append(row | {"bayes_risk": float(target.bayes_risk(angle))})
        arrays["signal"].append((x @ scale / math.sin(angle)).numpy())
        arrays["exact"].append((exact @ scale).numpy())
        arrays["learned"].append((learned @ scale).numpy())
    return rows, {name: numpy.stack(values) for name, values in arrays.items()}


def _standard_error(values) -> float:
    return float(values.std() / math.sqrt(len(values)))
