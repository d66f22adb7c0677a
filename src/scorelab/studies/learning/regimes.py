"""A map by quadrature: which approximation of a step holds, by noise level, |mu| and |mu*|."""

import numpy
import torch

from scorelab.studies.learning.two_modes import relative_errors
from scorelab.theory.two_modes import em_update, half_descent, plane, power_direction

APPROXIMATIONS = ("power", "em")


def regime_map(regimes, norm: float) -> dict[str, numpy.ndarray]:
    """Axes `t` and `ratio` (points,), and two arrays (times, ratios) for each approximation: NAME is the error of a
    step relative to the step, and NAME_direction is this error at the best multiple of the rate."""
    times, ratios = (numpy.geomspace(*ends, regimes.points) for ends in (regimes.times, regimes.ratios))
    sin = torch.from_numpy(numpy.sqrt(times / (1 + times))).unsqueeze(-1)
    rows = [step_errors(*plane(size * norm * torch.from_numpy(ratios), size * norm, regimes.angle)) for size in sin]
    columns = {key: numpy.stack([row[key] for row in rows]) for key in rows[0]}
    return {"t": times, "ratio": ratios} | columns


def step_errors(mu, star) -> dict[str, numpy.ndarray]:
    """Two arrays (...,) for each approximation of a step of descent at mu (..., 2): NAME is the error relative to the
    step, and NAME_direction is this error at the best multiple of the rate."""
    exact, values = half_descent(mu, star), {}
    for name, step in zip(APPROXIMATIONS, (power_direction(mu, star), em_update(mu, star) - mu), strict=True):
        values[name], values[f"{name}_direction"] = (each.numpy() for each in relative_errors(step, exact))
    return values


def summary(regimes, found) -> dict:
    """The shares of the map where the approximations hold, and two times along |mu| = |mu*|/2: power iteration holds up
    to `power_up_to`, and EM holds from `em_from` on. A time is None where there is none."""
    within = {name: found[name] <= regimes.tolerance for name in (*APPROXIMATIONS, "power_direction", "em_direction")}
    values = {f"{name}_share": float(each.mean()) for name, each in within.items()}
    values["neither_share"] = float((~(within["power"] | within["em"])).mean())
    row = int(numpy.abs(numpy.log(found["ratio"] / 0.5)).argmin())
    outside = numpy.flatnonzero(~within["power"][:, row])
    values["power_up_to"] = _time(found["t"], len(found["t"]) - 1 if not len(outside) else outside[0] - 1)
    outside = numpy.flatnonzero(~within["em"][:, row])
    values["em_from"] = _time(found["t"], 0 if not len(outside) else outside[-1] + 1)
    return values


def _time(times, place):
    return float(times[place]) if 0 <= place < len(times) else None
