"""The key `device`: a whole run elsewhere has the numbers of the CPU, leaves no tensor behind, and waits for nothing.

Elsewhere is the device in software of `pretend`, which is as strict as a GPU about tensors on two devices.
"""

import contextlib
import json

import pytest
import torch
from helpers import normal, over, refused, seeded, with_values, without_times
from pretend import DEVICE, pretend
from test_training import BASE, network, weights

import scorelab
from scorelab import devices
from scorelab.denoisers import ExactDenoiser
from scorelab.errors import ConfigError, TrainingDiverged
from scorelab.lab.config import check
from scorelab.lab.execution import require_kind
from scorelab.lab.runs import Run
from scorelab.metrics.path_kl import path_kl
from scorelab.metrics.posterior_mean import compare_posterior_means
from scorelab.samplers.euler_maruyama import EulerMaruyama
from scorelab.samplers.loop import simulate
from scorelab.targets import GaussianMixture
from scorelab.training import Trainer, Training
from scorelab.training.device_stack import DeviceStack
from scorelab.training.stack import Stack

SMALL = (
    "target.n=6",
    "training.N=300",
    "training.epochs=4",
    "training.warmup=2",
    "sampler.count=300",
    "sampler.steps=8",
    "study.path_kl_angles=2",
    "study.path_kl_draws=40",
    "study.posterior_mean_draws=30",
    "study.floor_repeats=2",
    "study.trajectories=3",
    "figures.formats=[]",
    "threads=1",
)
TARGET = GaussianMixture.two_modes(n=4)
#: every kind of objective and of angles, with averages, held-out samples and clipping
TRAININGS = (
    {},
    {"validation": 0.4, "keep": "best", "averaging": 0.0, "optimizer": "sgd", "noise": "repeated"},
    {"objective": "implicit", "weight": "noise_variance"},
    {"objective": "implicit_hutchinson", "probes": 2, "validation": 0.4, "keep": "best"},
    {"objective": "sliced", "probe": "gaussian", "probes": 2},
    {"objective": "explicit", "angles": "ladder", "angle_min": 0.1},
    {"objective": "posterior_mean", "weight": "likelihood", "angles": "log_t", "angle_min": 0.1, "loss": "huber"},
)


@contextlib.contextmanager
def being_elsewhere():
    """The device in software, which `device=auto` finds; torch has its optimisers in one piece there too."""
    with pytest.MonkeyPatch.context() as patch, pretend() as device:
        patch.setattr(devices, "resolve", lambda name, place: DEVICE if name == "auto" else torch.device(name))
        patch.setattr("scorelab.training.trainer._FUSED", ("cpu", "meta"))
        yield device


@pytest.fixture
def elsewhere():
    with being_elsewhere() as device:
        yield device


def trainer(device, **changes):
    made = Trainer(network(), TARGET, Training(**{**BASE, **changes}), 0, device=device)
    vars(made)["_least"] = 0.0, None  # its quadrature is on the CPU in any case, and is slow under `pretend`
    return made


@over("denoiser", ["velocity", "phase_aware", "mixture_aware"])
def test_a_run_elsewhere_has_the_numbers_of_the_cpu(tmp_path, monkeypatch, denoiser):
    for name, value in {"_EXACT_PATHS": 20, "_BLOCK": 10, "_TIMES": 8}.items():
        monkeypatch.setattr(f"scorelab.studies.generate.trajectories.{name}", value)
    monkeypatch.setattr("scorelab.studies.training.pays_alone", lambda trainer: False)  # on the CPU alone
    small = [*SMALL, f"denoiser={denoiser}"] + ([] if denoiser == "velocity" else ["denoiser.network.m=8"])
    here = scorelab.run([*small, "device=cpu"], tmp_path / f"{denoiser}-here")
    with being_elsewhere():
        there = scorelab.run(small, tmp_path / f"{denoiser}-there")
    assert (here.metrics["run"]["device"][:4], there.metrics["run"]["device"][:5]) == ("cpu:", "meta:")
    old, new = (without_times(result.metrics) for result in (here, there))
    old.pop("run"), new.pop("run")
    assert old == new


def test_a_run_needs_no_float64_of_its_device(elsewhere, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "WITHOUT_FLOAT64", {"meta"})
    elsewhere.without = (torch.float64,)
    result = scorelab.run([*SMALL, "study.trajectories=0", "training.angles=log_t", "training.angle_min=0.1"], tmp_path)
    assert result.metrics["path_kl"]["total"] > 0


@over("changes", TRAININGS)
def test_a_training_elsewhere_ends_with_the_weights_of_the_cpu(elsewhere, changes):
    here, there = (trainer(device, N=100, epochs=2, clip=0.05, **changes) for device in ("cpu", DEVICE))
    here.run(), there.run()
    assert there.flat.value.device == DEVICE
    torch.testing.assert_close(weights(there.denoiser).cpu(), weights(here.denoiser), rtol=1e-4, atol=1e-6)
    for row, other in zip(there.rows, here.rows, strict=True):
        assert {key: row[key] for key in row if key != "seconds"} == pytest.approx(
            {key: other[key] for key in row if key != "seconds"}, rel=1e-4
        )


def test_no_step_of_a_training_waits_for_the_device(elsewhere):
    waits = []
    for size in (5, 50):
        each = trainer(DEVICE, batch_size=size)
        before = elsewhere.read
        each._epoch(looking=False)
        waits.append(elsewhere.read - before)
    assert each.step == 6
    assert waits[0] == waits[1] <= 8


def test_sampling_waits_for_the_device_once_in_many_steps(elsewhere):
    denoiser, x = network().to(DEVICE), normal(8, 4, seed=0).float()
    before = elsewhere.read
    simulate(EulerMaruyama(), denoiser, torch.linspace(0.1, 1.4, 65), x.to(DEVICE), lambda: x.to(DEVICE))
    assert elsewhere.read - before <= 65 // devices.Watch.EVERY + 3


def test_a_training_that_diverges_elsewhere_says_what_it_says_on_the_cpu(elsewhere):
    changes = {"lr": 1e15, "warmup": 0, "lr_schedule": "constant", "clip": None}
    said = {device: refused(TrainingDiverged, trainer(device, **changes).run) for device in ("cpu", DEVICE)}
    assert said["cpu"] == said[DEVICE]
    assert "at step 2 (epoch 1), at" in said["cpu"]


def test_a_training_that_was_killed_elsewhere_goes_on_there_with_the_same_bits(elsewhere, tmp_path):
    whole, first, second = (trainer(DEVICE, N=100, epochs=4, validation=0.4, keep="best") for _ in range(3))
    whole.run()
    for _ in range(2):
        first.train_epoch()
        first.epoch += 1
    first.best = first.flat.value.detach().clone()
    first.save(tmp_path / "checkpoint.safetensors")
    second.load(tmp_path / "checkpoint.safetensors")
    assert second.best.device == DEVICE
    assert torch.equal(second.flat.value.cpu(), first.flat.value.cpu())
    for each in (first, second):
        each.run()
    assert torch.equal(second.flat.value.cpu(), first.flat.value.cpu())
    assert not torch.equal(second.flat.value.cpu(), trainer("cpu", N=100).flat.value)


def test_exact_numbers_beside_a_denoiser_elsewhere_are_those_of_the_cpu(elsewhere):
    target = GaussianMixture([0.6, 0.3, 0.1], normal(3, 4, seed=1), [0.5, 1.0, 1.5])
    results = []
    for device in ("cpu", DEVICE):
        denoiser = ExactDenoiser(GaussianMixture.two_modes(n=4)).to(device)
        clean = target.sample(20, seeded(2))
        rows, arrays = compare_posterior_means(denoiser, target, clean, [0.3, 1.2], seeded(3), None)
        results.append((path_kl(denoiser, target, 1.4, 3, 50, seeded(4)), rows, arrays["learned"].tolist()))
    here, there = results
    assert there[0].density.device.type == "cpu"
    assert torch.equal(here[0].density, there[0].density)
    assert here[0].total == there[0].total
    assert here[1:] == there[1:]


def test_a_stack_elsewhere_has_the_rows_of_the_cpu(elsewhere):
    ends = []
    for device in ("cpu", DEVICE):
        trainers = [trainer(device, N=100, epochs=2, lr=lr) for lr in (1e-3, 3e-3)]
        assert (Stack if device == "cpu" else DeviceStack)(trainers).run() == [None, None]
        ends.append(torch.stack([each.flat.value.detach().cpu() for each in trainers]))
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-6)


def test_what_names_no_gpu_takes_that_of_the_run(monkeypatch, small, tmp_path):
    stages = []

    @contextlib.contextmanager
    def current(device):
        stages.append(str(device))
        yield
        stages.append(json.loads((tmp_path / "run" / "status.json").read_text())["stages"])

    monkeypatch.setattr(devices, "current", current)
    scorelab.run([*small, "stage=train"], tmp_path / "run")
    assert stages == ["cpu", ["train"]]


# What is refused, and what is said. -----------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_refused_before_anything_is_made(tmp_path):
    for name in ("cuda:7", "mps"):
        says = refused(ConfigError, scorelab.run, [f"device={name}"], tmp_path / "run")
        assert says.startswith(f"device = {name}: not on this machine, which has cpu")
    assert not list(tmp_path.iterdir())
    assert "device = tpu" in refused(ConfigError, check, with_values("device=tpu"))


def test_a_study_without_a_device_is_refused_one():
    assert "device = cuda: the study Claims runs on the CPU" in refused(
        ConfigError, scorelab.run, ["study=claims", "device=cuda"]
    )


def test_a_training_goes_on_on_another_kind_of_device_only_where_that_is_asked_for(tmp_path, caplog):
    run = Run(tmp_path)
    run.mark("interrupted", device="cuda")
    asked, auto = (check(with_values(f"device={name}")) for name in ("cpu", "auto"))
    require_kind(run, auto, "cpu")  # no training was begun
    (tmp_path / "checkpoint.safetensors").touch()
    require_kind(run, auto, "cuda")
    assert "device=cpu goes on all the same" in refused(ConfigError, require_kind, run, auto, "cpu")
    assert not caplog.messages
    require_kind(run, asked, "cpu")
    assert "began on cuda, goes on on cpu" in caplog.text
