"""A stack as it is trained on a GPU: what is made for all rows at once is what each row makes alone.

The kernels run where triton is: on a GPU, or, with TRITON_INTERPRET=1 in the environment, on any CPU.
"""

import importlib.util
import os

import pytest
import torch
from helpers import normal, over
from test_stack import rows, same_rows
from test_training import weights

from scorelab.denoisers.outer_product_gradient import Gradient
from scorelab.training import adam
from scorelab.training.device_stack import DeviceStack
from scorelab.training.rows import Rows
from scorelab.training.stack import Stack

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1" and importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not INTERPRETED, reason="needs triton and TRITON_INTERPRET=1")
#: rows whose states are made at once: everything of an optimiser may differ, the angles may not
ALIKE = {"angles": "uniform", "angle_min": 0.0, "angle_max": 1.2, "objective": "velocity", "weight": "unit"}


def same(one, other, rtol=1e-5):
    torch.testing.assert_close(weights(one.denoiser), weights(other.denoiser), rtol=rtol, atol=1e-6)
    same_rows(one, other, rel=rtol)
    assert one.step == other.step
    mine, own = (each.optimizer.state for each in (one, other))
    for name in mine:
        torch.testing.assert_close(mine[name], own[name], rtol=rtol, atol=1e-7)


@over("alike", [True, False])
@over("kind", ["tanh", "modes"])
def test_a_row_is_the_training_that_it_is_alone(kind, alike):
    changes = ALIKE if alike else {}
    stacked, alone = (rows(kind, epochs=20, **changes) for _ in range(2))
    stack = DeviceStack(stacked)
    assert stack.alike == alike
    assert stack.run() == [None] * 4
    for one, other in zip(stacked, alone, strict=True):
        other.run()
        same(one, other)
    assert not torch.allclose(weights(stacked[0].denoiser), weights(stacked[1].denoiser), rtol=0.1)


@over("change", [{"optimizer": "adam"}, {"optimizer": "sgd", "lr": 1e-3}, {"loss": "huber"}, {"records": 3}])
def test_the_optimisers_of_a_stack_are_those_of_torch(change):
    stacked, alone = (rows(epochs=8, **ALIKE, **change) for _ in range(2))
    DeviceStack(stacked).run()
    Stack(alone).run()
    for one, other in zip(stacked, alone, strict=True):
        same(one, other)


def test_a_training_goes_on_between_the_two_kinds_of_stack(tmp_path):
    class Killed(Exception):
        pass

    def kill(stack):
        if stack.first.epoch == 4:
            raise Killed

    for before, after in ((Stack, DeviceStack), (DeviceStack, Stack), (DeviceStack, DeviceStack)):
        whole, stopped, resumed = (rows(epochs=6, checkpoint_every=2, **ALIKE) for _ in range(3))
        files = [tmp_path / f"{k}.safetensors" for k in range(4)]
        after(whole).run()
        with pytest.raises(Killed):
            before(stopped).run(files, kill)
        for each, file in zip(resumed, files, strict=True):
            each.load(file)
            assert each.epoch == 4
        after(resumed).run(files)
        for one, other in zip(resumed, whole, strict=True):
            if before is after:
                assert torch.equal(weights(one.denoiser), weights(other.denoiser))
            same(one, other)


def test_a_row_that_diverges_has_its_error_at_the_next_record_and_touches_no_other():
    stacked, alone = (rows(epochs=6, **ALIKE) for _ in range(2))
    stacked[1].options = stacked[1].options.model_copy(update={"lr": 1e30, "lr_schedule": "constant", "warmup": 0})
    errors = DeviceStack(stacked).run()
    assert [error is None for error in errors] == [True, False, True, True]
    assert "the loss is nan at step" in str(errors[1])
    assert "(now 1e+30)" in str(errors[1])
    Stack(alone).run()
    for row in (0, 2, 3):
        same(stacked[row], alone[row])


# The kernels. ---------------------------------------------------------------------------------------------------------


@needs_triton
@over("kind", ["tanh", "relu"])
def test_the_kernels_take_the_steps_of_the_plain_path(kind):
    stack = DeviceStack(rows(kind, **ALIKE), kernels=True)
    kept = stack.rows
    columns = [normal(4, 3 * stack.size, size, seed=k).float() for k, size in enumerate((4, 10, 4, 1))]
    table = adam.table(stack.trainers, 3)
    plain = Rows(rows(kind, **ALIKE))
    gradient_of = Gradient(stack.first.denoiser, plain.values, plain.gradient)
    found, losses = stack.fused(columns, table), []
    for batch in zip(range(3), *(values.split(stack.size, 1) for values in columns), strict=True):
        losses.append(gradient_of(*batch[1:]))
        adam.update(plain.values, plain.gradient, plain.first, plain.second, plain.average, table[:, batch[0]])
    torch.testing.assert_close(found, torch.stack(losses, 1), rtol=1e-5, atol=0)
    for mine, own in zip(kept.matrices, plain.matrices, strict=True):
        torch.testing.assert_close(mine, own, rtol=1e-4, atol=1e-7)


@needs_triton
def test_a_row_of_the_kernels_is_the_stack_of_one_that_it_is_alone():
    together, alone = (rows(epochs=3, **ALIKE) for _ in range(2))
    DeviceStack(together, kernels=True).run()
    for one, other in zip(together, alone, strict=True):
        DeviceStack([other], kernels=True).run()
        torch.testing.assert_close(weights(one.denoiser), weights(other.denoiser), rtol=1e-6, atol=1e-7)
        same_rows(one, other, rel=1e-5)


@needs_triton
def test_the_draws_of_a_row_are_a_function_of_its_seed_the_epoch_and_the_sample():
    from scorelab.training.fused import Draws

    samples = torch.arange(6000.0).view(2, 3000, 1).expand(2, 3000, 6)

    def drawn(seeds, samples, epoch, size):
        return [torch.cat(each, 1) for each in zip(*Draws(seeds, samples)(epoch, size), strict=True)]

    clean, share, noise = whole = drawn([5, 7], samples, 3, 3000)
    for parts in (drawn([5, 7], samples, 3, 700), [values.clone() for values in whole]):
        assert all(map(torch.equal, parts, whole))
    assert all(torch.equal(own, values[1:]) for own, values in zip(drawn([7], samples[1:], 3, 700), whole, strict=True))
    assert torch.equal(clean.sort(1).values, samples)
    other = drawn([5, 7], samples, 4, 3000)
    for some in (noise, other[2], noise * other[2], noise[:1] * noise[1:], noise[:, 1:] * noise[:, :-1]):
        assert abs(float(some.mean())) < 4 * float(some.std()) / some.numel() ** 0.5
        assert abs(float(some.std()) - 1) < 0.03
    assert abs(float(noise.pow(4).mean()) - 3) < 4 * (96 / noise.numel()) ** 0.5
    spread = share.sort(1).values - torch.linspace(0, 1, 3000, dtype=torch.float64)
    assert float(spread.abs().max()) < 1.63 / 3000**0.5  # Kolmogorov and Smirnov, at one per cent
