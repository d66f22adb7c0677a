"""Algorithm 1 against a literal transcription, and the exact denoiser."""

import math

import pytest
import torch
from helpers import assert_close, noisy_states, normal, random_mixture, seeded

from scorelab.channel import HALF_PI
from scorelab.denoisers import Exact, OuterProduct
from scorelab.randomness import default_stream

N = 5
ANGLES = torch.tensor([0.0, 0.1, 0.6, 1.0, 1.3, 1.5, 1.56], dtype=torch.float64)
every_parametrization = pytest.mark.parametrize("parametrization", ["skip", "identity_skip", "velocity"])
every_input = pytest.mark.parametrize("input", ["raw", "angle"])


def outer_product(n=N, seed=0, **changes):
    """Algorithm 1 with random weights in double precision."""
    options = {"L": 3, "m": 16, "frequencies": 21, "activation": "tanh", "parametrization": "skip", "input": "raw"}
    with default_stream(seed):
        return OuterProduct(**options | {"zero_output": False} | changes).build(n).double()


def algorithm_1(denoiser, x, alpha):
    """The posterior mean of one state x (n,) at one angle, line by line, with the outer product formed."""
    options, weights = denoiser.options, denoiser.state_dict()
    y = x * math.sin(alpha) / math.cos(alpha) ** 2
    i = torch.arange(options.frequencies, dtype=torch.float64)
    phi = torch.cat([torch.cos(alpha * i), torch.sin(alpha * i)])
    s = weights["linear_0.weight"] @ phi + weights["linear_0.bias"]
    seen = y if options.input == "raw" else x
    activation = {"relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}.get(options.activation)
    x_1 = (activation or getattr(torch.nn.functional, options.activation))(
        weights["linear_1.weight"] @ seen + weights["linear_1.bias"]
    )
    x_2 = torch.outer(s, x_1).flatten()
    output = weights["linear_2.weight"] @ x_2 + weights["linear_2.bias"]
    return {
        "skip": output + math.cos(alpha) ** 2 * y,
        "identity_skip": output + y,
        "velocity": math.sin(alpha) * x + math.cos(alpha) * output,
    }[options.parametrization]


def transcription(denoiser, x, angles):
    return torch.stack([algorithm_1(denoiser, row, angle) for row, angle in zip(x, angles.tolist(), strict=True)])


@every_input
@every_parametrization
def test_network_is_algorithm_1(parametrization, input):
    denoiser, x = outer_product(parametrization=parametrization, input=input), normal(len(ANGLES), N, seed=1)
    expected = transcription(denoiser, x, ANGLES)
    assert_close(denoiser(x, ANGLES), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "silu", "sigmoid", "softplus"])
def test_hidden_layer_has_the_activation_of_its_name(activation):
    denoiser, x = outer_product(activation=activation), normal(len(ANGLES), N, seed=2)
    assert_close(denoiser(x, ANGLES), transcription(denoiser, x, ANGLES), rtol=1e-11, atol=1e-12)


@every_input
@every_parametrization
def test_one_angle_for_all_samples_agrees_with_one_a_sample(parametrization, input):
    denoiser, x = outer_product(parametrization=parametrization, input=input), normal(4, N, seed=3)
    for angle in ANGLES:
        each = denoiser(x, angle.expand(4))
        assert_close(denoiser(x, angle), each, rtol=1e-11, atol=1e-12)
        assert_close(denoiser(x, float(angle)), each, rtol=1e-11, atol=1e-12)


def test_single_precision_agrees_with_double():
    denoiser, x = outer_product(), normal(len(ANGLES) - 1, N, seed=4)
    double = denoiser(x, ANGLES[:-1])
    single = denoiser.float()(x.float(), ANGLES[:-1].float())
    assert single.dtype == torch.float32
    assert_close(single.double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("L", "m", "frequencies"), [(3, 256, 21), (6, 16, 4), (1, 1, 1)])
def test_parameters_are_those_of_algorithm_1(L, m, frequencies):
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


@every_parametrization
def test_zero_output_leaves_the_skip_connection_alone(parametrization):
    x = normal(len(ANGLES), N, seed=5)
    denoiser = outer_product(parametrization=parametrization, zero_output=True)
    sin, cos = torch.sin(ANGLES).unsqueeze(1), torch.cos(ANGLES).unsqueeze(1)
    assert_close(denoiser(x, ANGLES), x * (sin / cos**2 if parametrization == "identity_skip" else sin), rtol=1e-13)
    started = outer_product(parametrization=parametrization, zero_output=False)
    assert not torch.allclose(started(x, ANGLES), denoiser(x, ANGLES))


def test_zero_output_still_learns():
    denoiser = outer_product(zero_output=True)
    denoiser(normal(4, N, seed=6), torch.tensor(0.5)).sum().backward()
    assert float(denoiser.linear_2.weight.grad.abs().sum()) > 0
    assert float(denoiser.linear_2.bias.grad.abs().sum()) > 0


@every_parametrization
def test_pure_noise_is_legal_input(parametrization):
    denoiser, x = outer_product(parametrization=parametrization), normal(4, N, seed=7)
    result = denoiser(x, torch.tensor(0.0))
    assert bool(torch.isfinite(result).all())
    # the raw input is Y_0 = 0 and holds nothing of x
    assert_close(result, result[:1].expand(4, N), rtol=1e-13)


def test_velocity_network_returns_the_state_at_clean_data():
    denoiser, x = outer_product(parametrization="velocity", input="angle"), normal(4, N, seed=8)
    assert_close(denoiser(x, torch.tensor(HALF_PI, dtype=torch.float64)), x, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("angle", [torch.tensor(0.7), torch.tensor([0.3, 1.1])])
@every_input
@every_parametrization
def test_gradients_agree_with_difference_quotients(parametrization, input, angle):
    denoiser = outer_product(n=2, L=2, m=2, frequencies=2, parametrization=parametrization, input=input)
    names, parameters = zip(*denoiser.named_parameters(), strict=True)
    angle = angle.double()

    def forward(x, *values):
        return torch.func.functional_call(denoiser, dict(zip(names, values, strict=True)), (x, angle))

    assert torch.autograd.gradcheck(forward, (normal(2, 2, seed=9).requires_grad_(), *parameters))


def test_networks_of_one_seed_are_equal():
    first, again, other = (outer_product(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["linear_1.weight"], other["linear_1.weight"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"L": 0}, "L"),
        ({"m": -1}, "m"),
        ({"frequencies": 0}, "frequencies"),
        ({"activation": "rectify"}, "activation"),
        ({"parametrization": "noise"}, "parametrization"),
        ({"input": "x"}, "input"),
        ({"width": 3}, "width"),
    ],
)
def test_impossible_network_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        outer_product(**change)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.3, HALF_PI])
def test_exact_denoiser_is_the_posterior_mean_of_its_target(angle):
    target = random_mixture(3, 4, "per_mode")
    denoiser = Exact().build(4, target)
    x = noisy_states(target, angle, 10)
    assert torch.equal(denoiser(x, torch.tensor(angle)), target.posterior_mean(x, torch.tensor(angle)))
    assert not denoiser.trainable


def test_exact_denoiser_has_the_least_error_of_all():
    target = random_mixture(2, N)
    draws = seeded(10)
    clean = target.sample(4000, draws, torch.float64)
    x = math.sin(0.8) * clean + math.cos(0.8) * torch.randn(clean.shape, generator=draws, dtype=torch.float64)
    angle = torch.tensor(0.8, dtype=torch.float64)
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
