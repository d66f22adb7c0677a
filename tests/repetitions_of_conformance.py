"""The numbers with standard errors of a check of a sampler and of a denoiser; see `repetitions`."""

import torch
from test_conformance import NOISE, ancestral

from scorelab.conformance import mixtures, posterior
from scorelab.conformance.denoiser import DenoiserCheck
from scorelab.conformance.laws import mixture
from scorelab.conformance.sampler import Options, SamplerCheck
from scorelab.conformance.slopes import order_of_means
from scorelab.randomness import stream

MIXTURE = mixture()


def conformance(seed):
    """The weak order of changes made of normal numbers, the weight of a mode of exact samples, and the errors of a
    denoiser at two noise levels."""
    draws = stream(seed, "repetition")
    common, own = (torch.randn(*shape, generator=draws) for shape in ((300,), (2, 300)))
    changes = [size * (1 + common + each) for size, each in zip((1.0, 0.4), own, strict=True)]
    _, _, order = order_of_means("changes", changes, None)
    sampler = SamplerCheck(ancestral(), Options(end_noise=NOISE, count=200, steps=(2, 4, 8), seed=seed))
    sampler.pairs = [mixtures.Pair(*[MIXTURE.sample(200, draws)] * 2, None)]
    mode = mixtures.mode_rows(sampler)[-1]
    found = {"weak order": (order["order"], order["standard_error"])}
    for name in ("mode_weight_standard_error", "mode_weight_floor"):
        found[name] = mode["mode_weight"], mode[name]
    check = DenoiserCheck(_wrong, angles=(0.4, 1.2), count=100, seed=seed)
    for number, row in enumerate(posterior.error_rows(check)):
        for name in ("squared_error", "relative_error", "bayes_gap"):
            found[f"{name} {number}"] = row[name], row[f"{name}_standard_error"]
    return found


def _wrong(x, angle):
    return MIXTURE.posterior_mean(x, angle) + 0.3 * torch.sin(3 * x)
