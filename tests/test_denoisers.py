"""Algorithm 1 against a literal transcription, and the exact denoiser."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, noisy_states, normal, over, random_mixture, seeded

from scorelab.channel import HALF_PI, mix
from scorelab.denoisers import Exact, OuterProduct
from scorelab.randomness import default_stream
from scorelab.targets import GaussianMixture

N = 5
ANGLES = torch.tensor([0.0, 0.1, 0.6, 1.0, 1.3, 1.5, 1.56], dtype=torch.float64)
PARAMETRIZATIONS = ("skip", "identity_skip", "velocity")
ACTIVATIONS = ("relu", "tanh", "gelu", "silu", "sigmoid", "softplus")
OPTIONS = {"L": 3, "m": 16, "frequencies": 21, "activation": "tanh", "parametrization": "skip", "input": "raw"}


def outer_product(n=N, seed=0, **changes):
    """Algorithm 1 with random weights in double precision."""
    with default_stream(seed):
        return OuterProduct(**OPTIONS | {"zero_output": False} | changes).build(n).double()


def every_form():
    """Changes of the options for every parametrization on every input."""
    for parametrization, input in itertools.product(PARAMETRIZATIONS, ("raw", "angle")):
        yield {"parametrization": parametrization, "input": input}


def algorithm_1(denoiser, x, alpha, **changes):
    """The posterior mean of one state x (n,) at one angle, line by line, with the outer product formed."""
    options, weights = OPTIONS | changes, denoiser.state_dict()
    y = x * math.sin(alpha) / math.cos(alpha) ** 2
    i = torch.arange(options["frequencies"], dtype=torch.float64)
    phi = torch.cat([torch.cos(alpha * i), torch.sin(alpha * i)])
    s = weights["linear_0.weight"] @ phi + weights["linear_0.bias"]
    seen = y if options["input"] == "raw" else x
    activation = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}.get(options["activation"])
    x_1 = (activation or getattr(torch.nn.functional, options["activation"]))(
        weights["linear_1.weight"] @ seen + weights["linear_1.bias"]
    )
    x_2 = torch.outer(s, x_1).flatten()
    output = weights["linear_2.weight"] @ x_2 + weights["linear_2.bias"]
    return {
        "skip": output + math.cos(alpha) ** 2 * y,
        "identity_skip": output + y,
        "velocity": math.sin(alpha) * x + math.cos(alpha) * output,
    }[options["parametrization"]]


def transcription(denoiser, x, angles, **changes):
    rows = zip(x, angles.tolist(), strict=True)
    return torch.stack([algorithm_1(denoiser, row, angle, **changes) for row, angle in rows])


def test_network_is_algorithm_1():
    x = normal(len(ANGLES), N, seed=1)
    for changes in [*every_form(), *({"activation": name} for name in ACTIVATIONS), {"L": 1, "m": 3}]:
        denoiser = outer_product(**changes)
        assert_close(denoiser(x, ANGLES), transcription(denoiser, x, ANGLES, **changes), rtol=1e-11, atol=1e-12)


def test_one_angle_for_all_samples_agrees_with_one_a_sample():
    x = normal(4, N, seed=3)
    for changes, angle in itertools.product(every_form(), ANGLES):
        denoiser = outer_product(**changes)
        each = denoiser(x, angle.expand(4))
        assert_close(denoiser(x, angle), each, rtol=1e-11, atol=1e-12)
        assert_close(denoiser(x, float(angle)), each, rtol=1e-11, atol=1e-12)


def test_states_of_another_shape_are_read_as_vectors():
    denoiser, x = outer_product(n=6), normal(4, 6, seed=3)
    for angle in (torch.tensor(0.4, dtype=torch.float64), ANGLES[1:5]):
        assert torch.equal(denoiser(x.view(4, 2, 3), angle), denoiser(x, angle).view(4, 2, 3))


def test_single_precision_agrees_with_double():
    denoiser, x = outer_product(), normal(len(ANGLES) - 1, N, seed=4)
    double = denoiser(x, ANGLES[:-1])
    single = denoiser.float()(x.float(), ANGLES[:-1].float())
    assert single.dtype == torch.float32
    assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


def test_parameters_are_those_of_algorithm_1():
    for L, m, frequencies in ((3, 256, 21), (6, 16, 4), (1, 1, 1)):
        denoiser = outer_product(L=L, m=m, frequencies=frequencies)
        assert {name: tuple(value.shape) for name, value in denoiser.named_parameters()} == {
            "linear_0.weight": (L, 2 * frequencies),
            "linear_0.bias": (L,),
            "linear_1.weight": (m, N),
            "linear_1.bias": (m,),
            "linear_2.weight": (N, L * m),
            "linear_2.bias": (N,),
        }
        assert list(denoiser.state_dict()) == [name for name, _ in denoiser.named_parameters()]
        assert denoiser.trainable


def test_zero_output_leaves_the_skip_connection_alone_and_still_learns():
    x = normal(len(ANGLES), N, seed=5)
    sin, cos = torch.sin(ANGLES).unsqueeze(1), torch.cos(ANGLES).unsqueeze(1)
    for name in PARAMETRIZATIONS:
        denoiser = outer_product(parametrization=name, zero_output=True)
        assert_close(denoiser(x, ANGLES), x * (sin / cos**2 if name == "identity_skip" else sin), rtol=1e-13)
        assert not torch.allclose(outer_product(parametrization=name)(x, ANGLES), denoiser(x, ANGLES))
        denoiser(x, torch.tensor(0.5)).sum().backward()
        assert float(denoiser.linear_2.weight.grad.abs().sum()) > 0
        assert float(denoiser.linear_2.bias.grad.abs().sum()) > 0


def test_both_ends_are_legal_input():
    x = normal(4, N, seed=7)
    for name in PARAMETRIZATIONS:
        result = outer_product(parametrization=name)(x, torch.tensor(0.0))
        assert bool(torch.isfinite(result).all())
        # the raw input is Y_0 = 0 and holds nothing of x
        assert_close(result, result[:1].expand(4, N), rtol=1e-13)
    velocity = outer_product(parametrization="velocity", input="angle")
    assert_close(velocity(x, torch.tensor(HALF_PI, dtype=torch.float64)), x, rtol=1e-13, atol=1e-14)


def test_gradients_agree_with_difference_quotients():
    for changes, angle in itertools.product(every_form(), (ANGLES[2], ANGLES[1:3])):
        denoiser = outer_product(n=2, L=2, m=2, frequencies=2, **changes)
        names, parameters = zip(*denoiser.named_parameters(), strict=True)

        def forward(x, *values, denoiser=denoiser, names=names, angle=angle):
            return torch.func.functional_call(denoiser, dict(zip(names, values, strict=True)), (x, angle))

        assert torch.autograd.gradcheck(forward, (normal(2, 2, seed=9).requires_grad_(), *parameters))


def test_networks_of_one_seed_are_equal():
    first, again, other = (outer_product(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["linear_1.weight"], other["linear_1.weight"])


def test_impossible_network_is_refused():
    wrong = {"L": 0, "m": -1, "frequencies": 0, "activation": "rectify", "parametrization": "noise", "input": "x"}
    for key, value in (wrong | {"width": 3}).items():
        with pytest.raises(ValueError, match=key):
            outer_product(**{key: value})


@over("std", [0.05, 0.5, 3.0])
def test_a_velocity_network_of_the_scale_of_one_mode_starts_at_its_posterior_mean(std):
    """With a zero output layer c_skip x is left, the posterior mean of N(0, s^2 I); for s = 1 it is sin x."""
    target = GaussianMixture([1.0], torch.zeros(1, N), std)
    form = {"parametrization": "velocity", "input": "angle", "zero_output": True, "data_std": None}
    denoiser = OuterProduct(**OPTIONS | form).build(N, target).double()
    x = normal(len(ANGLES), N, seed=5)
    assert_close(denoiser(x, ANGLES), target.posterior_mean(x, ANGLES), 1e-12, 1e-14)


def test_a_network_of_unit_scale_is_the_network_without_one():
    form = {"parametrization": "velocity", "input": "angle", "zero_output": False}
    unit, plain = (OuterProduct(**OPTIONS | form | scale) for scale in ({"data_std": None}, {}))
    x, networks = normal(len(ANGLES), N, seed=6), []
    for options in (unit, plain):
        with default_stream(3):
            networks.append(options.build(N, GaussianMixture.two_modes(n=N)).double())
    assert torch.equal(*(network(x, ANGLES) for network in networks))
    assert "data_std" not in plain.model_dump()  # configurations of earlier versions keep their fingerprint
    assert unit.model_dump()["data_std"] is None


def test_the_scale_multiplies_input_and_output():
    """The network for data of the scale s is the network for s = 1 on x/s, with tan(phi) s in place of tan(phi)."""
    target, s, angle = GaussianMixture([1.0], torch.zeros(1, N), 1.0), 0.3, 0.9
    form = {"parametrization": "velocity", "input": "angle", "frequencies": 1, "data_std": s}
    scaled, unit = outer_product(**form), outer_product(**form | {"data_std": 1.0})
    x = noisy_states(target, angle, 4)
    other, size = math.atan(s * math.tan(angle)), math.hypot(s * math.sin(angle), math.cos(angle))
    assert_close(scaled(x, angle), s * unit(x / size, other), 1e-12)


def test_exact_denoiser_is_the_posterior_mean_of_its_target():
    target = random_mixture(3, 4, "per_mode")
    denoiser = Exact().build(4, target)
    for angle in (0.0, 0.4, 1.3, HALF_PI):
        x = noisy_states(target, angle, 10)
        assert torch.equal(denoiser(x, torch.tensor(angle)), target.posterior_mean(x, torch.tensor(angle)))
    assert not denoiser.trainable


def test_exact_denoiser_has_the_least_error_of_all():
    target = random_mixture(2, N)
    draws = seeded(10)
    clean = target.sample(4000, draws, torch.float64)
    angle = torch.tensor(0.8, dtype=torch.float64)
    x = mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle)
    errors = {
        name: float((denoiser(x, angle) - clean).square().sum(1).mean().detach())
        for name, denoiser in {
            "exact": Exact().build(N, target),
            "network": outer_product(),
            "skip alone": outer_product(zero_output=True),
            "another target": Exact().build(N, random_mixture(2, N, seed=1)),
        }.items()
    }
    assert min(errors, key=errors.get) == "exact"
