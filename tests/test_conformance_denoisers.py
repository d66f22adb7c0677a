"""Conformance of denoisers: exact ones pass in every convention, and each planted fault is named."""

import json
import math
import re

import pytest
import torch

from scorelab.conformance import check_denoiser, model_of
from scorelab.conformance.laws import mixture
from scorelab.denoisers import Convention, ExactDenoiser
from scorelab.errors import ScorelabError
from scorelab.schedules import DDPM
from scorelab.targets import GaussianMixture

TARGET = mixture()
CHAIN = DDPM(grid="native", timesteps=1000, beta="linear", beta_min=1e-4, beta_max=0.02)
SHORT = DDPM(grid="native", timesteps=20, beta="linear", beta_min=1e-4, beta_max=0.5)


def exact(x, angle):
    return TARGET.posterior_mean(x, angle)


def noise(x, angle):
    """The noise, in the place of the posterior mean."""
    return (x - math.sin(angle) * exact(x, angle)) / max(math.cos(angle), 1e-9)


def rounded(x, angle):
    return exact(x, angle).half().to(x)


def normalised(x, angle):
    """As batch normalisation in training mode does it."""
    return exact(x - 0.1 * (x.mean(0) - 0.5), angle)


def dropped(x, angle):
    return torch.nn.functional.dropout(exact(x, angle), 0.1)


def written(x, angle):
    answer = exact(x, angle)
    x.sub_(answer)
    return answer


def detached(x, angle):
    """One factor of the answer is taken out of the graph."""
    return exact(x.detach(), angle) + 0.1 * x - 0.1 * x.detach()


FAULTS = {
    "noise for mean": (noise, "convention", r"fits Convention\('noise', state='angle', time='angle'\)"),
    "sign": (lambda x, angle: -exact(x, angle), "convention", "fits minus Convention.'posterior_mean'"),
    "negative derivative": (lambda x, angle: -exact(x, angle), "symmetry", "trace is negative"),
    "scale": (lambda x, angle: 1.05 * exact(x, angle), "error", "0.0025"),
    "time of the next step": (lambda x, angle: exact(x, min(angle + 0.05, 1.57)), "error", "relative error"),
    "float16 inside": (rounded, "precision", "few digits"),
    "batch normalisation": (normalised, "batch", "depend on the other states"),
    "dropout left on": (dropped, "deterministic", "dropout"),
    "written to": (written, "inputs", "writes to its x"),
    "constant": (lambda x, angle: 0 * x, "error", "relative error"),
    "detached": (detached, "derivative", "apart"),
    "detached, in the mean": (detached, "stein", "is not"),
    "in steps": (lambda x, angle: (8 * exact(x, angle)).round() / 8, "precision", "in steps"),
    "shifted": (lambda x, angle: exact(x, angle) + 0.3, "mean", "off by"),
    "another shape": (lambda x, angle: exact(x, angle)[:, :2], "shape", r"shape \(2, 2\)"),
    "single precision always": (lambda x, angle: exact(x, angle).float(), "dtype", "float64 gives float32"),
    "divided by 0": (lambda x, angle: exact(x, angle) * (x[:1, :1] * 0 + angle) / angle, "ends", "at 0 rad"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_by_the_property_that_it_breaks(fault):
    denoiser, name, says = FAULTS[fault]
    report = check_denoiser(denoiser, target=TARGET, tolerance=1e-3, count=1000, only=(name, "shape"))
    assert name in report.failures, report
    assert re.search(says, report[name].measured), report


@pytest.mark.parametrize(
    "convention",
    [
        None,
        Convention("eps", state="scaled", time="sigma"),
        Convention("v"),
        Convention("score", state="localization", time="t"),
        Convention("velocity", time="log_snr"),
        Convention("x0", state="schedule", time="schedule", schedule=CHAIN),
    ],
)
def test_the_exact_posterior_mean_passes_in_every_convention(convention):
    denoiser = ExactDenoiser(TARGET) if convention is None else model_of(exact, convention)
    report = check_denoiser(denoiser, target=TARGET, convention=convention, tolerance=1e-6, count=500)
    assert report.passed, report
    assert abs(report["path_kl"].numbers["path_kl"]) < 1e-6
    slopes = report["lipschitz"].numbers
    assert slopes["slope"] == pytest.approx(slopes["exact"], rel=1e-5)
    assert json.loads(report.to_json())["curves"][0].keys() >= {"angle", "relative_error", "slope", "exact_slope"}


def test_a_chain_that_is_a_step_ahead_is_said_to_be_one():
    convention = Convention("eps", time="timestep", schedule=SHORT)
    model = model_of(exact, convention)
    right, late = (
        check_denoiser(
            lambda state, time, by=by: model(state, (time + by).clamp_max(19)),
            target=TARGET, convention=convention, count=500, only="convention",
        )
        for by in (0, 1)
    )  # fmt: skip
    assert right.passed, right
    assert "one step early" in late["convention"].measured, late


def test_the_numbers_of_a_wrong_denoiser_are_those_of_its_error():
    """A shift d by hand: E|m_hat - m|^2 = |d|^2, and the path KL is T |d|^2/2."""
    shift = torch.tensor([0.03, 0.0, 0.04, 0.0], dtype=torch.float64)
    report = check_denoiser(lambda x, angle: exact(x, angle) + shift.to(x), target=TARGET, count=2000)
    for row in report.curves:
        assert row["squared_error"] == pytest.approx(0.0025, rel=1e-6)
        assert abs(row["bayes_gap"] - 0.0025) < 5 * row["bayes_gap_standard_error"]
    time = math.tan(report["path_kl"].numbers["end_angle"]) ** 2
    assert report["path_kl"].numbers["path_kl"] == pytest.approx(0.00125 * time, rel=1e-4)
    assert report["error"].passed is None


class Net(torch.nn.Module):
    """A network that knows nothing of scorelab, told one time for each state."""

    def __init__(self):
        super().__init__()
        self.body, self.head = torch.nn.Linear(5, 16), torch.nn.Linear(16, 4)

    def forward(self, state, time):
        return self.head(torch.tanh(self.body(torch.cat([state, time.unsqueeze(1)], 1))))


def test_a_network_is_measured_and_left_in_its_mode():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net().train()
    report = check_denoiser(net, convention=Convention("v"), count=200)
    assert net.training
    assert report.passed, report
    assert report["error"].passed is None
    assert report["error"].numbers["relative_error"] > 0.1
    assert report["dtype"].measured.startswith("float32 gives float32; refuses float64")
    assert {axes.get_xlabel() for axes in report.figure.axes} >= {"angle (rad)"}


def test_what_a_target_does_not_know_is_not_measured():
    class Unknown(GaussianMixture):
        posterior_mean = None

    target = Unknown([1.0], [[0.0, 1.0]])
    report = check_denoiser(lambda x, angle: x, target=target, count=100)
    assert report["error"].measured == "not measured: the target has no exact posterior mean"
    assert report["shape"].passed


@pytest.mark.parametrize(
    ("denoiser", "says"),
    [
        (torch.nn.Linear(4, 4), "raises TypeError: .*positional arguments"),
        (lambda x, angle: x.numpy(), "by the type numpy.ndarray; a torch tensor is needed"),
        (lambda x, angle: x[:1], r"states \(2, 4\) are answered by the shape \(1, 4\)"),
    ],
)
@pytest.mark.parametrize("only", [None, "error"])
def test_where_the_first_call_fails_shape_says_how_and_nothing_else_is_measured(denoiser, says, only):
    report = check_denoiser(denoiser, only=only)
    assert report.failures == ["shape"]
    assert re.search(says, report["shape"].measured), report
    assert {each.measured for each in report.properties[1:]} == {"not measured: see shape"}


def test_a_number_without_a_verdict_does_not_fail_where_it_cannot_be_measured():
    def far(x, angle):
        if len(x) == 64:
            raise RuntimeError("too many")
        return exact(x, angle)

    found = check_denoiser(far, count=100, only="lipschitz")["lipschitz"]
    assert (found.passed, found.measured) == (None, "not measured: raises RuntimeError: too many")


def test_what_cannot_be_checked_is_one_line():
    for given, says in (
        ({"angles": [0.0, 1.0]}, r"angles = \[0.0, 1.0\]: numbers in"),
        ({"count": 2}, "count = 2: an integer >= 16"),
        ({"tolerance": -1.0}, "tolerance = -1.0: a number >= 0"),
        ({"tolerance": "1"}, "tolerance = 1: a number >= 0"),
        ({"only": "speed"}, "only = speed: allowed are shape"),
        ({"target": 3}, "target = 3"),
    ):
        with pytest.raises(ScorelabError, match=says):
            check_denoiser(exact, **given)
    with pytest.raises(ScorelabError, match="a function denoiser"):
        check_denoiser(3)
    with pytest.raises(ScorelabError, match="a denoiser of scorelab has none"):
        check_denoiser(ExactDenoiser(TARGET), convention=Convention("eps"))


def test_an_answer_of_small_numbers_fits_no_convention():
    """Read as a v prediction, 0 is the mean sin(angle) x, which is near to the posterior mean where noise is little."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Net()
    zeros, each = (lambda x, angle: 0 * x), (lambda x, angle: net(x.float(), torch.full((len(x),), float(angle))))
    for denoiser, convention in (
        (zeros, None),
        (lambda x, angle: 0 * x + 0.2, None),
        (each, None),
        (zeros, Convention("eps")),
        (zeros, Convention("v")),
    ):
        found = check_denoiser(denoiser, convention=convention, count=200, only="convention")["convention"]
        assert found.passed is None, found
        assert found.measured.endswith("no other convention makes it small")
