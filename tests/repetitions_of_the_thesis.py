"""Measurements of descents, schemes and images that are repeated; see `repetitions`. A function returns Estimates by
name."""

from types import SimpleNamespace

import numpy
import torch
from helpers import seeded

from scorelab.laws.estimate import Estimate
from scorelab.metrics import images
from scorelab.studies.sde import analyse as sde
from scorelab.studies.sgd import analyse as sgd


def descents_by_gradients(study, seed):
    """Runs of SGD after a few steps, and the limit of their covariance."""
    context = SimpleNamespace(seed=seed)
    numbers, _ = sgd._descent(study, context)
    limit = sgd._limit(study, 0.2, numpy.random.default_rng(seed))
    rows = {name: one for name, one in numbers["descent"].items() if isinstance(one, Estimate)}
    first = {name: Estimate(one.value[0], one.standard_error[0]) for name, one in rows.items()}
    covariance = Estimate(limit["covariance"].value[1], limit["covariance"].standard_error[1])
    return first | {"average": numbers["end"]["average"], "limit": limit["mean_square"], "entry": covariance}


def schemes(study, seed):
    """Errors of a scheme on common paths and their orders, made of normal numbers; and an OU process."""
    draws, h = numpy.random.default_rng(seed), 0.5 ** numpy.arange(1, 5)
    common, own = draws.normal(size=(20, 20)), draws.normal(size=(4, 20, 20))
    apart = numpy.sqrt(h)[:, None, None] * (1 + 0.5 * common + 0.2 * own)
    found = sde._errors(numpy.stack([apart**2, apart, apart * (2 * common + apart + 3)], 2), numpy.ones((4, 3)), h)
    orders = {f"{kind} order": found[f"{kind}_order"] for kind in sde.KINDS}
    errors = {kind: Estimate(found[kind].value[0], found[kind].standard_error[0]) for kind in sde.KINDS}
    process = sde._ornstein(study, seed)[0]["ou"]
    ends = {name: process["end"][name] for name in ("mean", "variance")} | {"inside": process["inside"]}
    return errors | orders | ends


def sets_of_images(monkeypatch, seed):
    """Distances between two sets that are not of one law, a median ratio, and classes."""
    draws = seeded(seed)
    one, other = (torch.randn(40, 3, generator=draws, dtype=torch.float64) + shift for shift in (0.6, 0.0))
    directions = torch.eye(3, dtype=torch.float64)
    found = {"sliced_w1": images.sliced_w1(one, other, directions, 40, draws)}
    found |= {"mmd_squared": images.mmd_squared(one, other, [1.0, 2.0])}
    found |= {"nearest_ratio": images._median(torch.rand(80, generator=draws, dtype=torch.float64), 40, draws)}
    kinds = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 80, replacement=True, generator=draws)
    answers = Classifying(kinds.numpy(), torch.rand(80, generator=draws).numpy())
    monkeypatch.setattr(images, "Classifier", lambda target: answers)
    labels = torch.tensor([0] * 2 + [1] * 4 + [2] * 4)
    target = SimpleNamespace(lacks=lambda *names: None, labels=labels, held_out_labels=labels)
    names = ("classifier_accuracy", "recognised", "class_distance")
    classes = images.classification(None, target, 40, draws)
    return found | {name: classes[name] for name in names}


class Classifying(SimpleNamespace):
    """A classifier that has given its answers."""

    def __init__(self, found, confidence):
        super().__init__(classes=3, threshold=0.3, held_out=(found, confidence, confidence > 0.1))

    def __call__(self, samples):
        return self.held_out[:2]
