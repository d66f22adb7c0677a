"""The sampler's step, the loop over steps, and what it returns of an exact denoiser."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, job, normal, over, random_mixture, seeded, standard_error

from scorelab.channel import mix
from scorelab.denoisers import Denoiser, ExactDenoiser, OuterProduct
from scorelab.metrics.projection import project
from scorelab.randomness import BLOCK, BlockNoise, default_stream
from scorelab.samplers import EulerMaruyama
from scorelab.samplers.loop import OUTPUTS, draw_samples, simulate
from scorelab.schedules import Localization
from scorelab.targets import GaussianMixture

OUTPUT_NAMES = ["scaled", "posterior_mean", "posterior_draw"]
every_output = over("output", OUTPUT_NAMES)
every_grid = over("grid", ["angle", "log_t"])


def euler_maruyama(steps=20, **options):
    return job(EulerMaruyama(), steps=steps, **options)


def localization(grid="angle", alpha_max=1.4):
    return Localization(grid=grid, alpha_max=alpha_max, T=None, t_min=6e-4)


def drawn(sampler, denoiser, n, seed=1, dtype=torch.float32, schedule=None):
    return torch.cat(list(draw_samples(sampler, schedule or localization(), denoiser, n, seed, dtype)))


def replay(draws):
    """A noise function that returns the given draws in order."""
    remaining = iter(draws)
    return lambda: next(remaining).clone()


class Counting(Denoiser):
    """A denoiser that counts its calls."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser, self.calls = denoiser, 0

    def forward(self, x, angle):
        self.calls += 1
        return self.denoiser(x, angle)


class Nonlinear(Denoiser):
    """Something that depends on the state and the angle and knows no target."""

    def forward(self, x, angle):
        return torch.sin(3 * x) + angle * x.roll(1, -1)


# One step, and the loop. --------------------------------------------------------------------------------------------


@every_grid
def test_step_in_the_angle_is_euler_maruyama_in_native_coordinates(grid):
    schedule, denoiser = localization(grid), Nonlinear()
    angles = schedule.angles(30)
    draws = normal(30, 6, 3, seed=1)
    states = []
    simulate(
        EulerMaruyama(),
        denoiser,
        angles,
        normal(6, 3, seed=2),
        replay(draws),
        lambda k, angle, x: states.append(x.clone()),
    )
    times = torch.tan(angles) ** 2
    y = torch.zeros(6, 3, dtype=torch.float64)
    for k, (time, next_time) in enumerate(itertools.pairwise(times)):
        m = denoiser(states[k], float(angles[k]))
        y = y + (next_time - time) * m + torch.sqrt(next_time - time) * draws[k]
        native, native_time = schedule.from_angle(states[k + 1], angles[k + 1])
        assert_close(native_time, next_time, rtol=1e-12)
        assert_close(native, y, rtol=1e-12, atol=1e-12 * float(y.abs().max()))


def test_frozen_posterior_mean_is_solved_exactly():
    """With a constant drift Y_t = t m + W_t, whatever the grid."""
    constant = torch.tensor([0.5, -2.0], dtype=torch.float64)

    class Constant(Denoiser):
        def forward(self, x, angle):
            return constant.expand(x.shape)

    draws = normal(7, 4, 2, seed=3)
    angles = torch.tensor([0.0, 0.1, 0.15, 0.7, 0.9, 1.2, 1.3, 1.5], dtype=torch.float64)
    x = simulate(EulerMaruyama(), Constant(), angles, normal(4, 2, seed=4), replay(draws))
    times = torch.tan(angles) ** 2
    brownian = (torch.sqrt(times.diff())[:, None, None] * draws).sum(0)
    expected = (times[-1] * constant + brownian) / torch.sqrt(times[-1] * (times[-1] + 1))
    assert_close(x, expected, rtol=1e-12, atol=1e-13)


def test_loop_does_not_remember_the_noise_it_started_from():
    """Y_0 = 0: a denoiser that is blind to the state at angle 0 leaves no trace of the first draw."""
    target = random_mixture(2, 3)
    draws = normal(10, 5, 3, seed=5)
    ends = [
        simulate(EulerMaruyama(), ExactDenoiser(target), localization().angles(10), normal(5, 3, seed=s), replay(draws))
        for s in (6, 7)
    ]
    assert_close(ends[0], ends[1], rtol=1e-12)


@every_grid
def test_observer_sees_every_grid_point(grid):
    angles = localization(grid).angles(12)
    start = normal(5, 3, seed=8)
    seen = []
    denoiser = ExactDenoiser(random_mixture(2, 3))
    end = simulate(
        EulerMaruyama(),
        denoiser,
        angles,
        start.clone(),
        replay(normal(12, 5, 3, seed=9)),
        lambda k, angle, x: seen.append((k, angle, x.clone())),
    )
    assert [k for k, _, _ in seen] == list(range(13))
    assert [angle for _, angle, _ in seen] == angles.tolist()
    assert torch.equal(seen[0][2], start)
    assert torch.equal(seen[-1][2], end)
    assert all(not torch.equal(before[2], after[2]) for before, after in itertools.pairwise(seen))
    unobserved = simulate(EulerMaruyama(), denoiser, angles, start.clone(), replay(normal(12, 5, 3, seed=9)))
    assert torch.equal(unobserved, end)


@every_output
def test_nfe_counts_the_calls_of_the_denoiser(output):
    sampler = euler_maruyama(count=200, steps=17, output=output)
    denoiser = Counting(ExactDenoiser(random_mixture(2, 3)))
    drawn(sampler, denoiser, 3)
    assert denoiser.calls == sampler.nfe
    assert sampler.nfe == 17 + (output != "scaled")


@over(
    ("change", "message"),
    [({"count": 0}, "count"), ({"steps": 0}, "steps"), ({"batch_size": 0}, "batch_size"), ({"output": "x"}, "output")],
)
def test_impossible_sampler_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        euler_maruyama(**change)


# The law of the samples. --------------------------------------------------------------------------------------------


def exact_output_variance(steps, std, alpha_max=1.4, output="scaled"):
    """The variance of the samples of N(0, std^2), without sampling: every step is linear in its noise, so the sum of
    squares of the responses to unit noise at one step after the other is the variance."""
    target = GaussianMixture([1.0], [[0.0]], std)
    unit_draws = torch.eye(steps, dtype=torch.float64).unsqueeze(2)
    start = torch.zeros(steps, 1, dtype=torch.float64)
    angles = localization(alpha_max=alpha_max).angles(steps)
    x = simulate(EulerMaruyama(), ExactDenoiser(target), angles, start, replay(unit_draws))
    return float(OUTPUTS[output](ExactDenoiser(target), x, alpha_max, None).square().sum())


@over("output", ["scaled", "posterior_mean"])
@over("std", [1.0, 0.5])
def test_discretisation_error_of_the_variance_is_of_first_order(std, output):
    exact = float(GaussianMixture([1.0], [[0.0]], std).output_law(1.4, output).std ** 2)
    errors = [exact_output_variance(steps, std, output=output) / exact - 1 for steps in (100, 200, 400, 800)]
    assert abs(errors[0]) < 0.05
    for coarse, fine in itertools.pairwise(errors):
        assert 1.9 < coarse / fine < 2.1


#: what 150 steps of the grid uniform in the angle add to the sampling error below, measured with 200,000 samples; it
#: halves with the step
DISCRETISATION = {"mean": 0.004, "variance": 0.005, "mode weight": 0.004, "orthogonal variance": 0.026}


@every_output
def test_exact_denoiser_gives_samples_of_the_law_at_the_finite_end(output):
    target = GaussianMixture.two_modes(0.7, 3 * torch.ones(4))
    x = drawn(euler_maruyama(count=4000, steps=150, batch_size=4096, output=output), ExactDenoiser(target), 4, seed=2)
    expected = target.output_law(1.4, output)
    law = expected.projection(target.direction)
    values = project(x, target.direction)
    unit = target.direction / target.direction.norm()
    orthogonal = x.double() - torch.outer(x.double() @ unit, unit)
    statistics = {
        "mean": (values, law.mean),
        "variance": ((values - law.mean).square(), law.variance),
        "mode weight": (target.posterior_weights(x, math.pi / 2)[:, 0].double(), 0.7),
        "orthogonal variance": (orthogonal.square().sum(1) / 3, expected.orthogonal_variance(target.direction)),
    }
    for name, (found, exact) in statistics.items():
        assert abs(float(found.mean()) - exact) < 4 * standard_error(found) + DISCRETISATION[name], name


def test_sample_variance_is_that_of_the_discretised_chain():
    """No allowance: the variance of the chain itself is known for one mode."""
    target = GaussianMixture([1.0], [[0.0, 0.0]], 0.5)
    x = drawn(euler_maruyama(count=8000, steps=15, batch_size=8192), ExactDenoiser(target), 2, seed=3).double()
    squared = x.square().flatten()
    chain = exact_output_variance(15, 0.5)
    assert abs(float(squared.mean()) - chain) < 4 * standard_error(squared)
    assert abs(chain / float(target.output_law(1.4, "scaled").std ** 2) - 1) > 4 * standard_error(squared) / chain


@over("std", [1.0, 0.4])
@over("angle", [0.3, 1.2])
def test_posterior_draw_of_one_mode_adds_the_variance_of_the_posterior(angle, std):
    target = GaussianMixture([1.0], [[0.5, -1.0, 2.0]], std)
    x, draws = normal(5, 3, seed=10), normal(2, 5, 3, seed=11)
    result = OUTPUTS["posterior_draw"](ExactDenoiser(target), x, angle, replay(draws))
    sin, cos = math.sin(angle), math.cos(angle)
    variance = std**2 * cos**2 / (std**2 * sin**2 + cos**2)
    assert_close(result, target.posterior_mean(x, angle) + math.sqrt(variance) * draws[1], rtol=1e-12, atol=1e-13)


def test_the_law_of_posterior_draws_is_known_where_it_is_the_target():
    """Where modes overlap the isotropic noise of a draw also spreads along other directions than theirs."""
    target = GaussianMixture.two_modes(0.5, a=torch.tensor([3.0, 0, 0, 0]))
    clean = target.sample(40_000, torch.Generator().manual_seed(14), torch.float64)
    for t, known in ((0.3, False), (100.0, True)):
        angle = math.atan(math.sqrt(t))
        x = mix(clean, normal(40_000, 4, seed=15), angle)
        result = OUTPUTS["posterior_draw"](ExactDenoiser(target), x, angle, replay(normal(2, 40_000, 4, seed=16)))
        law = target.output_law(angle, "posterior_draw")
        assert (law is target) == known
        assert (abs(float(result[:, 1].var()) - 1) < 4 * math.sqrt(2 / 40_000)) == known


def test_posterior_draws_of_clean_states_have_the_law_of_the_target():
    """Exact noisy states in, a posterior draw out: the target again, where one mode dominates the posterior."""
    target = GaussianMixture.two_modes(0.7, 4 * torch.ones(4))
    draws = seeded(12)
    clean = target.sample(8000, draws, torch.float64)
    x = math.sin(1.0) * clean + math.cos(1.0) * torch.randn(clean.shape, generator=draws, dtype=torch.float64)
    result = OUTPUTS["posterior_draw"](ExactDenoiser(target), x, 1.0, replay(normal(2, 8000, 4, seed=13)))
    centred = result - target.means[(result @ target.direction < 0).long()]
    squared = centred.square().sum(1) / 4
    assert abs(float(squared.mean()) - 1) < 4 * standard_error(squared)


def test_output_of_the_last_state():
    target = random_mixture(2, 3)
    x, denoiser = normal(5, 3, seed=14), ExactDenoiser(target)
    assert_close(OUTPUTS["scaled"](denoiser, x, 1.2, None), x / math.sin(1.2), rtol=1e-14)
    assert torch.equal(OUTPUTS["posterior_mean"](denoiser, x, 1.2, None), target.posterior_mean(x, 1.2))


@every_output
def test_outputs_share_the_path(output):
    """What is returned is a function of the same last state."""
    target, end = random_mixture(2, 3), 1.4
    denoiser = ExactDenoiser(target)
    scaled, other = (
        drawn(euler_maruyama(output=name), denoiser, 3, dtype=torch.float64) for name in ("scaled", output)
    )
    mean = denoiser(scaled * math.sin(end), end)
    if output == "posterior_mean":
        assert_close(other, mean, rtol=1e-10, atol=1e-12)
    elif output == "posterior_draw":
        assert 0 < float((other - mean).square().mean().sqrt()) < 2 * math.cos(end)
    else:
        assert torch.equal(other, scaled)


# Where the randomness comes from. -----------------------------------------------------------------------------------


def network(n=3):
    with default_stream(0):
        return OuterProduct(
            L=2, m=8, frequencies=5, activation="tanh", parametrization="skip", input="raw", zero_output=False
        ).build(n)


@over(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@over("kind", ["exact", "network"])
@every_output
def test_samples_depend_neither_on_the_batch_nor_on_the_count(output, kind, dtype, tolerance):
    denoiser = (ExactDenoiser(random_mixture(2, 3)) if kind == "exact" else network()).to(dtype)
    whole = drawn(euler_maruyama(count=700, batch_size=1024, output=output), denoiser, 3, dtype=dtype)
    assert whole.shape == (700, 3)
    assert whole.dtype == dtype
    for count, batch_size in ((700, 256), (700, 512), (700, 300), (700, 1), (300, 1024), (10, 256), (257, 256)):
        part = drawn(euler_maruyama(count=count, batch_size=batch_size, output=output), denoiser, 3, dtype=dtype)
        assert part.shape == (count, 3)
        assert_close(part, whole[:count], rtol=tolerance, atol=tolerance)


def test_batches_are_multiples_of_a_block_and_bounded_by_the_batch_size():
    sampler = euler_maruyama(count=1200, batch_size=600, steps=2)
    batches = list(draw_samples(sampler, localization(), ExactDenoiser(random_mixture(2, 3)), 3, 1))
    assert [len(batch) for batch in batches] == [512, 512, 176]


def test_samples_of_another_seed_are_others():
    denoiser = ExactDenoiser(random_mixture(2, 3))
    first, again, other = (drawn(euler_maruyama(), denoiser, 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert float((first - other).abs().min()) > 0


@over("lag", [1, 2, BLOCK])
def test_samples_are_uncorrelated_across_their_index(lag):
    target = GaussianMixture.two_modes(0.7, 2 * torch.ones(3))
    x = drawn(euler_maruyama(count=4000, batch_size=1024, steps=20), ExactDenoiser(target), 3).double()
    x = x - x.mean(0)
    for one in range(3):
        for other in range(3):
            products = x[lag:, one] * x[:-lag, other]
            assert abs(float(products.mean())) < 4 * standard_error(products)


def test_no_sample_is_drawn_twice():
    x = drawn(euler_maruyama(count=2000, batch_size=512, steps=5), ExactDenoiser(random_mixture(2, 3)), 3)
    assert len(torch.unique(x, dim=0)) == 2000


@every_output
def test_sampling_leaves_global_randomness_alone(output):
    before = torch.get_rng_state()
    drawn(euler_maruyama(output=output), network(), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_needs_no_gradients():
    x = drawn(euler_maruyama(), network(), 3)
    assert not x.requires_grad


def test_block_noise_is_standard_normal_and_its_own_for_each_sample():
    noise = BlockNoise(seed=1, first=0, count=3000, shape=2, dtype=torch.float64)
    first, second = noise().clone(), noise().clone()
    assert first.shape == (3000, 2)
    assert first.dtype == torch.float64
    assert len(torch.unique(torch.cat([first, second]).flatten())) == 12_000
    for moment, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)):
        power = (first**moment).flatten()
        assert abs(float(power.mean()) - expected) < 4 * standard_error(power)
    products = (first * second).flatten()
    assert abs(float(products.mean())) < 4 * standard_error(products)


def test_block_noise_of_a_later_batch_continues_the_first():
    whole, later = BlockNoise(1, 0, 600, 2), BlockNoise(1, BLOCK, 100, 2)
    for _ in range(3):
        assert torch.equal(later().clone(), whole()[BLOCK : BLOCK + 100])


def test_block_noise_starts_at_a_block():
    with pytest.raises(ValueError, match="multiple of 256"):
        BlockNoise(1, 100, 10, 2)
