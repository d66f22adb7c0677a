"""What the derivative of a posterior mean is: sin/cos^2 Cov[X | x], symmetric and positive semi-definite. Each function
is a property of `DenoiserCheck`."""

import math

import torch

from scorelab.conformance.report import NotMeasured
from scorelab.laws.estimate import mean_and_error
from scorelab.randomness import signs, stream

#: directions in which a derivative is taken, and states of each noise level
DIRECTIONS, STATES = 16, 16
#: how far derivatives by autograd and by differences may be from each other, relative
AGREE = 0.05
#: the antisymmetric share, and the least eigenvalue over the largest, of a denoiser that claims a small error
SYMMETRIC, NEGATIVE = 0.02, -0.02
#: how rough an answer may be on the smallest scale: mean second difference over mean first one
ROUGH = 0.1
#: steps of the power iteration, and states
POWER, SLOPE_STATES = 8, 64


def _directions(check):
    """Orthonormal directions (k, n): all coordinates, or random ones where there are many."""
    if check.n <= DIRECTIONS:
        return torch.eye(check.n, dtype=check.dtype)
    drawn = torch.randn(check.n, DIRECTIONS, generator=stream(check.seed, "directions"), dtype=torch.float64)
    return torch.linalg.qr(drawn).Q.T.to(check.dtype)


def _width(check, angle) -> float:
    """The half-width of a central difference: small beside the noise, large beside rounding."""
    return max(math.cos(angle), 0.02) * torch.finfo(check.dtype).eps ** 0.25


def _by_differences(check, x, angle, directions):
    """q_i^T J q_j (states, k, k), float64, by central differences."""
    width, columns = _width(check, angle), []
    for direction in directions.to(x.device).view(-1, *x.shape[1:]):
        rise = check.ask(x + width * direction, angle) - check.ask(x - width * direction, angle)
        columns.append(rise.double().flatten(1).cpu() @ directions.double().T / (2 * width))
    return torch.stack(columns, 2)


def _by_autograd(check, x, angle, directions):
    """The same by autograd. Raises NotMeasured if there is none."""
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        answer = check.denoiser(x, angle)
        if not answer.requires_grad:
            raise NotMeasured("autograd knows no derivative")
        rows = []
        for direction in directions.to(x.device).view(-1, *x.shape[1:]):
            (row,) = torch.autograd.grad((answer * direction).sum(), x, retain_graph=True, allow_unused=True)
            row = torch.zeros_like(x) if row is None else row
            rows.append(row.detach().double().flatten(1).cpu() @ directions.double().T)
    return torch.stack(rows, 1)


def _jacobians(check, of):
    directions = _directions(check)
    return [of(check, check.states(angle, STATES)[2], angle, directions) for angle in check.few]


def derivative(check):
    """Derivatives by autograd are those of the answers, by central differences."""
    autograd, differences = (_jacobians(check, of) for of in (_by_autograd, _by_differences))
    off = [
        float((one - other).norm() / torch.maximum(one.norm(), other.norm()).clamp_min(1e-12))
        for one, other in zip(autograd, differences, strict=True)
    ]
    worst = max(range(len(off)), key=off.__getitem__)
    found = f"derivatives by autograd and by differences agree to {off[worst]:.2g}"
    if off[worst] > AGREE:
        found = f"derivatives by autograd and by differences are {off[worst]:.2g} apart, at {check.few[worst]:.4g} rad"
    return off[worst] <= AGREE, found, {"off": off[worst]}


def symmetry(check):
    """The derivative is symmetric and positive semi-definite, as a covariance is."""
    shares, least, traces = [], [], []
    for each in _jacobians(check, _by_differences):
        even, odd = (each + each.mT) / 2, (each - each.mT) / 2
        shares.append(float(odd.norm() / even.norm().clamp_min(1e-12)))
        values = torch.linalg.eigvalsh(even)
        least.append(float(values[:, 0].min() / values.abs().max().clamp_min(1e-12)))
        traces.append(float(values.sum(1).mean()))
    share, lowest = max(shares), min(least)
    found = f"antisymmetric share {share:.2g}, least eigenvalue {lowest:.2g} of the largest"
    numbers = {"antisymmetric": share, "least_eigenvalue": lowest, "least_trace": min(traces)}
    if min(traces) < 0:
        return False, f"{found}; the mean trace is negative, and a variance is not", numbers
    if check.tolerance is None:
        return None, found, numbers
    return share <= SYMMETRIC and lowest >= NEGATIVE, found, numbers


def stein(check):
    """E<G, m_hat> = cos E div m_hat, Stein's identity with the derivative by autograd."""
    deviations = []
    for angle in check.few:
        _, noise, x = check.states(angle, check.count)
        probe = signs(x.shape, stream(check.seed, "probe"), x.dtype, x.device)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            answer = check.denoiser(x, angle)
            if not answer.requires_grad:
                raise NotMeasured("autograd knows no derivative")
            (product,) = torch.autograd.grad((answer * probe).sum(), x, allow_unused=True)
        product = torch.zeros_like(x) if product is None else product
        terms = noise * answer.detach() - math.cos(angle) * probe * product
        value, unsure = mean_and_error(terms.double().flatten(1).sum(1).cpu())
        deviations.append(abs(value) / max(unsure, 1e-12))
    largest = max(deviations)
    found = f"E<G, m'> is cos E div m', to {largest:.2g} standard errors"
    if largest > 5:
        found = f"E<G, m'> is not cos E div m': {largest:.2g} standard errors apart"
    return largest <= 5, found, {"deviations": largest}


def precision(check):
    """Answers change smoothly on the smallest scale, as they do not where they are rounded to few digits."""
    rough = []
    for angle in check.few:
        _, _, x = check.states(angle, SLOPE_STATES)
        step = math.cos(angle) / 256 * torch.randn(x.shape, generator=stream(check.seed, "steps")).to(x)
        low, middle, high = (check.ask(each, angle).double() for each in (x - step, x, x + step))
        first = float((high - low).abs().mean()) / 2
        if first > 0:
            rough.append(float((high - 2 * middle + low).abs().mean()) / first)
    if not rough:
        return None, "not measured: answers do not change with the state"
    value = sorted(rough)[len(rough) // 2]
    found = f"smooth on a scale of 1/256 of the noise: second differences {value:.2g} of first ones"
    if value > ROUGH:
        found = f"rounded to few digits, or in steps: second differences are {value:.2g} of first ones"
    return value <= ROUGH, found, {"rough": value}


def lipschitz(check):
    """The largest slope at exact states, beside that of the exact posterior mean."""
    found = check.slopes
    worst = max(range(len(found)), key=lambda k: found[k][0])
    value, exact = found[worst]
    text = (
        f"largest slope {value:.4g}, at {check.angles[worst]:.4g} rad, where that of the posterior mean is {exact:.4g}"
    )
    return None, text, {"slope": value, "exact": exact, "angle": check.angles[worst]}


def slope_rows(check) -> list[dict]:
    """The largest slopes of each noise level."""
    return [{"slope": found, "exact_slope": exact} for found, exact in check.slopes]


def largest_slopes(check, angle) -> tuple[float, float]:
    """The largest |J v|/|v| of the denoiser and of the exact posterior mean among some states: a lower bound of their
    Lipschitz constants, by power iteration with central differences."""
    _, _, x = check.states(angle, SLOPE_STATES)
    start = torch.randn(x.shape, generator=stream(check.seed, "slopes")).to(x)
    return tuple(_slope(of, x, angle, start, _width(check, angle)) for of in (check.ask, check.exact))


def _slope(function, x, angle, direction, width) -> float:
    for _ in range(POWER):
        length = direction.flatten(1).norm(dim=1).clamp_min(1e-30)
        direction = direction / length.view(-1, *[1] * (x.dim() - 1))
        rise = function(x + width * direction, angle) - function(x - width * direction, angle)
        direction = rise.to(x) / (2 * width)
    return float(direction.flatten(1).norm(dim=1).max())


PROPERTIES = (derivative, symmetry, stein, precision, lipschitz)
