"""Langevin dynamics: its stationary law and its bias, its Metropolis adjustment, its annealing, what is refused."""

import itertools
import math
import re

import pytest
import torch
from helpers import assert_close, job, normal, over, random_mixture, seeded, standard_error
from hydra import compose, initialize_config_dir

from scorelab.channel import HALF_PI
from scorelab.denoisers import Denoiser, ExactDenoiser
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.app import config_folder, plain
from scorelab.lab.config import check
from scorelab.lab.hydra_internals import BASE
from scorelab.samplers import MALA, ULA, AnnealedLangevin
from scorelab.samplers.loop import draw_samples, simulate
from scorelab.schedules import EDM, OU, VE, Localization
from scorelab.targets import GaussianMixture

LOCALIZATION = Localization(grid="angle", alpha_max=1.4, T=None, t_min=6e-4)


def ula(step_size, noise_level):
    return ULA(step_size=step_size, noise_level=noise_level)


def mala(step_size, noise_level):
    return MALA(step_size=step_size, noise_level=noise_level)


def chain(rule, steps, denoiser, start, draws, observe=None):
    """The chain of states X + sigma G that a rule makes of `start`; draws: one a step, or a generator."""
    angles = rule.angles(LOCALIZATION, steps)
    stream = iter(draws) if not isinstance(draws, torch.Generator) else None

    def noise():
        return next(stream) if stream else torch.randn(start.shape, generator=draws, dtype=start.dtype)

    return simulate(rule, denoiser, angles, start * math.sin(angles[0]), noise, observe) / math.sin(angles[0])


def noisy_law(target, noise_level):
    """The law of X + noise_level G."""
    return target if noise_level == 0 else target.output_law(math.atan2(1.0, noise_level), "scaled")


class OnlyAMean(Denoiser):
    """An exact posterior mean that does not say so: no density, and no score of the target itself."""

    def __init__(self, target):
        super().__init__()
        self.mean = target.posterior_mean

    def forward(self, x, angle):
        return self.mean(x, angle)


# The unadjusted algorithm. ------------------------------------------------------------------------------------------


def ula_variance(steps, step_size, noise_level, std):
    """The exact variance of the chain for N(0, std^2) from 0, linear in its noise: each sample sees one draw."""
    unit = torch.eye(steps, dtype=torch.float64)
    rule, denoiser = ula(step_size, noise_level), ExactDenoiser(GaussianMixture([1.0], [[0.0]], std))
    draws = [unit[:, k : k + 1] for k in range(steps)]
    return float(chain(rule, steps, denoiser, torch.zeros(steps, 1, dtype=torch.float64), draws).square().sum())


@over(("std", "noise_level"), [(0.6, 0.0), (0.6, 0.5), (1.0, 0.0), (1.7, 2.0)])
@over("share", [0.02, 0.3, 1.0, 1.9])
def test_the_variance_of_ula_follows_its_recursion_to_its_stationary_value(std, noise_level, share):
    """V' = (1 - step/v)^2 V + 2 step for N(0, v): it settles at v/(1 - step/(2 v))."""
    exact = std**2 + noise_level**2
    step_size, variance, few = share * exact, 0.0, 7
    for _ in range(few):
        variance = (1 - share) ** 2 * variance + 2 * step_size
    assert ula_variance(few, step_size, noise_level, std) == pytest.approx(variance, rel=1e-12)
    many = int(20 / min(share, 2 - share))
    settled = ula_variance(many, step_size, noise_level, std)
    assert settled == pytest.approx(exact / (1 - share / 2), rel=1e-12)


@over("noise_level", [0.0, 0.7])
@over("name", ["ula", "mala"])
def test_langevin_dynamics_converges_to_the_law_of_the_noisy_target(name, noise_level):
    """From a start that is no sample of it; the step of ULA is small enough for its bias to be within the error."""
    target, count = GaussianMixture.two_modes(p=0.7, a=[1.5, 0.5]), 4000
    make, step_size = {"ula": (ula, 0.03), "mala": (mala, 0.5)}[name]
    end = chain(
        make(step_size, noise_level),
        int(20 / step_size),
        ExactDenoiser(target),
        2 * normal(count, 2, seed=1),
        seeded(2),
    )
    law = noisy_law(target, noise_level).projection(target.direction)
    values = end @ target.direction / target.direction.square().sum()
    assert abs(float(values.mean()) - law.mean) < 4 * math.sqrt(law.variance / count)
    squared = (values - law.mean).square()
    assert abs(float(squared.mean()) / law.variance - 1) < 4 * standard_error(squared) / law.variance + 0.02
    below = float((values < law.mean).double().mean())
    assert below == pytest.approx(float(law.cdf(law.mean)), abs=4 * math.sqrt(0.25 / count))


@over("noise_level", [0.1, 1.0])
def test_at_a_noise_level_the_posterior_mean_is_enough(noise_level):
    target, start, draws = random_mixture(modes=3, n=3, seed=1), normal(6, 3, seed=3), normal(8, 6, 3, seed=4)
    rule, law = ula(0.005, noise_level), noisy_law(target, noise_level)
    y = start
    for draw in draws:
        y = y + 0.005 * law.score(y) + math.sqrt(2 * 0.005) * draw
    assert_close(chain(rule, 8, OnlyAMean(target), start, draws), y, 1e-10)


def test_at_no_noise_the_score_is_that_of_the_target():
    target, start, draws = random_mixture(modes=3, n=3, seed=2), normal(6, 3, seed=5), normal(8, 6, 3, seed=6)
    y = start
    for draw in draws:
        y = y + 0.05 * target.score(y) + math.sqrt(2 * 0.05) * draw
    assert_close(chain(ula(0.05, 0.0), 8, ExactDenoiser(target), start, draws), y, 1e-12)


@over("rule", [ula(0.05, 0.3), mala(0.05, 0.3)])
def test_one_noise_level_is_one_angle(rule):
    assert rule.angles(LOCALIZATION, 10) == [math.atan2(1.0, 0.3)] * 11
    assert rule.end_angle(LOCALIZATION) == rule.angles(LOCALIZATION, 10)[-1]
    assert ula(0.05, 0.0).end_angle(LOCALIZATION) == HALF_PI


# The Metropolis adjustment. -----------------------------------------------------------------------------------------


@over(("noise_level", "step_size"), [(0.0, 0.3), (0.8, 0.8)])
def test_mala_leaves_the_exact_law_as_it_is(noise_level, step_size):
    """Exact samples in, exact samples out, with steps so long that ULA would be far off; some are refused."""
    target, count = random_mixture(modes=2, n=3, std="per_mode", seed=3), 6000
    law = noisy_law(target, noise_level)
    start, states = law.sample(count, seeded(7), torch.float64), []
    rule, denoiser = mala(step_size, noise_level), ExactDenoiser(target)
    x = chain(rule, 40, denoiser, start, seeded(8), lambda k, angle, x: states.append(x.clone()))
    accepted = [float((x != before).any(1).double().mean()) for before, x in itertools.pairwise(states)]
    assert all(0.2 < share < 0.95 for share in accepted)
    for statistic in (law.log_prob, lambda y: y[:, 0], lambda y: y[:, 1] ** 2, lambda y: (y @ law.direction).sin()):
        change = statistic(x) - statistic(start)
        assert abs(float(change.mean())) < 4 * standard_error(change)


def log_acceptance(target, x, y, step_size, noise_level):
    """The log of the probability with which one step of MALA accepts the proposals y (count, n) from x, by bisection of
    the uniform draw below which it does; 0 where it always does."""
    law, rule, denoiser = noisy_law(target, noise_level), mala(step_size, noise_level), ExactDenoiser(target)
    propose = (y - x - step_size * law.score(x)) / math.sqrt(2 * step_size)
    low, high = (torch.full((len(x),), end, dtype=torch.float64) for end in (-12.0, 8.0))
    for _ in range(60):
        middle = (low + high) / 2  # a standard normal draw, whose distribution function is the uniform draw
        end = chain(rule, 1, denoiser, x, [propose, middle.unsqueeze(1).expand_as(x)])
        took = (end - y).abs().amax(1) < (end - x).abs().amax(1)
        low, high = torch.where(took, middle, low), torch.where(took, high, middle)
    return torch.special.log_ndtr(low).where(low < 7.9, 0.0)


@over("noise_level", [0.0, 0.6])
def test_mala_has_detailed_balance_at_every_pair_of_states(noise_level):
    target, step_size = random_mixture(modes=2, n=2, std="per_mode", seed=4), 0.4
    law = noisy_law(target, noise_level)
    x = normal(40, 2, seed=8)
    y = x + step_size * law.score(x) + math.sqrt(2 * step_size) * normal(40, 2, seed=9)

    def log_flow(x, y):
        """log p(x) q(y|x) a(y|x), up to a constant."""
        proposal = -(y - x - step_size * law.score(x)).square().sum(1) / (4 * step_size)
        return law.log_prob(x) + proposal + log_acceptance(target, x, y, step_size, noise_level)

    assert_close(log_flow(x, y), log_flow(y, x), 1e-7, 1e-7)
    there, back = (log_acceptance(target, *pair, step_size, noise_level) for pair in ((x, y), (y, x)))
    assert bool(((there == 0) | (back == 0)).all())
    assert 5 < int((there == 0).sum()) < 35


def test_mala_never_diverges():
    target = random_mixture(modes=2, n=2, seed=5)
    start = normal(50, 2, seed=10)
    assert torch.equal(chain(mala(1e6, 0.0), 5, ExactDenoiser(target), start, seeded(11)), start)


# Annealing. ---------------------------------------------------------------------------------------------------------


@over(
    "schedule",
    [
        VE(grid="log_snr", sigma_min=0.2, sigma_max=10.0),
        EDM(grid="karras", sigma_min=0.2, sigma_max=10.0),
        OU(grid="native", beta=0.7, sigma=1.3, T=2.0, t_min=0.1),
    ],
)
@over("repeats", [1, 3])
def test_annealed_langevin_is_what_is_printed(schedule, repeats):
    """Visconti 2025, section 4.2: alpha_i = c sigma_i^2/sigma_L^2 with the score of X + sigma_i G."""
    target, levels, c = random_mixture(modes=3, n=3, seed=6), 7, 0.004
    angles = schedule.angles(levels)
    sigmas = 1 / torch.tan(angles)
    rule = AnnealedLangevin(repeats=repeats, step_size=c / float(sigmas[-1]) ** 2)
    draws = normal(levels * repeats, 5, 3, seed=12)
    stream = iter(draws)
    x = normal(5, 3, seed=13)
    end = simulate(rule, OnlyAMean(target), angles, x.clone(), lambda: next(stream), schedule=schedule)
    y, stream = x / angles[0].sin(), iter(draws)
    for sigma, _ in itertools.product(sigmas[1:], range(repeats)):
        alpha = c * sigma**2 / sigmas[-1] ** 2
        y = y + alpha * noisy_law(target, float(sigma)).score(y) + torch.sqrt(2 * alpha) * next(stream)
    assert_close(end / angles[-1].sin(), y, 1e-10)


# What is refused, and when. -----------------------------------------------------------------------------------------


def checked(*overrides):
    with initialize_config_dir(str(config_folder()), **BASE):
        return check(plain(compose("config", overrides=list(overrides))))


@over(
    ("overrides", "names"),
    [
        (["sampler=mala", "denoiser=tanh"], ["MALA", "denoiser=exact"]),
        (["sampler=mala", "denoiser=velocity", "sampler.noise_level=0.5"], ["MALA", "density"]),
        (["sampler=ula", "denoiser=tanh", "sampler.noise_level=0"], ["sampler.noise_level = 0", "denoiser=exact"]),
        (["sampler=annealed_langevin"], ["AnnealedLangevin", "Localization"]),
        (["sampler=reverse_sde"], ["ReverseSDE", "Localization"]),
        (["sampler=exponential_integrator"], ["ExponentialIntegrator", "Localization"]),
        (["sampler=flow_euler", "sampler.coordinate=native"], ["FlowEuler", "Localization"]),
        (["sampler=heun", "sampler.coordinate=native"], ["FlowHeun", "Localization"]),
        (["sampler=predictor_corrector", "sampler.predictor=reverse_sde"], ["ReverseSDE", "Localization"]),
        (["sampler=ula", "sampler.noise_level=-1"], ["sampler.noise_level = -1"]),
        (["sampler=ula", "sampler.step_size=0"], ["sampler.step_size = 0"]),
        (["sampler=annealed_langevin", "schedule=ve", "sampler.repeats=0"], ["sampler.repeats = 0"]),
        (["sampler=predictor_corrector", "sampler.snr=0"], ["sampler.snr = 0"]),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_trained(overrides, names):
    with pytest.raises(ConfigError) as refused:
        checked(*overrides)
    message = str(refused.value)
    assert "\n" not in message
    assert all(name in message for name in names), message


@over(
    "overrides",
    [
        ["sampler=mala", "denoiser=exact"],
        ["sampler=ula", "denoiser=exact", "sampler.noise_level=0"],
        ["sampler=ula", "denoiser=tanh"],
        ["sampler=predictor_corrector"],
        *(
            [f"sampler={name}", f"schedule={clock}"]
            for name in ("annealed_langevin", "reverse_sde")
            for clock in ("ou", "ve")
        ),
        *([f"sampler={name}", "schedule=edm", "sampler.coordinate=native"] for name in ("flow_euler", "heun")),
    ],
)
def test_what_can_run_is_not_refused(overrides):
    checked(*overrides)


@over("rule", [ula(2.2, 0.0), ula(3.0, 0.5)])
def test_a_step_that_is_too_long_is_reported_where_the_chain_diverges(rule):
    """Above twice the variance of a mode; the message names the step and what may help."""
    denoiser = ExactDenoiser(GaussianMixture.two_modes(a=[1.0, 1.0]))
    with pytest.raises(ScorelabError, match=r"ULA diverges at step \d+ of 400") as refused:
        list(draw_samples(job(rule, steps=400), LOCALIZATION, denoiser, 2, seed=1))
    assert "a smaller sampler.step_size may help" in str(refused.value)
    assert 1 < int(re.search(r"step (\d+)", str(refused.value))[1]) < 400


def test_annealed_steps_that_are_too_long_are_reported():
    schedule = VE(grid="log_snr", sigma_min=0.01, sigma_max=10.0)
    rule, denoiser = AnnealedLangevin(repeats=50, step_size=3.0), ExactDenoiser(GaussianMixture.two_modes(a=[1.0, 1.0]))
    with pytest.raises(
        ScorelabError, match=r"AnnealedLangevin diverges at step \d of 5, angle .* smaller sampler.step_size"
    ):
        list(draw_samples(job(rule, steps=5), schedule, denoiser, 2, seed=1))
