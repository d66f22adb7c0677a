"""The conversions between posterior mean, noise, velocity and score."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, normal

from scorelab import channel
from scorelab.channel import HALF_PI, mix, sin_cos

QUANTITIES = ["posterior_mean", "noise", "velocity", "score"]
PAIRS = [(source, result) for source in QUANTITIES for result in QUANTITIES if source != result]
INTERIOR = [0.05, 0.3, math.pi / 4, 1.2, 1.5]
UNDETERMINED_AT_NOISE = {
    ("noise", "posterior_mean"),
    ("noise", "velocity"),
    ("score", "posterior_mean"),
    ("score", "velocity"),
}
UNDETERMINED_AT_DATA = {("velocity", "score"), ("posterior_mean", "score"), ("noise", "score")}


def convert(source, result):
    return getattr(channel, f"{source}_to_{result}")


def consistent_quantities(angle, dtype=torch.float64):
    """x and all four quantities from independent draws of the posterior mean and the noise, by their definitions."""
    m, eps = normal(6, 5, seed=1, dtype=dtype), normal(6, 5, seed=2, dtype=dtype)
    sin, cos = math.sin(angle), math.cos(angle)
    values = {"posterior_mean": m, "noise": eps, "velocity": cos * m - sin * eps, "score": -eps / cos}
    return sin * m + cos * eps, values


def quantities_at_noise_end():
    """At phi = 0 the noise is x; nothing is known of the posterior mean."""
    x, m = normal(6, 5, seed=3), normal(6, 5, seed=4)
    return x, {"posterior_mean": m, "noise": x, "velocity": m, "score": -x}


def quantities_at_data_end():
    """At phi = pi/2 the posterior mean is x; nothing is known of the score."""
    x, zero = normal(6, 5, seed=5), torch.zeros(6, 5, dtype=torch.float64)
    return x, {"posterior_mean": x, "noise": zero, "velocity": zero, "score": normal(6, 5, seed=6)}


@pytest.mark.parametrize("angle", INTERIOR)
@pytest.mark.parametrize(("source", "result"), PAIRS)
def test_conversion_gives_the_quantity_of_the_definition(source, result, angle):
    x, values = consistent_quantities(angle)
    # dividing by sin or cos magnifies the rounding of x by as much
    size = 1 / min(math.sin(angle), math.cos(angle)) ** 2
    assert_close(convert(source, result)(values[source], x, angle), values[result], rtol=1e-12, atol=1e-14 * size)


@pytest.mark.parametrize("angle", INTERIOR)
@pytest.mark.parametrize(("source", "result"), PAIRS)
def test_conversion_there_and_back_is_the_identity(source, result, angle):
    x, start = normal(6, 5, seed=7), normal(6, 5, seed=8)
    there = convert(source, result)(start, x, angle)
    assert (there - start).abs().max() > 1e-3
    assert_close(convert(result, source)(there, x, angle), start, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, *INTERIOR, HALF_PI])
def test_posterior_mean_and_noise_of_any_velocity_add_up_to_the_state(angle):
    x, velocity = normal(6, 5, seed=9), normal(6, 5, seed=10)
    m = channel.velocity_to_posterior_mean(velocity, x, angle)
    eps = channel.velocity_to_noise(velocity, x, angle)
    sin, cos = math.sin(angle), math.cos(angle)
    assert_close(sin * m + cos * eps, x, rtol=0, atol=1e-14)
    assert_close(cos * m - sin * eps, velocity, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("source", "result"), [pair for pair in PAIRS if pair not in UNDETERMINED_AT_NOISE])
def test_conversion_is_exact_at_pure_noise(source, result):
    x, values = quantities_at_noise_end()
    assert torch.equal(convert(source, result)(values[source], x, 0.0), values[result])


@pytest.mark.parametrize(("source", "result"), [pair for pair in PAIRS if pair not in UNDETERMINED_AT_DATA])
def test_conversion_is_exact_at_clean_data(source, result):
    x, values = quantities_at_data_end()
    assert torch.equal(convert(source, result)(values[source], x, HALF_PI), values[result])


@pytest.mark.parametrize(("source", "result"), sorted(UNDETERMINED_AT_NOISE))
@pytest.mark.parametrize("angle", [0.0, torch.tensor(0.0), torch.tensor([0.3, 1.0, 0.0, 0.4, 0.5, 0.6])])
def test_conversion_undetermined_at_pure_noise_is_refused(source, result, angle):
    x, values = quantities_at_noise_end()
    with pytest.raises(ValueError, match=r"not a function of the .* at angle 0"):
        convert(source, result)(values[source], x, angle)


@pytest.mark.parametrize(("source", "result"), sorted(UNDETERMINED_AT_DATA))
@pytest.mark.parametrize("angle", [HALF_PI, torch.tensor(HALF_PI), torch.tensor([0.3, 1.0, HALF_PI, 0.4, 0.5, 0.6])])
def test_conversion_undetermined_at_clean_data_is_refused(source, result, angle):
    x, values = quantities_at_data_end()
    with pytest.raises(ValueError, match=r"not a function of the .* at angle pi/2"):
        convert(source, result)(values[source], x, angle)


@pytest.mark.parametrize(("source", "result"), [("posterior_mean", "noise"), ("posterior_mean", "velocity")])
def test_clean_data_in_a_batch_leaves_the_other_samples_alone(source, result):
    x, values = normal(3, 5, seed=11), normal(3, 5, seed=12)
    values[1] = x[1]
    together = convert(source, result)(values, x, torch.tensor([0.7, HALF_PI, 1.1], dtype=torch.float64))
    assert torch.equal(together[1], torch.zeros(5, dtype=torch.float64))
    for row, angle in ((0, 0.7), (2, 1.1)):
        assert_close(together[row], convert(source, result)(values[row], x[row], angle), rtol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", [0.7, torch.tensor(0.7, dtype=torch.float64), torch.full((6,), 0.7)])
@pytest.mark.parametrize(("source", "result"), PAIRS)
def test_conversion_keeps_the_dtype_of_the_state(source, result, angle, dtype):
    x, values = consistent_quantities(0.7, dtype)
    converted = convert(source, result)(values[source], x, angle)
    assert converted.dtype == dtype
    assert_close(converted, values[result], rtol=1e-4 if dtype == torch.float32 else 1e-6, atol=2e-6)


@pytest.mark.parametrize(("source", "result"), PAIRS)
def test_number_scalar_and_one_angle_a_sample_agree(source, result):
    x, values = consistent_quantities(0.7)
    expected = convert(source, result)(values[source], x, 0.7)
    for angle in (torch.tensor(0.7, dtype=torch.float64), torch.full((6,), 0.7, dtype=torch.float64)):
        assert torch.equal(convert(source, result)(values[source], x, angle), expected)


def test_angles_belong_to_their_own_samples():
    x, m = normal(4, 5, seed=13), normal(4, 5, seed=14)
    angles = torch.tensor([0.2, 0.9, 1.3, 0.5], dtype=torch.float64)
    together = channel.posterior_mean_to_score(m, x, angles)
    one_by_one = [channel.posterior_mean_to_score(m[i], x[i], angles[i]) for i in range(4)]
    assert_close(together, torch.stack(one_by_one), rtol=1e-15)


def test_angles_stand_for_the_first_dimensions_of_the_state():
    x, velocity = normal(3, 4, 5, 2, seed=15), normal(3, 4, 5, 2, seed=16)
    angles = torch.linspace(0.1, 1.4, 12, dtype=torch.float64).reshape(3, 4)
    for given, rows in ((angles[:, 0], 1), (angles, 2), (angles[:1], 2)):
        result = channel.velocity_to_posterior_mean(velocity, x, given)
        for place in itertools.product(range(3), range(4)):
            angle = float(given.expand(3, 4)[place] if rows == 2 else given[place[0]])
            expected = math.sin(angle) * x[place] + math.cos(angle) * velocity[place]
            assert_close(result[place], expected, rtol=1e-14, atol=1e-15)


def test_mix_is_the_channel():
    clean, noise = normal(6, 5, seed=17), normal(6, 5, seed=18)
    assert torch.equal(mix(clean, noise, 0.0), noise)
    assert torch.equal(mix(clean, noise, HALF_PI), clean)
    assert_close(mix(clean, noise, 0.4), math.sin(0.4) * clean + math.cos(0.4) * noise, rtol=1e-15, atol=1e-16)
    assert mix(clean.float(), noise.float(), torch.tensor(0.4, dtype=torch.float64)).dtype == torch.float32


@pytest.mark.parametrize(
    ("angle", "named"),
    [
        (-1e-3, "-0.001"),
        (1.6, "1.6"),
        (HALF_PI + 1e-9, "1.5708"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (torch.tensor([0.1, 2.5, 0.2, 0.3, 0.4, 0.5]), "2.5"),
    ],
)
def test_angle_outside_the_interval_is_refused_by_its_value(angle, named):
    x = normal(6, 5, seed=19)
    with pytest.raises(ValueError, match=f"angle = {named}: allowed are angles in"):
        mix(x, x, angle)
    for source, result in PAIRS:
        with pytest.raises(ValueError, match=f"angle = {named}"):
            convert(source, result)(x, x, angle)


def test_single_precision_half_pi_is_the_end():
    clean, noise = normal(6, 5, seed=20, dtype=torch.float32), normal(6, 5, seed=21, dtype=torch.float32)
    end = torch.tensor(HALF_PI, dtype=torch.float32)
    assert end.double() > HALF_PI
    assert torch.equal(mix(clean, noise, end), clean)
    assert torch.equal(channel.posterior_mean_to_noise(clean, clean, end), torch.zeros_like(clean))


def test_angles_next_to_the_end_are_not_the_end():
    x = torch.ones(1, dtype=torch.float64)
    assert_close(sin_cos(HALF_PI - 1e-12, x)[1].item(), 1e-12, rtol=1e-3)
    single = torch.tensor(HALF_PI - 1e-6, dtype=torch.float32)
    assert_close(sin_cos(single, x)[1].item(), math.cos(single.item()), rtol=1e-9)
