"""Every sampling rule: which are the same, and what every one of them keeps to."""

import itertools
import math
import weakref

import pytest
import torch
from helpers import assert_close, job, normal, over, random_mixture, seeded, standard_error
from rules import (
    ALL,
    DETERMINISTIC,
    IN_THE_ANGLE,
    LANGEVIN,
    LONG,
    NATIVE,
    NATIVE_DETERMINISTIC,
    PREDICTORS,
    SHORT,
    STOCHASTIC,
    grid,
    home,
    run,
)

from scorelab.denoisers import Denoiser, ExactDenoiser
from scorelab.randomness import BLOCK
from scorelab.samplers import DDIM, MALA, PredictorCorrector, Sampler, Step
from scorelab.samplers.loop import Found, draw_samples, simulate
from scorelab.schedules import OU
from scorelab.targets import GaussianMixture


@over("name", ["ddim_1", "ddpm_posterior"])
@over("grid_name", ["angle", "log_t"])
def test_ancestral_sampling_is_euler_maruyama_step_for_step(name, grid_name):
    target = random_mixture(n=5, modes=3, seed=1)
    denoiser, angles = ExactDenoiser(target), grid(12, grid_name)
    x, draws = normal(20, 5, seed=2), [normal(20, 5, seed=10 + k) for k in range(12)]
    expected = run(STOCHASTIC["euler_maruyama"], denoiser, angles, x, draws)
    assert_close(run(STOCHASTIC[name], denoiser, angles, x, draws), expected, 1e-11)


class Frozen(Denoiser):
    """A posterior mean that never changes."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def forward(self, x, angle):
        return self.mean.expand_as(x)


def test_for_a_frozen_posterior_mean_the_multistep_rules_are_their_first_order_ones():
    denoiser, angles, x = Frozen(normal(1, 4, seed=3)), grid(9), normal(10, 4, seed=4)
    draws = [normal(10, 4, seed=20 + k) for k in range(9)]
    stochastic = run(STOCHASTIC["euler_maruyama"], denoiser, angles, x, draws)
    for name in ("dpm_solver_2m_sde", "dpm_solver_3m_sde"):
        assert_close(run(STOCHASTIC[name], denoiser, angles, x, draws), stochastic, 1e-11)
    flow = run(DETERMINISTIC["ddim"], denoiser, angles, x)
    for name in ("dpm_solver_2m", "dpm_solver_3m"):
        assert_close(run(DETERMINISTIC[name], denoiser, angles, x), flow, 1e-11)


class Line(Denoiser):
    """m = 1 + 2 lambda with lambda = log tan(phi), whatever the state."""

    def forward(self, x, angle):
        return torch.full_like(x, 1 + 2 * math.log(math.tan(angle)))


@over(
    ("name", "integral", "factor"),
    [
        # d(x/cos) = e^lambda m dlambda
        ("dpm_solver_3m", lambda lam: math.exp(lam) * (2 * lam - 1), lambda angle: 1 / math.cos(angle)),
        # dY = m dt with t = e^{2 lambda} and Y = x sqrt(t (t + 1)) = x sin/cos^2
        (
            "dpm_solver_3m_sde",
            lambda lam: math.exp(2 * lam) * 2 * lam,
            lambda angle: math.sin(angle) / math.cos(angle) ** 2,
        ),
    ],
)
def test_rules_of_three_values_are_exact_for_a_line_once_they_have_two(name, integral, factor):
    states, angles = [], [0.2, 0.3, 0.45, 0.7, 0.8, 1.2]
    run(ALL[name], Line(), angles, normal(4, 2, seed=18), observe=lambda k, a, x: states.append(factor(a) * x))
    for k in range(1, 5):
        growth = integral(math.log(math.tan(angles[k + 1]))) - integral(math.log(math.tan(angles[k])))
        assert_close(states[k + 1] - states[k], torch.full((4, 2), growth, dtype=torch.float64), 1e-10)


def test_ddim_without_noise_turns_the_state_towards_its_velocity():
    target = random_mixture(n=3, modes=2, seed=5)
    x, (angle, next_angle) = normal(8, 3, seed=6), (0.4, 0.7)
    velocity = (target.posterior_mean(x, angle) - math.sin(angle) * x) / math.cos(angle)
    turned = math.cos(next_angle - angle) * x + math.sin(next_angle - angle) * velocity
    assert_close(run(DETERMINISTIC["ddim"], ExactDenoiser(target), [angle, next_angle], x), turned, 1e-12)


# The same rule under another name. ----------------------------------------------------------------------------------


@over("schedule", [LONG["edm"], SHORT["edm"]])
def test_euler_in_the_clock_of_edm_is_ddim(schedule):
    denoiser, angles, x = (
        ExactDenoiser(random_mixture(n=4, modes=3, seed=11)),
        schedule.angles(15),
        normal(7, 4, seed=1),
    )
    flow = run(NATIVE["flow_euler_native"], denoiser, angles, x, schedule=schedule)
    assert_close(flow, run(DETERMINISTIC["ddim"], denoiser, angles, x), 1e-10)


def test_ddim_without_noise_is_the_exponential_euler_rule_of_the_flow():
    """In lambda = log tan(phi) the flow is d(x/cos)/dlambda = e^lambda m; a frozen m is integrated exactly."""
    target, angles = random_mixture(n=4, modes=3, seed=12), [0.05, 0.3, 0.7, 0.9, 1.4]
    x = start = normal(7, 4, seed=2)
    for angle, next_angle in itertools.pairwise(angles):
        mean, (lam, next_lam) = target.posterior_mean(x, angle), (math.log(math.tan(a)) for a in (angle, next_angle))
        x = math.cos(next_angle) * (x / math.cos(angle) + (math.exp(next_lam) - math.exp(lam)) * mean)
    assert_close(run(DETERMINISTIC["ddim"], ExactDenoiser(target), angles, start), x, 1e-12)


def in_native_states(schedule, denoiser, angles, x, draws, step):
    """A chain of native states, whose `step` is a function (X, s, s', score of X, z), and its x at the end."""
    state, times = x * schedule.scale(schedule.time(angles[0])), schedule.time(angles)
    for angle, (time, next_time), draw in zip(angles[:-1], itertools.pairwise(times), draws, strict=True):
        scale = schedule.scale(time)
        x = state / scale
        score = (angle.sin() * denoiser(x, angle) - x) / angle.cos() ** 2 / scale
        state = step(state, time, next_time, score, draw)
    return state / schedule.scale(times[-1])


def root(value):
    return value.sqrt()


def ou(beta, sigma):
    return OU(grid="native", beta=beta, sigma=sigma, T=2.5, t_min=0.1)


def ve_rate(s):
    """g^2 of SHORT["ve"], whose sigma is 0.3 * 10^s."""
    return 2 * math.log(10) * (0.3 * 10**s) ** 2


@over(
    ("name", "schedule", "step"),
    [
        # Visconti 2025, section 5.3
        (
            "reverse_sde",
            ou(1.0, math.sqrt(2)),
            lambda X, s, t, score, z: X + (X + 2 * score) * (s - t) + root(2 * (s - t)) * z,
        ),
        # notes on score matching, section 4
        (
            "reverse_sde",
            ou(0.7, 1.3),
            lambda X, s, t, score, z: X + (0.7 * X + 1.3**2 * score) * (s - t) + 1.3 * root(s - t) * z,
        ),
        (
            "reverse_sde",
            SHORT["ve"],
            lambda X, s, t, score, z: X + ve_rate(s) * (s - t) * score + root(ve_rate(s) * (s - t)) * z,
        ),
        (
            "reverse_sde",
            SHORT["edm"],
            lambda X, s, t, score, z: X + 2 * s * (s - t) * score + root(2 * s * (s - t)) * z,
        ),
        # CS 224 lecture 24, equation (8), integrated
        (
            "exponential_integrator",
            ou(1.0, math.sqrt(2)),
            lambda X, s, t, score, z: (
                (s - t).exp() * X + 2 * ((s - t).exp() - 1) * score + root((2 * (s - t)).exp() - 1) * z
            ),
        ),
        # the same for another OU process: 2 c^2 (e^{beta h} - 1) and c^2 (e^{2 beta h} - 1) with c^2 = sigma^2/(2 beta)
        (
            "exponential_integrator",
            ou(0.5, 1.3),
            lambda X, s, t, score, z: (
                (0.5 * (s - t)).exp() * X
                + 1.3**2 * (2 * ((0.5 * (s - t)).exp() - 1) * score + root(((s - t).exp() - 1) / 1.3**2) * z)
            ),
        ),
        # no linear part: only the variance that is taken away is exact, sigma^2 - sigma'^2 in place of h g^2
        (
            "exponential_integrator",
            SHORT["edm"],
            lambda X, s, t, score, z: X + (s**2 - t**2) * score + root(s**2 - t**2) * z,
        ),
        (
            "exponential_integrator",
            SHORT["ve"],
            lambda X, s, t, score, z: X + 0.09 * (100**s - 100**t) * score + 0.3 * root(100**s - 100**t) * z,
        ),
    ],
)
def test_rules_of_the_reversed_sde_are_what_is_printed(name, schedule, step):
    denoiser, angles = ExactDenoiser(random_mixture(n=3, modes=3, seed=13)), schedule.angles(12)
    x, draws = normal(6, 3, seed=3), normal(12, 6, 3, seed=4)
    expected = in_native_states(schedule, denoiser, angles, x, draws, step)
    assert_close(run(NATIVE[name], denoiser, angles, x, draws, schedule), expected, 1e-10, 1e-10)


@over("schedule", ["ou", "ve", "ddpm", "localization"])
@over("name", IN_THE_ANGLE)
def test_rules_in_the_angle_see_no_native_clock(name, schedule):
    denoiser, angles = ExactDenoiser(random_mixture(n=3, modes=2, seed=14)), LONG["vp"].angles(10)
    x, draws = normal(5, 3, seed=5), normal(10, 5, 3, seed=6)
    expected = run(IN_THE_ANGLE[name], denoiser, angles, x, draws, LONG["vp"])
    assert torch.equal(run(IN_THE_ANGLE[name], denoiser, angles, x, draws, LONG[schedule]), expected)


@over("schedule", ["ou", "ve", "edm", "ddpm"])
@over("predictor", PREDICTORS)
def test_without_corrections_only_the_predictor_is_left(predictor, schedule):
    schedule = LONG[schedule]
    rule = PredictorCorrector(predictor=predictor, corrections=0, snr=0.1)
    denoiser, angles = ExactDenoiser(random_mixture(n=3, modes=2, seed=15)), schedule.angles(10)
    x, draws, paths = normal(5, 3, seed=7), normal(10, 5, 3, seed=8), ([], [])
    for path, one in zip(paths, (rule, PREDICTORS[predictor]), strict=True):
        run(one, denoiser, angles, x, draws, schedule, lambda k, angle, x, path=path: path.append(x.clone()))
    assert all(torch.equal(state, other) for state, other in zip(*paths, strict=True))
    assert rule.nfe(10) == PREDICTORS[predictor].nfe(10)


# What every rule keeps to. ------------------------------------------------------------------------------------------


class Counting(ExactDenoiser):
    """Counts its calls for the samples of a job, as a denoiser or as the source of a score; a pilot is not counted."""

    def __init__(self, target):
        super().__init__(target)
        self.calls = 0

    def forward(self, x, angle):
        self.calls += len(x) != BLOCK
        return super().forward(x, angle)


@over("output", ["scaled", "posterior_mean", "posterior_draw"])
@over("name", ALL)
def test_evaluations_are_counted(name, output):
    rule, denoiser = ALL[name], Counting(random_mixture(n=2, modes=2))
    given = job(rule, output=output)
    list(draw_samples(given, home(name), denoiser, 2, seed=1))
    assert denoiser.calls == given.nfe == rule.nfe(10) + (output != "scaled")
    if name != "mala":
        assert rule.nfe(10) == 10 * rule.evaluations


@over("name", ALL)
def test_samples_do_not_depend_on_their_batch_and_keep_their_dtype(name):
    denoiser = ExactDenoiser(random_mixture(n=3, modes=2, seed=17))
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        whole, parts = (
            torch.cat(
                list(
                    draw_samples(
                        job(ALL[name], count=600, batch_size=batch_size),
                        home(name),
                        denoiser,
                        3,
                        2,
                        dtype,
                    )
                )
            )
            for batch_size in (1024, 256)
        )
        assert whole.dtype == parts.dtype == dtype
        if name != "mala" or dtype == torch.float64:  # a rounding may turn an acceptance
            assert_close(parts, whole, tolerance, tolerance)


class Watched(ExactDenoiser):
    """Knows which of the posterior means and scores that it gave are still kept."""

    def __init__(self, target):
        super().__init__(target)
        self.given = []

    def forward(self, x, angle):
        mean = super().forward(x, angle)
        self.given.append(weakref.ref(mean))
        return mean


@over("name", ALL)
def test_no_rule_remembers_the_states_behind_it(name):
    denoiser, states = Watched(random_mixture(n=2, modes=2)), []
    observe = lambda k, angle, x: states.append(weakref.ref(x))  # noqa: E731
    for _ in draw_samples(job(ALL[name], steps=30), home(name), denoiser, 2, seed=3, observe=observe):
        assert len(denoiser.given) >= 30
        for kept, most in ((denoiser.given, 3), (states, 2)):
            assert len({id(ref()) for ref in kept if ref() is not None}) <= most


class Shared(Denoiser):
    """A posterior mean that is one tensor for all samples, which no rule may write to."""

    exact = True

    def __init__(self):
        super().__init__()
        self.mean = torch.tensor([[0.5, -0.5]], dtype=torch.float64)
        self.target = GaussianMixture([1.0], self.mean, 1e-3)

    def forward(self, x, angle):
        return self.mean.expand_as(x)


@over("name", ALL)
def test_no_rule_writes_to_what_the_denoiser_returns(name):
    denoiser, schedule = Shared(), home(name)
    before = denoiser.mean.clone()
    rule = ALL[name].model_copy(update={"step_size": 1e-3}) if name in LANGEVIN else ALL[name]
    run(rule, denoiser, rule.angles(schedule, 10), normal(3, 2, seed=11), schedule=schedule)
    assert torch.equal(denoiser.mean, before)


@over("name", DETERMINISTIC | NATIVE_DETERMINISTIC)
def test_deterministic_rules_draw_no_noise(name):
    def refuse():
        raise AssertionError("drew noise")

    target, schedule = random_mixture(n=3, modes=2, seed=9), SHORT["ou"]
    x = torch.randn(5, 3, generator=seeded(1), dtype=torch.float64)
    simulate(ALL[name], ExactDenoiser(target), schedule.angles(5), x, refuse, schedule=schedule)


# What a rule may be, and what its steps find out. ---------------------------------------------------------------------


class Told(Sampler):
    """Moves nothing; every step finds out which step it is, and every second one how large x is."""

    def step(self, denoiser, x, angle, next_angle, noise, state):
        k = 0 if state is None else state
        info = {"position": torch.full((len(x),), k)}
        return Step(x, k + 1, info | ({"size": x.norm(dim=1)} if k % 2 else {}))


class Pair(Sampler):
    """A rule that returns a plain pair."""

    def step(self, denoiser, x, angle, next_angle, noise, state):
        return x, state


def test_what_the_steps_find_out_is_averaged_over_the_steps_of_each_sample():
    found, given, schedule = Found(), job(Told(), count=700, steps=5), LONG["ou"]
    samples = torch.cat(list(draw_samples(given, schedule, Frozen(torch.zeros(1)), 3, seed=1, found=found)))
    means, estimates = found.means(), found.estimates()
    assert torch.equal(means["position"], torch.full((700,), 2.0, dtype=torch.float64))
    sizes = samples.norm(dim=1) * math.sin(schedule.end_angle)
    assert_close(means["size"], sizes.double(), rtol=1e-5)
    assert estimates["size"].value == pytest.approx(float(sizes.mean()), rel=1e-5)
    assert estimates["size"].standard_error == pytest.approx(float(sizes.std()) / math.sqrt(700), rel=1e-4)
    assert (estimates["position"].value, estimates["position"].standard_error) == (2.0, 0.0)


def test_the_acceptance_rate_of_mala_is_the_share_of_moves():
    states, found = [], Found()
    target, given = random_mixture(n=2, modes=2), job(MALA(step_size=0.8, noise_level=0.0), count=300, steps=20)
    observe = lambda k, angle, x: states.append(x.clone())  # noqa: E731
    list(draw_samples(given, LONG["ou"], ExactDenoiser(target), 2, 4, observe=observe, found=found))
    moved, batch = [], []
    for before, after in itertools.pairwise(states):
        if len(before) == len(after):
            batch.append((before != after).any(1).double())
        if len(batch) == 20:
            moved.append(torch.stack(batch).mean(0))
            batch = []
    rate = torch.cat(moved)
    assert 0.2 < float(rate.mean()) < 0.95
    assert_close(found.means()["acceptance_rate"], rate, rtol=1e-12)
    assert found.estimates()["acceptance_rate"].standard_error == pytest.approx(standard_error(rate), rel=1e-12)


def test_a_rule_may_return_a_plain_pair():
    found = Found()
    list(draw_samples(job(Pair()), LONG["ou"], Frozen(torch.zeros(1)), 3, seed=1, found=found))
    assert found.estimates() == {}


def test_a_rule_has_no_keys_of_the_job():
    for key in ("count", "steps", "batch_size", "output"):
        with pytest.raises(ValueError, match=key):
            DDIM(eta=0.0, **{key: 2})
