"""Spins as a target: exact answers against the list of states, couplings, options, and what is refused."""

import math

import numpy
import pytest
import torch
from helpers import composed, normal, refused, seeded, with_values

import scorelab
from scorelab.channel import mix
from scorelab.errors import ConfigError, ScorelabError
from scorelab.lab.config import check
from scorelab.laws.spin_sums import all_states
from scorelab.targets import CurieWeiss, Ising
from scorelab.targets.ising import ferromagnet, hopfield, sherrington_kirkpatrick
from scorelab.theory import spins as theory

N = 7
#: a main job that takes a second
TINY = (
    *("training.N=64", "training.epochs=1", "training.batch_size=32", "sampler.count=64", "sampler.steps=8"),
    *("study.path_kl_angles=2", "study.path_kl_draws=8", "study.posterior_mean_draws=8", "study.floor_repeats=2"),
    *("study.trajectories=4", "figures.dpi=50", "threads=1"),
)


@pytest.fixture(scope="module")
def target():
    return Ising(sherrington_kirkpatrick(N, seeded(1)), 0.8, 0.2 * normal(N, seed=2))


def chances(target):
    x = all_states(target.n)
    return x, torch.softmax(0.5 * target.beta * ((x @ target.A) * x).sum(1) + x @ target.h, 0)


def test_the_exact_numbers_are_means_over_the_states(target):
    x, p = chances(target)
    assert torch.allclose(target.marginals(), p @ x, atol=1e-14)
    assert torch.allclose(target.correlations(), x.T @ (p.unsqueeze(1) * x), atol=1e-14)
    assert target.mean_energy() == pytest.approx(float(p @ target.energy(x)), abs=1e-13)
    assert target.entropy() == pytest.approx(float(-(p * p.log()).sum()), abs=1e-12)
    direction = target.direction
    law, along = target.projection(direction), x @ direction / direction.square().sum()
    assert law.mean == pytest.approx(float(p @ along), abs=1e-13)
    centred = x - p @ x
    across = centred - torch.outer(centred @ direction, direction) / direction.square().sum()
    assert target.orthogonal_variance(direction) == pytest.approx(float(p @ across.square().sum(1)) / (N - 1))


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2, 1.55])
def test_the_noisy_state_is_a_mixture_with_a_mode_at_each_state(target, angle):
    """The density, the score and the posterior against the mixture of 2^n Gaussians."""
    states, p = chances(target)
    sin, cos = math.sin(angle), math.cos(angle)
    x = mix(target.sample(6, seeded(3), torch.float64), normal(6, N, seed=4), angle).requires_grad_()
    logs = (
        p.log()
        - 0.5 * ((x.unsqueeze(1) - sin * states) / cos).square().sum(2)
        - N * math.log(cos * math.sqrt(2 * math.pi))
    )
    density, share = torch.logsumexp(logs, 1), torch.softmax(logs, 1).detach()
    (score,) = torch.autograd.grad(density.sum(), x)
    x = x.detach()
    assert torch.allclose(target.noisy_log_prob(x, angle), density, rtol=1e-12)
    assert torch.allclose(target.noisy_score(x, angle), score, rtol=1e-9, atol=1e-10)
    assert torch.allclose(target.posterior_mean(x, angle), share @ states, atol=1e-11)
    pairs = torch.einsum("bs,si,sj->bij", share, states, states)
    assert torch.allclose(target.posterior_pair_moments(x, angle), pairs, atol=1e-11)
    assert torch.equal(target.field(x, angle), x * sin / torch.tensor(cos, dtype=torch.float64) ** 2 + target.h)


def test_angles_of_each_sample_and_the_clean_end(target):
    angles = torch.tensor([0.0, 0.7, math.pi / 2], dtype=torch.float64)
    x = target.sample(3, seeded(5), torch.float64)
    each = torch.cat([target.posterior_mean(x[k : k + 1], float(angles[k])) for k in range(3)])
    assert torch.allclose(target.posterior_mean(x, angles), each, atol=1e-15)
    assert torch.equal(target.posterior_mean(x.float(), math.pi / 2), x.float())
    assert torch.equal(target.posterior_mean(0.1 * x, math.pi / 2), x)
    x[1, 0] = math.nan
    assert target.posterior_mean(x, 1.0).isnan().any(1).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="no density"):
        target.noisy_log_prob(x, math.pi / 2)


def test_the_bayes_risk_is_within_its_error_of_the_mean_squared_error(target):
    angles = torch.tensor([0.0, 0.6, 1.2], dtype=torch.float64)
    risk, error = target.bayes_risk_and_error(angles)
    assert float(risk[0]) == pytest.approx(N - float(target.marginals().square().sum()), abs=1e-12)
    clean, noise = target.sample(8000, seeded(6), torch.float64), normal(8000, N, seed=7)
    for k in (1, 2):
        squared = (clean - target.posterior_mean(mix(clean, noise, angles[k]), angles[k])).square().sum(1)
        spread = math.hypot(float(squared.std()) / math.sqrt(8000), float(error[k]))
        assert abs(float(squared.mean() - risk[k])) < 4 * spread


def test_draws_of_the_posterior_have_its_mean(target):
    x = mix(target.sample(1, seeded(8), torch.float64), normal(1, N, seed=9), 0.5).expand(4000, N)
    drawn = target.posterior_sample(x, 0.5, seeded(10))
    mean = target.posterior_mean(x[:1], 0.5)[0]
    assert bool(((drawn.mean(0) - mean).abs() < 4 * torch.sqrt((1 - mean**2) / 4000) + 1e-12).all())


def test_a_projection_with_noise_is_known_where_it_has_few_atoms():
    small, magnet = Ising(sherrington_kirkpatrick(8, seeded(1)), 0.5), Ising(ferromagnet(14), 0.5)
    assert small.can("noisy_projection")
    assert magnet.can("noisy_projection")
    assert not Ising(sherrington_kirkpatrick(12, seeded(1)), 0.5).can("noisy_projection")
    law = magnet.noisy_projection(magnet.direction, 0.6)
    exact = math.sin(0.6) ** 2 * magnet.projection(magnet.direction).variance + math.cos(0.6) ** 2 / 14
    assert law.variance == pytest.approx(exact, rel=1e-12)


def test_couplings_and_their_directions():
    A = sherrington_kirkpatrick(400, seeded(0))
    off, diagonal = A[torch.triu(torch.ones_like(A), 1) > 0], A.diagonal()
    assert float(off.var()) * 400 == pytest.approx(1, abs=4 * math.sqrt(2 / len(off)))
    assert float(diagonal.var()) * 400 == pytest.approx(2, abs=4 * 2 * math.sqrt(2 / 400))
    assert torch.equal(Ising(ferromagnet(6), 1.0).direction, torch.ones(6, dtype=torch.float64))
    assert torch.equal(Ising(torch.zeros(3, 3), 1.0).direction, torch.ones(3, dtype=torch.float64))
    one = hopfield(9, 1, seeded(3))
    direction = Ising(one, 1.0).direction
    assert torch.allclose(torch.outer(direction, direction) / 9, one, atol=1e-14)
    assert float(direction[0]) == 1.0


@pytest.mark.parametrize("beta", [0.0, 0.7, 5.0])
def test_the_ferromagnet_by_an_integral_is_that_by_sums(beta):
    n, angle = 9, 0.8
    field = 0.3 * normal(n, seed=1)
    sums, integral = Ising(ferromagnet(n), beta, field), CurieWeiss(n, beta, field)
    x = mix(sums.sample(5, seeded(2), torch.float64), normal(5, n, seed=3), angle)
    for name, given in (
        *(("marginals", ()), ("correlations", ()), ("log_partition", ()), ("log_partition", (x,))),
        *((name, (x, angle)) for name in ("posterior_mean", "posterior_pair_moments", "noisy_log_prob")),
        ("posterior_mean", (x, math.pi / 2)),
    ):
        one, other = getattr(sums, name)(*given), getattr(integral, name)(*given)
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-13), name
    assert integral.entropy() == pytest.approx(sums.entropy(), abs=1e-12)
    assert torch.allclose(
        integral.projection(integral.direction).weights, sums.projection(sums.direction).weights, atol=1e-14
    )
    assert torch.allclose(integral.posterior_risk(x, x, angle), sums.posterior_risk(x, x, angle), atol=1e-12)


def test_the_ferromagnet_of_many_spins():
    """The binomial law of the magnetization for n = 300, exact draws, and the limit as n grows."""
    n, beta, h = 300, 1.3, 0.01
    target = CurieWeiss(n, beta, h)
    up = torch.arange(n + 1, dtype=torch.float64)
    m = 2 * up / n - 1
    counted = math.lgamma(n + 1) - torch.lgamma(up + 1) - torch.lgamma(n - up + 1)
    logs = counted + n * (0.5 * beta * m.square() + h * m)
    law = target.projection(target.direction)
    assert torch.allclose(law.weights, torch.softmax(logs, 0), atol=1e-13)
    assert float(target.log_partition()) == pytest.approx(float(torch.logsumexp(logs, 0)), rel=1e-13)
    drawn = target.sample(4000, seeded(1), torch.float64).mean(1)
    for values, exact in ((drawn, law.mean), ((drawn - law.mean).square(), law.variance)):
        assert abs(float(values.mean()) - exact) < 4 * float(values.std()) / math.sqrt(4000)
    assert float(law.cdf(0.0)) < 0.02
    assert float(law.quantile(0.5)) == pytest.approx(theory.magnetization(beta, h), abs=0.02)
    assert target.can("posterior_mean", "projection", "orthogonal_variance", "noisy_projection")
    assert target.lacks("noisy_projection", "modes") == "the target has no modes"
    x = torch.sign(normal(2, n, seed=4))
    assert torch.equal(target.posterior_sample(x, math.pi / 2, seeded(0)), x)


def test_the_magnetization_solves_its_equation():
    for beta, h in ((0.5, -0.2), (1.5, 0.01), (1.0001, 0.0), (3.0, 0.0)):
        m = theory.magnetization(beta, h)
        assert m == pytest.approx(math.tanh(beta * m + h), abs=1e-12)
        assert m * (h or 1) > 0
    assert theory.magnetization(0.99) == 0.0


def test_what_is_known_of_sk_as_n_grows():
    """Means over disorder at n = 18, beta = 0.4: the finite-size corrections are of the order of 1/n."""
    beta, energies, free, overlaps = 0.4, [], [], []
    for seed in range(40):
        target = Ising(sherrington_kirkpatrick(18, seeded(seed)), beta)
        energies.append(target.mean_energy())
        free.append(float(target.log_partition()) / 18)
        overlaps.append(float(target.correlations().square().sum()) / 18)
    for values, limit in (
        (energies, theory.sk_energy(beta)),
        (free, theory.sk_free_energy(beta)),
        (overlaps, theory.sk_overlap(beta)),
    ):
        error = numpy.std(values, ddof=1) / math.sqrt(len(values))
        assert abs(numpy.mean(values) - limit) < 4 * error + 0.5 * limit / 18
    assert theory.sk_energy(1.2) is None
    assert theory.sk_overlap(1.0) is None


def test_more_spins_give_up_what_needs_the_sums_and_say_so():
    target = Ising(sherrington_kirkpatrick(30, seeded(0)), 0.5)
    why = "n = 30: exact sums over the 2^n states are made up to n = 22"
    for name in ("posterior_mean", "density", "score", "projection", "bayes_risk", "signal_risk"):
        assert target.lacks(name) == why
    assert target.lacks("modes") == "the target has no modes"
    assert Ising(ferromagnet(5), 1.0).lacks("score") == "the target has atoms, and no score where there is no noise"
    assert target.can("direction")
    assert target.energy(torch.ones(2, 30)).shape == (2,)
    for ask in (
        lambda: target.sample(3, seeded(0)),
        target.marginals,
        lambda: target.posterior_mean(torch.ones(1, 30), 1.0),
    ):
        with pytest.raises(ScorelabError) as found:
            ask()
        assert str(found.value) == why


@pytest.mark.parametrize("denoiser", ["exact", "velocity"])
def test_a_run_with_too_many_spins_ends_before_anything_is_trained(denoiser, tmp_path):
    said = refused(
        ScorelabError, scorelab.run, ["target=ising", "target.n=30", f"denoiser={denoiser}"], tmp_path / "run"
    )
    assert "n = 30: exact sums over the 2^n states are made up to n = 22" in said
    assert "\n" not in said
    assert not (tmp_path / "run" / "training.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([[0.0, 1.0], [0.5, 0.0]], 1.0), r"A is not symmetric: A\[0, 1\] = 1, A\[1, 0\] = 0.5"),
        (([[0.0, math.nan], [math.nan, 0.0]], 1.0), "A: a matrix of finite numbers"),
        (([[0.0, 1.0]], 1.0), r"A has shape \(1, 2\)"),
        (([[0.0, 1.0], [1.0, 0.0]], -0.1), "beta = -0.1: a finite number >= 0"),
        (([[0.0, 1.0], [1.0, 0.0]], 1.0, [0.0, 0.0, 1.0]), r"h has shape \(3,\)"),
        (([[0.0, 1.0], [1.0, 0.0]], 1.0, math.inf), "h: finite numbers"),
    ],
)
def test_wrong_input_is_one_line_that_names_the_key(arguments, said):
    with pytest.raises(ValueError, match=said):
        Ising(*arguments)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("target.beta=-1", "target.beta = -1: allowed is a number >= 0"),
        ("target.couplings=spin", "target.couplings = spin: must be"),
        ("target.couplings=matrix", "target.matrix = null: couplings = matrix needs n rows of n numbers"),
        ("target.matrix=[[0,1],[2,0]]", "entry (0, 1) is 1, entry (1, 0) is 2: a symmetric matrix is needed"),
        ("target.matrix=[[0,nan],[nan,0]]", "allowed are a number, or a list of n numbers"),
        ("target.matrix=[[0,1]]", "row 0 has 2 numbers, and there are 1 rows"),
        ("target.matrix=couplings.npy", "allowed is a list of n rows of n numbers"),
        ("target.field=[1,2]", "target.field has 2 entries, n = 12"),
        ("target.disorder_seed=-1", "target.disorder_seed = -1"),
    ],
)
def test_wrong_options_are_one_line(given, said):
    data = with_values()
    data["target"] = composed("target=ising")["target"]
    key, value = given.removeprefix("target.").split("=")
    data["target"][key] = torch.nan if value == "nan" else _value(value)
    assert said in refused(ConfigError, check, data)


def _value(text):
    import yaml

    return yaml.safe_load(text.replace("nan", ".nan"))


def built(*overrides, seed=0):
    return check(composed("target=ising", *overrides))["target"].build(generator=seeded(seed))


def test_options_make_the_couplings():
    assert torch.equal(built().A, built(seed=5).A)  # the seed of the run changes no disorder
    assert not torch.equal(built().A, built("target.disorder_seed=1").A)
    assert torch.equal(
        built("target.couplings=ferromagnet", "target.n=3").A, torch.full((3, 3), 1 / 3, dtype=torch.float64)
    )
    pattern = built("target.couplings=hopfield", "target.patterns=1", "target.n=5").A
    assert int(torch.linalg.matrix_rank(pattern)) == 1
    given = built("target.couplings=matrix", "target.n=2", "target.matrix=[[0,2],[2,1]]", "target.field=[0.5,0]")
    assert given.A.tolist() == [[0, 2], [2, 1]]
    assert given.h.tolist() == [0.5, 0]


def test_a_matrix_of_a_file_is_read_when_it_is_asked_for_and_kept_in_the_run(tmp_path, monkeypatch, undrawn):
    monkeypatch.chdir(tmp_path)
    numpy.save("couplings.npy", numpy.array([[0, 1], [1, 0]], dtype=numpy.float32))
    asked = ["target=ising", "target.couplings=matrix", "target.n=2", "denoiser=exact", *TINY]
    result = scorelab.run([*asked, "target.matrix=${npy:couplings.npy}"], tmp_path / "run")
    (tmp_path / "couplings.npy").unlink()
    again = scorelab.load(tmp_path / "run")
    assert torch.equal(again.target.A, result.target.A)
    assert again.target.A.tolist() == [[0, 1], [1, 0]]
    saved = tmp_path / "run" / "config.yaml"
    text = saved.read_text()
    saved.write_text(
        text[: text.index("  matrix:")] + "  matrix: ${npy:couplings.npy}\n" + text[text.index("  field:") :]
    )
    assert "allowed is a list of n rows" in refused(ScorelabError, scorelab.load, tmp_path / "run")
    numpy.save("objects.npy", numpy.array([{}], dtype=object), allow_pickle=True)
    for name, said in (("none.npy", "No such file"), ("objects.npy", "a file of numbers in the npy format is needed")):
        told = refused(ConfigError, scorelab.run, [*asked, f"target.matrix=${{npy:{name}}}"], tmp_path / "other")
        assert said in told
        assert told.startswith(name)


def test_a_network_learns_spins_and_what_cannot_be_measured_is_named(tmp_path, undrawn):
    result = scorelab.run(["target=ising", "target.n=6", "denoiser=relu", "denoiser.m=8", *TINY], tmp_path / "run")
    missing = result.metrics["not_measured"]
    assert missing["projection.mode_weight"] == "the target has no modes"
    assert {"w1", "ks", "w1_floor"} <= result.metrics["projection"].keys()
    assert result.metrics["training"]["bayes_risk"] > 0
    assert {"projection", "trajectories", "laws"} <= result.arrays.keys()
