"""The claims on score matching, noising and its reversal: wrong formulas change verdicts; laws on the line."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, normal, seeded

from scorelab.claims import CORRECTED, FAILS, HOLDS, Budget, judge
from scorelab.claims.claim import REGISTRY
from scorelab.laws.projected_law import ProjectedLaw
from scorelab.quadrature import trapezoid
from scorelab.studies.noising.claims import chain, clocks
from scorelab.studies.reversal import claims as reversal
from scorelab.studies.score_matching.claims import denoising, implicit
from scorelab.theory.line import derivatives, monotone_map, normal_density, push, solve_fokker_planck

MODES = ProjectedLaw([0.7, 0.3], [0.9, -2.1], [1.0, 0.6])


def scaled(factor):
    """A mutation: the result times a factor."""

    def mutate(function):
        return lambda *arguments: factor * function(*arguments)

    return mutate


def instead(other):
    """A mutation: another function."""
    return lambda function: other


def first_scaled(factor):
    """A mutation: the first of two results times a factor."""

    def mutate(function):
        def mutated(*arguments):
            first, second = function(*arguments)
            return factor * first, second

        return mutated

    return mutate


MUTATIONS = [
    ("S0-01", implicit, "implicit_integrand", instead(lambda squared, divergence: squared + divergence), FAILS),
    ("S0-02", denoising, "printed_score_of_the_kernel", scaled(-1), HOLDS),
    ("S0-03", denoising, "printed_noise_std", instead(denoising.noise_std), HOLDS),
    ("S0-03", denoising, "noise_std", scaled(2), FAILS),
    ("S0-06", clocks, "printed_stationary_variance", instead(clocks.stationary_variance), HOLDS),
    ("S0-06", clocks, "stationary_variance", scaled(2), FAILS),
    ("S1-01", reversal, "fokker_planck", instead(lambda flux_slope, curvature: -flux_slope + curvature / 2), FAILS),
    ("S1-01", reversal, "reverse_drift", instead(lambda x, slope: x + slope), FAILS),
    ("S1-02", reversal, "tweedie", instead(lambda noisy, slope, sigma: noisy - sigma**2 * slope), FAILS),
    ("S1-04", reversal, "step_mean", instead(lambda x, frozen, h: h.exp() * x + torch.expm1(h) * frozen), FAILS),
    ("S1-04", reversal, "step_variance", scaled(2), FAILS),
    ("S3-05", clocks, "diffusion", scaled(2), FAILS),
    ("S3-06", denoising, "printed_conditional_score", scaled(-1), FAILS),
    ("S3-06", denoising, "noise_of", scaled(2), FAILS),
    ("S3-07", chain, "posterior_of_step", first_scaled(2), FAILS),
    ("S3-07", chain, "weight_of_noise", scaled(2), FAILS),
    ("S3-07", chain, "weight_of_means", scaled(0.5), FAILS),
    ("S3-08", chain, "printed_transition", instead(chain.transition), HOLDS),
    ("S3-08", chain, "transition", instead(chain.printed_transition), FAILS),
    ("S3-08", chain, "posterior_of_step", first_scaled(1.1), FAILS),
    ("S4-01", implicit, "ism_integrand", instead(lambda values, form: values.square().sum(-1) + form), FAILS),
    ("S4-01", implicit, "variance_of_a_form", scaled(2), FAILS),
    ("S4-02", denoising, "printed_dsm_integrand", instead(denoising.dsm_integrand), HOLDS),
    ("S4-02", denoising, "dsm_integrand", scaled(2), FAILS),
    ("S4-03", reversal, "reverse_sde_drift", scaled(-1), FAILS),
    ("S4-03", reversal, "reverse_step_mean", instead(lambda x, noise, std, dt, *_: x - dt * (noise / std - x)), FAILS),
]


@pytest.mark.parametrize(
    ("claim", "module", "name", "mutate", "verdict"),
    MUTATIONS,
    ids=[f"{claim}-{name}" for claim, _, name, *_ in MUTATIONS],
)
def test_a_wrong_formula_changes_the_verdict(monkeypatch, claim, module, name, mutate, verdict):
    monkeypatch.setattr(module, name, mutate(getattr(module, name)))
    assert judge(REGISTRY[claim].measure(Budget(quick=True, seed=0, claim=claim))) == verdict


def test_a_claim_of_two_misprints_needs_both_put_right(monkeypatch):
    """S3-07 has several printed formulas that are wrong: one of them right leaves the verdict."""
    monkeypatch.setattr(chain, "printed_clean_of_37", chain.clean_of_noise)
    budget = Budget(quick=True, seed=0, claim="S3-07")
    assert judge(REGISTRY["S3-07"].measure(budget)) == CORRECTED
    monkeypatch.setattr(chain, "printed_weight_of_36", chain.weight_of_means)
    monkeypatch.setattr(chain, "printed_sampling_mean", chain.mean_of_noise)
    assert judge(REGISTRY["S3-07"].measure(budget)) == HOLDS


# Rules for expectations over probes. --------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [implicit.rademacher_rule, implicit.gaussian_rule])
def test_probes_have_the_moments_of_their_law(rule):
    probes, weights = rule(3)
    fourth = 3.0 if rule is implicit.gaussian_rule else 1.0
    assert_close(weights.sum(), 1, rtol=1e-14)
    assert_close(probes.T @ (weights.unsqueeze(1) * probes), torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-14)
    assert_close(weights @ probes**4, torch.full((3,), fourth, dtype=torch.float64), rtol=1e-14)


@pytest.mark.parametrize("law", ["rademacher", "gaussian"])
def test_the_variance_of_a_form_is_that_of_draws(law):
    matrix, draws = normal(4, 4, seed=1), seeded(2)
    probes = torch.randn(200_000, 4, generator=draws, dtype=torch.float64)
    if law == "rademacher":
        probes = probes.sign()
    forms = ((probes @ matrix) * probes).sum(1)
    assert_close(forms.var(), implicit.variance_of_a_form(matrix, law), rtol=0.02)


# Laws on the line. --------------------------------------------------------------------------------------------------


def test_derivatives_by_autograd():
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    values = derivatives(lambda x: torch.sin(3 * x), x, 3)
    wanted = [(3 * x).sin(), 3 * (3 * x).cos(), -9 * (3 * x).sin(), -27 * (3 * x).cos()]
    for value, against in zip(values, wanted, strict=True):
        assert_close(value, against, rtol=1e-13, atol=1e-13)
        assert not value.requires_grad
    assert_close(derivatives(lambda x: 2.0 * x, x, 2)[2], torch.zeros_like(x), rtol=0)


def test_the_monotone_map_of_two_normal_laws_is_affine_also_in_the_tails():
    x = torch.linspace(-15, 17, 65, dtype=torch.float64)
    source, target = ProjectedLaw([1.0], [1.0], [2.0]), ProjectedLaw([1.0], [-3.0], [0.5])
    assert_close(monotone_map(source, target, x), -3 + 0.25 * (x - 1), rtol=1e-10, atol=1e-12)


def test_the_monotone_map_keeps_probabilities():
    x = torch.linspace(-5, 4, 31, dtype=torch.float64)
    target = MODES.noisy(2.0, 0.5)
    assert_close(target.cdf(monotone_map(MODES, target, x)), MODES.cdf(x), rtol=1e-10)


def test_noise_adds_variance():
    law = MODES.noisy(0.5, 2.0)
    assert_close(law.mean, 0.5 * MODES.mean, rtol=1e-14)
    assert_close(law.variance, 0.25 * MODES.variance + 2, rtol=1e-14)


def test_a_step_of_the_chain_moves_a_normal_law_to_a_normal_law():
    x, width = trapezoid(-9.0, 9.0, 361)
    pushed = push(normal_density(x - 1, 0.8), 0.9 * x + 0.2, 0.01, x)
    assert_close(pushed, normal_density(x - 1.1, 0.81 * 0.8 + 0.01), rtol=1e-11, atol=1e-13)
    assert_close(width * pushed.sum(), 1, rtol=1e-12)


def test_the_fokker_planck_solver_keeps_mass_and_is_of_second_order():
    """dx = -x dt + sqrt(2) dB from N(1, 0.3) is N(e^-t, 0.3 e^-2t + 1 - e^-2t)."""
    errors = []
    for cells in (201, 401, 801):
        x = torch.linspace(-9, 9, cells, dtype=torch.float64)
        start = normal_density(x - 1, 0.3)
        solved = solve_fokker_planck(start, lambda x, t: -x, 0.7, cells // 8, x)
        assert_close(solved.sum(), start.sum(), rtol=1e-12)
        exact = normal_density(x - math.exp(-0.7), 0.3 * math.exp(-1.4) - math.expm1(-1.4))
        errors.append(float((solved - exact).abs().max()))
    assert all(3.5 < coarse / fine < 4.5 for coarse, fine in itertools.pairwise(errors))


def test_a_drift_that_depends_on_time_moves_the_mean():
    """dx = cos(t) dt + sqrt(2) dB."""
    x = torch.linspace(-10, 10, 801, dtype=torch.float64)
    solved = solve_fokker_planck(normal_density(x, 0.5), lambda x, t: math.cos(t) * torch.ones_like(x), 1.0, 200, x)
    assert_close(0.025 * (x * solved).sum(), math.sin(1), rtol=1e-5)
    assert_close(solved, normal_density(x - math.sin(1), 2.5), rtol=0, atol=2e-5)
