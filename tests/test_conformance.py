"""Conformance: correct samplers pass, and each planted fault is named by a property that it breaks."""

import itertools
import json
import math
import re

import pytest
import torch

from scorelab.conformance import check_sampler, mixtures
from scorelab.conformance.sampler import Options, SamplerCheck
from scorelab.conformance.slopes import order_of_means
from scorelab.denoisers import Convention
from scorelab.errors import ScorelabError
from scorelab.samplers import DDIM, FlowHeun

END = 1.54
NOISE = 1 / math.tan(END)
#: all but the samples of a mixture, which take the most time
QUICK = ("shape", "repeatable", "seed", "global_state", "answers", "batch", "dtype", "evaluations", "few_steps")
FEW = ("order", "limit")
SHORT = (16, 32, 64)
PATHS = ("weak_order", "strong_order", "modes", "grids", "middle")
EXACT = ("start", "times", "precision", "unclipped", "order", "limit")


def ancestral(fault=None):
    """DDPM's ancestral sampling in plain code, and copies of it with one fault each."""

    def sampler(denoiser, count, n, steps, generator):
        if fault == "seed ignored":
            generator = torch.Generator().manual_seed(0)
        angles = torch.linspace(0, END, steps + 1, dtype=torch.float64).tolist()
        x = torch.randn(count, n, generator=generator)
        once = torch.randn(count, n, generator=generator) if fault == "noise reused" else None
        rows = 1 if fault == "noise shared" else count
        order = [*range(steps)]
        if fault == "last step twice":
            order.append(steps - 1)
        if fault == "first step skipped":
            order.pop(0)
        for k in order:
            angle, after = angles[k], angles[k + 1]
            asked = after if fault == "one wrong time" and k == steps // 2 else angle
            mean = denoiser(x, asked)
            if fault == "samples clipped":
                mean = mean.clamp(-3, 3)
            if fault == "coefficients of another schedule":
                angle, after = angle**2 / END, after**2 / END
            sin, cos, next_sin, next_cos = math.sin(angle), math.cos(angle), math.sin(after), math.cos(after)
            sigma = next_cos / cos * math.sqrt(1 - (sin / next_sin) ** 2)
            kept = math.sqrt(next_cos**2 - sigma**2) / cos
            drift = next_sin - sin * kept
            x = kept * x + (-drift if fault == "sign of the drift" else drift) * mean
            z = torch.randn(rows, n, generator=generator) if once is None else once
            z = z - z.mean(0) if fault == "noise centred" else z
            x = x + (sigma**2 if fault == "sqrt missing" else sigma) * z
            if fault == "float16 inside":
                x = x.half().to(mean)
        return x / math.sin(END)

    sampler.__name__ = f"ancestral, {fault}" if fault else "ancestral"
    return sampler


FAULTS = {
    "sign of the drift": "limit",
    "one wrong time": "times",
    "sqrt missing": "limit",
    "noise reused": "limit",
    "noise centred": "batch",
    "noise shared": "batch",
    "last step twice": "times",
    "first step skipped": "start",
    "coefficients of another schedule": "times",
    "seed ignored": "seed",
    "samples clipped": "unclipped",
    "float16 inside": "precision",
}


def test_a_correct_sampler_passes_everything():
    report = check_sampler(ancestral(), order=1, end_noise=NOISE, law_steps=100, count=500, steps=(8, 16, 32, 64))
    assert report.passed, report
    assert {each.name for each in report.properties} >= {*QUICK, *EXACT, *PATHS, "law"}
    content = json.loads(report.to_json())
    assert content["passed"]
    assert {"python", "torch", "scorelab"} <= set(content["versions"])
    assert len(report.table) == len(report.properties)
    assert report.figure.axes[0].get_xlabel() == "steps"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_by_the_property_that_it_breaks(fault):
    report = check_sampler(ancestral(fault), order=1, end_noise=NOISE, only=FAULTS[fault], steps=(16, 32, 64))
    assert report.failures == [FAULTS[fault]], report


@pytest.mark.parametrize(("rule", "order"), [(DDIM(eta=0.0), 1), (FlowHeun(coordinate="angle"), 2)])
def test_rules_of_ours_have_their_orders(rule, order):
    report = check_sampler(
        rule,
        order=order,
        end_noise=NOISE,
        count=500,
        steps=(16, 32, 64),
        only=("order", *PATHS[: 3 if order == 2 else 5]),
    )
    assert report.passed, report
    assert report["order"].numbers["order"] == pytest.approx(order, abs=0.15)


def test_a_sampler_in_a_convention_of_its_own_is_the_same_sampler():
    """The same rule, in X + sigma G and with a noise prediction."""

    def native(model, count, n, steps, generator):
        sigmas = 1 / torch.linspace(0.02, END, steps + 1, dtype=torch.float64).tan()
        x = torch.randn(count, n, generator=generator) * float((1 + sigmas[0] ** 2).sqrt())
        for sigma, after in itertools.pairwise(sigmas.tolist()):
            x = x + (after - sigma) * model(x, sigma)  # the probability flow
        return x

    convention = Convention("eps", state="scaled", time="sigma")
    report = check_sampler(
        native, convention=convention, order=1, end_noise=NOISE, only=("shape", "start", "order", "limit")
    )
    assert report.passed, report


class Steps:
    """A scheduler with the interface of diffusers: Euler's rule in sigma."""

    def set_timesteps(self, steps):
        self.sigmas = (1 / torch.linspace(0.02, END, steps + 1, dtype=torch.float64).tan()).tolist()
        self.timesteps, self.init_noise_sigma = self.sigmas[:-1], math.hypot(1, self.sigmas[0])

    def scale_model_input(self, x, sigma):
        return x / math.hypot(1, sigma)

    def step(self, output, sigma, x):
        return (x + (self.sigmas[self.sigmas.index(sigma) + 1] - sigma) * output,)


def test_a_scheduler_is_checked_as_it_is_once_its_convention_is_declared():
    """Its model sees the angle's state and is told sigma; an object like it with `alphas_cumprod` needs no words."""
    found = check_sampler(
        Steps(), convention=Convention("eps", time="sigma"), order=1, end_noise=NOISE, only=("start", *FEW), steps=SHORT
    )
    assert found.passed, found
    assert found["order"].numbers["order"] == pytest.approx(1, abs=0.2)
    with pytest.raises(ScorelabError, match="Steps has no alphas_cumprod; declare"):
        check_sampler(Steps())


def test_a_start_that_is_centred_over_the_batch_is_caught_by_batch():
    def centred(denoiser, count, n, steps, generator):
        x, length = torch.randn(count, n, generator=generator), END / steps
        x = x - x.mean(0)
        for k in range(steps):
            x = x + length * (denoiser(x, k * length) - math.sin(k * length) * x) / math.cos(k * length)
        return x

    assert check_sampler(centred, only="batch").failures == ["batch"]


def test_an_order_of_means_is_undecided_where_errors_hide_it():
    changes = mixtures.weak_changes(SamplerCheck(ancestral(), Options(1, NOISE, 1000, SHORT)))
    (few, says, *_), (many, _, numbers) = (
        order_of_means("means", [each[:count] for each in changes], 1) for count in (16, 1000)
    )
    assert few is None
    assert says.startswith("undecided: ")
    assert many
    assert abs(numbers["order"] - 0.9) < 4 * numbers["standard_error"]


def test_paths_with_noise_in_the_steps_are_coupled_and_noise_in_a_wrong_place_is_seen():
    """EM's rule with a constant noise has the strong order 1; the same draw in each step has none."""
    right, wrong = (
        check_sampler(ancestral(fault), end_noise=NOISE, count=500, only=("strong_order", "modes"), steps=SHORT)
        for fault in (None, "sqrt missing")
    )
    assert right["strong_order"].numbers["order"] == pytest.approx(0.9, abs=0.15)
    assert right["strong_order"].passed
    assert right["modes"].passed
    assert "modes" in wrong.failures or "strong_order" in wrong.failures, wrong


def with_draws(kind):
    """EM's rule in the angle with its draws made in a way that does not couple runs: all at first, or not normal."""

    def sampler(denoiser, count, n, steps, generator):
        angles = torch.linspace(0.01, END, steps + 1, dtype=torch.float64).tolist()
        z = torch.randn(steps + 1, count, n, generator=generator) if kind == "first" else None
        x = z[0] if kind == "first" else torch.randn(count, n, generator=generator)
        for k, (angle, after) in enumerate(itertools.pairwise(angles)):
            kept = math.cos(after) / math.cos(angle)
            signs = (torch.rand(count, n, generator=generator) < 0.5) * 2.0 - 1 if kind == "signs" else z[k + 1]
            width = math.cos(after) * math.sqrt(1 - (math.tan(angle) / math.tan(after)) ** 2)
            bend = math.sqrt(1 - (width / math.cos(after)) ** 2) * kept
            x = bend * x + (math.sin(after) - bend * math.sin(angle)) * denoiser(x, angle) + width * signs
        return x / math.sin(END)

    return sampler


@pytest.mark.parametrize(("kind", "says"), [("first", "not one normal number for"), ("signs", "other numbers than")])
def test_paths_whose_draws_cannot_be_coupled_are_not_measured(kind, says):
    found = check_sampler(with_draws(kind), end_noise=NOISE, count=500, only=("batch", "strong_order"), steps=SHORT)
    assert found["strong_order"].passed is None
    assert re.match(f"not measured: it.*{says}", found["strong_order"].measured), found
    assert found["batch"].passed


def test_the_moments_are_those_of_many_samples():
    check = SamplerCheck(ancestral(), Options(1, NOISE, 100, (4, 8, 16), 16, 0))
    exact = check.moments(check.gaussian, 4)
    x = check.draw(check.gaussian, 4, 40_000, seed=3).double()
    error = (torch.outer(exact.covariance.diag(), exact.covariance.diag()) + exact.covariance**2).sqrt() / 200
    assert bool(((torch.cov(x.T) - exact.covariance).abs() < 5 * error).all())
    assert bool(((x.mean(0) - exact.mean).abs() < 5 * exact.covariance.diag().sqrt() / 200).all())


def test_diffusers_ddim_clips_by_default():
    diffusers = pytest.importorskip("diffusers")
    from scorelab.conformance.peers.diffusers import sampler

    kept, cut = (
        check_sampler(
            sampler(diffusers.DDIMScheduler(clip_sample=clip)),
            order=1,
            only=("precision", "unclipped"),
            steps=(8, 16, 32),
        )
        for clip in (False, True)
    )
    assert kept.passed, kept
    assert not cut.passed, cut


@pytest.mark.parametrize(
    ("sampler", "says"),
    [
        (lambda a, b: 1, "raises TypeError"),
        (lambda *given: 1, "5 samples have the type int; a torch"),
        (lambda denoiser, count, n, *given: torch.zeros(count, n).numpy(), "5 samples have the type numpy.ndarray"),
    ],
)
def test_where_the_first_call_fails_shape_says_how_and_nothing_else_is_measured(sampler, says):
    report = check_sampler(sampler)
    assert report.failures == ["shape"]
    assert says in report["shape"].measured
    assert {each.measured for each in report.properties[1:]} == {"not measured: see shape"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU of CUDA")
def test_what_is_left_on_the_cpu_is_seen_on_a_gpu():
    def kept(denoiser, count, n, steps, generator):
        return ancestral()(denoiser, count, n, steps, generator).cpu()

    assert check_sampler(ancestral(), only="device").passed
    assert check_sampler(kept, only="device").failures == ["device"]


def test_what_cannot_be_checked_is_one_line():
    for given, says in (
        ({"steps": (8, 16)}, "three doubling numbers"),
        ({"steps": (8, 16, 33)}, "three doubling numbers"),
        ({"steps": "8,16,32"}, "three doubling numbers"),
        ({"steps": (0, 0, 0)}, "steps = 0: an integer >= 1"),
        ({"order": -1}, "order = -1: a number > 0 is needed"),
        ({"order": 0}, "order = 0: a number > 0 is needed"),
        ({"order": math.nan}, "order = nan: a number > 0 is needed"),
        ({"order": math.inf}, "order = inf: a number > 0 is needed"),
        ({"order": "2"}, "order = 2: a number > 0 is needed"),
        ({"count": 99}, "count = 99: an integer >= 100 is needed"),
        ({"count": 500.5}, "count = 500.5: an integer >= 100 is needed"),
        ({"law_steps": 0}, "law_steps = 0: an integer >= 1 is needed"),
        ({"seed": -1}, "seed = -1: an integer >= 0 is needed"),
        ({"end_noise": -0.1}, "end_noise = -0.1: a number >= 0 is needed"),
        ({"only": ("speed",)}, "only = speed: allowed are shape"),
    ):
        with pytest.raises(ScorelabError, match=says):
            check_sampler(ancestral(), **given)
    with pytest.raises(ScorelabError, match="a function sampler"):
        check_sampler(3)
