"""The variational bound, the information behind it, the flow's density, and the study of all three."""

import functools
import itertools
import math

import pandas
import pytest
import torch
from helpers import assert_close, composed, legends_lie_beside, normal, over, refused, seeded
from scipy import stats
from torch.distributions import MultivariateNormal, kl_divergence

import scorelab
from scorelab.channel import HALF_PI, mix
from scorelab.denoisers import Denoiser
from scorelab.denoisers.exact import ExactDenoiser
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.config import check
from scorelab.quadrature import NotResolved, plane_trapezoid, trapezoid
from scorelab.randomness import signs
from scorelab.schedules import DDPM, VE, Localization
from scorelab.studies.likelihood import Bins
from scorelab.studies.likelihood.flow import InDouble, field_of, log_prob
from scorelab.studies.likelihood.measurements import bound, mass_of_bins, measure_errors
from scorelab.studies.likelihood.theory import Chain, Information
from scorelab.targets import AnisotropicMixture, GaussianMixture
from scorelab.training.derivatives import require_slopes, trace

CLOCK = DDPM(grid="native", timesteps=1000, beta="linear", beta_min=1e-4, beta_max=0.02)
VARIANCES = ("beta", "posterior", "optimal")
EYE = torch.eye(3, dtype=torch.float64)
LINE = GaussianMixture.two_modes(0.7, torch.tensor([4.0]))
QUICK = (
    "study=likelihood",
    "target.n=3",
    "study.steps=[4,20]",
    "study.count=300",
    "study.flow={trace:exact,probes:4,steps:12,count:40}",
    "training.N=2000",
    "training.epochs=20",
    "training.batch_size=100",
    "denoiser.m=16",
    "figures.dpi=50",
    "threads=1",
)


def chain_of(steps, n, clock=CLOCK):
    return Chain(clock.angles(steps - 1), clock.start_std, n)


def law_of_step(x, clean, angle, following):
    """q(x' | x, X) by conditioning the joint Gaussian law of (x', x) given X, without the formula of DDPM."""
    alpha = (math.sin(angle) / math.sin(following)) ** 2
    cross, variance = alpha**0.5 * math.cos(following) ** 2, math.cos(angle) ** 2
    mean = math.sin(following) * clean + cross / variance * (x - math.sin(angle) * clean)
    return mean, math.cos(following) ** 2 - cross**2 / variance


# The terms. ---------------------------------------------------------------------------------------------------------


@over(["clock", "steps"], [(CLOCK, 6), (VE(grid="log_snr", sigma_min=0.1, sigma_max=5.0), 5)])
def test_every_term_of_the_bound_is_the_divergence_of_two_gaussian_laws(clock, steps):
    chain, n = chain_of(steps, 3, clock), 3
    clean, learned = normal(1, n, seed=0)[0], normal(steps, n, seed=1)
    error = (learned - clean).square().sum(1)
    for variance in VARIANCES:
        terms, sigma2 = chain.steps(variance, error), chain.variances(variance, error)
        for k in range(steps - 1):
            angle, following = chain.angles[k].item(), chain.angles[k + 1].item()
            x = mix(clean, normal(n, seed=10 + k), angle)
            (mean, true), (model, _) = (law_of_step(x, of, angle, following) for of in (clean, learned[k]))
            q, p = MultivariateNormal(mean, true * EYE), MultivariateNormal(model, sigma2[k] * EYE)
            assert_close(terms[k], kl_divergence(q, p), 1e-9, case=(variance, k))
        decoder = MultivariateNormal(learned[-1], sigma2[-1] * EYE)
        assert_close(terms[-1], -decoder.log_prob(clean), 1e-9, case=variance)
        slope = (chain.steps(variance, 1.0001 * error) - chain.steps(variance, 0.9999 * error)) / (2e-4 * error)
        assert_close(slope, chain.weights(variance, error), 1e-6, case=variance)
    angle = chain.angles[0].item()
    q = MultivariateNormal(math.sin(angle) * clean, math.cos(angle) ** 2 * EYE)
    p = MultivariateNormal(torch.zeros(n, dtype=torch.float64), clock.start_std**2 * EYE)
    assert_close(chain.start(clean.square().sum()), kl_divergence(q, p), 1e-9, 1e-12)


def test_with_the_posterior_variance_a_weight_is_half_the_growth_of_the_signal_to_noise_ratio():
    chain = chain_of(50, 4)
    growth = torch.tan(chain.angles).square().diff()
    assert_close(chain.weights("posterior", torch.ones(50))[:-1], 0.5 * growth, 1e-9)


def test_the_variances_are_ddpms_and_the_last_is_that_of_the_step_before():
    chain = chain_of(1000, 1)
    betas = CLOCK.betas.flip(0)
    assert_close(chain.variances("beta", None), betas, 1e-9)
    bars = torch.cumprod(1 - CLOCK.betas, 0)
    posterior = ((1 - bars[:-1]) / (1 - bars[1:]) * CLOCK.betas[1:]).flip(0)
    assert_close(chain.variances("posterior", None), torch.cat([posterior, posterior[-1:]]), 1e-8)


# What no denoiser can avoid. ----------------------------------------------------------------------------------------


def test_the_information_and_the_entropy_of_a_gaussian_are_closed_forms():
    target, angles = (
        GaussianMixture([1.0], [[2.0, 0.0, -1.0]], 0.4),
        torch.tensor([0.0, 1e-6, 0.3, 1.2, 1.55], dtype=torch.float64),
    )
    found = Information(target, 1.56)
    assert_close(found.information(angles), 1.5 * torch.log1p(0.16 * torch.tan(angles) ** 2), 1e-9, 1e-12)
    assert_close(found.risk(angles), target.bayes_risk(angles), 1e-9)
    assert found.entropy == pytest.approx(1.5 * math.log(2 * math.pi * math.e * 0.16), abs=1e-9)


def test_the_information_and_the_entropy_of_two_modes_are_those_of_their_densities():
    x, weight = trapezoid(-16.0, 16.0, 4001)
    found = information_of(LINE)

    def entropy(angle):
        log_density = LINE.noisy_log_prob(x[:, None], angle)
        return -float(weight * (log_density.exp() @ log_density))

    assert found.entropy == pytest.approx(entropy(HALF_PI), abs=1e-9)
    for angle in (0.2, 0.8, 1.4):
        noise = 0.5 * math.log(2 * math.pi * math.e * math.cos(angle) ** 2)
        told = float(found.information(torch.tensor([angle], dtype=torch.float64)))
        assert told == pytest.approx(entropy(angle) - noise, abs=1e-10), angle


@functools.cache
def information_of(target):
    """The information of a target; a cached one, as it takes hundreds of Bayes risks."""
    return Information(target, CLOCK.end_angle)


class Falling:
    """One coordinate whose risk is that of N(0, 1) less g, which falls like a power of the signal-to-noise ratio."""

    n = 1

    def __init__(self, power):
        self.power = power

    def bayes_risk(self, angle):
        snr = torch.tan(angle) ** 2
        return (1 - 1e-2 * snr / (1 + snr) ** self.power) / (1 + snr)


def test_the_entropy_is_refused_where_the_risk_is_not_that_of_a_smooth_density():
    assert Information(Falling(2.0), 1.5).entropy < 0.5 * math.log(2 * math.pi * math.e)
    with pytest.raises(NotResolved, match="smooth density"):
        _ = Information(Falling(1.5), 1.5).entropy


def exact_bound(target, steps, variance):
    information, chain = information_of(target), chain_of(steps, target.n)
    errors = measure_errors(
        ExactDenoiser(target), target, target.sample(2, seeded(0), torch.float64), chain.angles, information, 0
    )
    square = information.variance + float(target.mean.square().sum())
    return chain, bound(chain, variance, errors, square, information, information.entropy), information.entropy


def test_the_gap_is_the_divergence_of_the_true_steps_from_their_gaussians():
    """In one dimension, one step by a sum over both states."""
    chain, found, entropy = exact_bound(LINE, 5, "beta")
    assert found.total - entropy == pytest.approx(found.start_gap + float(found.step_gaps.sum()), abs=1e-9)
    points, weight = plane_trapezoid(-9.0, 9.0, 901)
    k = 2
    angle, following = chain.angles[k].item(), chain.angles[k + 1].item()
    earlier, later = points[:, 0], points[:, 1]  # x_{t-1} and x_t
    alpha = (math.sin(angle) / math.sin(following)) ** 2
    forward = stats.norm.logpdf(later, alpha**0.5 * earlier, (1 - alpha) ** 0.5)
    log_joint = LINE.noisy_log_prob(earlier[:, None], following) + torch.from_numpy(forward)
    log_true = log_joint - LINE.noisy_log_prob(later[:, None], angle)
    mean, _ = law_of_step(later, LINE.posterior_mean(later[:, None], angle)[:, 0], angle, following)
    log_model = torch.from_numpy(stats.norm.logpdf(earlier, mean, math.sqrt(1 - alpha)))
    divergence = weight * (log_joint.exp() * (log_true - log_model)).sum()
    assert float(found.step_gaps[k]) == pytest.approx(float(divergence), abs=1e-8)


def test_the_best_variance_makes_the_chain_of_a_gaussian_exact_but_for_its_start():
    target = GaussianMixture([1.0], [[0.0] * 3], 2.0)
    for steps in (3, 30):
        chain, found, entropy = exact_bound(target, steps, "optimal")
        variance = 1 + 3 * math.sin(chain.angles[0]) ** 2
        start = 1.5 * (variance - 1 - math.log(variance))
        assert found.total - entropy == pytest.approx(start, abs=1e-9), steps
        assert exact_bound(target, steps, "beta")[1].total > found.total + 0.01 / steps


def test_the_bound_lies_above_at_every_setting_and_its_gap_falls_with_the_length():
    target = GaussianMixture.two_modes(n=20)
    for variance in VARIANCES:
        gaps = [
            found.total - entropy for _, found, entropy in (exact_bound(target, T, variance) for T in (10, 50, 200))
        ]
        assert all(late < 0.5 * early for early, late in itertools.pairwise(gaps)), variance
        assert gaps[-1] > 1e-3, variance


def test_without_the_bayes_risk_the_bound_is_the_same_within_its_error():
    """The same law as a target that knows its Bayes risk and as one that does not."""
    known, chain = GaussianMixture([0.6, 0.4], [[2.0, 0.0], [-1.0, 1.0]]), chain_of(8, 2)
    unknown = AnisotropicMixture(known.weights, known.means, torch.ones(2, 2).double())
    clean = known.sample(4000, seeded(3), torch.float64)
    shrunk = Shrunk(known)
    information = information_of(known)
    square = information.variance + float(known.mean.square().sum())
    exact = bound(
        chain, "beta", measure_errors(shrunk, known, clean, chain.angles, information, 5), square, information, None
    )
    errors = measure_errors(shrunk, unknown, clean, chain.angles, None, 5)
    measured = bound(chain, "beta", errors, clean.square().sum(1), None, None)
    estimate = measured.estimate(0.0, 0.0)
    assert abs(estimate.value - exact.total) < 4 * estimate.standard_error
    assert estimate.standard_error > 5 * exact.estimate().standard_error
    assert exact.total - exact.exact.total > 20 * exact.estimate().standard_error  # the denoiser errs


class Shrunk(Denoiser):
    """The posterior mean of a target, with an error."""

    def __init__(self, target):
        super().__init__()
        self.target = target

    def forward(self, x, angle):
        return (1 - 0.2 * math.cos(angle) ** 2) * self.target.posterior_mean(x, angle)


def test_the_masses_of_all_bins_are_one_and_those_of_normal_laws():
    bins = Bins(width=0.5, low=-1.0, high=1.0)
    values = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    for mean, deviation in ((0.13, 0.4), (0.9, 0.02), (-7.0, 1.0)):
        logs = -mass_of_bins(values, bins)(torch.full_like(values, mean), deviation)
        assert_close(logs.exp().sum(), 1.0, 1e-12)
        inner = stats.norm.cdf([-0.25, 0.25], mean, deviation)
        assert logs[2].exp().item() == pytest.approx(inner[1] - inner[0], rel=1e-9, abs=1e-15)
    far = mass_of_bins(values[2:3], bins)(torch.full((1, 1), 40.0).double(), 1.0)
    assert far.item() == pytest.approx(-stats.norm.logsf(39.75), rel=1e-3)


# The flow. ----------------------------------------------------------------------------------------------------------


@over(
    "clock",
    [
        CLOCK,
        VE(grid="log_snr", sigma_min=0.05, sigma_max=50.0),
        Localization(grid="log_snr", alpha_max=1.5, T=None, t_min=None),
    ],
)
def test_the_density_of_an_exact_flow_is_that_of_its_target(clock):
    target = GaussianMixture.two_modes(n=20)
    clean, end = target.sample(20, seeded(1), torch.float64), clock.end_angle
    exact = target.n * math.log(math.sin(end)) + target.noisy_log_prob(math.sin(end) * clean, end)
    gaps = []
    for steps in (40, 80):
        found, start = log_prob(field_of(ExactDenoiser(target)), clock, clean, steps)
        # of a flow that starts from the exact law, so that only the steps err
        prior = MultivariateNormal(torch.zeros(20).double(), clock.start_std**2 * torch.eye(20).double()).log_prob(
            start
        )
        gaps.append(float((found[:, 0] - prior + target.noisy_log_prob(start, clock.start_angle) - exact).abs().max()))
    assert gaps[1] < 2e-5
    assert gaps[0] / gaps[1] > 10  # fourth order
    if clock is CLOCK:
        assert float((found[:, 0] - target.log_prob(clean)).abs().mean()) < 1e-3


@over("angle", [0.0, 0.4, 1.3, 1.55])
def test_the_trace_is_the_posterior_variance_and_random_directions_have_it_as_their_mean(angle):
    for target in (
        GaussianMixture([0.5, 0.3, 0.2], normal(3, 4, seed=2), [0.5, 1.0, 2.0]),
        AnisotropicMixture([0.6, 0.4], normal(2, 4, seed=3), torch.stack([torch.eye(4) + 0.3, 0.5 * torch.eye(4)])),
    ):
        x, denoiser = normal(6, 4, seed=4), ExactDenoiser(target)
        closed = math.sin(angle) / math.cos(angle) ** 2 * target.posterior_variance(x, angle)
        with torch.no_grad():
            assert_close(trace(denoiser, x, angle), closed, 1e-9, 1e-12)
            velocity, divergence = field_of(denoiser)(x, angle)
            drawn = field_of(denoiser, signs((6, 400, 4), seeded(5), torch.float64))(x, angle)
        assert_close(drawn[0], velocity, 1e-12)
        error = drawn[1].std(1) / 400**0.5
        assert bool(((drawn[1].mean(1) - divergence[:, 0]).abs() < 4.5 * error + 1e-9).all())


def test_a_network_that_insists_on_its_precision_is_asked_in_it():
    class Single(torch.nn.Module):
        exact = False

        def forward(self, x, angle):
            return x @ torch.eye(3)

    x = normal(2, 3, seed=0)
    asked = InDouble(Single(), x.float(), 0.3)
    assert asked.single
    assert_close(asked(x, 0.3), x, 1e-6)
    assert not InDouble(ExactDenoiser(GaussianMixture.two_modes(n=3)), x.float(), 0.3).single


class Hidden(Denoiser):
    """A denoiser whose derivative torch does not see."""

    def forward(self, x, angle):
        return x.detach() + 0.1 * x


class Centred(Denoiser):
    """A denoiser whose answer for a state depends on the others."""

    def forward(self, x, angle):
        return x - x.mean(0)


def test_a_denoiser_without_the_derivative_is_refused():
    x, angle = normal(6, 3, seed=0), torch.full((6,), 0.7).double()
    require_slopes(ExactDenoiser(GaussianMixture.two_modes(n=3)), x, angle, "the flow")
    assert "not that of finite differences" in refused(ScorelabError, require_slopes, Hidden(), x, angle, "the flow")
    assert "depends on the others" in refused(ScorelabError, require_slopes, Centred(), x, angle, "the flow")


# The study. ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(run_once):
    return run_once(*QUICK)


def test_the_study_measures_a_learned_denoiser_beside_the_exact_one(run):
    found, table = run.metrics["likelihood"], pandas.read_csv(run.directory / "likelihood.csv")
    assert found["nll"] == pytest.approx(found["nll_exact"], abs=4 * found["nll_standard_error"])
    assert found["bound"] - found["nll_exact"] == pytest.approx(found["gap"], abs=1e-9)
    for variance, values in found["chains"].items():
        for at, T in enumerate(values["steps"]):
            rows = table[(table["variance"] == variance) & (table["steps"] == T)]
            assert rows["level"].tolist() == list(range(T, -1, -1))
            assert rows["nats"].sum() == pytest.approx(values["bound"][at])
            parts = [values[f"{name}_divergence"][at] for name in ("start", "kernels", "decoder")]
            assert sum(parts) == pytest.approx(values["gap_exact"][at], abs=1e-8)
            assert sum(parts) + values["learned"][at] == pytest.approx(values["gap"][at], abs=1e-8)
            assert values["learned"][at] > 3 * values["learned_standard_error"][at]
            assert min(parts) > -1e-8
    assert abs(found["flow_gap"]) < 4 * found["flow_gap_standard_error"] + 0.5
    assert abs(found["flow_gap_exact"]) < 1e-3
    assert found["bound_bits_per_dimension"] == pytest.approx(found["bound"] / (3 * math.log(2)))
    assert {path.name for path in run.directory.glob("figures/*.png")} == {"likelihood.png", "training.png"}
    figure = run.figures["likelihood"]
    figure.axes[0].get_legend().remove()  # it has a corner where there are no curves
    assert legends_lie_beside(figure)


def test_what_a_target_does_not_know_is_said_and_the_rest_is_measured(run_once):
    asked = [one for one in QUICK if not one.startswith(("target.n", "denoiser", "study.flow"))]
    spins = ("target=ising_small", "target.n=3", "denoiser=exact", "study.bins={width: 2, low: -1, high: 1}")
    run = run_once(*asked, *spins, "study.flow={trace:none,probes:2,steps:2,count:2}", "study.count=2000")
    found, missing = run.metrics["likelihood"], run.metrics["not_measured"]
    assert missing["likelihood.flow"] == "study.flow.trace = none"
    assert "Bayes risk" in missing["likelihood.chains.beta.learned"]
    weights = torch.softmax(run.target.states()[1], 0)
    assert found["nll"] == pytest.approx(float(-(weights * weights.log()).sum()))
    best = found["chains"]["optimal"]
    assert all(gap > -4 * error for gap, error in zip(best["gap"], best["gap_standard_error"], strict=True))
    assert best["gap"][1] < 0.2 * best["gap"][0]


@over(
    ["overrides", "said"],
    [
        (("study.steps=[10,2000]",), "study.steps = 2000: "),
        (("study.variance=optimal", "study.variances=[beta]"), "study.variance = optimal: one of study.variances"),
        (("study.count=20",), "study.flow.count = 40: at most study.count = 20"),
        (("study.bins={width: 0.3, low: -1, high: 1}",), "a whole number of bins"),
        (("study.steps=[1]",), "study.steps.0 = 1: must be greater than or equal to 2"),
    ],
)
def test_what_cannot_be_is_one_line(overrides, said):
    assert said in refused(ConfigError, check, composed(*QUICK, *overrides))


def test_a_denoiser_that_first_chooses_is_refused_before_it_is_trained(tmp_path):
    asked = [one for one in QUICK if not one.startswith("denoiser")]
    said = refused(ScorelabError, scorelab.run, [*asked, "denoiser=mixture_aware"], tmp_path / "run")
    assert said.startswith("denoiser MixtureAware: study Likelihood needs")
    assert not (tmp_path / "run" / "denoiser.safetensors").exists()
