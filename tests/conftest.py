import pytest
import torch

# One thread: the tests' tensors are small, and two threads that wait for each other take longer on a busy machine.
torch.set_num_threads(1)

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
    "threads=1",
)


@pytest.fixture
def small():
    """The overrides of a small main job."""
    return list(SMALL)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A function from overrides to the finished run with them, made once for all test files; its directory is not to be
    written to."""
    import scorelab

    done = {}

    def once(*overrides):
        if overrides not in done:
            done[overrides] = scorelab.run(overrides, directory=tmp_path_factory.mktemp("runs") / "run")
        return done[overrides]

    return once


@pytest.fixture
def generator():
    """An explicit generator; tests never use global random state."""
    return torch.Generator().manual_seed(0)
