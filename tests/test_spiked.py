"""Spiked models: Bayes' rule from the entries of A, exact posteriors for three priors, and their limits."""

import math

import pytest
import torch
from helpers import composed, normal, refused, seeded, with_values

import scorelab
from scorelab.channel import mix
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.config import check
from scorelab.laws.spin_sums import all_states
from scorelab.quadrature import gauss_legendre, product_rule
from scorelab.targets import SpikedModel
from scorelab.targets.priors import Gaussian, Rademacher, SparseRademacher, prior_named

PRIORS = [Rademacher(), SparseRademacher(0.3), Gaussian()]
NAMES = [prior.name for prior in PRIORS]


def nodes(prior, n):
    """Values (nodes, n) of a vector and the logarithms of their weights under the prior: a list, or quadrature."""
    if prior.alphabet is not None:
        letters, chances = (torch.tensor(each, dtype=torch.float64) for each in (prior.alphabet, prior.log_weights))
        states = all_states(n, prior.alphabet)
        return states, chances[torch.searchsorted(letters, states)].sum(1)
    x, weights = product_rule(*gauss_legendre(-9, 9, 250), n)
    return x, weights.log() - 0.5 * x.square().sum(1) - 0.5 * n * math.log(2 * math.pi)


def log_density_of_entries(A, x, strength):
    """log of the density of A given theta = x (points, n), from its independent entries on and above the diagonal."""
    n = len(A)
    rows, columns = torch.triu_indices(n, n)
    spread = torch.sqrt(torch.where(rows == columns, 2.0, 1.0).double() / n)
    return (
        torch.distributions.Normal(strength / n * x[:, rows] * x[:, columns], spread).log_prob(A[rows, columns]).sum(1)
    )


@pytest.mark.parametrize("prior", PRIORS, ids=NAMES)
@pytest.mark.parametrize("strength", [0.6, 2.5])
def test_the_posterior_is_that_of_bayes_rule(prior, strength):
    n = 2 if prior.alphabet is None else 5
    target = SpikedModel.draw(n, strength, prior, seeded(1))
    x, logs = nodes(prior, n)
    logs = logs + log_density_of_entries(target.A, x, strength)
    none = log_density_of_entries(target.A, torch.zeros(1, n, dtype=torch.float64), 0.0)
    assert float(target.log_partition()) == pytest.approx(float(torch.logsumexp(logs, 0) - none), abs=1e-11)
    chances = torch.softmax(logs, 0)
    assert torch.allclose(target.correlations(), x.T @ (chances.unsqueeze(1) * x), atol=1e-11)
    for angle in (0.0, 0.5, 1.2):
        noisy = 1.5 * normal(5, n, seed=2)
        far = ((noisy.unsqueeze(1) - math.sin(angle) * x) / math.cos(angle)).square().sum(2)
        joint = logs - 0.5 * far - n * math.log(math.cos(angle) * math.sqrt(2 * math.pi))
        share = torch.softmax(joint, 1)
        assert torch.allclose(target.posterior_mean(noisy, angle), share @ x, atol=1e-10)
        pairs = torch.einsum("bs,si,sj->bij", share, x, x)
        assert torch.allclose(target.posterior_pair_moments(noisy, angle), pairs, atol=1e-10)
        exact = torch.logsumexp(joint, 1) - torch.logsumexp(logs, 0)
        assert torch.allclose(target.noisy_log_prob(noisy, angle), exact, atol=1e-10)


@pytest.mark.parametrize("prior", PRIORS, ids=NAMES)
def test_the_score_is_the_derivative_of_the_density_and_the_risk_that_of_the_mean(prior):
    target = SpikedModel.draw(6, 1.5, prior, seeded(3))
    clean = target.sample(4000, seeded(4), torch.float64)
    x = mix(clean, normal(4000, 6, seed=5), 0.7)
    few = x[:5].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(target.noisy_log_prob(few, 0.7).sum(), few)
    assert torch.allclose(target.noisy_score(x[:5], 0.7), gradient, atol=1e-10)
    squared = (clean - target.posterior_mean(x, 0.7)).square().sum(1)
    risk, error = target.bayes_risk_and_error(0.7)
    assert abs(float(squared.mean() - risk)) < 4 * math.hypot(float(squared.std()) / math.sqrt(4000), float(error))
    assert torch.equal(target.posterior_mean(clean[:3].float(), math.pi / 2).double(), clean[:3].float().double())


def test_the_gaussian_density_and_its_score_reach_the_clean_end():
    target = SpikedModel.draw(5, 2.0, "gaussian", seeded(6))
    x = normal(4, 5, seed=7).requires_grad_()
    quartic = target.strength**2 / 20 * x.square().sum(1) ** 2
    form = ((x @ target.A) * x).sum(1)
    exact = 0.5 * target.strength * form - quartic - 0.5 * x.square().sum(1) - 2.5 * math.log(2 * math.pi)
    (score,) = torch.autograd.grad(exact.sum(), x)
    x = x.detach()
    assert torch.allclose(target.noisy_log_prob(x, math.pi / 2), (exact - target.log_partition()).detach(), atol=1e-11)
    assert torch.allclose(target.noisy_score(x, math.pi / 2), score, atol=1e-11)
    assert torch.allclose(target.noisy_score(x, math.pi / 2 - 1e-6), score, atol=1e-4)


@pytest.mark.parametrize(("n", "strength"), [(30, 0.0), (30, 1.0), (30, 3.0)])
def test_the_gaussian_integral_agrees_with_exact_draws_in_many_dimensions(n, strength):
    """The second moments in the eigenbasis of A, and importance sampling of the posterior with the draws."""
    target = SpikedModel.draw(n, strength, "gaussian", seeded(8))
    draws = target.sample(20_000, seeded(9), torch.float64)
    squares = (draws @ target.basis).square()
    exact = (target.basis.T @ target.correlations() @ target.basis).diagonal()
    error = squares.std(0) / math.sqrt(len(draws))
    assert bool(((squares.mean(0) - exact).abs() < 4.5 * error).all())
    x = mix(draws[:2], normal(2, n, seed=10), 0.25)
    share = torch.softmax(-0.5 * ((x.unsqueeze(1) - math.sin(0.25) * draws) / math.cos(0.25)).square().sum(2), 1)
    mean = share @ draws
    spread = torch.sqrt((share.unsqueeze(2) ** 2 * (draws - mean.unsqueeze(1)) ** 2).sum(1))
    assert bool(((target.posterior_mean(x, 0.25) - mean).abs() < 5 * spread).all())


def test_a_gaussian_spike_without_strength_is_the_prior():
    target, x = SpikedModel.draw(4, 0.0, "gaussian", seeded(1)), normal(3, 4, seed=2)
    assert torch.allclose(target.posterior_mean(x, 0.6), math.sin(0.6) * x, atol=1e-15)
    assert torch.allclose(target.noisy_score(x, 0.6), -x, atol=1e-15)
    assert float(target.bayes_risk(0.6)) == pytest.approx(4 * math.cos(0.6) ** 2)
    exact = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    assert torch.allclose(target.noisy_log_prob(x, 0.6), exact, atol=1e-14)


# Priors. ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", PRIORS, ids=NAMES)
def test_a_prior_knows_its_tilts(prior):
    """Means, variances and normalisations against sums or quadrature; the variance is the derivative of the mean."""
    field = torch.linspace(-4, 4, 9, dtype=torch.float64).requires_grad_()
    x, logs = nodes(prior, 1)
    logs = logs + field.detach().unsqueeze(1) * x[:, 0] - 0.35 * x[:, 0] ** 2
    share = torch.softmax(logs, 1)
    mean = (share @ x)[:, 0]
    assert torch.allclose(prior.mean(field, 0.7), mean, atol=1e-12)
    assert torch.allclose(prior.log_partition(field, 0.7), torch.logsumexp(logs, 1), atol=1e-12)
    assert torch.allclose(prior.variance(field, 0.7), (share @ x**2)[:, 0] - mean**2, atol=1e-12)
    (slope,) = torch.autograd.grad(prior.mean(field, 0.7).sum(), field)
    assert torch.allclose(slope, prior.variance(field, 0.7), rtol=1e-9, atol=1e-12)
    drawn = prior.sample((200_000,), seeded(1))
    assert abs(float(drawn.mean())) < 4 / math.sqrt(200_000)
    assert abs(float((drawn**2).mean()) - 1) < 4 * float((drawn**2).std()) / math.sqrt(200_000) + 1e-12
    assert prior.mean(torch.zeros(2), 1.0).dtype == torch.float32


def test_overlaps_solve_their_equations():
    assert Gaussian().bayes_overlap(1.7) == pytest.approx(1 - 1.7**-2, abs=1e-12)
    assert all(prior.bayes_overlap(0.98) == 0 for prior in PRIORS)
    q = Rademacher().bayes_overlap(1.4)
    noise = normal(1_000_000, seed=1)
    tanh = torch.tanh(1.96 * q + 1.4 * math.sqrt(q) * noise)
    assert abs(float(tanh.square().mean()) - q) < 4 * float(tanh.square().std()) / 1000
    assert abs(float(tanh.mean()) - q) < 4 * float(tanh.std()) / 1000


def test_a_very_sparse_spike_is_found_before_the_spectral_threshold():
    """Of three solutions the one of largest potential counts: a first-order transition, below strength 1."""
    prior = SparseRademacher(0.03)
    assert len(prior.overlaps(0.95)) == 3
    assert prior.bayes_overlap(0.95) > 0.9
    assert prior.bayes_overlap(0.5) == 0
    slope = (prior.potential(0.5 + 1e-5, 0.9) - prior.potential(0.5 - 1e-5, 0.9)) / 2e-5
    assert float(slope) == pytest.approx(0.5 * 0.9**2 * float(prior.next_overlap(0.9**2 * 0.5) - 0.5), abs=1e-8)


# The model. ---------------------------------------------------------------------------------------------------------


def test_the_spectral_estimator_has_its_overlap():
    """(1 - 1/strength^2) up to corrections of the order of n^(-1/2), means over 20 matrices."""
    found = []
    for seed in range(20):
        target = SpikedModel.draw(500, 1.8, "rademacher", seeded(seed))
        found.append(float(target.overlap(target.spectral_estimator().unsqueeze(0))) ** 2)
    assert sum(found) / 20 == pytest.approx(target.spectral_overlap(), abs=0.03)
    assert SpikedModel.draw(5, 0.9, "gaussian", seeded(0)).spectral_overlap() == 0
    assert target.bayes_overlap() > target.spectral_overlap()


def test_exact_overlaps_of_small_models_are_calibrated():
    """Nishimori: the overlaps of a draw with theta and of two draws have one mean, over theta and A."""
    gaps = []
    for seed in range(300):
        target = SpikedModel.draw(6, 1.5, SparseRademacher(0.5), seeded(seed))
        moments = target.correlations()
        with_theta = float(target.theta @ moments @ target.theta) / 36
        gaps.append(with_theta - float(moments.square().sum()) / 36)
    gaps = torch.tensor(gaps)
    assert abs(float(gaps.mean())) < 4 * float(gaps.std()) / math.sqrt(len(gaps))


def test_too_many_coordinates_give_up_the_sums_but_not_the_integral():
    sparse = SpikedModel.draw(14, 1.0, SparseRademacher(0.2), seeded(0))
    assert sparse.lacks("posterior_mean") == "n = 14: exact sums over the 3^n states are made up to n = 13"
    with pytest.raises(ScorelabError, match="up to n = 22"):
        SpikedModel.draw(23, 1.0, "rademacher", seeded(0)).marginals()
    large = SpikedModel.draw(60, 1.5, "gaussian", seeded(0))
    assert large.can("posterior_mean", "density", "score", "bayes_risk", "orthogonal_variance")
    assert large.lacks("projection") == "the law of the target's projection is not known"


def test_wrong_input_is_one_line_that_names_the_key():
    A = torch.eye(2)
    for make, said in (
        (lambda: SpikedModel(A, -1.0), "strength = -1: a finite number >= 0"),
        (
            lambda: SpikedModel(A, 1.0, "uniform"),
            "prior = uniform: allowed are rademacher, sparse_rademacher, gaussian",
        ),
        (lambda: SpikedModel(A, 1.0, theta=[1.0]), "theta: 2 finite numbers"),
        (lambda: SpikedModel([[0.0, 1.0], [2.0, 0.0]], 1.0, "gaussian"), "A is not symmetric"),
        (lambda: prior_named("sparse_rademacher", 1.5), "sparsity = 1.5: a number strictly between 0 and 1"),
        (lambda: SpikedModel(A, 1.0).overlap(A), "theta: the planted vector is needed"),
    ):
        with pytest.raises(ValueError, match=said):
            make()
    data = with_values()
    data["target"] = composed("target=spiked")["target"] | {"strength": -1}
    assert refused(ConfigError, check, data) == "target.strength = -1: allowed is a number >= 0"


@pytest.mark.parametrize("target", ["z2_synchronization", "spiked"])
def test_a_run_of_the_exact_posterior(target, tmp_path, undrawn):
    tiny = ("sampler.count=64", "sampler.steps=8", "study.path_kl_angles=2", "study.path_kl_draws=8", "threads=1")
    tiny += ("study.posterior_mean_draws=8", "study.floor_repeats=2", "study.trajectories=4", "denoiser=exact")
    asked = [f"target={target}", "target.n=5", *tiny]
    result = scorelab.run(asked, tmp_path / "run")
    assert result.metrics["path_kl"]["total"] == 0
    assert torch.equal(result.target.theta, scorelab.run([*asked, "seed=7"], tmp_path / "other").target.theta)
    assert ("projection.w1" in result.metrics["not_measured"]) == (target == "spiked")
