import fcntl
import hashlib
import os

import pytest
import read_once
import torch
import yaml
from hydra.core.plugins import Plugins
from hypothesis import settings
from users import User

import scorelab
from scorelab.lab.context import Context

# Hydra runs the modules of its plugins again when it first looks for them, so it looks before a test imports one.
Plugins.instance()
read_once.install()

# One thread: the tests' tensors are small, and two threads that wait for each other take longer on a busy machine.
torch.set_num_threads(1)

# No test asks what a power cut leaves: a small run writes some thirty files, each of which would wait for the disk.
os.fsync = lambda file: None

# Properties are checked on the same few examples every time, however slow the machine is.
settings.register_profile("few", max_examples=20, derandomize=True, deadline=None, database=None)
settings.load_profile("few")

#: a main job that takes a fraction of a second
SMALL = (
    "target.n=8",
    "denoiser.m=8",
    "training.N=400",
    "training.epochs=4",
    "training.batch_size=100",
    "training.checkpoint_every=1",
    "sampler.count=300",
    "sampler.steps=20",
    "study.path_kl_angles=8",
    "study.path_kl_draws=50",
    "study.posterior_mean_draws=50",
    "study.floor_repeats=10",
    "study.trajectories=0",
    "figures.formats=[]",  # to draw takes longer than all the rest
    "figures.dpi=50",  # of what a sweep draws all the same
    "threads=1",
)


@pytest.fixture
def small():
    """The overrides of a small main job."""
    return list(SMALL)


@pytest.fixture
def user(tmp_path):
    """A user in an empty folder."""
    return User(tmp_path, SMALL)


DRAW_FIGURES = Context.draw_figures


@pytest.fixture(scope="session")
def run_once(tmp_path_factory):
    """Overrides -> their finished run, which is done once in a session, by whichever worker asks first; change it only
    in a copy, as by `copied`."""
    base, done = tmp_path_factory.getbasetemp(), {}
    shared = base.parent / "shared" if "PYTEST_XDIST_WORKER" in os.environ else base / "shared"
    shared.mkdir(exist_ok=True)

    def run(*overrides):
        if overrides not in done:
            directory = shared / hashlib.sha256(repr(overrides).encode()).hexdigest()[:16]
            with open(f"{directory}.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                done[overrides] = _loaded(directory) if directory.is_dir() else _drawn(overrides, directory)
        return done[overrides]

    return run


def _drawn(overrides, directory):
    with pytest.MonkeyPatch.context() as drawn:  # whoever asks first, as `undrawn` may be in force
        drawn.setattr(Context, "draw_figures", DRAW_FIGURES)
        return scorelab.run(overrides, directory)


def _loaded(directory):
    extensions = yaml.safe_load((directory / "config.yaml").read_text())["extensions"]
    return scorelab.load(directory, extensions, reads=True)


@pytest.fixture
def undrawn(monkeypatch):
    """Runs that draw nothing, as that takes longer than all the rest; their arrays are written."""
    monkeypatch.setattr(Context, "draw_figures", lambda context: None)


@pytest.fixture
def generator():
    """An explicit generator; tests never use global random state."""
    return torch.Generator().manual_seed(0)
