"""Training: what is minimised, and that stopping and going on changes nothing."""

import functools
import math

import pytest
import torch
from helpers import normal, over

from scorelab.channel import mix
from scorelab.denoisers import OuterProduct
from scorelab.errors import ScorelabError, TrainingDiverged
from scorelab.randomness import default_stream
from scorelab.targets import GaussianMixture
from scorelab.training import Trainer, Training
from scorelab.training.fit import require_fit
from scorelab.training.optimizer import Optimizer
from scorelab.training.parameters import FlatParameters

BASE = {
    "N": 300,
    "epochs": 6,
    "batch_size": 50,
    "objective": "velocity",
    "weight": None,
    "probe": "rademacher",
    "probes": 1,
    "angles": "uniform",
    "angle_min": 0.0,
    "angle_max": 1.5,
    "noise_level": 1.0,
    "levels": 5,
    "optimizer": "adamw",
    "lr": 3e-3,
    "lr_schedule": "cosine",
    "warmup": 5,
    "weight_decay": 1e-4,
    "clip": 1.0,
    "averaging": 0.9,
    "validation": 0.0,
    "validation_batch": 7,
    "keep": "last",
    "checkpoint_every": 0,
    "records": 100,
    "resume": None,
}


def network(n=4, parametrization="velocity", seed=1):
    options = OuterProduct(
        L=2, m=8, frequencies=5, activation="tanh", parametrization=parametrization, input="angle", zero_output=False
    )
    with default_stream(seed):
        return options.build(n)


def trainer(seed=0, **changes):
    target = GaussianMixture.two_modes(n=4)
    return Trainer(network(), target, Training(**{**BASE, **changes}), seed)


def weights(denoiser):
    return torch.cat([parameter.detach().flatten() for parameter in denoiser.parameters()])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"averaging": 0.0, "lr_schedule": "constant"},
        {"optimizer": "adam"},
        {"optimizer": "sgd", "lr": 1e-2},
        {"validation": 0.4, "keep": "best"},
        {"validation": 0.4, "keep": "best", "averaging": 0.0, "records": 3},
        {"objective": "implicit_hutchinson", "validation": 0.4, "keep": "best"},
        {"objective": "sliced", "probe": "gaussian", "probes": 3},
        {"objective": "dsm", "angles": "ladder", "angle_min": 0.1},
    ],
)
def test_a_killed_training_ends_with_the_same_bits(tmp_path, changes):
    whole = trainer(**changes)
    whole.run()
    checkpoint = tmp_path / "checkpoint.safetensors"

    class Killed(Exception):
        pass

    def kill(trainer):
        if trainer.epoch == 5:
            raise Killed

    stopped = trainer(checkpoint_every=2, **changes)
    with pytest.raises(Killed):
        stopped.run(checkpoint, kill)
    resumed = trainer(checkpoint_every=2, **changes)
    resumed.load(checkpoint)
    assert 0 < resumed.epoch < 5
    resumed.run(checkpoint)
    assert torch.equal(weights(resumed.denoiser), weights(whole.denoiser))
    for row, other in zip(resumed.rows, whole.rows, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    first = trainer()
    first.save(tmp_path / "checkpoint")
    other = Trainer(network(n=5), GaussianMixture.two_modes(n=5), Training(**BASE), 0)
    with pytest.raises(ScorelabError, match="made by another network"):
        other.load(tmp_path / "checkpoint")


@over("fused", [True, False])
def test_an_optimiser_takes_the_steps_of_torch_and_goes_on_from_its_state(fused):
    sgd = functools.partial(torch.optim.SGD, momentum=0.9)
    for kind, theirs in {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam, "sgd": sgd}.items():
        ours, other = (torch.nn.Parameter(normal(7, seed=1, dtype=torch.float32)) for _ in range(2))
        reference, state = theirs([other], weight_decay=0.1, fused=fused), {}
        for number, rate in enumerate((0.1, 0.03, 0.2, 0.01)):
            ours.grad = other.grad = normal(7, seed=2 + number, dtype=torch.float32)
            optimizer = Optimizer(kind, ours, 0.1, fused)
            optimizer.load(state)
            reference.param_groups[0]["lr"] = rate
            optimizer.step(rate), reference.step()
            state = optimizer.state
        assert torch.equal(ours, other), kind
        assert state.keys() == ({"momentum_buffer"} if kind == "sgd" else {"step", "exp_avg", "exp_avg_sq"})
        for name, value in state.items():
            assert torch.equal(value, reference.state[other][name]), (kind, name)


def test_flat_parameters_train_as_separate_ones_do():
    target = GaussianMixture.two_modes(n=4)
    flat, plain = network(), network()
    vector = FlatParameters(flat)
    one = torch.optim.AdamW([vector.value], lr=1e-2, weight_decay=0.1)
    many = torch.optim.AdamW(plain.parameters(), lr=1e-2, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        clean = target.sample(20, generator)
        angle = torch.rand(20, generator=generator)
        x = mix(clean, torch.randn(clean.shape, generator=generator), angle)
        vector.gradient.zero_()
        (flat(x, angle) - clean).square().mean().backward()
        vector.clip_(0.05)
        one.step()
        many.zero_grad()
        (plain(x, angle) - clean).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.05)
        many.step()
    assert torch.allclose(weights(flat), weights(plain), atol=1e-6)


def test_training_lowers_the_excess_risk_towards_zero():
    run = trainer(N=4000, epochs=60, batch_size=200)
    before, _ = run.excess_risk()
    run.run()
    after, error = run.excess_risk()
    assert after < 0.25 * before
    assert run.rows[-1]["excess_risk"] == pytest.approx(after)
    assert error < after


@pytest.mark.parametrize("objective", ["velocity", "explicit", "implicit", "implicit_hutchinson", "sliced"])
def test_a_loss_that_is_not_a_number_says_where(objective):
    run = trainer(objective=objective, lr=1e15, clip=None, optimizer="sgd", warmup=0, lr_schedule="constant")
    with pytest.raises(TrainingDiverged, match=r"step \d+ \(epoch \d+\), at .*angle.*rad"):
        run.run()


def test_weights_that_are_not_finite_after_the_last_step_are_not_kept():
    def spoil(trainer):
        trainer.flat.value.data[:1] = math.inf

    run = trainer(averaging=0.0)
    with pytest.raises(TrainingDiverged, match=f"after the last step, {run.options.total_steps}"):
        run.run(on_epoch=lambda trainer: trainer.epoch == trainer.options.epochs and spoil(trainer))


def test_held_out_samples_do_not_train():
    run = trainer(validation=0.4)
    assert len(run.data) == 180
    assert len(run.held_out) == 120
    run.run()
    assert math.isfinite(run.rows[-1]["validation_loss"])


def test_keeping_the_best_epoch_keeps_its_weights():
    run = trainer(validation=0.4, keep="best", averaging=0.0, lr=0.05, lr_schedule="constant")
    run.run()
    losses = [row["validation_loss"] for row in run.rows]
    assert run.best_loss == min(losses)
    assert torch.equal(weights(run.denoiser), run.best)


def test_averaging_keeps_the_average():
    averaged, last = trainer(averaging=0.9), trainer(averaging=0.0)
    averaged.run()
    last.run()
    assert not torch.equal(weights(averaged.denoiser), weights(last.denoiser))
    assert torch.equal(weights(averaged.denoiser), averaged.average)


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    run = trainer()
    run.run()
    network()
    assert torch.equal(torch.get_rng_state(), before)


def test_uneven_last_batches_count_by_their_size():
    run = trainer(N=130, batch_size=50, epochs=1)
    run.train_epoch()
    assert run.options.steps_per_epoch == 3
    assert run.step == 3


def test_a_denoiser_that_returns_no_tensor_is_refused_before_the_first_step():
    class Pair(torch.nn.Linear):
        def forward(self, x, angle):
            return x, angle

    with pytest.raises(ScorelabError, match=r"denoiser Pair returns a tuple for states of shape \(2, 3\)"):
        require_fit(Pair(3, 3), torch.zeros(2, 3), 0.5)
