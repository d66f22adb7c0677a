"""Every option of every group, with every option of every other group: a run from training to plots, or one line."""

import functools
import itertools
import json
import math
from typing import get_args

import networks  # noqa: F401 (the extension that the option `module` takes its network from)
import pytest
from allpairspy import AllPairs
from helpers import ROOT, refused

import scorelab
from scorelab.errors import ScorelabError
from scorelab.lab.context import Context
from scorelab.samplers import ends, trial
from scorelab.samplers.job import Sampling
from scorelab.schedules import grids
from scorelab.studies.generate import plane
from scorelab.targets import Target, signal
from scorelab.targets.gaussian_spike import GaussianPosterior
from scorelab.training import Training

#: so little of everything that a run takes a fraction of a second
TINY = (
    "target.n=2",
    "training.N=64",
    "training.epochs=1",
    "training.batch_size=32",
    "sampler.count=32",
    "sampler.steps=32",
    "study.path_kl_angles=2",
    "study.path_kl_draws=4",
    "study.posterior_mean_draws=4",
    "study.floor_repeats=2",
    "figures.dpi=50",
    "threads=1",
    "extensions=[networks]",
)
#: what an option needs beside its name
WITH = {
    "denoiser=module": ("+denoiser.module._target_=networks.Plain", "+denoiser.module.width=4"),
    "training.angles=log_t": ("training.angle_min=0.02",),
    "training.angles=ladder": ("training.angle_min=0.02",),
    "target=images": ("target.limit=20",),
    "target=many_modes": ("target.means.count=4",),
    "target=samples": (f"target.path={ROOT}/tests/data/samples.csv",),
}
#: targets that have a dimension of their own
SIZED = {"target=images", "target=samples", "target=density", "target=gamma_mixture"}
#: where null is a value: a time that is never reached, the floor of a denoiser that is not trained, no noise at all
NULL = ("metrics.trajectories.", "metrics.path_kl.parametric_floor", "metrics.sampling.T", "metrics.sampling.first_t")
#: one run in so many has paths, and is drawn
DRAWN = 30


#: options that are another one with other numbers
ALIKE = {
    "relu",
    "mean_field",
    "ising_small",
    "z2_synchronization",
    "author",
    "dpm_solver_2m",
    "dpm_solver_2m_sde",
    "ddpm_quick",
}


def options(group):
    names = sorted({path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} - ALIKE)
    return [f"{group}={name}" for name in names]


def choices(cls, key, group):
    return [f"{group}.{key}={choice}" for choice in get_args(cls.model_fields[key].annotation)]


GROUPS = [
    options("sampler"),
    [f"schedule.{name}" for name in options("grid")],
    options("denoiser"),
    options("schedule"),
    options("training"),
    options("target"),
    choices(Training, "objective", "training"),
    choices(Training, "angles", "training"),
    choices(Sampling, "output", "sampler"),
]
ROWS = [tuple(row) for row in AllPairs(GROUPS)]


def test_the_rows_have_every_pair_of_options():
    wanted = {pair for one, other in itertools.combinations(GROUPS, 2) for pair in itertools.product(one, other)}
    assert wanted <= {pair for row in ROWS for pair in itertools.combinations(row, 2)}


@pytest.mark.parametrize("part", range(4))
def test_every_pair_of_options_runs_from_training_to_plots_or_is_refused_in_one_line(part, tmp_path, monkeypatch):
    """A refusal comes before anything is trained, but for samples that diverge; every number of a run that is done is
    finite."""
    # Adaptive grids of few points, few samples for a risk that is measured, and small trials of a grid, for little
    # advice: they would take most of the time.
    monkeypatch.setattr(grids, "equidistribute", functools.partial(grids.equidistribute, points=60))
    monkeypatch.setattr(signal, "_DRAWS", 100)
    monkeypatch.setattr(trial, "_MOST", trial._LEAST)
    monkeypatch.setattr(ends, "_MOST_STEPS", 64)
    for target in (Target, GaussianPosterior):
        monkeypatch.setattr(target, "risk_draws", 64)
    drawn, plane_of = Context.draw_figures, plane.plane_of
    for number, row in list(enumerate(ROWS))[part::4]:
        whole = number % DRAWN == 0
        monkeypatch.setattr(Context, "draw_figures", drawn if whole else lambda context: None)
        monkeypatch.setattr(plane, "plane_of", plane_of if whole else lambda target: None)  # it is only drawn
        tiny = [option for option in TINY if option != "target.n=2" or SIZED.isdisjoint(row)]
        overrides = [*row, *tiny, *itertools.chain(*(WITH.get(option, ()) for option in row))]
        overrides.append(f"study.trajectories={2 if whole else 0}")
        where = tmp_path / str(number)
        try:
            said = refused(ScorelabError, scorelab.run, overrides, where)
        except Exception as error:
            raise AssertionError(f"python run.py {' '.join(overrides)}") from error
        if said == "not refused":
            metrics = json.loads((where / "metrics.json").read_text())
            assert not [name for name in unknown(metrics) if not name.startswith(NULL)], row
        else:
            assert "\n" not in said, row
            assert "diverges" in said or not (where / "training.csv").exists(), (row, said)


def unknown(value, name="metrics"):
    """The names of the numbers that are null or not finite, below a value of metrics.json."""
    if isinstance(value, dict):
        return [found for key, each in value.items() for found in unknown(each, f"{name}.{key}")]
    if isinstance(value, list):
        return [found for each in value for found in unknown(each, name)]
    return [name] if value is None or (isinstance(value, float) and not math.isfinite(value)) else []
