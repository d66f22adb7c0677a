"""Samplers of other libraries: the adapters, what the study measures of a sampler, the page and its reproductions."""

import math
import re

import numpy
import pytest
import torch
from helpers import ROOT, blocks, composed

import scorelab
from scorelab.conformance import check_sampler, laws
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.studies.peers import analyse, measurements, reproduce

#: library -> a sampler of it that is right, and its order
RIGHT = {
    "diffusers": ("EulerDiscreteScheduler", 1),
    "azula": ("HeunSampler", 2),
    "k_diffusion": ("sample_heun", 2),
    "flow_matching": ("midpoint", 2),
    "torchdiffeq": ("rk4", 4),
    "scorelab": ("DPMSolver2M", 2),
}


@pytest.mark.filterwarnings("ignore")  # of the libraries
@pytest.mark.parametrize("library", RIGHT)
def test_a_right_sampler_of_each_library_passes(library):
    pytest.importorskip(library, reason=f"{library} is not there: make peers", exc_type=ImportError)
    module = pytest.importorskip(f"scorelab.conformance.peers.{library}", exc_type=ImportError)
    kind, order = RIGHT[library]
    sampler, end_noise = module.named(kind)
    only = ("shape", "repeatable", "seed", "global_state", "start", "unclipped", "order", "limit")
    report = check_sampler(sampler, order=order, end_noise=end_noise, only=only, steps=(16, 32, 64))
    assert report.passed, report


@pytest.mark.filterwarnings("ignore")
def test_denoisers_of_azula_serve_here_and_ours_serve_there():
    pytest.importorskip("azula", reason="azula is not there: make peers")
    from azula.denoise import GaussianDenoiser
    from azula.linalg.covariance import IsotropicCovariance
    from azula.noise import VESchedule, VPSchedule

    from scorelab.conformance.peers.azula_denoisers import InAzula, of_azula

    law = laws.Gaussian([0.3, -0.5], 0.49 * torch.eye(2))
    x = torch.tensor([[0.2, -1.0], [3.0, 0.5]], dtype=torch.float64)
    variance = torch.tensor(0.49, dtype=torch.float64)
    for schedule in (VPSchedule(), VESchedule()):
        theirs = of_azula(GaussianDenoiser(law.mean, IsotropicCovariance(variance), schedule))
        again = of_azula(InAzula(law.posterior_mean, schedule))
        for angle in (0.1, 0.8, 1.5):
            exact = law.posterior_mean(x, angle)
            assert torch.allclose(theirs(x, angle), exact, atol=1e-10)
            assert torch.allclose(again(x, angle), exact, atol=1e-10)


def test_the_adapter_of_the_page_on_samplers_is_right():
    """The last block of the page; levels are uniform in log sigma."""
    namespace = {}
    exec(blocks("docs/extending/sampler.md", "python")[-1], namespace)
    report = check_sampler(namespace["theirs"], order=1, end_noise=0.01, only=("start", "times", "order", "limit"))
    assert report.passed, report


# What is measured. ----------------------------------------------------------------------------------------------------


def euler(denoiser, count, n, steps, generator):
    """Euler's method on the probability flow in the angle, to 1.5."""
    x, length = torch.randn(count, n, generator=generator), 1.5 / steps
    for k in range(steps):
        angle = k * length
        x = x + length * (denoiser(x, angle) - math.sin(angle) * x) / math.cos(angle)
    return x / math.sin(1.5)


def test_biases_are_those_of_the_recursion_of_each_direction():
    """In a direction of variance v the method multiplies x by 1 + h (g - sin)/cos, g = v s/(v s^2 + c^2)."""
    law, steps, noise = laws.Gaussian([0.0, 0.0], torch.diag(torch.tensor([0.5, 2.0]))), 12, 1 / math.tan(1.5)
    found = measurements.errors(measurements.exact_moments(euler, law, steps), law, noise)
    values, factors = numpy.array([0.5, 2.0]), numpy.ones(2) / math.sin(1.5)
    for angle in numpy.arange(steps) * 1.5 / steps:
        sin, cos = math.sin(angle), math.cos(angle)
        factors *= 1 + 1.5 / steps * (values * sin / (values * sin**2 + cos**2) - sin) / cos
    exact = values + noise**2
    assert found["variance"] == pytest.approx((factors**2).sum() / exact.sum() - 1, rel=1e-9)
    assert found["covariance"] == pytest.approx(
        numpy.linalg.norm(factors**2 - exact) / numpy.linalg.norm(exact), rel=1e-9
    )
    assert found["mean"] == pytest.approx(0, abs=1e-12)


def test_orders_are_those_of_the_method_and_later_draws_make_paths_unknown():
    steps, law = [16, 32, 64, 128], laws.gaussian()
    order = measurements.order([measurements.exact_moments(euler, law, each) for each in steps], law, steps)
    paths = measurements.strong_order(euler, steps, 64, 8, 0)
    assert abs(order.value - 1) < 0.1
    assert abs(paths.value - 1) < 0.1
    assert 0 < paths.standard_error < 0.05

    def noisy(denoiser, count, n, steps, generator):
        return euler(denoiser, count, n, steps, generator) + torch.randn(count, n, generator=generator)

    assert "draws noise" in measurements.strong_order(noisy, steps, 64, 8, 0).not_measured


def test_the_steps_of_a_number_of_evaluations_are_the_most_that_it_allows():
    def asks(each, more):
        def sampler(denoiser, count, n, steps, generator):
            x = torch.zeros(count, n)
            for _ in range(each * steps + more):
                denoiser(x, 1.0)
            return x

        return sampler

    law = laws.gaussian()
    assert measurements.steps_for(asks(1, 0), law, 64) == 64
    assert measurements.steps_for(asks(2, -1), law, 64) == 32
    assert measurements.steps_for(asks(4, 0), law, 63) == 15
    assert measurements.steps_for(asks(4, 5), law, 8) is None


# The study. -----------------------------------------------------------------------------------------------------------

QUICK = ["study=peers", "study.steps=[4,8,16,32]", "study.evaluations=[1,8]", "study.paths=64", "study.batches=8"]
QUICK += ["study.repeats=3", "study.check=false", "study.jobs=1", "figures.dpi=50"]


def test_the_study_measures_what_is_there_and_says_what_is_not(tmp_path, monkeypatch):
    there = analyse.version
    monkeypatch.setattr(analyse, "version", lambda library: None if library == "azula" else there(library))
    monkeypatch.setattr(reproduce, "everything", lambda libraries, jobs: {"azula-reab": None})
    own = [*QUICK, "study.only=[ours_ddim,ours_heun,azula_heun]", f"hydra.run.dir={tmp_path / 'run'}"]
    result = scorelab.run(own)
    found = result.metrics["peers"]
    assert 0.6 < found["ours_ddim"]["order"] < 1.1  # with few steps
    assert found["ours_ddim"]["steps"] == [1, 8]
    assert found["ours_heun"]["steps"] == [None, 4]
    assert found["ours_heun"]["covariance_bias"][0] is None
    assert found["ours_ddim"]["cost"] > 0
    assert "azula is not installed" in result.metrics["not_measured"]["peers.azula_heun.order"]
    page = (tmp_path / "run" / "peers.md").read_text()
    assert "- azula HeunSampler: azula is not installed (pip install 'scorelab[peers]')" in page
    assert "| scorelab ddim | 1 |" in page
    assert "Not run here" in page


def test_what_the_study_does_not_allow_is_one_line():
    for value, says in (
        ("study.steps=[8,16,24,32]", "24 is not twice"),
        ("study.only=[azulla]", "study.only = azulla: allowed are azula, diffusers"),
        ("study.only=azulla", "study.only = azulla: allowed are azula, diffusers"),
        ("study.peers.0.library=keras", "study.peers.0.library = keras"),
        ("study.peers.0.beside=nobody", "study.peers.azula_euler.beside = nobody"),
        ("study.peers.0.name=azula_heun", "the name azula_heun is given twice"),
    ):
        with pytest.raises(ConfigError, match=re.escape(says)):
            check(composed("study=peers", value))
    assert {each.library for each in check(composed("study=peers", "study.only=diffusers")).study.selected} == {
        "diffusers"
    }


# The page. ------------------------------------------------------------------------------------------------------------


def test_the_page_has_every_sampler_and_every_reproduction_as_it_is():
    page = (ROOT / "docs" / "peers.md").read_text()
    for peer in check(composed("study=peers")).study.peers:
        assert f"| {peer.title} |" in page, peer.title
    for name, markdown in reproduce.texts().items():
        code = reproduce.code(markdown)
        assert code in page, name
        assert len([line for line in code.splitlines() if line.strip()]) <= 15, name
        assert "scorelab" not in code, name


def test_a_reproduction_prints_what_the_page_says():
    pytest.importorskip("diffusers", reason="diffusers is not there")
    printed = reproduce.printed(reproduce.texts()["diffusers-clip"])
    assert printed.splitlines() == ["clip_sample=True: the sample is 1.00", "clip_sample=False: the sample is 3.00"]
    assert printed in (ROOT / "docs" / "peers.md").read_text()
