"""Many trainings in one tensor program: each row is the training that it is alone."""

import math

import pytest
import torch
from helpers import normal, over
from test_training import BASE, weights

from scorelab.denoisers import OuterProduct, outer_product_gradient
from scorelab.denoisers.base import Denoiser
from scorelab.denoisers.stacked import Unstackable
from scorelab.errors import TrainingDiverged
from scorelab.randomness import default_stream
from scorelab.targets import GaussianMixture
from scorelab.training import Trainer, Training
from scorelab.training.stack import Stack

#: what may differ between the rows of one stack
ROWS = (
    {},
    {"lr": 1e-3, "weight_decay": 0.1, "clip": None, "averaging": 0.0, "warmup": 0},
    {"lr_schedule": "constant", "clip": 0.01, "angles": "log_t", "angle_min": 0.2, "keep": "best"},
    {"objective": "posterior_mean", "weight": "noise_variance", "angle_max": 1.2},
)


class Modes(Denoiser):
    """A network of another kind: it is stacked by vmap."""

    def __init__(self, n, size=6):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(n + 1, size), torch.nn.Linear(size, n)
        self.scale = torch.nn.Parameter(torch.tensor(0.9))

    def forward(self, x, angle):
        seen = torch.cat([x, angle.unsqueeze(1)], 1)
        return self.scale * x + self.outer(torch.nn.functional.silu(self.inner(seen)))


def network(seed, kind="tanh", n=4):
    with default_stream(seed):
        if kind == "modes":
            return Modes(n)
        options = {"L": 2, "m": 8, "frequencies": 5, "zero_output": False}
        options |= {"parametrization": "velocity" if kind == "relu" else "skip", "input": "raw"}
        return OuterProduct(**options, activation=kind, data_std=0.5 if kind == "relu" else 1.0).build(n)


def row(seed, kind="tanh", p=0.7, **changes):
    options = Training(**{**BASE, "weight": "unit", "validation": 0.2, "angle_max": 1.2, **changes})
    made = Trainer(network(seed, kind), GaussianMixture.two_modes(n=4, p=p), options, seed)
    vars(made)["_least"] = 0.0, None  # a quadrature that nothing here is about
    return made


def rows(kind="tanh", **changes):
    return [row(seed, kind, 0.5 + 0.1 * seed, **{**own, **changes}) for seed, own in enumerate(ROWS)]


def same_rows(one, other, rel=1e-4):
    for a, b in zip(one.rows, other.rows, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == pytest.approx(
            {k: v for k, v in b.items() if k != "seconds"}, rel=rel
        )


@over("kind", ["tanh", "relu", "gelu", "modes"])
def test_a_row_of_a_stack_is_the_training_that_it_is_alone(kind):
    stacked, alone = rows(kind, epochs=20), rows(kind, epochs=20)
    assert Stack(stacked).run() == [None] * 4
    for one, other in zip(stacked, alone, strict=True):
        other.run()
        assert one.step == other.step == 100
        torch.testing.assert_close(weights(one.denoiser), weights(other.denoiser), rtol=1e-5, atol=1e-6)
        same_rows(one, other, rel=1e-5)
    assert not torch.allclose(weights(stacked[0].denoiser), weights(stacked[1].denoiser), rtol=0.1)


@over("activation", ["tanh", "relu"])
def test_the_gradient_in_closed_form_is_that_of_automatic_differentiation(activation):
    options = {"L": 3, "m": 5, "frequencies": 4, "activation": activation, "zero_output": False}
    for parametrization, seen, std in (("skip", "raw", 1), ("identity_skip", "angle", 1), ("velocity", "angle", 0.5)):
        options |= {"parametrization": parametrization, "input": seen}
        nets = [OuterProduct(**options, data_std=std).build(6).double() for _ in range(2)]
        values = torch.stack([weights(each) for each in nets])
        slopes = torch.full_like(values, math.nan)
        assert outer_product_gradient.knows(nets[0])
        closed = outer_product_gradient.Gradient(nets[0], values, slopes)
        x, goal, angle = normal(2, 7, 6, seed=1), normal(2, 7, 6, seed=2), normal(2, 7, seed=3).abs().clamp(0.1, 1.4)
        for root in (None, normal(2, 7, 1, seed=4).abs()):
            more = [() if root is None else (each,) for each in ((None, None) if root is None else root)]
            columns = [closed.columns(x[r], angle[r], goal[r], *more[r]) for r in range(2)]
            losses = closed(*(torch.stack(each) for each in zip(*columns, strict=True)))
            for r, net in enumerate(nets):
                output = net(x[r], angle[r]) if root is None else net(x[r], angle[r]) * root[r]
                loss = torch.nn.functional.mse_loss(output, goal[r])
                exact = torch.cat([each.flatten() for each in torch.autograd.grad(loss, list(net.parameters()))])
                torch.testing.assert_close(losses[r], loss.detach(), rtol=1e-13, atol=0)
                torch.testing.assert_close(slopes[r], exact, rtol=1e-11, atol=1e-14)


@over("kind", ["tanh", "modes"])
def test_a_stack_that_was_killed_goes_on_with_the_same_bits(tmp_path, kind):
    class Killed(Exception):
        pass

    def kill(stack):
        if stack.trainers[0].epoch == 4:
            raise Killed

    whole, stopped, resumed = (rows(kind, epochs=6, checkpoint_every=2) for _ in range(3))
    files = [tmp_path / f"{kind}-{k}.safetensors" for k in range(4)]
    Stack(whole).run()
    with pytest.raises(Killed):
        Stack(stopped).run(files, kill)
    for each, file in zip(resumed, files, strict=True):
        each.load(file)
        assert 0 < each.epoch < 6
    Stack(resumed).run(files)
    for one, other in zip(resumed, whole, strict=True):
        assert torch.equal(weights(one.denoiser), weights(other.denoiser))
        same_rows(one, other, rel=0)
    alone = rows(kind, epochs=6)[2]
    alone.load(files[2])  # the same training alone has only to finish
    alone.run()
    assert torch.equal(weights(alone.denoiser), weights(whole[2].denoiser))


def test_a_row_that_diverges_stops_and_touches_no_other():
    wild = {"lr": 1e15, "warmup": 0, "lr_schedule": "constant", "clip": None}
    stacked, alone = rows(epochs=3), rows(epochs=3)
    stacked[1], alone[1] = row(1, p=0.6, epochs=3, **wild), row(1, p=0.6, epochs=3, **wild)
    errors = Stack(stacked).run()
    with pytest.raises(TrainingDiverged) as raised:
        alone[1].run()
    assert str(errors[1]) == str(raised.value)
    assert "at step 2 (epoch 1)" in str(errors[1])
    assert [error for k, error in enumerate(errors) if k != 1] == [None] * 3
    for k in (0, 2, 3):
        alone[k].run()
        torch.testing.assert_close(weights(stacked[k].denoiser), weights(alone[k].denoiser), rtol=1e-4, atol=1e-6)


def test_what_cannot_be_stacked_says_why():
    class Counts(Modes):
        def forward(self, x, angle):
            return super().forward(x, angle) * float(x.abs().max() > 0)  # a number of the batch: not for vmap

    class Scaled(Modes):
        factor = 1.0

        def forward(self, x, angle):
            return self.factor * super().forward(x, angle)

    def of(make, seed):
        return Trainer(make, GaussianMixture.two_modes(n=4), Training(**BASE), seed)

    other = Scaled(4)
    other.factor = 2.0
    for pair, says in (
        ([row(0), row(1, "modes")], "different networks"),
        ([row(0), row(1, N=200)], "different samples"),
        ([row(0), row(1, epochs=2)], "different epochs"),
        ([row(0), row(1, loss="huber")], "different objectives"),
        ([row(k, "modes", objective="posterior_mean", weight=w) for k, w in enumerate(("unit", "min_snr"))], "some of"),
        ([row(k, objective="implicit", weight="noise_variance") for k in range(2)], "differentiates the network"),
        ([of(Counts(4), 0), of(Counts(4), 1)], "vmap cannot take them"),
        ([of(Scaled(4), 0), of(other, 1)], "differ in more than their parameters"),
    ):
        with pytest.raises(Unstackable, match=says):
            Stack(pair)
