"""Objectives: what a training minimises, each a weighted squared error of the posterior mean up to a constant.

With a quantity Q = kappa(phi) m + (a function of x) and lambda(phi) a weight,

    regression   lambda |Q(X) - Q_hat|^2                   least expected value  w R
    explicit     lambda |s - s_hat|^2                                            0
    implicit     lambda [|s_hat|^2 + 2 tr D_x s_hat]                             -lambda E|s|^2

each divided by n. Q(X) is Q with X in place of m, s is the score of x_phi, R is the Bayes risk, and w = lambda kappa^2.
The expected excess over the least value is E w |m - m_hat|^2 / n for all three. For the regression this holds because
E[X | x] = m. For the implicit objective it holds by integration by parts, E<s_hat, s> = -E tr D_x s_hat
(notes on score matching, section 2; Visconti 2025, section 3.2, equation 1).
"""

import abc
import math

import torch
from torch.nn import functional

from scorelab.channel import aligned, sin_cos
from scorelab.errors import ConfigError
from scorelab.randomness import normal, signs
from scorelab.training.derivatives import quadratic_forms, trace

#: the signal-to-noise ratio beyond which min_snr gives all angles the same weight (Hang et al. 2023)
_LARGEST_SNR = 5.0

#: quantity -> kappa and kappa sigma as functions of the angle; None stands for 1. sigma^2 is the variance of the noise:
#: cot^2 in X + sigma G, the coordinate of `dsm`, and cos^2 in x = sin X + cos G, the coordinate of the others
_KAPPA = {
    "posterior_mean": (None, torch.cos),
    "velocity": (lambda angle: 1 / torch.cos(angle), None),
    "noise": (torch.tan, torch.sin),
    "score": (lambda angle: torch.sin(angle) / torch.cos(angle) ** 2, torch.tan),
    "dsm": (lambda angle: torch.tan(angle) ** 2, torch.tan),
}


def root_weight(quantity: str, weight: str, law):
    """The function from angles to sqrt(w) = sqrt(lambda) kappa, or None if w = 1 at all angles.

    unit: lambda = 1. noise_variance: lambda = sigma^2 (notes on score matching, section 3). likelihood: the w for
    which E w |m - m_hat|^2, over the law of angles, is the path KL from the lowest to the highest angle of the law. So
    w q = 1/2 dt/dphi, where t = tan^2 and q is the density of the law (Song, Durkan, Murray and Ermon 2021).
    min_snr: w = min(tan^2, 5) (Hang et al. 2023).
    """
    if weight == "likelihood":
        return lambda angle: torch.sqrt(torch.tan(angle) / law.density(angle)) / torch.cos(angle)
    if weight == "min_snr":
        return lambda angle: torch.tan(angle).clamp_max(math.sqrt(_LARGEST_SNR))
    return _KAPPA[quantity][("unit", "noise_variance").index(weight)]


class Objective(abc.ABC):
    """An objective for a target of dimension n.

    root: function from angles to sqrt(w), or None if w = 1. width: how many tensors of the size of x a batch holds.
    differentiates: whether the loss has derivatives of the denoiser in x. unknown: why the least value is not known;
    None if it is known.
    """

    width, differentiates, unknown = 1, False, None

    def __init__(self, root, target):
        self.root, self.target, self.n = root, target, target.n

    def root_weight(self, angle):
        """sqrt(w), with the shape of `angle`, or None if w = 1."""
        return None if self.root is None else self.root(angle)

    @abc.abstractmethod
    def columns(self, clean, x, angle, generator):
        """What the loss needs beside x and angle, a tuple of tensors (count, ...), for many batches at a time."""

    @abc.abstractmethod
    def losses(self, denoiser, x, angle, *columns):
        """The loss of each sample, shape (count,)."""

    def loss(self, denoiser, x, angle, *columns):
        """The mean loss of a batch."""
        return self.losses(denoiser, x, angle, *columns).mean()

    @abc.abstractmethod
    def least_value(self, angle, risk):
        """The least expected loss, which the exact posterior mean has, at angles where the Bayes risk is `risk`."""


#: loss -> the function of an output and its goal whose mean over entries is minimised
_LOSSES = {"squared": functional.mse_loss, "huber": functional.huber_loss}


class Regression(Objective):
    """w |X - m_hat|^2 / n; or with the loss `huber` the mean of h(sqrt(w) (X - m_hat)) over the entries, where h(e) is
    e^2/2 for |e| <= 1 and |e| - 1/2 beyond."""

    def __init__(self, root, target, loss: str = "squared"):
        super().__init__(root, target)
        self.distance, self.squared = _LOSSES[loss], loss == "squared"
        if loss == "huber":
            self.unknown = "the least value of the Huber loss is not known"

    def columns(self, clean, x, angle, generator):
        """X sqrt(w), and sqrt(w) shaped to multiply X; X alone if w = 1."""
        root = self.root_weight(angle)
        if root is None:
            return (clean,)
        root = aligned(root, clean)
        return clean * root, root

    def losses(self, denoiser, x, angle, goal, root=None):
        return self.distance(_scaled(denoiser(x, angle), root), goal, reduction="none").flatten(1).mean(1)

    def loss(self, denoiser, x, angle, goal, root=None):
        return self.distance(_scaled(denoiser(x, angle), root), goal)

    def least_value(self, angle, risk):
        """w R / n."""
        root = self.root_weight(angle)
        return (risk if root is None else root**2 * risk) / self.n


def _scaled(estimate, root):
    return estimate if root is None else estimate * root


class Explicit(Regression):
    """lambda |s - s_hat|^2 / n with the exact score: the regression on the exact posterior mean instead of X."""

    def __init__(self, root, target, loss: str = "squared"):
        super().__init__(root, target, loss)
        self.unknown = None  # any loss is 0 for the exact score

    def columns(self, clean, x, angle, generator):
        """m sqrt(w), and sqrt(w) shaped to multiply m; m alone if w = 1."""
        return super().columns(self.target.posterior_mean(x, angle), x, angle, generator)

    def least_value(self, angle, risk):
        return torch.zeros_like(risk)


class Implicit(Objective):
    """lambda [|s_hat|^2 + 2 tr D_x s_hat] / n; the trace is summed over all n directions.

    With s_hat = (sin m_hat - x) / cos^2 and w = lambda sin^2 / cos^4 the loss is

        w / tan^2 { |sin m_hat - x|^2 / cos^2 + 2 (sin tr D_x m_hat - n) } / n.

    The braces are regular at phi = 0. The factor w / tan^2 is regular for all weights except likelihood; for
    noise_variance it is 1.
    """

    differentiates = True

    def columns(self, clean, x, angle, generator):
        """The factor w / tan^2, shape (count,)."""
        return (self.factor(angle),)

    def factor(self, angle):
        """w / tan^2, with the shape of `angle`; at 0 its limit."""
        angle = angle.clamp_min(1e-30)
        return (self.root_weight(angle) / torch.tan(angle)).square()

    def losses(self, denoiser, x, angle, factor, *probes):
        sin, cos = (value.flatten() for value in sin_cos(angle, x))
        squared, divergence = self.terms(denoiser, x, angle, sin, *probes)
        return factor * (squared / cos**2 + 2 * divergence) / self.n

    def terms(self, denoiser, x, angle, sin):
        """|sin m_hat - x|^2 and sin tr D_x m_hat - n, shape (count,) each."""
        residual = aligned(sin, x) * denoiser(x.clone(), angle) - x  # a network may change its input in place
        return residual.square().flatten(1).sum(1), sin * trace(denoiser, x, angle) - self.n

    def least_value(self, angle, risk):
        """-lambda E|s|^2 / n, with E|s|^2 = (n - tan^2 R) / cos^2."""
        return -self.factor(angle) * (1 - torch.tan(angle) ** 2 * risk / self.n)


class Hutchinson(Implicit):
    """`Implicit` with the trace estimated by the mean of v^T D_x m_hat v over random probes v, E v v^T = I.

    It is also sliced score matching with reduced variance (Song, Garg, Shi and Ermon 2019). probe: `gaussian` or
    `rademacher`, the law of the probes. count: the number of probes per sample.
    """

    def __init__(self, root, target, probe: str, count: int):
        super().__init__(root, target)
        self.probe, self.width = probe, count

    def columns(self, clean, x, angle, generator):
        """The factor w / tan^2 (count,) and the probes (count, probes, *shape)."""
        shape = (len(x), self.width, *x.shape[1:])
        if self.probe == "gaussian":
            probes = normal(shape, generator, x.dtype, x.device)
        else:
            probes = signs(shape, generator, x.dtype, x.device)
        return self.factor(angle), probes

    def terms(self, denoiser, x, angle, sin, probes):
        """|sin m_hat - x|^2 and the estimate of sin tr D_x m_hat - n, shape (count,) each."""
        estimate, forms = quadratic_forms(denoiser, x, angle, probes)
        residual = aligned(sin, x) * estimate - x
        return residual.square().flatten(1).sum(1), sin * forms.mean(1) - self.n


class Sliced(Hutchinson):
    """The mean of lambda [(v . s_hat)^2 + 2 v^T D_x s_hat v] / n over probes v (Song, Garg, Shi and Ermon 2019)."""

    def terms(self, denoiser, x, angle, sin, probes):
        """The means over probes of (v . (sin m_hat - x))^2 and of sin v^T D_x m_hat v - |v|^2, shape (count,) each."""
        estimate, forms = quadratic_forms(denoiser, x, angle, probes)
        residual, probes = (aligned(sin, x) * estimate - x).flatten(1), probes.flatten(2)
        along = (probes @ residual.unsqueeze(2)).squeeze(2)
        return along.square().mean(1), sin * forms.mean(1) - probes.square().sum(2).mean(1)


#: name -> class, for the objectives that differentiate the denoiser
IMPLICIT = {"implicit": Implicit, "implicit_hutchinson": Hutchinson, "sliced": Sliced}
#: objective -> the weight in the source of the objective, if it is not unit
_DEFAULT_WEIGHT = dict.fromkeys(("score", "dsm", "explicit", *IMPLICIT), "noise_variance")


def build_objective(options, law, target) -> Objective:
    """The objective that training options name, for a law of angles and a target.

    Raises ConfigError for an implicit objective with the weight likelihood and angles that begin at 0.
    """
    name = options.objective
    weight = options.weight or _DEFAULT_WEIGHT.get(name, "unit")
    root = root_weight(name if name in _KAPPA else "score", weight, law)
    if name in _KAPPA:
        return Regression(root, target, options.loss)
    if name == "explicit":
        return Explicit(root, target, options.loss)
    if weight == "likelihood" and law.low == 0:
        raise ConfigError(f"training.weight = likelihood: for {name} it grows like 1/angle, and the angles begin at 0")
    return Implicit(root, target) if name == "implicit" else IMPLICIT[name](root, target, options.probe, options.probes)
