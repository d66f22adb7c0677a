"""What does not fit into the memory, onto the disk or into a year is said before anything is computed."""

import pytest
from helpers import composed, refused

from scorelab.errors import ConfigError, out_of_memory
from scorelab.lab import room
from scorelab.lab.config import check


def test_what_does_not_fit_into_the_memory_names_its_key(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda: 8e9)
    room.require_room(check(composed()), tmp_path)
    for override, says in (
        ("training.N=1e8", "training.N = 100000000: about 102 GB of memory are needed, 8 GB are free"),
        ("target.n=1e9", "target.n = 1000000000: about 16 GB"),
        ("sampler.steps=1e9", "sampler.steps = 1000000000: about 200 GB"),
        ("sampler.batch_size=1e9 sampler.count=1e8", "sampler.batch_size = 1000000000: about 410 GB"),
        ("study.path_kl_draws=1e9", "study.path_kl_draws = 1000000000: about 2.05 TB"),
        ("study=sde study.ou.replicas=1e9", "study.ou.replicas = 1000000000: about 800 GB"),
        ("denoiser=tanh denoiser.m=1e6", "denoiser = OuterProduct: about"),
        ("target=ising target.n=1e5", "target.n = 100000: about 160 GB"),
        ("target=z2_synchronization target.n=1e5", "target.n = 100000: about 160 GB"),
    ):
        overrides = override.split()
        assert says in refused(ConfigError, room.require_room, check(composed(*overrides)), tmp_path), override


def test_what_would_never_end_names_its_key(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda: None)
    for overrides, says in (
        (("training.N=1e8", "training.epochs=1e9"), "training.epochs = 1000000000: takes 63.4 years"),
        (("denoiser.m=1e6", "training.epochs=1e9"), "training.epochs = 1000000000: takes 1."),
        (("sampler.steps=1e9", "sampler.count=1e9"), "sampler.steps = 1000000000: takes"),
    ):
        text = refused(ConfigError, room.require_room, check(composed(*overrides)), tmp_path)
        assert text.startswith(says), overrides
        assert text.endswith("years on the fastest of machines"), overrides
    room.require_room(check(composed("training.epochs=1e6", "denoiser.m=4096")), tmp_path)  # long, and somebody's wish


def test_samples_of_a_training_count_only_where_something_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda: 8e9)
    overrides = ("target.n=1e6", "study.path_kl_draws=10", "study.posterior_mean_draws=10", "sampler.count=50")
    assert "training.N" in refused(ConfigError, room.require_room, check(composed(*overrides)), tmp_path)
    room.require_room(check(composed(*overrides, "denoiser=exact")), tmp_path)


def test_what_does_not_fit_onto_the_disk_names_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda: None)
    text = refused(ConfigError, room.require_room, check(composed("sampler.count=1e9", "target.n=1e4")), tmp_path)
    assert text.startswith("sampler.count = 1000000000: samples.npy takes 40 TB, the disk has")


def test_an_allocation_that_fails_is_one_line():
    import numpy
    import torch

    for allocate in (lambda: torch.empty(2**50), lambda: numpy.empty(2**55), lambda: bytearray(2**55)):
        with pytest.raises((RuntimeError, MemoryError)) as error:
            allocate()
        assert "not enough memory" in str(out_of_memory(error.value))
    assert out_of_memory(RuntimeError("something else")) is None
