"""Generated images beside the images of a data set: copies, distances, classes, and where a denoiser memorises.

The law of the training images has an exact posterior mean, which copies them. So memorisation is held against the truth
on both sides: against this optimum, and against images that are held out. Samples have the shape (count, 1, H, W).
"""

import math
from dataclasses import replace
from functools import cached_property

import numpy
import torch

from scorelab.channel import mix
from scorelab.devices import on
from scorelab.laws.estimate import Estimate
from scorelab.randomness import normal

#: a sample is a copy where the nearest training image is at less than this share of the distance to the second nearest
#: (Yoon et al. 2023, Diffusion probabilistic models generalize when they fail to memorize)
COPY = 1 / 3
#: the most images of a set whose distances to another set are measured, and that the classifier is trained on
_SET = 4096
#: directions of the sliced distance; widths of the kernel in median distances; images that the median is taken over
_DIRECTIONS, _WIDTHS, _MEDIAN = 128, (0.5, 1.0, 2.0), 1000
#: the classifier: width of its kernel in median distances, and its ridge
_WIDTH, _RIDGE = 0.7, 0.01
#: the share of the held-out images of the right class whose confidence does not count as recognised
_QUANTILE = 0.05
#: samples, states of a network, and entries of a table of kernels, that are worked on at a time
_BLOCK, _STATES, _TABLE = 8192, 512, 2**22


def blocks(samples, size: int = _BLOCK):
    """Yield the samples as tensors, `size` at a time; so a memory-mapped file is never read as a whole."""
    for first in range(0, len(samples), size):
        block = samples[first : first + size]
        yield block if isinstance(block, torch.Tensor) else torch.tensor(numpy.asarray(block))


# Copies. ------------------------------------------------------------------------------------------------------------


def ratios(samples, target) -> torch.Tensor:
    """The distance to the nearest training image over that to the second nearest, (count,), float64."""
    return torch.cat([target.nearest(block).ratio for block in blocks(samples)]).cpu()


def memorisation(samples, target, repeats: int, generator) -> dict:
    """The share of the samples that are copies of training images, and the median ratio of distances, each beside that
    of the images that are held out. repeats: bootstrap sets of the median."""
    own = ratios(samples, target)
    found = {"memorised": Estimate.share(own < COPY), "nearest_ratio": _median(own, repeats, generator)}
    why = target.lacks("held_out")
    if why is not None:
        return found | {f"{name}_floor": Estimate.missing(why) for name in found}
    other = ratios(target.held_out, target)
    floors = Estimate.share(other < COPY), _median(other, repeats, generator)
    return {name: held(found[name], floor) for name, floor in zip(found, floors, strict=True)}


def _median(values, repeats, generator) -> Estimate:
    """The median with its bootstrap standard error."""
    draws = (torch.randint(len(values), (len(values),), generator=generator) for _ in range(repeats))
    return Estimate(float(values.median()), float(torch.stack([values[draw].median() for draw in draws]).std()))


def held(found: Estimate, floor: Estimate) -> Estimate:
    """A number with the same number of other images as its floor, whose error is the deviation of the floor."""
    return replace(found, floor=floor.value, floor_deviation=floor.standard_error)


# Distances between sets of images. ----------------------------------------------------------------------------------


def distances(samples, target, repeats: int, generator) -> dict:
    """The sliced Wasserstein-1 distance and the squared maximum mean discrepancy between samples and held-out images.

    The floors are the distances of as many training images to the same held-out images. repeats: bootstrap sets.
    """
    names, why = ("sliced_w1", "mmd_squared"), target.lacks("held_out")
    if why is None and min(len(samples), len(target.points), len(target.held_out)) < 4:
        why = "four images of each kind are needed"
    if why is not None:
        return dict.fromkeys(names, Estimate.missing(why))
    count = min(len(samples), len(target.points), _SET)
    chosen = torch.randperm(len(target.held_out), generator=generator)[:_SET]
    own = torch.cat(list(blocks(samples[:count])))
    return distances_of_sets(own, target.points[:count], target.held_out[chosen], repeats, generator)


def distances_of_sets(own, floor, reference, repeats: int, generator) -> dict:
    """The same distances of a set of samples to a reference; the floors are those of another set to it."""
    own, floor, reference = (each.double().cpu().flatten(1) for each in (own, floor, reference))
    directions = torch.randn(own.shape[1], _DIRECTIONS, generator=generator, dtype=torch.float64)
    directions = directions / directions.norm(dim=0)
    scale = median_distance(torch.cat([floor, reference])[:_MEDIAN])
    measured = {
        "sliced_w1": lambda some: sliced_w1(some, reference, directions, repeats, generator),
        "mmd_squared": lambda some: mmd_squared(some, reference, [width * scale for width in _WIDTHS]),
    }
    return {name: held(measure(own), measure(floor)) for name, measure in measured.items()}


def sliced_w1(one, other, directions, repeats: int, generator) -> Estimate:
    """The mean over directions (n, L) of the Wasserstein-1 distance of the projections of two sets, (k, n) and (m, n),
    computed exactly, with its standard error by bootstrap over both sets."""
    values, order = (torch.cat([one, other]) @ directions).sort(dim=0)
    gaps = values.diff(dim=0)

    def distance(first, second):
        """int |F - F'| along each direction for the weights (k,) and (m,) of the images."""
        height = torch.cat([first, -second])[order].cumsum(0)[:-1]
        return float(height.abs_().mul_(gaps).sum(0).mean())

    def again(count):
        draw = torch.randint(count, (count,), generator=generator)
        return torch.bincount(draw, minlength=count).double() / count

    sizes = len(one), len(other)
    value = distance(*(torch.full((size,), 1 / size, dtype=torch.float64) for size in sizes))
    repeated = torch.tensor([distance(*map(again, sizes)) for _ in range(repeats)])
    return Estimate(value, float(repeated.std()))


def mmd_squared(one, other, widths) -> Estimate:
    """The unbiased estimate of the squared maximum mean discrepancy of two sets, (k, n) and (m, n), for the mean of the
    Gaussian kernels exp(-|x - y|^2/(2 w^2)), with its jackknife standard error (Gretton et al. 2012, lemma 6).

    For two sets of one law the error is too large by a root of 2 at most, as the estimate is a degenerate U-statistic.
    """
    k, m = len(one), len(other)
    inside = [_kernel_sums(each, each, widths)[0] - 1 for each in (one, other)]  # without the image itself
    across, from_other = _kernel_sums(one, other, widths)
    whole = [float(sums.sum()) for sums in (*inside, across)]

    def value(first, second, between, sizes):
        a, b = sizes
        return first / (a * (a - 1)) + second / (b * (b - 1)) - 2 * between / (a * b)

    left = (
        value(whole[0] - 2 * inside[0], whole[1], whole[2] - across, (k - 1, m)),
        value(whole[0], whole[1] - 2 * inside[1], whole[2] - from_other, (k, m - 1)),
    )
    variance = sum((len(each) - 1) * float(each.var(correction=0)) for each in left)
    return Estimate(value(*whole, (k, m)), math.sqrt(variance))


def _kernel_sums(one, other, widths):
    """Sums of the kernel over the other set (k,), and over the one set (m,)."""
    rows, columns = [], 0.0
    for block in one.split(max(_TABLE // len(other), 1)):
        squared = _squared_distances(block, other)
        kernel = torch.zeros_like(squared)
        for width in widths:
            kernel += torch.div(squared, -2 * width**2).exp_()
        kernel /= len(widths)
        rows.append(kernel.sum(1))
        columns = columns + kernel.sum(0)
    return torch.cat(rows), columns


def _squared_distances(one, other):
    centre = other.mean(0)
    one, other = one - centre, other - centre
    squared = one.square().sum(1, keepdim=True) + other.square().sum(1)
    return squared.sub_(2 * one @ other.T).clamp_min_(0)


def median_distance(images) -> float:
    """The median Euclidean distance between two different images (count, n)."""
    squared = _squared_distances(images, images)
    return float(squared[torch.ones_like(squared).triu(1).bool()].median().sqrt()) or 1.0


# Classes. -----------------------------------------------------------------------------------------------------------


class Classifier:
    """Kernel ridge regression of the classes, as vectors of 0 and 1, on the pixels of training images.

    It is fixed and deterministic: the first 4096 training images at most, a Gaussian kernel of 0.7 median distances
    between them, a ridge of 0.01. The class of an image is the place of the largest output, its confidence is this
    output: about 1 for an image as those of the training, and near 0 far from all of them.
    """

    def __init__(self, target):
        from sklearn.kernel_ridge import KernelRidge

        images, labels = target.points[:_SET].double().cpu().flatten(1), target.labels[:_SET].cpu()
        self.target, self.classes = target, max(len(target.classes), int(target.labels.max()) + 1)
        width = _WIDTH * median_distance(images[:_MEDIAN])
        model = KernelRidge(alpha=_RIDGE, kernel="rbf", gamma=1 / (2 * width**2))
        self.model = model.fit(images.numpy(), torch.nn.functional.one_hot(labels, self.classes).double().numpy())

    def __call__(self, samples):
        """The class and the confidence of each sample, two arrays (count,)."""
        found = [self.model.predict(block.double().cpu().flatten(1).numpy()) for block in blocks(samples, _SET)]
        outputs = numpy.concatenate(found)
        return outputs.argmax(1), outputs.max(1)

    @cached_property
    def held_out(self):
        """The class and the confidence of each held-out image, and whether the class is right, three arrays (M,)."""
        found, confidence = self(self.target.held_out)
        return found, confidence, found == self.target.held_out_labels.cpu().numpy()

    @property
    def threshold(self) -> float:
        """The confidence from which on an image is recognised: the 5 per cent quantile over the held-out images of the
        right class."""
        _, confidence, right = self.held_out
        return float(numpy.quantile(confidence[right], _QUANTILE))


def classification(samples, target, repeats: int, generator) -> dict:
    """The accuracy of the classifier, the share of the samples that it recognises, and the classes of the samples.

    The classes are held against those of the training images, in total variation. repeats: sets of draws of the floor
    of this distance, and of its standard error.
    """
    why = target.lacks("labels", "held_out")
    if why is None and target.held_out_labels is None:
        why = "the images that are held out have no labels"
    if why is None and len(target.labels.unique()) < 2:
        why = "the training images are of one class"
    if why is not None:
        names = ("classifier_accuracy", "recognised", "class_distance", "class_shares")
        return dict.fromkeys(names, Estimate.missing(why))
    classifier = Classifier(target)
    found, confidence = classifier(samples)
    _, others, right = classifier.held_out
    recognised = Estimate.missing("the classifier finds the class of no held-out image")
    if right.any():
        floor = Estimate.share(others >= classifier.threshold)
        recognised = held(Estimate.share(confidence >= classifier.threshold), floor)
    count, classes = len(found), classifier.classes
    exact = torch.bincount(target.labels.cpu(), minlength=classes).double() / len(target.labels)
    shares = torch.bincount(torch.as_tensor(found), minlength=classes).double() / count

    def again(law):
        """Distances of the classes of `count` draws of a law to the exact law, (repeats,)."""
        draws = torch.multinomial(law.expand(repeats, -1), count, replacement=True, generator=generator)
        counts = torch.zeros(repeats, classes, dtype=torch.float64).scatter_add_(
            1, draws, torch.ones_like(draws).double()
        )
        return 0.5 * (counts / count - exact).abs().sum(1)

    floor = again(exact)
    distance = Estimate(
        0.5 * float((shares - exact).abs().sum()), float(again(shares).std()), float(floor.mean()), float(floor.std())
    )
    return {
        "classifier_accuracy": Estimate.share(right),
        "recognised": recognised,
        "class_distance": distance,
        "class_shares": Estimate(shares.tolist(), exact=exact.tolist()),
    }


# Where a denoiser is the optimum of its training images, and where it generalises. ------------------------------------


@torch.no_grad()
def generalisation(denoiser, target, angles, draws: int, generator) -> list[dict]:
    """A row for each angle: squared errors on noisy training images, and on noisy images that are held out.

    gap: E|m_hat - m|^2, with the posterior mean m of the law of the training images, the optimum.
    error: E|X - m_hat|^2. optimum: E|X - m|^2. Each has the ending _train or _held_out, and is an `Estimate` over at
    most `draws` images, each taken once. Without held-out images there are no numbers of them.
    """
    target = on(target, denoiser.device)
    sets = {"train": target.points}
    if target.can("held_out"):
        sets["held_out"] = target.held_out
    chosen = {name: images[torch.randperm(len(images), generator=generator)[:draws]] for name, images in sets.items()}
    rows = []
    for angle in angles:
        row = {"angle": angle, "t": math.tan(angle) ** 2}
        for name, clean in chosen.items():
            parts = [_errors(denoiser, target, each, angle, generator) for each in clean.split(_STATES)]
            row |= {f"{kind}_{name}": Estimate.mean(torch.cat([part[kind] for part in parts])) for kind in parts[0]}
        rows.append(row)
    return rows


def _errors(denoiser, target, clean, angle, generator):
    """The squared errors of `generalisation` for each clean image, kind -> (count,), float64."""
    x = mix(clean, normal(clean.shape, generator, device=clean.device), angle)
    learned, exact = (mean(x, angle) for mean in denoiser.knowing(clean, target))
    pairs = {"gap": (learned, exact), "error": (clean, learned), "optimum": (clean, exact)}
    return {kind: (one - other).double().square().flatten(1).sum(1) for kind, (one, other) in pairs.items()}
