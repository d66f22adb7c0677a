"""Trainings on a GPU of CUDA: a step that is replayed as a graph is the step that is taken kernel by kernel."""

import pytest
import torch
from helpers import over, refused
from test_training import BASE, network, trainer
from test_unet import CHAIN, TINY

from scorelab.denoisers import UNet
from scorelab.errors import TrainingDiverged
from scorelab.randomness import default_stream
from scorelab.targets.images import Images
from scorelab.training import Trainer, Training
from scorelab.training.graphs import StepGraph

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU of CUDA")

#: an epoch has four full batches and a smaller one
SIZES = {"N": 72, "epochs": 4, "batch_size": 16, "warmup": 3, "records": 2, "validation_batch": 50}
TRAININGS = (
    {},
    {"optimizer": "adam", "clip": None, "averaging": 0.0},
    {"optimizer": "sgd", "lr": 1e-2},
    {"objective": "noise", "angles": "chain", "noise": "repeated", "flips": True, "loss": "huber"},
    {"objective": "posterior_mean", "weight": "min_snr", "validation": 0.2, "keep": "best"},
    {"precision": "tf32"},
    {"precision": "bfloat16"},
)


def unet(device="cuda", **changes):
    target = Images(torch.rand(80, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1)
    with default_stream(1):
        denoiser = UNet(**TINY | {"dim": 8}, data_std=0.5).build(0, target)
    return Trainer(denoiser, target, Training(**BASE | SIZES | changes), 0, CHAIN, device=device)


def vectors(**changes):
    made = trainer()
    return Trainer(network(), made.target, Training(**BASE | changes), 0, device="cuda")


def without_graph(trained):
    trained._graphs.possible = False
    return trained


def end_of(trained):
    trained.run()
    return trained.flat.value.detach().cpu()


def a_batch(trained):
    return next(trained.batches.of_epoch(trained.epoch))


def apart(one, other, start):
    """The distance of two ends of a training from each other, over that from its start."""
    return float((one - other).norm() / (other - start).norm())


@over("changes", TRAININGS)
def test_a_training_by_a_graph_is_the_training_without(changes):
    trainings = unet(**changes), without_graph(unet(**changes))
    start = trainings[0].flat.value.detach().cpu()
    ends = [end_of(each) for each in trainings]
    assert isinstance(trainings[0]._graphs.graph, StepGraph)
    assert trainings[1]._graphs.graph is None
    assert apart(*ends, start) < 0.01
    for row, other in zip(trainings[0].rows, trainings[1].rows, strict=True):
        assert row["loss"] == pytest.approx(other["loss"], rel=0.01)
        assert (row["lr"], row["step"]) == (other["lr"], other["step"])


def test_a_network_of_vectors_is_replayed_to_rounding():
    replayed, other = vectors(), without_graph(vectors())
    ends = [end_of(each) for each in (replayed, other)]
    assert replayed._graphs.graph is not None
    torch.testing.assert_close(*ends, rtol=1e-3, atol=1e-5)


def test_a_replayed_step_waits_for_nothing():
    trained = unet()
    batch = a_batch(trained)
    graph = trained._graphs.of(batch)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        losses = [graph(batch, 1e-3, 0.1) for _ in range(3)]
        with pytest.raises(RuntimeError, match="synchroniz"):  # what a read says
            losses[0].item()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(set(torch.stack(losses).tolist())) == 3


def test_a_graph_that_is_made_leaves_the_training_as_it_was():
    trained = unet()
    trained.train_epoch()
    before = {name: tensor.clone() for name, tensor in trained.tensors().items()}
    trained._graphs.forget()
    assert trained._graphs.of(a_batch(trained)) is not None
    for name, tensor in trained.tensors().items():
        assert torch.equal(tensor, before[name]), name


@over("changes", ({}, {"optimizer": "sgd", "lr": 1e-2}))
def test_a_stopped_training_ends_where_the_whole_one_ends(tmp_path, changes):
    whole, first, second = (unet(**changes) for _ in range(3))
    start = whole.flat.value.detach().cpu()
    for _ in range(2):
        first.train_epoch()
        first.epoch += 1
    first.save(tmp_path / "checkpoint.safetensors")
    second.load(tmp_path / "checkpoint.safetensors")
    assert apart(end_of(second), end_of(whole), start) < 0.01


def test_a_checkpoint_goes_from_one_kind_of_device_to_the_other(tmp_path):
    for there, back in (("cuda", "cpu"), ("cpu", "cuda")):
        first, second = unet(there), unet(back)
        first.train_epoch()
        first.epoch += 1
        first.save(tmp_path / there)
        second.load(tmp_path / there)
        for name, tensor in second.tensors().items():
            assert tensor.device.type == back, name
            assert torch.equal(tensor.cpu(), first.tensors()[name].cpu()), name
        assert bool(torch.isfinite(end_of(second)).all())
        assert second.step == 20


def test_a_replayed_training_that_diverges_says_where():
    says = refused(TrainingDiverged, vectors(lr=1e15, warmup=0, lr_schedule="constant", clip=None).run)
    assert "at step 2 (epoch 1), at" in says


def test_an_objective_that_differentiates_goes_kernel_by_kernel():
    trained = vectors(objective="implicit", weight="noise_variance", epochs=2)
    assert bool(torch.isfinite(end_of(trained)).all())
    assert trained._graphs.graph is None


def test_bfloat16_changes_the_loss_by_its_rounding():
    rows, ends = [], []
    for precision in ("float32", "bfloat16"):
        trained = unet(precision=precision)
        ends.append(end_of(trained))
        rows.append(trained.rows[-1])
    assert not torch.equal(*ends)
    assert rows[1]["loss"] == pytest.approx(rows[0]["loss"], rel=0.05)
