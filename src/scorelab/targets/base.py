"""The contract of a target: it samples, and says what else it can."""

import abc
import math
from dataclasses import dataclass
from functools import cached_property

import torch

from scorelab.channel import mix
from scorelab.errors import ScorelabError
from scorelab.movable import Movable
from scorelab.randomness import stream

#: exact samples of the Bayes risk and of the share of a side, where they are measured
_RISK_DRAWS, _SIDE_DRAWS = 4096, 65536


@dataclass(frozen=True)
class Capability:
    """Something that a target may be able to do beside sampling.

    lacking: why a number that needs it is not measured. attributes: the attributes and methods that a target with the
    capability gives. needs: capabilities that it takes as well. derived_from: capabilities that `Target` makes it of
    where the target gives none of its own; empty where it cannot.
    """

    lacking: str
    attributes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()


CAPABILITIES = {
    "direction": Capability("the target has no signal direction", ("direction",)),
    "posterior_mean": Capability("the target has no exact posterior mean", ("posterior_mean",)),
    "density": Capability("the target has no density", ("noisy_log_prob",)),
    "score": Capability("the target has no exact score", ("noisy_score",)),
    "projection": Capability("the law of the target's projection is not known", ("projection",), ("direction",)),
    "noisy_projection": Capability(
        "the law of the target's projection with noise is not known", ("noisy_projection",), ("direction",)
    ),
    "modes": Capability("the target has no modes", ("weights", "posterior_weights")),
    "gaussian_modes": Capability("the target has no isotropic Gaussian modes", ("means", "std"), ("modes",)),
    "bayes_risk": Capability("the target has no Bayes risk", ("bayes_risk",), (), ("posterior_mean",)),
    "signal_risk": Capability(
        "the target has no Bayes risk along its signal",
        ("signal_risk",),
        ("direction",),
        ("direction", "posterior_mean"),
    ),
    "speciation": Capability("the target has no speciation time", ("speciation_angle",)),
    "output_law": Capability("the law of the target's samples at a finite time is not known", ("output_law",)),
    "orthogonal_variance": Capability(
        "the target's variance orthogonal to its signal direction is not known",
        ("orthogonal_variance",),
        ("direction",),
    ),
}


class Target(Movable, abc.ABC):
    """A distribution of vectors, or of arrays of any shape.

    A subclass sets `n`, the dimension of a vector, or `shape`, the shape of one sample, and implements `sample`.
    Everything else is a capability, see `CAPABILITIES`. A subclass has those whose attributes and methods it gives; a
    number that needs another one is not measured. `NAME = None` in a class gives up what the class inherits, so that
    the target has what `Target` itself has under this name.

    direction, of the shape of a sample, float64: the signal direction `a` that samples are projected on. means (K, n)
    and std (K,), float64: of modes that are isotropic Gaussians.

    States x have the shape (count, *shape). An angle is a number or a tensor (count,), in radians, in the channel
    x_phi = sin(phi) X + cos(phi) G. A method of a capability that the target has not raises ScorelabError.
    """

    direction: torch.Tensor | None = None

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        for name, value in list(vars(cls).items()):
            if value is None and hasattr(Target, name):
                setattr(cls, name, vars(Target).get(name))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        if "n" not in vars(self) and isinstance(type(self).n, cached_property):
            raise TypeError(f"{type(self).__name__}: a target sets n or shape")
        return (self.n,)

    @cached_property
    def n(self) -> int:
        """The number of entries of one sample."""
        return math.prod(self.shape)

    @abc.abstractmethod
    def sample(self, count: int, generator: torch.Generator, dtype=torch.float32) -> torch.Tensor:
        """Draw `count` exact samples, shape (count, *shape)."""

    # What a target can. ---------------------------------------------------------------------------------------------

    def gives(self, name: str) -> bool:
        """Whether the target has a capability by attributes and methods of its own, not made of others."""
        return all(self._own(attribute) for attribute in CAPABILITIES[name].attributes)

    def lacks(self, *names: str) -> str | None:
        """Why the target does not have all of these capabilities, the first reason; None if it has them.

        Raises KeyError for a name that `CAPABILITIES` does not have.
        """
        for name in names:
            capability = CAPABILITIES[name]
            if not self.gives(name):
                why = self.lacks(*capability.derived_from) if capability.derived_from else None
                if why is not None or not capability.derived_from:
                    return why or capability.lacking
            elif (why := self.lacks(*capability.needs)) is not None:
                return why
        return None

    def can(self, *names: str) -> bool:
        """Whether the target has all of these capabilities."""
        return self.lacks(*names) is None

    def _own(self, attribute: str) -> bool:
        value = vars(self).get(attribute, getattr(type(self), attribute, None))
        return value is not None and value is not getattr(Target, attribute, None)

    def _without(self, name: str) -> ScorelabError:
        return ScorelabError(f"{type(self).__name__}: {CAPABILITIES[name].lacking}")

    # Capabilities. --------------------------------------------------------------------------------------------------

    def posterior_mean(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`posterior_mean`: E[X | x_phi = x], shape (count, *shape)."""
        raise self._without("posterior_mean")

    def noisy_log_prob(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`density`: log p_phi(x), shape (count,)."""
        raise self._without("density")

    def noisy_score(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`score`: grad log p_phi(x), shape (count, *shape), also at angle pi/2."""
        raise self._without("score")

    def projection(self, direction: torch.Tensor):
        """`projection`: the exact law of <X, d>/|d|^2 on the line, with the methods of `ProjectedLaw`.

        A law without a density has no `pdf`, or one that raises TypeError.
        """
        raise self._without("projection")

    def noisy_projection(self, direction: torch.Tensor, angle: float):
        """`noisy_projection`: the exact law of <x_phi, d>/|d|^2 = sin <X, d>/|d|^2 + cos N(0, 1)/|d|."""
        raise self._without("noisy_projection")

    @cached_property  # which a subclass may set, as well as override
    def weights(self) -> torch.Tensor:
        """`modes`: the weights of the modes, shape (K,), float64."""
        raise self._without("modes")

    def posterior_weights(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`modes`: P(mode k | x_phi = x), shape (count, K)."""
        raise self._without("modes")

    def bayes_risk(self, angle) -> torch.Tensor:
        """`bayes_risk`: E |X - E[X | x_phi]|^2, the least squared error of any denoiser, with the shape of `angle`,
        float64.

        Where the target gives none of its own it is the mean over 4096 exact samples; see `bayes_risk_and_error`.
        """
        return self.bayes_risk_and_error(angle)[0]

    def bayes_risk_and_error(self, angle) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The Bayes risk and its standard error, with the shape of `angle`; None for the error of the target's own
        closed form. All angles share their samples, so that their errors are not independent."""
        if self.gives("bayes_risk"):
            return self.bayes_risk(angle), None
        angle = torch.as_tensor(angle, dtype=torch.float64)
        generator = stream(0, "bayes risk")
        clean = self.sample(_RISK_DRAWS, generator, torch.float64)
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        found = []
        for value in angle.flatten().tolist():
            squared = (clean - self.posterior_mean(mix(clean, noise, value), value)).square().flatten(1).sum(1)
            found.append(torch.stack([squared.mean(), squared.std() / math.sqrt(len(squared))]))
        risk, error = torch.stack(found).double().T.reshape(2, *angle.shape)
        return risk, error

    def signal_risk(self, angles: torch.Tensor) -> torch.Tensor:
        """`signal_risk`: the Bayes risk of <X, a>/|a| at angles (points,) in [0, pi/2), float64.

        A row (points,), or two (2, points), of which the second is the part between the modes. Where the target gives
        none of its own it is measured; see `scorelab.targets.signal.measured`.
        """
        from scorelab.targets.signal import measured

        return measured(self.posterior_mean, self, angles)

    def signal_risk_between(self, angles: torch.Tensor, risk: torch.Tensor) -> torch.Tensor:
        """What is left of a risk (points,) along the signal at angles without the variance within the modes, in a
        second row, (2, points); the risk alone where the modes are not known."""
        return risk

    def speciation_angle(self) -> float | None:
        """`speciation`: the angle around which the noisy state tells the modes apart; None where there is none."""
        raise self._without("speciation")

    def orthogonal_variance(self, direction: torch.Tensor) -> float:
        """`orthogonal_variance`: the mean variance a coordinate in the space orthogonal to a direction."""
        raise self._without("orthogonal_variance")

    def output_law(self, angle: float, output: str) -> "Target | None":
        """`output_law`: the law of what a sampler returns of an exact state x at its last angle; None if it is not
        known.

        output: scaled, x / sin(phi), whose noise has variance cot^2(phi) = 1/T; posterior_mean, m(x; phi);
        posterior_draw, a draw of X given x. Without the capability the law is known where it is the target itself: of a
        posterior draw, and of all three at pi/2.
        """
        if output not in ("scaled", "posterior_mean", "posterior_draw") or not 0 < angle <= math.pi / 2:
            raise ValueError(f"output = {output}, angle = {angle}")
        return self if output == "posterior_draw" or angle >= math.pi / 2 else None

    def restricted(self, side_of, side: int) -> tuple[float, "Target"]:
        """The share and the law of the samples on one side.

        side_of: function from points (count, *shape) to the number of their side (count,). Where the target knows no
        better the share is that of 65536 samples, and the law can only be sampled.
        """
        share = (side_of(self.sample(_SIDE_DRAWS, stream(0, "sides"))) == side).double().mean()
        return float(share), OneSide(self, side_of, side)


class OneSide(Target):
    """The samples of a target that lie on one side of the space; nothing else is known of their law.

    side_of: function from points (count, *shape) to the number of their side (count,).
    """

    def __init__(self, whole: Target, side_of, side: int):
        self.whole, self.side_of, self.side, self.shape = whole, side_of, side, whole.shape
        self.direction = whole.direction

    def sample(self, count, generator, dtype=torch.float32):
        """Draw `count` samples, by rejection of those on other sides."""
        kept, missing = [], count
        while missing > 0:
            x = self.whole.sample(count, generator, dtype)
            kept.append(x[self.side_of(x) == self.side][:missing])
            missing -= len(kept[-1])
        return torch.cat(kept)
