"""Steps that a device replays, with a device in software: it repeats a step where a GPU replays its graph."""

import pytest
import torch
from helpers import composed, over, refused
from pretend import DEVICE
from test_device import elsewhere, trainer  # noqa: F401 (elsewhere is a fixture)
from test_training import BASE, network, weights

from scorelab.denoisers import ModuleDenoiser
from scorelab.errors import ConfigError, TrainingDiverged
from scorelab.lab.config import check
from scorelab.lab.stacked import stack_key
from scorelab.targets import GaussianMixture
from scorelab.training import Trainer, Training, graphs

#: an epoch of 72 samples has four full batches and a smaller one
SIZES = {"N": 72, "epochs": 3, "batch_size": 16, "clip": 0.05}
TRAININGS = (
    {},
    {"averaging": 0.0, "lr_schedule": "constant"},
    {"optimizer": "adam", "weight_decay": 0.1},
    {"optimizer": "sgd", "lr": 1e-2},
    {"validation": 0.2, "keep": "best", "noise": "repeated", "weight": "likelihood", "angle_min": 0.1},
)


@pytest.fixture
def replays(elsewhere, monkeypatch):  # noqa: F811
    """The device in software with graphs; a list of what each replay returned."""
    counted = []

    def capture(step, device):
        assert device == DEVICE
        returned = [step(captured) for captured in (False, True)][-1]

        def replay():
            returned.copy_(step(False))
            counted.append(returned)

        return replay, returned

    monkeypatch.setattr(graphs, "KINDS", ("cuda", "meta"))
    monkeypatch.setattr(graphs, "capture", capture)
    return counted


def plain(**changes):
    """A training of the device without graphs."""
    made = trainer(DEVICE, **SIZES | changes)
    made._graphs.possible = False
    return made


@over("changes", TRAININGS)
def test_a_training_by_replays_is_the_training_without(replays, changes):
    replays.clear()
    replayed, other = trainer(DEVICE, **SIZES | changes), plain(**changes)
    full, smaller = divmod(replayed.options.train_count, 16)
    assert smaller
    replayed.run(), other.run()
    assert len(replays) == 3 * full
    assert (replayed.step, replayed.epoch) == (other.step, other.epoch) == (3 * (full + 1), 3)
    torch.testing.assert_close(weights(replayed.denoiser).cpu(), weights(other.denoiser).cpu(), rtol=1e-4, atol=1e-6)
    for row, expected in zip(replayed.rows, other.rows, strict=True):
        assert row | {"seconds": 0} == pytest.approx(expected | {"seconds": 0}, rel=1e-4)


def test_a_graph_that_is_made_changes_nothing_and_has_moments_of_0(replays):
    fresh, begun = trainer(DEVICE, **SIZES), trainer(DEVICE, **SIZES)
    begun.train_epoch()
    begun._graphs.forget()
    for each in (fresh, begun):
        before = {name: tensor.clone() for name, tensor in each.tensors().items()}
        batch = next(each.batches.of_epoch(each.epoch))
        assert each._graphs.of(batch) is each._graphs.of(batch)
        after = each.tensors()
        assert {"value", "average", "optimizer.exp_avg", "optimizer.exp_avg_sq", "optimizer.step"} <= set(after)
        for name, tensor in after.items():
            assert torch.equal(tensor.cpu(), before[name].cpu() if name in before else torch.zeros_like(tensor.cpu()))


def test_a_stopped_training_forgets_its_graph_and_ends_with_the_same_bits(replays, tmp_path):
    whole, other = trainer(DEVICE, **SIZES), trainer(DEVICE, **SIZES)
    saved = tmp_path / "checkpoint.safetensors"

    def save(trained):
        if trained.epoch == 1:
            trained.save(saved)

    whole.run(on_epoch=save)
    other.train_epoch()
    first = other._graphs.graph
    other.load(saved)
    other.run()
    assert other._graphs.graph is not first
    assert torch.equal(weights(other.denoiser).cpu(), weights(whole.denoiser).cpu())


def test_a_checkpoint_of_replays_goes_on_on_the_cpu(replays, tmp_path):
    there, here = trainer(DEVICE, **SIZES), trainer("cpu", **SIZES)
    there.train_epoch()
    there.epoch += 1
    there.save(tmp_path / "checkpoint.safetensors")
    here.load(tmp_path / "checkpoint.safetensors")
    assert all(tensor.device.type == "cpu" for tensor in here.tensors().values())
    here.run(), there.run()
    torch.testing.assert_close(weights(there.denoiser).cpu(), weights(here.denoiser), rtol=1e-4, atol=1e-6)


def test_a_replayed_training_that_diverges_says_what_it_says_on_the_cpu(replays):
    changes = {"lr": 1e15, "warmup": 0, "lr_schedule": "constant", "clip": None}
    said = [refused(TrainingDiverged, trainer(device, **changes).run) for device in ("cpu", DEVICE)]
    assert said[0] == said[1]
    assert replays


def test_no_replay_waits_for_the_device(replays, elsewhere):  # noqa: F811
    waits = []
    for size in (5, 50):
        each = trainer(DEVICE, N=100, batch_size=size)
        each._graphs.of(next(each.batches.of_epoch(each.epoch)))
        before = elsewhere.read
        each._epoch(looking=False)
        waits.append(elsewhere.read - before)
    assert len(replays) == 22
    assert waits[0] == waits[1] <= 8


def test_where_the_device_makes_no_graph_the_log_says_why_once(replays, monkeypatch, caplog):
    def capture(step, device):
        step(False)
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr(graphs, "capture", capture)
    each, other = trainer(DEVICE, **SIZES), plain()
    each.run(), other.run()
    assert torch.equal(weights(each.denoiser).cpu(), weights(other.denoiser).cpu())
    (said,) = [record.message for record in caplog.records if "graph" in record.message]
    assert "(RuntimeError: operation not permitted when stream is capturing)" in said


def test_what_need_not_be_the_same_at_every_step_is_not_replayed(replays):
    trainer(DEVICE, **SIZES, objective="implicit", weight="noise_variance").train_epoch()
    own = ModuleDenoiser(network(), "posterior_mean", state="angle", time="angle")
    options = Training(**BASE | SIZES)
    Trainer(own, GaussianMixture.two_modes(n=4), options, 0, device=DEVICE).train_epoch()
    assert not replays


# The precision of steps. ----------------------------------------------------------------------------------------------


def test_bfloat16_is_refused_in_one_line_where_it_cannot_be():
    assert "precision = bfloat16: objective: sliced needs float32" in refused(
        ValueError, lambda: Training(**BASE | {"precision": "bfloat16", "objective": "sliced"})
    )
    says = refused(ConfigError, lambda: trainer("cpu", precision="bfloat16"))
    assert says == "training.precision = bfloat16: needs device = cuda, not cpu"


def test_autocast_is_around_the_network_alone_and_leaves_its_parameters():
    denoiser, given = network(), []
    denoiser.linear_1.register_forward_hook(lambda module, x, output: given.append(output.dtype))
    seen = graphs.in_precision(denoiser, "bfloat16", torch.device("cuda"))
    assert graphs.in_precision(denoiser, "float32", torch.device("cpu")) is denoiser
    with pytest.MonkeyPatch.context() as patch:  # autocast of the CPU in place of that of a GPU
        autocast = torch.autocast
        patch.setattr(torch, "autocast", lambda kind, dtype: autocast("cpu", dtype))
        mean = seen(torch.randn(3, 4), torch.tensor([0.2, 0.5, 1.0]))
    assert given == [torch.bfloat16]
    assert mean.dtype == torch.float32
    assert {parameter.dtype for parameter in denoiser.parameters()} == {torch.float32}


def test_a_configuration_without_the_key_is_the_same_and_bfloat16_fits_no_stack():
    data = composed()
    old = {**data, "training": {key: value for key, value in data["training"].items() if key != "precision"}}
    half = {**data, "training": data["training"] | {"precision": "bfloat16"}}
    assert check(old).fingerprint == check(data).fingerprint != check(half).fingerprint
    assert stack_key(check(data)) is not None
    assert stack_key(check(half)) is None
