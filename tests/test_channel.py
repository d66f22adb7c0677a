"""The conversions between posterior mean, noise, velocity and score."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, normal, refused
from hypothesis import given
from hypothesis import strategies as some

from scorelab import channel
from scorelab.channel import HALF_PI, mix, sin_cos

QUANTITIES = ["posterior_mean", "noise", "velocity", "score"]
PAIRS = [(source, result) for source in QUANTITIES for result in QUANTITIES if source != result]
UNDETERMINED_AT_NOISE = [
    ("noise", "posterior_mean"),
    ("noise", "velocity"),
    ("score", "posterior_mean"),
    ("score", "velocity"),
]
UNDETERMINED_AT_DATA = [("velocity", "score"), ("posterior_mean", "score"), ("noise", "score")]


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


# The identities. ----------------------------------------------------------------------------------------------------


@given(angle=some.floats(1e-3, HALF_PI - 1e-3))
def test_conversion_gives_the_quantity_of_the_definition(angle):
    x, values = consistent_quantities(angle)
    # dividing by sin or cos magnifies the rounding of x by as much
    size = 1 / min(math.sin(angle), math.cos(angle)) ** 2
    for source, result in PAIRS:
        converted = convert(source, result)(values[source], x, angle)
        assert_close(converted, values[result], rtol=1e-12, atol=1e-14 * size, case=(source, result))


@given(angle=some.floats(0.05, 1.5))
def test_conversion_there_and_back_is_the_identity(angle):
    x, start = normal(6, 5, seed=7), normal(6, 5, seed=8)
    for source, result in PAIRS:
        there = convert(source, result)(start, x, angle)
        assert (there - start).abs().max() > 1e-3, (source, result)
        back = convert(result, source)(there, x, angle)
        assert_close(back, start, rtol=1e-12, atol=1e-12, case=(source, result))


@given(angle=some.sampled_from([0.0, HALF_PI]) | some.floats(0, HALF_PI))
def test_posterior_mean_and_noise_of_any_velocity_add_up_to_the_state(angle):
    x, velocity = normal(6, 5, seed=9), normal(6, 5, seed=10)
    m = channel.velocity_to_posterior_mean(velocity, x, angle)
    eps = channel.velocity_to_noise(velocity, x, angle)
    sin, cos = math.sin(angle), math.cos(angle)
    assert_close(sin * m + cos * eps, x, rtol=0, atol=1e-14)
    assert_close(cos * m - sin * eps, velocity, rtol=0, atol=1e-14)


def test_mix_is_the_channel():
    clean, noise = normal(6, 5, seed=17), normal(6, 5, seed=18)
    assert torch.equal(mix(clean, noise, 0.0), noise)
    assert torch.equal(mix(clean, noise, HALF_PI), clean)
    assert_close(mix(clean, noise, 0.4), math.sin(0.4) * clean + math.cos(0.4) * noise, rtol=1e-15, atol=1e-16)
    assert mix(clean.float(), noise.float(), torch.tensor(0.4, dtype=torch.float64)).dtype == torch.float32


# The ends. ----------------------------------------------------------------------------------------------------------


def test_conversion_that_is_determined_at_an_end_is_exact_there():
    ends = (
        (0.0, quantities_at_noise_end(), UNDETERMINED_AT_NOISE),
        (HALF_PI, quantities_at_data_end(), UNDETERMINED_AT_DATA),
    )
    for angle, (x, values), undetermined in ends:
        for source, result in set(PAIRS) - set(undetermined):
            converted = convert(source, result)(values[source], x, angle)
            assert torch.equal(converted, values[result]), (source, result, angle)


@pytest.mark.parametrize(
    ("angle", "written", "quantities", "undetermined"),
    [
        (0.0, "0", quantities_at_noise_end, UNDETERMINED_AT_NOISE),
        (HALF_PI, "pi/2", quantities_at_data_end, UNDETERMINED_AT_DATA),
    ],
)
def test_conversion_that_is_undetermined_at_an_end_is_refused(angle, written, quantities, undetermined):
    x, values = quantities()
    for source, result in undetermined:
        for given_as in (angle, torch.tensor(angle), torch.tensor([0.3, 1.0, angle, 0.4, 0.5, 0.6])):
            says = refused(ValueError, convert(source, result), values[source], x, given_as)
            assert says.startswith(f"the {result.replace('_', ' ')} is not a function of the "), (source, given_as)
            assert says.endswith(f" at angle {written}"), (source, given_as)


def test_clean_data_in_a_batch_leaves_the_other_samples_alone():
    for result in ("noise", "velocity"):
        conversion = convert("posterior_mean", result)
        x, values = normal(3, 5, seed=11), normal(3, 5, seed=12)
        values[1] = x[1]
        together = conversion(values, x, torch.tensor([0.7, HALF_PI, 1.1], dtype=torch.float64))
        assert torch.equal(together[1], torch.zeros(5, dtype=torch.float64)), result
        for row, angle in ((0, 0.7), (2, 1.1)):
            assert_close(together[row], conversion(values[row], x[row], angle), rtol=1e-15, case=(result, angle))


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
    for function in (mix, *(convert(*pair) for pair in PAIRS)):
        says = refused(ValueError, function, x, x, angle)
        assert says.startswith(f"angle = {named}: allowed are angles in [0, pi/2]"), function.__name__


# Dtypes and shapes. -------------------------------------------------------------------------------------------------


def test_conversion_keeps_the_dtype_of_the_state():
    for dtype in (torch.float32, torch.float64):
        x, values = consistent_quantities(0.7, dtype)
        for angle in (0.7, torch.tensor(0.7, dtype=torch.float64), torch.full((6,), 0.7)):
            for source, result in PAIRS:
                converted = convert(source, result)(values[source], x, angle)
                rtol = 1e-4 if dtype == torch.float32 else 1e-6  # of an angle in single precision
                assert_close(converted, values[result], rtol, atol=2e-6, case=(source, result, dtype, angle))


def test_number_scalar_and_one_angle_a_sample_agree():
    x, values = consistent_quantities(0.7)
    one = torch.tensor(0.7, dtype=torch.float64)
    for source, result in PAIRS:
        expected = convert(source, result)(values[source], x, 0.7)
        for angle in (one, one.expand(6)):
            assert torch.equal(convert(source, result)(values[source], x, angle), expected), (source, result, angle)


@given(angles=some.lists(some.floats(0.01, 1.55), min_size=4, max_size=4))
def test_angles_belong_to_their_own_samples(angles):
    x, start = normal(4, 5, seed=13), normal(4, 5, seed=14)
    for source, result in PAIRS:
        together = convert(source, result)(start, x, torch.tensor(angles, dtype=torch.float64))
        one_by_one = [convert(source, result)(start[i], x[i], angles[i]) for i in range(4)]
        assert_close(together, torch.stack(one_by_one), rtol=1e-13, atol=1e-14, case=(source, result))


def test_angles_stand_for_the_first_dimensions_of_the_state():
    x, velocity = normal(3, 4, 5, 2, seed=15), normal(3, 4, 5, 2, seed=16)
    angles = torch.linspace(0.1, 1.4, 12, dtype=torch.float64).reshape(3, 4)
    for angle_of, rows in ((angles[:, 0], 1), (angles, 2), (angles[:1], 2)):
        result = channel.velocity_to_posterior_mean(velocity, x, angle_of)
        for place in itertools.product(range(3), range(4)):
            angle = float(angle_of.expand(3, 4)[place] if rows == 2 else angle_of[place[0]])
            expected = math.sin(angle) * x[place] + math.cos(angle) * velocity[place]
            assert_close(result[place], expected, rtol=1e-14, atol=1e-15, case=place)


def test_an_angle_that_was_asked_for_without_derivatives_has_derivatives_later():
    angle = 0.123456789  # which no other test asks for
    with torch.inference_mode():
        mix(torch.ones(2), torch.ones(2), angle)
    clean = torch.ones(2, dtype=torch.float64, requires_grad=True)
    mix(clean, clean.detach(), angle).sum().backward()
    torch.testing.assert_close(clean.grad, torch.full_like(clean, math.sin(angle)))
