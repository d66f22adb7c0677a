"""Samples of any origin, held against a target whose answer is known.

Every number has the value that it has for exact samples, and how far exact samples of this size are from it. Beyond
four of these deviations the samples are said to differ.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch

from scorelab.errors import ScorelabError
from scorelab.laws.estimate import DEVIATIONS, Estimate, flatten, shown
from scorelab.metrics import images, spins
from scorelab.metrics.projection import orthogonal_metrics, projection_metrics, weights_given
from scorelab.randomness import stream
from scorelab.targets import Target
from scorelab.targets.sample_files import read_numbers

#: samples whose distances to exact samples are measured
_SET = 4096
#: exact sets, and the most samples of each, that the first two moments are compared with
_SETS, _OF_SET = 20, 20_000
#: the modes whose weights are looked at one by one
_FEW_MODES = 10
#: dotted name -> what a reader calls it
_TITLES = {
    "projection.w1": "W1 of the projection",
    "projection.ks": "Kolmogorov-Smirnov distance of the projection",
    "projection.mean": "mean of the projection",
    "projection.variance": "variance of the projection",
    "orthogonal.variance": "variance orthogonal to the direction",
    "modes.weight": "weight of the mode that is farthest off",
    "modes.chi_squared": "chi-squared of the counts of all modes",
    "moments.mean": "distance of the mean vector, whitened",
    "moments.covariance": "distance of the covariance, whitened",
    "distance.sliced_w1": "sliced W1 to exact samples",
    "distance.mmd_squared": "squared MMD to exact samples",
    "spins.energy": "energy",
    "data.memorised": "share of copies of the data",
    "images.memorised": "share of copies of training images",
    "images.recognised": "share recognised by a classifier",
}


@dataclass(frozen=True)
class Finding:
    """One number of the samples.

    name: dotted, as in metrics.json. estimate: the number with its errors, its floor and its exact value. deviations:
    how many deviations of exact samples it is off; None where nothing is known of exact samples. verdict: a sentence.
    """

    name: str
    estimate: Estimate
    deviations: float | None
    verdict: str

    @property
    def title(self) -> str:
        return _TITLES.get(self.name, self.name)

    @property
    def differs(self) -> bool:
        """Whether exact samples of this size would hardly have this number."""
        return self.deviations is not None and not abs(self.deviations) <= DEVIATIONS


@dataclass(frozen=True)
class Evaluation:
    """What was found of samples; it prints as a table, and shows itself in a notebook.

    count: number of samples. findings: in the order of the table. arrays: those of the figure.
    """

    count: int
    findings: tuple[Finding, ...]
    arrays: dict

    @property
    def passed(self) -> bool:
        """Whether no number differs from exact samples."""
        return not any(finding.differs for finding in self.findings)

    @property
    def metrics(self) -> dict:
        """The numbers, as they are in metrics.json; what was not measured has its reason."""
        sections = {}
        for finding in self.findings:
            section, _, name = finding.name.partition(".")
            sections.setdefault(section, {})[name] = finding.estimate
        plain, missing = {}, {}
        for section, values in sections.items():
            plain[section], reasons = flatten(values, section)
            missing |= reasons
        return plain | ({"not_measured": missing} if missing else {})

    @property
    def table(self):
        """A pandas DataFrame with a row for each number."""
        import pandas

        rows = []
        for finding in self.findings:
            found = finding.estimate
            row = {"name": finding.name, "value": found.value, "standard_error": found.standard_error}
            row |= {"floor": found.floor, "floor_deviation": found.floor_deviation, "exact": found.exact}
            rows.append(row | {"deviations": finding.deviations, "verdict": finding.verdict})
        return pandas.DataFrame(rows)

    @property
    def figure(self):
        """The projection of the samples beside the exact law, a matplotlib Figure; None for a target without a signal
        direction."""
        from scorelab.figures import projection
        from scorelab.figures.style import house_style

        if not self.arrays:
            return None
        with house_style():
            return projection.figure(self.arrays)

    def to_json(self) -> str:
        """Everything but the arrays."""
        verdicts = {finding.name: finding.verdict for finding in self.findings}
        return json.dumps(
            {"count": self.count, "passed": self.passed, "metrics": self.metrics, "verdicts": verdicts}, indent=2
        )

    def save(self, directory: Path | str):
        """Write evaluation.json, and evaluation.png where there is a figure. Raises ScorelabError where it cannot."""
        from scorelab.figures.files import save_figure
        from scorelab.files import make_folder, write_text

        directory = Path(directory)
        make_folder(directory)
        write_text(directory / "evaluation.json", self.to_json())
        if self.figure is not None:
            save_figure(self.figure, directory / "evaluation.png")

    def __str__(self):
        width = max(len(finding.title) for finding in self.findings)
        lines = [f"{finding.title:{width}}  {finding.verdict}" for finding in self.findings]
        return "\n".join([*lines, self.conclusion])

    @property
    def conclusion(self) -> str:
        """One sentence of all findings."""
        if self.passed:
            return f"{self.count} samples: nothing tells them from exact ones"
        names = [finding.title for finding in self.findings if finding.differs]
        return f"{self.count} samples: they differ from exact ones in {len(names)} of {len(self.findings)} numbers"

    def _repr_html_(self):
        return self.table.to_html(index=False) + f"<p>{self.conclusion}</p>"


def evaluate(samples, target: Target, *, seed: int = 0, repeats: int = 200) -> Evaluation:
    """Hold samples against a target.

    samples: an array or a tensor (count, *target.shape), or (count, target.n); a path of an .npy or a .csv file with
    such numbers. seed: of the exact samples and of the floors. repeats: sets of exact samples behind a floor, and of
    samples drawn again behind a standard error, >= 2.

    Raises ScorelabError for samples that do not fit the target, fewer than two, or not all finite.
    """
    for name, value, least in (("repeats", repeats, 2), ("seed", seed, 0)):
        if value < least:
            raise ScorelabError(f"{name} = {value}: an integer >= {least} is needed")
    samples = _read(samples, target)
    generator = stream(seed, "evaluation")
    found, arrays = projection_metrics(samples, target, target, repeats, generator)
    estimates = {f"projection.{name}": found[name] for name in ("w1", "ks", "mean", "variance")}
    estimates["orthogonal.variance"] = orthogonal_metrics(samples, target, target)["variance"]
    if target.can("modes") and len(target.weights) > _FEW_MODES:  # the worst of many weights is far off by chance
        estimates["modes.chi_squared"] = found["mode_chi_squared"]
    else:
        estimates["modes.weight"] = _worst_mode(samples, target)
    estimates |= {f"moments.{name}": each for name, each in _moments(samples, target, generator).items()}
    estimates |= {f"distance.{name}": each for name, each in _distances(samples, target, repeats, generator).items()}
    if target.can("spins"):
        estimates["spins.energy"] = spins.energy(target, samples)
    if target.can("points") and not target.can("images"):
        estimates["data.memorised"] = images.memorisation(samples, target, repeats, generator)["memorised"]
    if target.can("images", "points"):
        estimates["images.memorised"] = images.memorisation(samples, target, repeats, generator)["memorised"]
        estimates["images.recognised"] = images.classification(samples, target, repeats, generator)["recognised"]
    findings = tuple(_finding(name, estimate) for name, estimate in estimates.items())
    return Evaluation(len(samples), findings, arrays)


def _read(samples, target) -> torch.Tensor:
    """The samples (count, *shape), float32, on the CPU."""
    where = "samples"
    if isinstance(samples, (str, Path)):
        where, samples = str(samples), read_numbers(Path(samples), target.n)
    try:
        read = samples if isinstance(samples, torch.Tensor) else torch.tensor(numpy.asarray(samples))
        read = read.detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ScorelabError(f"{where}: not an array of numbers ({error})") from None
    if read.is_complex() or read.dtype == torch.bool:
        raise ScorelabError(f"{where}: real numbers are needed, not {str(read.dtype).removeprefix('torch.')}")
    if read.dim() < 2 or read[:1].numel() != target.n or len(read) < 2:
        shape = f"(count, {', '.join(map(str, target.shape))}) with count >= 2"
        raise ScorelabError(f"{where}: has the shape {tuple(read.shape)}, and {shape} is needed")
    for numbers, why in ((read, "is not finite"), (read.float(), "is beyond the numbers of float32")):
        finite = torch.isfinite(numbers).flatten(1).all(1)
        if not bool(finite.all()):
            raise ScorelabError(f"{where}: sample {int(finite.int().argmin())} {why}")
    return read.float().view(len(read), *target.shape)


def _worst_mode(samples, target) -> Estimate:
    """The weight of the mode that is farthest off, in standard errors: the mean posterior weight of the mode."""
    why = target.lacks("modes")
    if why is not None:
        return Estimate.missing(why)
    gamma = weights_given(samples, target)
    exact = torch.as_tensor(target.weights).double().cpu()
    mean, error = gamma.mean(0), gamma.std(0) / math.sqrt(len(gamma))
    # A mode with few samples or none has too little spread: not less than what a share of this size is off by chance.
    floor = (2 / math.pi * exact * (1 - exact) / len(gamma)).sqrt()
    worst = int(((mean - exact) / torch.maximum(error, floor).clamp_min(1e-300)).abs().argmax())
    numbers = (float(values[worst]) for values in (mean, error, floor, exact))
    return Estimate(**dict(zip(("value", "standard_error", "floor", "exact"), numbers, strict=True)))


def _moments(samples, target, generator) -> dict:
    """The distances of the mean vector and of the covariance matrix from those of exact samples, in coordinates in
    which the covariance is the identity: |W (mean - mu)| and |W S W^T - 1|, Frobenius, for W = Sigma^(-1/2).

    mu and Sigma are those of many exact sets together, and the floors are the distances of each of these sets from the
    others. Directions without variance are left out.
    """
    why = target.lacks("samples")
    if why is not None:
        return dict.fromkeys(("mean", "covariance"), Estimate.missing(why))
    count = min(len(samples), _OF_SET)
    own = samples[torch.randperm(len(samples), generator=generator)[:count]]
    sets = [_two_moments(target.sample(count, generator)) for _ in range(_SETS)]
    first, second = (sum(each[k] for each in sets) for k in range(2))
    found = _whitened(_two_moments(own), first / _SETS, second / _SETS)
    floors = torch.tensor(
        [_whitened(each, (first - each[0]) / (_SETS - 1), (second - each[1]) / (_SETS - 1)) for each in sets]
    )
    return {
        name: Estimate(value, None, float(floors[:, k].mean()), float(floors[:, k].std()))
        for k, (name, value) in enumerate(zip(("mean", "covariance"), found, strict=True))
    }


def _two_moments(samples):
    x = samples.double().flatten(1).cpu()
    return x.mean(0), x.T @ x / len(x)


def _whitened(moments, mean, second):
    """How far (mean, second moment) are from those of the law, in coordinates in which its covariance is 1."""
    values, vectors = torch.linalg.eigh(second - torch.outer(mean, mean))
    there = values > 1e-9 * values[-1].clamp_min(1e-300)
    white = vectors[:, there] / values[there].sqrt()
    off = moments[0] - mean
    covariance = white.T @ (moments[1] - torch.outer(moments[0], moments[0])) @ white
    return float((white.T @ off).norm()), float((covariance - torch.eye(len(covariance), dtype=torch.float64)).norm())


def _distances(samples, target, repeats, generator) -> dict:
    """Distances of all coordinates to exact samples; the floors are those of other exact samples."""
    names, why = ("sliced_w1", "mmd_squared"), target.lacks("samples")
    if why is None and len(samples) < 4:
        why = "four samples are needed"
    if why is not None:
        return dict.fromkeys(names, Estimate.missing(why))
    count = min(len(samples), _SET)
    own = samples[torch.randperm(len(samples), generator=generator)[:count]]
    exact, other = (target.sample(count, generator) for _ in range(2))
    return images.distances_of_sets(own, other, exact, repeats, generator)


def _finding(name: str, found: Estimate) -> Finding:
    """A number, and what it says."""
    if found.not_measured is not None:
        return Finding(name, found, None, f"not measured: {found.not_measured}")
    measured = shown(found.value, found.standard_error)
    if found.exact is not None:
        error = max(found.standard_error or 0.0, found.floor or 0.0)
        off, beside = found.value - found.exact, f"{measured}, exact {found.exact:.4g}"
        deviations = off / error if error else (0.0 if abs(off) <= 1e-6 * (1 + abs(found.exact)) else math.inf)
        differs = f"a bias of {shown(off, error)}"
    elif found.floor is not None and found.floor_deviation is not None:
        error = found.floor_deviation
        if name.startswith(("distance", "images", "data")) and found.standard_error:  # both are of one set alone
            error = math.hypot(error, found.standard_error)
        off = found.value - found.floor
        beside = f"{measured}, exact samples {shown(found.floor, found.floor_deviation)}"
        deviations = off / error if error else math.copysign(math.inf, off) if off else 0.0
        if not name.startswith(("images", "data")):  # a distance below that of exact samples is none
            deviations = max(deviations, 0.0)
        differs = f"{abs(deviations):.3g} deviations {'above' if off > 0 else 'below'} exact samples"
    else:
        return Finding(name, found, None, f"{measured}; nothing is known of exact samples")
    same = "consistent with exact samples of this size"
    return Finding(name, found, deviations, f"{beside}: {same if abs(deviations) <= DEVIATIONS else differs}")
