"""Conformance: correct samplers pass, and each planted fault is named by a property that it breaks."""

import json
import math

import pytest
import torch

from scorelab.conformance import check_sampler, in_convention
from scorelab.denoisers import Convention
from scorelab.errors import ScorelabError

END = 1.54
NOISE = 1 / math.tan(END)
#: all but the samples of a mixture, which take the most time
QUICK = ("shape", "repeatable", "seed", "global_state", "answers", "batch", "dtype", "evaluations", "few_steps")
EXACT = ("start", "times", "precision", "unclipped", "order", "limit")


def ancestral(fault=None):
    """DDPM's ancestral sampling in plain code, and copies of it with one fault each."""

    def sampler(denoiser, count, n, steps, generator):
        if fault == "seed ignored":
            generator = torch.Generator().manual_seed(0)
        angles = torch.linspace(0, END, steps + 1, dtype=torch.float64).tolist()
        x = torch.randn(count, n, generator=generator)
        once = torch.randn(count, n, generator=generator) if fault == "noise reused" else None
        order = [*range(steps)]
        if fault == "last step twice":
            order.append(steps - 1)
        if fault == "first step skipped":
            order.pop(0)
        for k in order:
            angle, after = angles[k], angles[k + 1]
            asked = after if fault == "one wrong time" and k == steps // 2 else angle
            mean = denoiser(x, asked)
            if fault == "samples clipped":
                mean = mean.clamp(-3, 3)
            if fault == "coefficients of another schedule":
                angle, after = angle**2 / END, after**2 / END
            sin, cos, next_sin, next_cos = math.sin(angle), math.cos(angle), math.sin(after), math.cos(after)
            sigma = next_cos / cos * math.sqrt(1 - (sin / next_sin) ** 2)
            kept = math.sqrt(next_cos**2 - sigma**2) / cos
            drift = next_sin - sin * kept
            x = kept * x + (-drift if fault == "sign of the drift" else drift) * mean
            z = torch.randn(count, n, generator=generator) if once is None else once
            x = x + (sigma**2 if fault == "sqrt missing" else sigma) * z
            if fault == "float16 inside":
                x = x.half().to(mean)
        return x / math.sin(END)

    sampler.__name__ = f"ancestral, {fault}" if fault else "ancestral"
    return sampler


FAULTS = {
    "sign of the drift": "limit",
    "one wrong time": "times",
    "sqrt missing": "limit",
    "noise reused": "limit",
    "last step twice": "times",
    "first step skipped": "start",
    "coefficients of another schedule": "times",
    "seed ignored": "seed",
    "samples clipped": "unclipped",
    "float16 inside": "precision",
}


def test_a_correct_sampler_passes_everything():
    report = check_sampler(ancestral(), order=1, end_noise=NOISE, law_steps=256)
    assert report.passed, report
    assert {each.name for each in report.properties} >= {*QUICK, *EXACT, "law"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught_by_the_property_that_it_breaks(fault):
    report = check_sampler(ancestral(fault), order=1, end_noise=NOISE, only=(*QUICK, *EXACT))
    assert FAULTS[fault] in report.failures, report


def test_without_a_fault_none_of_these_properties_fails():
    report = check_sampler(ancestral(), order=1, end_noise=NOISE, only=(*QUICK, *EXACT))
    assert report.passed, report
