"""The contract of a target: it draws samples, and it says what else it can compute."""

import abc
import math
from dataclasses import dataclass
from functools import cached_property

import torch

from scorelab.channel import mix
from scorelab.errors import ScorelabError
from scorelab.movable import Movable
from scorelab.progress import foretold
from scorelab.randomness import stream
from scorelab.targets import listed

#: number of exact samples on which the share of a side is measured
_SIDE_DRAWS = 65536
#: why a law of points lacks the capability `score`
NO_SCORE = "the target has atoms, and no score where there is no noise"


@dataclass(frozen=True)
class Capability:
    """Something that a target may be able to do beside sampling.

    lacking: the reason why a number that needs the capability is not measured. attributes: the attributes and methods
    that a target with the capability defines. needs: the other capabilities that the target must have as well.
    derived_from: the capabilities from which `Target` computes this one if a subclass does not define it; empty if
    `Target` cannot compute it. final: whether `lacking` is the reason also where a capability that it could be derived
    from is missing; else the reason of that one is given.
    """

    lacking: str
    attributes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    final: bool = False


CAPABILITIES = {
    "samples": Capability("the target has no exact samples", ("sample",)),
    "direction": Capability("the target has no signal direction", ("direction",)),
    "posterior_mean": Capability("the target has no exact posterior mean", ("posterior_mean",)),
    "posterior_variance": Capability("the variance of the target's posterior is not known", ("posterior_variance",)),
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
    "couplings": Capability("the target has no couplings between its coordinates", ("couplings",)),
    "covariance": Capability("the covariance of the target is not known", ("covariance",)),
    "states": Capability("the target has no short list of states", ("states",)),
    "spins": Capability("the coordinates of the target are not spins, which are -1 or 1", ("spins",)),
    "tilted_mean": Capability(
        "the mean of the target under a tilt is not known", ("tilted_mean",), (), ("states",), final=True
    ),
    "conditionals": Capability(
        "the conditional laws of the target's coordinates are not known",
        ("conditional_mean", "conditional_draw"),
        (),
        ("states",),
        final=True,
    ),
    "count_mean": Capability("the mean of the target given Poisson counts is not known", ("count_mean",)),
    "points": Capability("the target is not the law of a finite data set", ("points", "nearest")),
    "images": Capability("the samples of the target are not images", ("images",)),
    "held_out": Capability("the target has no data that are held out", ("held_out",)),
    "labels": Capability("the data of the target have no labels", ("labels",), ("points",)),
}


class Target(Movable, abc.ABC):
    """A distribution of vectors, or of arrays of any shape.

    A subclass sets `n`, the dimension of a vector, or `shape`, the shape of one sample, and implements `sample`.
    Everything else is a capability; see `CAPABILITIES`. A subclass has a capability if it defines the attributes and
    methods of the capability. A number that needs a capability is not measured for a target that does not have it. A
    class with `NAME = None` gives up the attribute or method that it inherits, and gets what `Target` has as NAME.

    direction: the signal direction `a` that samples are projected on, with the shape of a sample, float64. means (K, n)
    and std (K,), float64: the means and standard deviations of isotropic Gaussian modes. For the law of a data set:
    points (N, *shape), the data; held_out (M, *shape), other data of the same kind; labels (N,), the classes of the
    points, integers from 0 on. images: True where samples are grey images (1, H, W) with values in [-1, 1].

    States x have the shape (count, *shape). An angle is a number or a tensor (count,), in radians, in the channel
    x_phi = sin(phi) X + cos(phi) G. A method raises ScorelabError if the target does not have its capability.
    """

    direction: torch.Tensor | None = None
    spins: bool | None = None
    points: torch.Tensor | None = None
    held_out: torch.Tensor | None = None
    labels: torch.Tensor | None = None
    images: bool | None = None
    #: number of exact samples on which the Bayes risk is measured, if a subclass does not define it
    risk_draws: int = 4096

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

    def training_samples(self, count: int, generator: torch.Generator, dtype=torch.float32) -> torch.Tensor:
        """The samples of a training, (count, *shape): independent, unless the law is that of a data set."""
        return self.sample(count, generator, dtype)

    def check_direction(self) -> None:
        """Take the signal direction to float64. Raises ValueError for one that is 0, not finite or of another shape."""
        if self.direction is None:
            return
        direction = torch.as_tensor(self.direction, dtype=torch.float64)
        if direction.shape != self.shape:
            raise ValueError(
                f"direction has shape {tuple(direction.shape)}: the shape {self.shape} of a sample is needed"
            )
        if not bool(torch.isfinite(direction).all() and direction.any()):
            raise ValueError("direction: a vector of finite numbers other than 0 is needed")
        self.direction = direction

    # Questions about capabilities. ----------------------------------------------------------------------------------

    def gives(self, name: str) -> bool:
        """Whether the target itself defines the attributes and methods of a capability."""
        return all(self._own(attribute) for attribute in CAPABILITIES[name].attributes)

    def lacks(self, *names: str) -> str | None:
        """The first reason why the target does not have all of these capabilities; None if it has all of them.

        Raises KeyError for a name that `CAPABILITIES` does not have.
        """
        for name in names:
            capability = CAPABILITIES[name]
            if not self.gives(name):
                why = self.lacks(*capability.derived_from) if capability.derived_from else None
                if why is not None or not capability.derived_from:
                    return capability.lacking if capability.final or why is None else why
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

    # Capabilities. Each docstring begins with the name of the capability. -------------------------------------------

    def posterior_mean(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`posterior_mean`: E[X | x_phi = x], shape (count, *shape)."""
        raise self._without("posterior_mean")

    def posterior_variance(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`posterior_variance`: tr Cov[X | x_phi = x], shape (count,)."""
        raise self._without("posterior_variance")

    def noisy_log_prob(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`density`: log p_phi(x), shape (count,)."""
        raise self._without("density")

    def noisy_score(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`score`: grad log p_phi(x), shape (count, *shape), also at angle pi/2."""
        raise self._without("score")

    def projection(self, direction: torch.Tensor):
        """`projection`: the exact law of <X, d>/|d|^2 on the line, an object with the methods of `ProjectedLaw`.

        A law without a density has no `pdf`, `pdf = None`, or a `pdf` that raises TypeError or NotImplementedError.
        """
        raise self._without("projection")

    def noisy_projection(self, direction: torch.Tensor, angle: float):
        """`noisy_projection`: the exact law of <x_phi, d>/|d|^2 = sin <X, d>/|d|^2 + cos N(0, 1)/|d|."""
        raise self._without("noisy_projection")

    @cached_property  # a subclass may override it, or set it as an attribute
    def weights(self) -> torch.Tensor:
        """`modes`: the weights of the modes, shape (K,), float64."""
        raise self._without("modes")

    def posterior_weights(self, x: torch.Tensor, angle) -> torch.Tensor:
        """`modes`: P(mode k | x_phi = x), shape (count, K)."""
        raise self._without("modes")

    def bayes_risk(self, angle) -> torch.Tensor:
        """`bayes_risk`: E |X - E[X | x_phi]|^2, the least squared error of any denoiser, with the shape of `angle`,
        float64.

        If a subclass does not define it, it is a mean over exact samples; see `bayes_risk_and_error`.
        """
        return self.bayes_risk_and_error(angle)[0]

    def bayes_risk_and_error(self, angle) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The Bayes risk and its standard error, each with the shape of `angle`.

        The error is None if the subclass defines `bayes_risk`. Otherwise the risk is the mean of `posterior_risk` over
        `risk_draws` exact samples, 4096 by default. All angles share their samples, so their errors are not
        independent.
        """
        if self.gives("bayes_risk"):
            return self.bayes_risk(angle), None
        angle = torch.as_tensor(angle, dtype=torch.float64)
        generator = stream(0, "bayes risk")
        clean = self.sample(self.risk_draws, generator, torch.float64)
        noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
        found = []
        for value in foretold("Bayes risk", angle.flatten().tolist(), "angles"):
            squared = self.posterior_risk(clean, mix(clean, noise, value), value)
            found.append(torch.stack([squared.mean(), squared.std() / math.sqrt(len(squared))]))
        risk, error = torch.stack(found).double().T.reshape(2, *angle.shape)
        return risk, error

    def posterior_risk(self, clean: torch.Tensor, x: torch.Tensor, angle) -> torch.Tensor:
        """|X - m(x)|^2 for the clean states of x, or another function with the same mean given x, (count,)."""
        return (clean - self.posterior_mean(x, angle)).square().flatten(1).sum(1)

    def signal_risk(self, angles: torch.Tensor) -> torch.Tensor:
        """`signal_risk`: the Bayes risk of <X, a>/|a| at angles (points,) in [0, pi/2), float64.

        The result has the shape (points,), or (2, points): its second row is the part of the risk between the modes.
        If a subclass does not define it, it is measured; see `scorelab.targets.signal.measured`.
        """
        from scorelab.targets.signal import measured

        return measured(self.posterior_mean, self, angles)

    def signal_risk_between(self, angles: torch.Tensor, risk: torch.Tensor) -> torch.Tensor:
        """Add to a risk along the signal a second row: the risk without the variance within the modes.

        angles, risk: (points,). Returns (2, points), or the risk alone, (points,), if the modes are not known.
        """
        return risk

    def speciation_angle(self) -> float | None:
        """`speciation`: the angle around which the noisy state tells the modes apart; None if no angle does."""
        raise self._without("speciation")

    def orthogonal_variance(self, direction: torch.Tensor) -> float:
        """`orthogonal_variance`: the mean variance of a coordinate orthogonal to a direction (n,); 0 if n = 1."""
        raise self._without("orthogonal_variance")

    def output_law(self, angle: float, output: str) -> "Target | None":
        """`output_law`: the law of the output that a sampler makes of an exact state x at its last angle; None if the
        law is not known.

        output: scaled, x / sin(phi), whose noise has variance cot^2(phi) = 1/T; posterior_mean, m(x; phi);
        posterior_draw, m(x; phi) plus isotropic noise, see `scorelab.samplers.loop.posterior_draw`. Without the
        capability the law is known only at pi/2, where it is the target itself. Raises ValueError for another output or
        angle.
        """
        if output not in ("scaled", "posterior_mean", "posterior_draw") or not 0 < angle <= math.pi / 2:
            raise ValueError(f"output = {output}, angle = {angle}")
        return self if angle >= math.pi / 2 else None

    @property
    def couplings(self):
        """`couplings`: a `scorelab.targets.couplings.Couplings`."""
        raise self._without("couplings")

    def nearest(self, x: torch.Tensor):
        """`points`: the nearest points of the data set, a `scorelab.targets.empirical.Nearest`."""
        raise self._without("points")

    # What observation processes need, for vectors (`scorelab.processes`). ---------------------------------------------

    @cached_property  # a subclass may override it, or set it as an attribute
    def covariance(self) -> torch.Tensor:
        """`covariance`: Cov X, (n, n), float64."""
        raise self._without("covariance")

    def states(self) -> tuple[torch.Tensor, torch.Tensor]:
        """`states`: all values that a sample may have, (S, n), and the logarithms of their weights, (S,), float64, up
        to a constant; a few thousand at most. `spins` = True says that every coordinate is -1 or 1."""
        raise self._without("states")

    def tilted_mean(self, linear: torch.Tensor, precision: torch.Tensor | None = None) -> torch.Tensor:
        """`tilted_mean`: the mean of the law mu(dx) exp(<b, x> - <x, Q x>/2), shape (count, n), dtype of `linear`.

        linear: b (count, n). precision: Q, symmetric and positive semidefinite, (n, n) or (count, n, n); None for 0.
        If a subclass does not define it, it is the sum over the states.
        """
        return listed.tilted_mean(self.states(), linear, precision)

    def conditional_mean(self, values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """`conditionals`: E[X | the known coordinates], shape (count, n), dtype of `values`.

        values (count, n), of which only the known ones count. known: (count, n), True or 1 for known. If a subclass
        does not define it, it is the sum over the states. Raises ScorelabError for values that no state has.
        """
        return listed.conditional_mean(self.states(), values, known)

    def conditional_draw(self, values: torch.Tensor, known: torch.Tensor, noise) -> torch.Tensor:
        """`conditionals`: a draw of each coordinate from its law given the known ones, shape (count, n).

        The draws of different coordinates are independent of each other given the known ones; a known coordinate keeps
        its value. values, known: as in `conditional_mean`. noise: a function without argument that returns standard
        normal draws (count, n).
        """
        return listed.conditional_draw(self.states(), values, known, noise)

    def count_mean(self, counts: torch.Tensor, time) -> torch.Tensor:
        """`count_mean`: E[X | Y], shape (count, n), where Y_i is Poisson with mean t X_i, independently given X.

        counts: Y (count, n). time: t, a number or a tensor (count,).
        """
        raise self._without("count_mean")

    def restricted(self, side_of, side: int) -> tuple[float, "Target"]:
        """The share of the samples that lie on one side, and the law of these samples.

        side_of: function from points (count, *shape) to the number of their side (count,). If a subclass knows no
        better, the share is measured on 65536 samples, and the law can only be sampled.
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
        """Draw samples of the whole target and reject the samples on other sides."""
        kept, missing = [], count
        while missing > 0:
            x = self.whole.sample(count, generator, dtype)
            kept.append(x[self.side_of(x) == self.side][:missing])
            missing -= len(kept[-1])
        return torch.cat(kept)
