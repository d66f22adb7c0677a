"""Where sampling starts and stops on a target, if the configuration does not say it."""

import functools
import itertools
import logging
import math

import pytest
import torch
from helpers import composed, job, over, random_mixture, seeded, with_values

from scorelab.denoisers import ExactDenoiser
from scorelab.errors import ConfigError
from scorelab.lab.config import check
from scorelab.metrics.projection import orthogonal_metrics
from scorelab.samplers import DPMSolverSDE3M, EulerMaruyama, FlowHeun, draw_samples, ends
from scorelab.samplers.ends import on_target, warn
from scorelab.samplers.risk import grid_of
from scorelab.samplers.trial import _in_span, fault, judged
from scorelab.schedules import Localization
from scorelab.targets import AnisotropicMixture, GaussianMixture, Target
from scorelab.targets.scale import measured, scale

FOLLOWING = ["localization", "ou", "vp", "vp_cosine", "ve", "edm"]


def configured(name, *overrides):
    return check(composed(f"schedule={name}", *overrides)).options("schedule")


def far(norm, std=1.0, n=16):
    """Three modes in random directions at a distance from 0."""
    means = torch.randn(3, n, generator=seeded(0), dtype=torch.float64)
    return GaussianMixture([0.5, 0.3, 0.2], norm * means / means.norm(dim=1, keepdim=True), std)


@over("name", FOLLOWING)
def test_the_default_target_has_the_usual_ends(name):
    schedule = configured(name)
    assert on_target(schedule, GaussianMixture.two_modes()) is schedule


def test_the_usual_ends_are_the_published_ones():
    ends = {name: configured(name) for name in FOLLOWING}
    assert ends["localization"].end_angle == 1.4707963267948966
    assert ends["localization"].end("t_min") == 3e-4
    assert [(ends[name].start_time, ends[name].end_time) for name in FOLLOWING[1:4]] == [
        (5.0, 5e-3),
        (1.0, 1e-3),
        (0.995, 2.5e-3),
    ]
    assert [(ends[name].end("sigma_min"), ends[name].end("sigma_max")) for name in ("ve", "edm")] == [
        (0.1, 50.0),
        (0.01, 80.0),
    ]


@over(("name", "target"), [(name, target) for name in FOLLOWING for target in (far(300.0), far(20.0, 0.02), far(0.0))])
def test_open_ends_reach_the_size_of_the_target_and_the_width_of_its_modes(name, target):
    schedule, size = on_target(configured(name), target), scale(target)
    assert schedule.first_snr * size.spread <= 0.03 * (1 + 1e-9)
    assert schedule.end_snr * size.width**2 >= 99 * (1 - 1e-9)


def test_given_ends_are_taken_as_they_are():
    target, given = far(300.0, 0.02), ["schedule.t_min=1e-3", "schedule.alpha_max=1.3"]
    schedule = configured("localization", *given)
    assert on_target(schedule, target) is schedule
    schedule = configured("ve", "schedule.sigma_max=3", "schedule.sigma_min=0.5")
    assert on_target(schedule, target) is schedule


def test_a_far_mean_counts_only_where_sampling_starts_without_it():
    near, away = (GaussianMixture([1.0], [[shift, 0.0]]) for shift in (0.0, 1e4))
    assert on_target(configured("localization"), away) == on_target(configured("localization"), near)
    assert on_target(configured("ve"), away).end("sigma_max") > 1e4


@over("name", FOLLOWING)
def test_the_weights_of_far_modes_come_out_right_on_every_clock(name):
    """With the exact posterior mean and the default sampler, also where the usual ends would leap over them."""
    target, count = far(300.0), 2000
    schedule, given = on_target(configured(name), target), job(DPMSolverSDE3M(), count=count, steps=32, batch_size=2048)
    denoiser = ExactDenoiser(target)
    x = torch.cat(list(draw_samples(given, schedule, denoiser, 16, seed=1)))
    share = target.posterior_weights(x, math.pi / 2).mean(0).double()
    error = (target.weights * (1 - target.weights) / count).sqrt()
    assert float(((share - target.weights) / error).abs().max()) < 4


@over("rule", [DPMSolverSDE3M()])
@over("a", [1.0, 10.0, 100.0])
def test_the_adaptive_grid_resolves_the_speciation_of_any_target(a, rule):
    target = GaussianMixture.two_modes(p=0.7, a=torch.full((16,), a))
    schedule = on_target(configured("localization", "schedule.grid=adaptive"), target)
    given, denoiser = job(rule, count=2000, steps=32, batch_size=2048), ExactDenoiser(target)
    angles = grid_of(given, schedule, target, denoiser)
    x = torch.cat(list(draw_samples(given, schedule, denoiser, 16, seed=2, angles=angles))).double()
    along = ((x.unsqueeze(1) - target.means) @ target.direction / target.direction.norm()).square()
    within = (target.posterior_weights(x, math.pi / 2) * along).sum(1).mean()
    assert float(within) == pytest.approx(1 + 1 / schedule.end_snr, abs=0.15)


def reported(caplog, schedule, target, steps=32, output="scaled", rule=None):
    caplog.clear()
    given, denoiser = job(rule or DPMSolverSDE3M(), steps=steps, output=output), ExactDenoiser(target)
    with caplog.at_level(logging.WARNING, "scorelab"):
        warn(given, schedule, grid_of(given, schedule, target, denoiser), target)
    return [record.getMessage() for record in caplog.records]


def test_given_ends_that_do_not_fit_the_target_are_reported_with_the_value_that_does(caplog):
    target = far(300.0)
    (line,) = reported(caplog, configured("localization", "schedule.t_min=3e-4"), target)
    (advice,) = [word for word in line.split() if word.startswith("schedule.t_min=")]
    assert reported(caplog, configured("localization", advice), target) == []
    (line,) = reported(caplog, configured("ddpm", "schedule.grid=log_snr"), far(3000.0))
    assert "a noisier start is needed" in line
    (line,) = reported(caplog, configured("localization", "schedule.grid=angle"), target)
    assert "schedule.grid=log_snr" in line
    narrow = far(5.0, 0.05)
    (line,) = reported(caplog, configured("localization", "schedule.T=99"), narrow)
    assert "schedule.T=" in line
    assert reported(caplog, configured("localization", "schedule.T=99"), narrow, output="posterior_draw") == []
    for name in FOLLOWING:
        assert reported(caplog, on_target(configured(name), target), target) == []


def test_a_step_over_the_speciation_is_reported_wherever_it_lies_on_the_grid(caplog):
    """Where the weights of the modes come out wrong, and only there."""
    target, heun, count = far(100.0), FlowHeun(coordinate="angle"), 2000
    for name, grid in [(name, grid) for name in ("ou", "vp_cosine", "edm") for grid in ("angle", "log_snr", "karras")]:
        schedule = on_target(configured(name, f"schedule.grid={grid}"), target)
        lines = reported(caplog, schedule, target, rule=heun)
        assert [line.count("schedule.grid=log_snr") for line in lines] == ([1] if grid == "angle" else [])
        x = torch.cat(list(draw_samples(job(heun, count=count), schedule, ExactDenoiser(target), 16, seed=3)))
        share = target.posterior_weights(x, math.pi / 2).mean(0).double()
        error = float(((share - target.weights) / (target.weights * (1 - target.weights) / count).sqrt()).abs().max())
        assert (error > 4) == bool(lines), (name, grid, error)


def test_a_step_too_long_to_extrapolate_over_is_reported(caplog):
    """On DDPM's chain the default rule multiplies the variance within the modes in 32 steps; a rule of one step does
    not, nor does the rule where modes are wide, or in more steps."""
    target = GaussianMixture.two_modes(a=torch.ones(16))
    schedule = configured("ddpm")
    for rule, steps, wrong in ((DPMSolverSDE3M(), 32, True), (FlowHeun(coordinate="angle"), 32, False)):
        lines = reported(caplog, schedule, target, steps, rule=rule)
        assert [line.count("schedule.grid=log_snr") for line in lines] == [1] * wrong
        given = job(rule, count=2000, steps=steps, batch_size=2048)
        x = torch.cat(list(draw_samples(given, schedule, ExactDenoiser(target), 16, seed=4)))
        found = orthogonal_metrics(x, target, target.output_law(schedule.end_angle, "scaled"))["variance"]
        assert (found.value > 1.5 * found.exact_at_T) == wrong
    assert reported(caplog, schedule, target, 128) == []
    assert reported(caplog, schedule, GaussianMixture(target.weights, target.means, 5.0)) == []
    assert reported(caplog, configured("ddpm", "schedule.grid=log_snr"), target) == []


#: clocks on which the modes come out wrong in 32 steps: the target, the overrides of the clock, and what is named
WRONG = {
    "karras far": (GaussianMixture.two_modes(a=torch.full((64,), 300.0)), ["edm"], "variance"),
    "karras narrow": (far(8.0, 0.02), ["edm"], "variance"),
    "leap": (GaussianMixture.two_modes(a=torch.full((16,), 30.0)), ["vp", "schedule.grid=log_t"], "weight"),
    "unequal": (
        GaussianMixture([0.5, 0.3, 0.2], [[0.0], [1.0], [100.0]], 0.1),
        ["ou", "schedule.grid=log_t"],
        "weight",
    ),
    "short chain": (
        GaussianMixture.two_modes(a=torch.ones(16)),
        ["ddpm", "schedule.timesteps=40", "schedule.beta_max=0.9"],
        "weight",
    ),
    "axes": (AnisotropicMixture([0.6, 0.4], [[3.0, 0.0], [-3.0, 1.0]], [[1.0, 0.01], [0.5, 1.0]]), ["ddpm"], "weight"),
}


@over("case", list(WRONG))
def test_modes_that_come_out_wrong_are_reported_with_advice_that_mends_them(caplog, case):
    target, (name, *given), what = WRONG[case]
    (line,) = reported(caplog, on_target(configured(name, *given), target), target)
    assert what in line
    *_, advice = line.removesuffix(" would do").split("; ")
    changes = dict(change.split("=") for change in advice.split())
    steps = int(changes.pop("sampler.steps", 32))
    given += [f"{key}={value}" for key, value in changes.items()]
    assert reported(caplog, on_target(configured(name, *given), target), target, steps) == []


@over("name", [*FOLLOWING, "ddpm"])
def test_the_default_target_is_fine_on_every_clock(caplog, name):
    target = GaussianMixture.two_modes()
    assert reported(caplog, on_target(configured(name, "schedule.grid=karras"), target), target) == []


def test_a_trial_finds_the_variance_that_the_rule_makes():
    """On one mode the exact posterior mean is linear, so that the covariance of the states follows the rule."""
    target, rule = GaussianMixture([1.0], torch.zeros(1, 64), 0.3), EulerMaruyama()
    schedule = configured("edm", "schedule.sigma_max=30", "schedule.sigma_min=0.01")
    angles, variance = schedule.angles(12), schedule.start_std**2
    units = torch.eye(2, dtype=torch.float64)[:, :1].expand(2, 64)
    for here, there in itertools.pairwise(angles.tolist()):
        step = functools.partial(rule.step, ExactDenoiser(target), angle=here, next_angle=there, state=None)
        kept, fresh = (
            float(step(x=unit.clone(), noise=unit.flip(0).clone)[0][0, 0]) for unit in (units, units.flip(0))
        )
        variance = kept**2 * variance + fresh**2
    exact = variance / float(0.3**2 * angles[-1].sin() ** 2 + angles[-1].cos() ** 2)
    found = fault(job(rule, steps=12), schedule, angles, target)
    assert found.found == pytest.approx(exact, rel=4 * math.sqrt(2 / 8192))
    assert not 1 / 1.2 < exact < 1.2


def noisy(target, count, angle, generator):
    """Exact samples of the noisy law of a mixture."""
    noise = torch.randn(count, target.n, generator=generator, dtype=torch.float64)
    return math.sin(angle) * target.sample(count, generator, torch.float64) + math.cos(angle) * noise


def built(name):
    return _in_span(check(composed(f"target={name}"))["target"].build(generator=seeded(0)))


@over(
    ("name", "sets", "count"),
    [
        *((name, 20, 8192) for name in ("two_modes", "v1/rare", "v1/grid", "v1/clusters", "v1/widths", "v1/gaussian")),
        ("v1/many_modes", 4, 2048),
    ],
)
def test_exact_samples_are_never_at_fault(name, sets, count):
    """Also those of modes that hardly any sample is in, whose variances are heavy-tailed."""
    target, generator = built(name), seeded(1)
    assert [judged(target, noisy(target, count, 1.47, generator), 1.47) for _ in range(sets)] == [None] * sets


@over(
    ("name", "changed", "says"),
    [
        ("two_modes", {"weights": [0.8, 1.0]}, "mode 0 has the weight 0.6"),
        ("v1/rare", {"weights": [1.0, 1.0, 3.0, 1.0, 1.0]}, "mode 2 has the weight 0.2"),
        ("v1/grid", {"weights": [1.0] * 24 + [2.0]}, "mode 24 has the weight 0.07"),
        ("v1/grid", {"std": [1.0] * 24 + [2.0]}, "within mode 24 is"),
        ("v1/grid", {"std": [1.14] * 25}, "within the modes is 1."),
        ("two_modes", {"std": [1.0, 0.8]}, "within mode 1 is 0.6"),
    ],
)
def test_planted_faults_are_found_and_named_as_the_tables_name_modes(name, changed, says):
    target, angle = built(name), 1.565
    weights, std = (torch.tensor(changed.get(key, [1.0]), dtype=torch.float64) for key in ("weights", "std"))
    bad = GaussianMixture(target.weights * weights, target.means, target.std * std)
    assert says in judged(target, noisy(bad, 8192, angle, seeded(2)), angle).words


def test_the_search_for_what_mends_a_grid_is_said_and_bounded(caplog, monkeypatch):
    target, (name, *given), _ = WRONG["karras far"]
    monkeypatch.setattr(ends, "_SECONDS", 0.0)
    schedule, given = on_target(configured(name, *given), target), job(DPMSolverSDE3M())
    with caplog.at_level(logging.INFO, "scorelab"):
        warn(given, schedule, given.angles(schedule), target)
    said, line = (record.getMessage() for record in caplog.records)
    assert "looking for steps that mend it" in said
    assert line.endswith("what mends it takes too long to find: more sampler.steps, another schedule or sampler")


def test_an_end_is_advised_only_where_it_mends(caplog):
    """A single step goes to the end of the clock, wherever it is to begin."""
    target = GaussianMixture.two_modes()
    (line,) = reported(caplog, on_target(configured("localization"), target), target, steps=1)
    assert line.endswith("where the target is no longer noise; take more sampler.steps than 1")
    (line,) = reported(caplog, configured("localization", "schedule.grid=karras"), target, steps=1)
    assert "schedule." not in line


@over("steps", [199, 200, 333])
def test_a_trial_of_any_number_of_steps_is_made_whole(steps):
    """Its count of samples need not be a multiple of the size of a batch."""
    target, schedule = GaussianMixture.two_modes(), configured("localization")
    assert fault(job(EulerMaruyama(), steps=steps), schedule, schedule.angles(steps), target) is None


def test_a_clock_without_any_signal_is_refused_before_anything_is_trained():
    schedule = configured("vp_cosine", "schedule.T=1.0")
    with pytest.raises(ConfigError, match="no signal is left in double precision"):
        on_target(schedule, GaussianMixture.two_modes())


class Sampled(Target):
    """A mixture of which nothing is known."""

    def __init__(self, law):
        self.law, self.n = law, law.n

    def sample(self, count, generator, dtype=torch.float32):
        return self.law.sample(count, generator, dtype)


def test_the_scale_of_a_mixture_is_that_of_its_covariance_and_its_samples():
    for law in (random_mixture(3, 5, std="per_mode"), GaussianMixture.two_modes(a=[3.0, 1.0, 0.0])):
        same = AnisotropicMixture(law.weights, law.means, law.covariances)
        assert scale(law) == pytest.approx(scale(same), rel=1e-12)
        size = float(law.covariance.norm())
        assert scale(law).spread >= size * (1 - 1e-12)
        assert measured(law).spread == pytest.approx(size, rel=0.15)
        assert scale(Sampled(law)) == measured(law)


def test_a_step_over_the_speciation_of_a_target_whose_modes_are_not_known_is_reported(caplog):
    law = GaussianMixture.two_modes(a=torch.full((16,), 30.0))
    target, schedule = Sampled(law), configured("localization", "schedule.t_min=1e-6")
    assert reported(caplog, schedule, target) == []
    (line,) = reported(caplog, schedule, target, steps=3)
    assert "over the noise at which" in line


def test_a_null_end_stays_null_in_the_configuration():
    saved = check(with_values()).data["schedule"]
    assert (saved["alpha_max"], saved["T"], saved["t_min"]) == (None, None, None)
    assert Localization(grid="log_snr", alpha_max=None, T=None, t_min=None).end_snr == pytest.approx(99.33, rel=1e-4)
