"""Sums over all states by matrix products, against a softmax over the listed states."""

import math

import pytest
import torch
from helpers import normal, seeded

from scorelab.errors import ScorelabError
from scorelab.laws import spin_sums
from scorelab.laws.atoms import Atoms
from scorelab.laws.spin_sums import SPINS, SpinSums, all_states, largest_n

THREE = (-1.5, 0.0, 1.5)
INF = math.inf


def symmetric(n, seed):
    noise = normal(n, n, seed=seed)
    return noise + noise.T


class Listed:
    """The same law from the list of its states, with the logarithms (states,) of the weights."""

    def __init__(self, log_weights, states):
        self.log_weights, self.states = log_weights, states

    def __call__(self, field):
        logs = self.log_weights + self.states @ field
        chances = torch.softmax(logs, 0)
        mean = chances @ self.states
        return {
            "log_partition": torch.logsumexp(logs, 0),
            "means": mean,
            "pair_moments": self.states.T @ (chances.unsqueeze(1) * self.states),
            "entropy": -torch.special.xlogy(chances, chances).sum(),
        }


def pair(n, alphabet, scale=1.0, seed=0):
    matrix, field, states = scale * symmetric(n, seed), scale * normal(n, seed=seed + 1), all_states(n, alphabet)
    log_weights = 0.5 * ((states @ matrix) * states).sum(1) + states @ field
    return SpinSums.quadratic(matrix, field, alphabet), Listed(log_weights, states)


def largest_error(sums, listed, fields):
    errors = {}
    for k, field in enumerate(fields):
        for name, exact in listed(field).items():
            error = float((getattr(sums, name)(fields)[k] - exact).abs().max() / exact.abs().max().clamp_min(1))
            errors[name] = max(error, errors.get(name, 0.0))
    return max(errors.values())


@pytest.mark.parametrize("alphabet", [SPINS, THREE], ids=["spins", "three letters"])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sums_are_those_over_the_list_of_states(n, alphabet):
    sums, listed = pair(n, alphabet)
    assert largest_error(sums, listed, 2 * normal(6, n, seed=3)) < 1e-13
    assert torch.equal(sums.states(), listed.states)


def test_sums_that_would_underflow_are_made_from_logarithms(monkeypatch):
    """With weights from exp(-3000) to 1 and fields that ask for the least of them no digit is lost."""
    sums, listed = pair(7, SPINS, scale=300.0)
    fields = torch.cat(
        [-listed.states[listed.log_weights.argmax()] * torch.tensor([[900.0], [2000.0]]), normal(2, 7, seed=1)]
    )
    assert largest_error(sums, listed, fields) < 1e-12
    made, original = [], SpinSums._from_logarithms
    monkeypatch.setattr(SpinSums, "_from_logarithms", lambda *given: made.append(given) or original(*given))
    sums.means(fields)
    assert len(made) == 2  # the others are made by the quick way, in the same batch


def test_a_batch_in_blocks_is_the_batch(monkeypatch):
    sums, _ = pair(8, SPINS)
    fields = normal(50, 8, seed=2)
    whole = [sums.means(fields), sums.pair_moments(fields), sums.expectation(lambda x: x.prod(1), fields)]
    monkeypatch.setattr(spin_sums, "_BLOCK", 256)
    parts = [sums.means(fields), sums.pair_moments(fields), sums.expectation(lambda x: x.prod(1), fields)]
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-15)


def test_any_expectation_by_a_function_or_by_a_table():
    sums, listed = pair(6, THREE)
    fields = normal(3, 6, seed=5)
    chances = torch.softmax(listed.log_weights + fields @ listed.states.T, 1)

    def function(x):
        return torch.stack([x.abs().sum(1), x[:, 0] * x[:, 3] ** 2], 1)

    exact = chances @ function(listed.states)
    assert torch.allclose(sums.expectation(function, fields), exact, atol=1e-13)
    assert torch.allclose(sums.expectation(function(listed.states)[:, 0], fields), exact[:, 0], atol=1e-13)


def test_infinite_fields_and_excluded_letters_condition():
    sums, listed = pair(6, THREE)
    field = normal(6, seed=6)
    field[1], field[4] = INF, -INF
    left = (listed.states[:, 1] == 1.5) & (listed.states[:, 4] == -1.5)
    chances = torch.softmax(torch.where(left, listed.log_weights + listed.states @ field.nan_to_num(0, 0, 0), -INF), 0)
    assert torch.allclose(sums.means(field)[0], chances @ listed.states, atol=1e-14)
    share = torch.softmax(listed.log_weights, 0)[left].sum().log()
    only = torch.zeros(6).index_fill(0, torch.tensor(1), INF).index_fill(0, torch.tensor(4), -INF)
    assert float(sums.log_partition(only) - sums.log_partition()) == pytest.approx(float(share), abs=1e-13)
    table = torch.zeros(1, 6, 3)
    table[0, 2, 1] = -INF  # the second coordinate of the second half is not 0
    chances = torch.softmax(torch.where(listed.states[:, 2] != 0, listed.log_weights, -INF), 0)
    assert torch.allclose(
        sums.marginals(table)[0, 2], torch.stack([chances[listed.states[:, 2] == a].sum() for a in THREE])
    )
    assert sums.sample(200, seeded(1), only)[:, 1].unique().tolist() == [1.5]
    assert float(sums.entropy(only)) == pytest.approx(
        Listed(listed.log_weights, listed.states)(1e9 * only.sign().double())["entropy"]
    )


def test_a_variance_keeps_its_digits_near_saturation():
    """For independent spins 1 - m^2 is 1/cosh^2, also where m rounds to 1."""
    field = torch.tensor([0.3, 5.0, 40.0, 300.0], dtype=torch.float64)
    _, variance = SpinSums.quadratic(torch.zeros(4, 4), field).means_and_variances()
    exact = 4 * torch.exp(-2 * field) / (1 + torch.exp(-2 * field)) ** 2
    assert torch.allclose(variance[0], exact, rtol=1e-13, atol=0)


@pytest.mark.parametrize("tilt", ["none", "one", "each"])
def test_draws_have_the_law(tilt):
    """The frequency of each of the 16 states, by four standard errors, which a chi-squared statistic sums up."""
    sums, listed = pair(4, SPINS)
    count = 20_000
    field = normal(4, seed=9)
    given = {"none": None, "one": field, "each": field.expand(count, 4)}[tilt]
    logs = listed.log_weights + (0 if tilt == "none" else listed.states @ field)
    drawn = ((sums.sample(count, seeded(4), given) > 0).long() @ torch.tensor([8, 4, 2, 1])).bincount(minlength=16)
    expected = count * torch.softmax(logs, 0)
    seen = expected > 5
    statistic = float(((drawn - expected) ** 2 / expected)[seen].sum())
    assert abs(statistic - int(seen.sum()) + 1) < 4 * math.sqrt(2 * int(seen.sum()))


def test_a_quadratic_tilt_is_another_law_of_the_same_kind():
    matrix, tilt = symmetric(7, 1), symmetric(7, 2)
    one = SpinSums.quadratic(matrix).tilted(tilt, torch.ones(7))
    other = SpinSums.quadratic(matrix - tilt, torch.ones(7))
    assert torch.allclose(one.log_weights, other.log_weights, atol=1e-13)


def test_the_law_of_a_projection_merges_equal_values():
    sums, listed = pair(9, SPINS)
    law = sums.projection(torch.full((9,), 0.1, dtype=torch.float64))
    assert len(law.values) == 10
    values = listed.states.sum(1) * 0.1
    chances = torch.softmax(listed.log_weights, 0)
    assert torch.allclose(law.weights, torch.stack([chances[(values - v).abs() < 1e-9].sum() for v in law.values]))
    assert law.mean == pytest.approx(float(chances @ values), abs=1e-13)
    assert len(sums.projection(normal(9, seed=1)).values) == 512


def test_too_many_states_are_refused_in_one_line():
    assert (largest_n(2), largest_n(3)) == (22, 13)
    with pytest.raises(ScorelabError, match=r"^n = 23: exact sums over the 2\^n states are made up to n = 22$"):
        SpinSums.quadratic(torch.zeros(23, 23))
    with pytest.raises(ValueError, match="leaves no state"):
        SpinSums(torch.tensor([0.0, -INF]), 1).means(torch.tensor([[INF]]))
    with pytest.raises(ValueError, match="one draw of each law"):
        SpinSums.quadratic(torch.zeros(2, 2)).sample(3, seeded(0), torch.zeros(2, 2))


def test_atoms_have_the_functions_of_a_law():
    """Against sums over the atoms; rounding of a point does not lose its atom."""
    values, weights = torch.tensor([0.3, -1.0, 0.1 + 0.2]), torch.tensor([1.0, 2.0, 1.0])
    law = Atoms(values.double(), weights, rounding=1e-6)
    assert len(law.values) == 2
    x = torch.tensor([-2.0, -1.0, 0.0, 0.3, 1.0], dtype=torch.float64)
    atoms, chances = torch.tensor([-1.0, 0.3]).double(), torch.tensor([0.5, 0.5]).double()
    below = (x.unsqueeze(1) - atoms).clamp_min(0) @ chances
    above = (atoms - x.unsqueeze(1)).clamp_min(0) @ chances
    assert law.cdf(x).tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert law.cdf(-1.0 - 1e-9) == 0.5
    assert torch.allclose(law.integrated_cdf(x), below, atol=1e-7)
    assert torch.allclose(law.integrated_survival(x), above, atol=1e-7)
    assert law.quantile([0.2, 0.5, 0.6]).tolist() == pytest.approx([-1.0, -1.0, 0.3])
    assert law.variance == pytest.approx(0.65**2)
    assert law.noisy(2.0, 0.1).mean == pytest.approx(2 * law.mean)
    assert float((law.sample(4000, seeded(0)) > 0).double().mean()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(4000))
