"""Whether answers are the posterior mean, at which noise levels, or another quantity. Each function is a property of
`DenoiserCheck`."""

import itertools
import math

import torch

from scorelab.conformance.report import NotMeasured
from scorelab.denoisers import Denoiser
from scorelab.denoisers.convention import Convention
from scorelab.denoisers.module import POSTERIOR_MEAN
from scorelab.laws.estimate import DEVIATIONS, mean_and_error, shown
from scorelab.metrics.path_kl import path_kl as integral
from scorelab.randomness import stream

#: angles of the quadrature of the path KL, and the most states at each
POINTS, DRAWS = 24, 1000
#: a relative error, squared, above which other conventions are tried; and the largest with which one of them fits
WRONG, FITS = 2e-3, 0.02
#: the share of the error as declared, and of what a constant answer has in a convention, that one that fits leaves at
#: most: what an answer of small numbers comes close to by itself is no fit
SHARE = 0.1
#: how far the mean answer may be from the mean of the law where nothing is claimed, in standard deviations of the law
BIAS = 0.1


def error_rows(check) -> list[dict]:
    """For each noise level: E|m_hat - m|^2, this over E|m|^2, and E|X - m_hat|^2 - E|X - m|^2, how far it
    is above the Bayes risk, each with its standard error."""
    rows = []
    for level in check.levels:
        squared, size = (level.found - level.exact).square().sum(1), level.exact.square().sum(1)
        relative, error = ratio(squared, size)
        names = ("squared_error", "squared_error_standard_error", "bayes_gap", "bayes_gap_standard_error")
        above = (level.clean - level.found).square().sum(1) - (level.clean - level.exact).square().sum(1)
        row = dict(zip(names, (*mean_and_error(squared), *mean_and_error(above)), strict=True))
        rows.append({"relative_error": relative, "relative_error_standard_error": error} | row)
    return rows


def ratio(above, below):
    """E a/E b of pairs (count,), and its standard error: that of the mean of (a - r b)/E b."""
    value, size = float(above.mean() / below.mean()), below.mean()
    return value, mean_and_error((above - value * below) / size)[1]


def error(check):
    """The relative error E|m_hat - m|^2/E|m|^2 is at most what is claimed, at every noise level."""
    rows = error_rows(check)
    worst = max(range(len(rows)), key=lambda k: rows[k]["relative_error"])
    value, unsure = rows[worst]["relative_error"], rows[worst]["relative_error_standard_error"]
    found = f"relative error E|m' - m|²/E|m|² {shown(value, unsure, 3)} at most, at {check.angles[worst]:.4g} rad"
    numbers = {"relative_error": value, "standard_error": unsure, "angle": check.angles[worst]}
    if check.tolerance is None:
        return None, found + "; none is claimed", numbers
    fine = [row["relative_error"] - DEVIATIONS * row["relative_error_standard_error"] for row in rows]
    right = all(each <= check.tolerance for each in fine)  # false also where it is not a number
    return right, f"{found}; {check.tolerance:g} is claimed", numbers


def convention(check):
    """No other convention than the declared one makes a large error small."""
    declared = _error_of(check, check.convention or Convention("posterior_mean"))
    if declared <= WRONG:
        return True, f"the answers are what they are declared to be: relative error {declared:.2g} over four levels"
    fits = ((found, name) for found, constant, name in _others(check) if found <= SHARE * min(declared, constant))
    best, name = min(fits, default=(math.inf, ""))
    if best <= FITS:
        found = f"it fits {name}: relative error {best:.2g} there, and {declared:.2g} as it is declared"
        return False, found, {"declared": declared, "best": best}
    found = f"relative error {declared:.2g} over four levels, and no other convention makes it small"
    return None, found, {"declared": declared}


def _others(check):
    """(relative error, that of a constant answer, name) of each other convention: what is returned, with which sign, of
    which state and time. The constant is 0, or the mean answer at each noise level, whichever is better."""
    schedule = None if check.convention is None else check.convention.schedule
    states, times = ["angle", "scaled", "localization"], ["angle", "t", "log_snr", "sigma"]
    if schedule is not None:
        states, times = [*states, "schedule"], [*times, "schedule"]
        times += ["timestep"] if hasattr(schedule, "timesteps") else []
    for state, time in itertools.product(states, times):
        seen = Convention("posterior_mean", state=state, time=time, schedule=schedule)
        for late in (0, 1, -1) if time == "timestep" else (0,):
            try:
                answers = [_raw(check, angle, seen, late) for angle in check.few]
            except Exception:  # a network may refuse a time of another clock
                continue
            for prediction, sign in itertools.product(POSTERIOR_MEAN, (1, -1)):
                name = f"Convention('{prediction}', state='{state}', time='{time}')"
                name = name if sign == 1 else f"minus {name}"
                name += f" told {'one step late' if late > 0 else 'one step early'}" if late else ""
                own, zero, mean = (
                    _relative(_read(kind(answer), *rest, prediction, sign) for answer, *rest in answers)
                    for kind in (lambda answer: answer, torch.zeros_like, lambda answer: 0 * answer + answer.mean(0))
                )
                yield own, min(zero, mean), name


def _raw(check, angle, seen, late):
    """What the function returns if it sees the state and is told the time of a convention: (answer, x, angle, scale,
    exact)."""
    _, _, x = check.states(angle, min(check.count, 256))
    precision = torch.finfo(x.dtype).eps
    known, told, scale = seen.place(torch.tensor(angle, dtype=torch.float64), precision)
    told = told + late if told.dtype == torch.int64 else told.to(x)
    number = check.convention is None and not check.denoiser.each
    with torch.no_grad():
        answer = check.function(x * scale.to(x), float(told) if number else told.to(x.device).expand(len(x)))
    answer = answer if isinstance(answer, torch.Tensor) else answer[0]
    return answer.double(), x.double(), float(known), float(scale), check.exact(x, angle)


def _read(answer, x, angle, scale, exact, prediction, sign):
    """(found, exact), where the answer is read as a prediction up to a sign."""
    answer = sign * answer * (scale if prediction == "score" else 1.0)
    return POSTERIOR_MEAN[prediction](answer, x, angle), exact


def _error_of(check, declared):
    levels = [check.level(angle, min(check.count, 256)) for angle in check.few]
    return _relative((level.found, level.exact) for level in levels)


def _relative(pairs) -> float:
    """sum of E|found - exact|^2 over sum of E|exact|^2; infinite where it is not a number."""
    off, size = 0.0, 0.0
    for found, exact in pairs:
        off, size = off + float((found - exact).square().mean()), size + float(exact.square().mean())
    return off / size if math.isfinite(off) else math.inf


def path_kl(check):
    """The path KL of the denoiser in nats up to the largest angle, see `scorelab.metrics.path_kl`."""
    own = check.function if isinstance(check.function, Denoiser) else check.denoiser
    why = own.incomparable(check.target)
    if why is not None:
        raise NotMeasured(why)
    end, generator = max(check.angles), stream(check.seed, "path kl")
    found = integral(own, check.target, end, POINTS, min(check.count, DRAWS), generator)
    numbers = {"path_kl": found.total, "standard_error": found.standard_error, "end_angle": end}
    return None, f"path KL {shown(found.total, found.standard_error)} nats up to {end:.4g} rad", numbers


def bayes_gap(check):
    """E|X - m_hat|^2 is the Bayes risk plus E|m_hat - m|^2, within errors: so it is for every function of the state,
    if the samples and the posterior mean are those of one law."""
    rows, deviations = error_rows(check), []
    for level in check.levels:
        # E|X - m_hat|^2 - E|X - m|^2 - E|m_hat - m|^2, the mean of numbers that are known one by one
        across = mean_and_error(2 * ((level.clean - level.exact) * (level.exact - level.found)).sum(1))
        risk, error = mean_and_error((level.clean - level.exact).square().sum(1))
        exact, of_exact = check.target.bayes_risk_and_error(level.angle)
        own = risk - float(exact), math.hypot(error, 0.0 if of_exact is None else float(of_exact))
        deviations += [abs(off) / (unsure + 1e-12) for off, unsure in (across, own)]
    largest, worst = max(deviations), max(rows, key=lambda row: row["bayes_gap"])
    gap = shown(worst["bayes_gap"], worst["bayes_gap_standard_error"], 3)
    found = f"at most {gap} above the Bayes risk: the squared error, to {largest:.2g} standard errors"
    numbers = {"bayes_gap": worst["bayes_gap"], "standard_error": worst["bayes_gap_standard_error"]}
    return largest <= DEVIATIONS + 1, found, numbers | {"deviations": largest}


def mean(check):
    """E m_hat = E X at every noise level, the tower property: exactly for a denoiser that claims a small error, to a
    tenth of a standard deviation for others."""
    off, large = 0.0, 0.0
    for level in check.levels:
        value, unsure = mean_and_error(level.found - level.clean)
        width = level.clean.std(0).clamp_min(1e-12)
        slack = (
            BIAS * width if check.tolerance is None else math.sqrt(check.tolerance * float(level.exact.square().mean()))
        )
        bias = (value.abs() - slack).clamp_min(0.0) / unsure.clamp_min(1e-12)
        off, large = max(off, float(bias.max())), max(large, float((value.abs() / width).max()))
    right = off <= DEVIATIONS + math.log10(max(len(check.levels) * check.n / 12, 1))
    found = f"the mean answer is that of the law, to {large:.2g} standard deviations"
    if not right:
        found = f"the mean answer is off by {large:.2g} standard deviations of the law, {off:.2g} s.e. too much"
    return right, found, {"off": large, "deviations": off}


PROPERTIES = (error, convention, path_kl, bayes_gap, mean)
