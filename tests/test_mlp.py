"""Fully connected layers against a literal transcription."""

import itertools
import math

import pytest
import torch
from helpers import assert_close, normal
from torch.nn import functional

from scorelab import channel
from scorelab.denoisers import MLP
from scorelab.randomness import default_stream
from scorelab.targets import GaussianMixture
from scorelab.training.derivatives import require_derivatives

N = 5
OPTIONS = {"width": 8, "depth": 2, "residual": True, "activation": "silu", "parametrization": "velocity"}
ANGLES = torch.tensor([0.1, 0.6, 1.3], dtype=torch.float64)
KINDS = list(itertools.product([True, False], [1, 3]))


def mlp(data_std=1.0, random=True, **changes):
    """A network in double precision; `random`: no weight is 0, as after training."""
    with default_stream(0):
        built = MLP(**OPTIONS | changes, data_std=data_std).build(N).double()
        for parameter in built.parameters() if random else ():
            torch.nn.init.normal_(parameter, std=0.3)
    return built


def transcription(weights, x, angle, residual, depth, activation):
    """N for one state x (n,) of unit size at one angle, line by line."""
    rates = torch.logspace(0, 2, 32).double()  # single precision in the network as well
    e = torch.cat([(rates * angle).sin(), (rates * angle).cos()])
    for layer in (0, 2):
        e = functional.silu(weights[f"told.layers.{layer}.weight"] @ e + weights[f"told.layers.{layer}.bias"])
    h = weights["first.weight"] @ x + weights["first.bias"] if residual else x
    for i in range(depth):
        of = {name.removeprefix(f"layers.{i}."): value for name, value in weights.items()}
        seen = h
        if residual:
            centred = h - h.mean()
            seen = centred / (centred.square().mean() + 1e-5).sqrt() * of["norm.weight"] + of["norm.bias"]
        inner = activation(of["seen.weight"] @ seen + of["seen.bias"] + of["told.weight"] @ e)
        h = h + of["out.weight"] @ inner + of["out.bias"] if residual else inner
    return weights["last.weight"] @ h + weights["last.bias"]


@pytest.mark.parametrize(("residual", "depth"), KINDS)
@pytest.mark.parametrize("activation", ["silu", "tanh"])
def test_the_network_is_its_formula(residual, depth, activation):
    network, x = mlp(residual=residual, depth=depth, activation=activation, data_std=0.3), normal(3, N, seed=1)
    function = {"silu": functional.silu, "tanh": torch.tanh}[activation]
    mean = network(x, ANGLES)
    for one, angle, found in zip(x, ANGLES.tolist(), mean, strict=True):
        v = 0.3**2 * math.sin(angle) ** 2 + math.cos(angle) ** 2
        output = transcription(network.state_dict(), one / v**0.5, angle, residual, depth, function)
        expected = 0.3**2 * math.sin(angle) / v * one + 0.3 * math.cos(angle) / v**0.5 * output
        assert_close(found, expected, rtol=1e-10)
        assert_close(network(one[None], angle)[0], found, rtol=1e-10)


@pytest.mark.parametrize("parametrization", ["velocity", "noise", "posterior_mean"])
def test_the_output_is_turned_into_the_posterior_mean_as_the_channel_says(parametrization):
    network, x, outputs = mlp(parametrization=parametrization), normal(3, N, seed=2), []
    network.last.register_forward_hook(lambda module, given, output: outputs.append(output))
    mean = network(x, ANGLES)
    convert = {"velocity": channel.velocity_to_posterior_mean, "noise": channel.noise_to_posterior_mean}
    assert_close(mean, convert.get(parametrization, lambda output, *_: output)(outputs[0], x, ANGLES), rtol=1e-12)
    for angle in (0.0, math.pi / 2):
        assert bool(torch.isfinite(network(x, angle)).all())


@pytest.mark.parametrize("residual", [True, False])
def test_a_new_network_is_exact_for_a_gaussian_and_learns_in_every_layer(residual):
    law, x = GaussianMixture([1.0], [[0.0] * N], 0.3), normal(3, N, seed=3)
    network = mlp(residual=residual, random=False, data_std=0.3)
    assert_close(network(x, ANGLES), law.posterior_mean(x, ANGLES), rtol=1e-12)
    trained = mlp(residual=residual)
    trained(x, ANGLES).square().sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in trained.parameters())


def test_the_scale_is_that_of_the_targets_entries():
    with default_stream(0):
        built = MLP(**OPTIONS, data_std=None).build(2, GaussianMixture([1.0], [[0.0, 0.0]], 0.5))
    assert built.data_std == pytest.approx(0.5, rel=0.1)


def test_states_of_another_shape_are_read_as_vectors():
    with default_stream(0):
        network = MLP(**OPTIONS, data_std=1.0).build(6).double()
        torch.nn.init.normal_(network.last.weight)
    x = normal(3, 6, seed=4)
    assert torch.equal(network(x.view(3, 2, 3), ANGLES), network(x, ANGLES).view(3, 2, 3))


def test_the_implicit_objectives_have_their_derivatives():
    require_derivatives(mlp().float(), normal(3, N, seed=5).float(), ANGLES.float(), "training.objective = implicit")
