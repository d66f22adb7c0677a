"""The main job: train a denoiser, sample with it, project, measure, draw. One module a stage."""

import importlib
import math
from typing import Annotated, Literal

from pydantic import Field, field_validator

from scorelab.options import Natural, Positive, Several
from scorelab.studies.base import Study

#: times of the first and the last angle of the posterior-mean figure
EARLIEST, LATEST = math.tan(0.1) ** 2, math.tan(math.pi / 2 - 0.1) ** 2


class Generate(Study):
    """The main job.

    path_kl_angles: Gauss-Legendre angles of the path-KL integral. path_kl_draws: exact noisy states an angle.
    posterior_mean_draws: noisy states an angle of the posterior-mean figure. posterior_mean_data: their clean samples,
    exact ones of the `target` or the generated `samples` (as the published code took them).
    posterior_mean_switches: times in increasing order, between which there are twelve angles each; none for the twelve
    of the semester paper's figures 3 and 5.
    floor_repeats: sets of exact samples that noise floors are measured on, and bootstrap sets for standard errors.
    trajectories: first samples whose paths are measured and drawn, none where the sampler stays at one angle; 0 for
    none, else >= 2. animation: whether the paths are also drawn as figures/trajectories.gif.
    """

    path_kl_angles: Several
    path_kl_draws: Several
    posterior_mean_draws: Several
    posterior_mean_data: Literal["target", "samples"]
    posterior_mean_switches: list[Annotated[Positive, Field(gt=EARLIEST, lt=LATEST)]] = []
    floor_repeats: Several
    trajectories: Natural = 0
    animation: bool = False

    @field_validator("posterior_mean_switches")
    @classmethod
    def _in_order(cls, times):
        if sorted(set(times)) != times:
            raise ValueError("times in increasing order are needed")
        return times

    @field_validator("trajectories")
    @classmethod
    def _none_or_several(cls, count):
        if count == 1:
            raise ValueError("0, or an integer >= 2, is needed: one path has no spread")
        return count

    def run_stage(self, stage, context):
        """Do one stage; the module of that name below this package is imported only now."""
        importlib.import_module(f"{__name__}.{stage}").run(self, context)
