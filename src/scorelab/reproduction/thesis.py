"""The report of the thesis: its figures 1 to 19, what it says of each, ours, and why they differ where they do."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy

from scorelab.blocks import Cell, Heading, Paragraph, Pictures, Table
from scorelab.laws.estimate import DEVIATIONS, mean_and_error, shown
from scorelab.reproduction.cells import measured, not_done, plain, text
from scorelab.reproduction.collect import Entry


@dataclass(frozen=True)
class Kind:
    """What is told of the runs of a figure.

    columns: heading -> dotted name of a number, with its standard error where it has one. pictures: names of the
    pictures of a run that are shown. conclude: a sentence from the runs that are done.
    """

    columns: dict[str, str]
    pictures: tuple[str, ...]
    conclude: Callable[[list[Entry]], str]


@dataclass(frozen=True)
class Figure:
    """One or several figures of the thesis, or a section without one.

    title: what the report calls it. presets: those whose runs belong to it. printed: what the thesis says of it. cause:
    why ours differs. kind: see `Kind`.
    """

    title: str
    presets: tuple[str, ...]
    printed: str
    cause: str
    kind: Kind

    def has(self, entry: Entry) -> bool:
        """Whether a run belongs to the figure."""
        return entry.preset in self.presets


def contents(entries: list[Entry], name: str) -> list:
    """The blocks of the report."""
    done = [entry for entry in entries if entry.metrics is not None]
    rest = [entry for entry in entries if entry.metrics is None]
    blocks = [
        Heading(1, f"The figures of the thesis: {name}"),
        Paragraph(
            f"{len(done)} of {len(entries)} runs are done. Values are ± one standard error. The protocol `text` does "
            "what the thesis says, `author` what its published code did."
        ),
    ]
    for figure in FIGURES:
        blocks += _section(figure, [entry for entry in done if figure.has(entry)])
    others = [entry for entry in done if not any(figure.has(entry) for figure in FIGURES)]
    if others:
        rows = [[Cell(entry.name), text(" ".join(entry.overrides))] for entry in others]
        blocks += [Heading(2, "Runs of no figure"), Table(["run", "asked for"], rows)]
    if rest:
        blocks += [Heading(2, "Not done"), not_done(rest)]
    return blocks


def _section(figure: Figure, entries: list[Entry]) -> list:
    sentence = figure.kind.conclude(entries) if entries else "No run of it is done."
    blocks = [
        Heading(2, figure.title),
        Paragraph(f"Printed: {figure.printed}"),
        Paragraph(sentence, conclusion=True),
    ]
    for name in figure.kind.pictures if entries else ():
        pictures = [(path, _caption(entry)) for entry in entries if (path := entry.picture(name))]
        blocks += [Pictures(pictures[:2])] if pictures else []
    if entries:
        blocks += [_table(figure.kind, entries), Paragraph(f"Differences: {figure.cause}")]
    return blocks


def _table(kind: Kind, entries: list[Entry]) -> Table:
    rows = []
    for entry in entries:
        row = [Cell(entry.name), text(entry.preset), text(protocol(entry)), plain(entry.seed)]
        rows.append(row + [measured(entry, key) for key in kind.columns.values()])
    return Table(["run", "preset", "protocol", "seed", *kind.columns], rows)


def protocol(entry: Entry) -> str | None:
    """The protocol of a run: that of the study, or else that of the training."""
    of_study = entry.value("study.protocol")
    return of_study if isinstance(of_study, str) else entry.protocol


def _caption(entry: Entry) -> str:
    named = (f"run {entry.name}", entry.preset, protocol(entry), f"seed {entry.seed}")
    return ", ".join(part for part in named if part)


# Sentences. ---------------------------------------------------------------------------------------------------------


def agreement(entries: list[Entry], key: str, what: str) -> str:
    """How many runs have a number within the standard errors of its exact value."""
    known = [distance for entry in entries if (distance := entry.off(key)) is not None]
    if not known:
        return f"{what}: no run has a number to compare"
    return (
        f"{what} is within {DEVIATIONS:g} s.e. of its exact value in {sum(value <= DEVIATIONS for value in known)} of "
        f"{len(known)} runs, at most {max(known):.2g} s.e. away"
    )


def _sentence(parts) -> str:
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def _of_descents(entries):
    settled = [entry for entry in entries if not entry.number("sgd.diverged.share")]
    parts = [agreement(settled, "sgd.end.mean_square", "the mean square at the last step")] if settled else []
    for entry in entries:
        share = entry.number("sgd.diverged.share")
        if share:
            end = entry.number("sgd.threshold")
            parts.append(
                f"in run {entry.name} ({protocol(entry)}) {100 * share:.3g} % of the descents diverge: the step "
                f"{entry.number('sgd.gamma'):g} is above {end:.3g}, from which on the mean square explodes"
                if entry.value("study.law") != "decreasing"
                else f"in run {entry.name} ({protocol(entry)}) {100 * share:.3g} % of the descents go astray at first"
            )
    return _sentence(parts)


def _of_process(entries):
    parts = [agreement(entries, f"sde.ou.end.{key}", f"the {key} at the end") for key in ("mean", "variance")]
    return _sentence(parts)


def _of_images(entries):
    parts = []
    for entry in entries:
        share, error = entry.number("images.recognised"), entry.number("images.recognised_standard_error")
        copied, floor = entry.number("images.memorised"), entry.number("images.memorised_floor")
        if None not in (share, copied):
            beside = "" if floor is None else f" (held-out images: {100 * floor:.2g} %)"
            parts.append(
                f"in run {entry.name} ({protocol(entry)}) {shown(share, error)} of the samples are recognised, and "
                f"{100 * copied:.2g} % are copies of training images{beside}"
            )
    return _sentence(parts or ["no run has images"])


def _of_losses(entries):
    losses = [loss for entry in entries if (loss := entry.number("training.loss")) is not None]
    others = [loss for entry in entries if (loss := entry.number("training.validation_loss")) is not None]
    if len(losses) < 2:
        return f"{len(losses)} run has a loss: two are needed for a spread."
    said = f"The loss of the last record is {_mean(losses)} over {len(losses)} runs"
    if len(others) > 1:
        said += f"; that of held-out images, with fresh noise, is {_mean(others)}"
    return said + "."


def _mean(values: list[float]) -> str:
    return shown(*mean_and_error(numpy.array(values)))


def _of_bounds(entries):
    parts = []
    for entry in entries:
        bound, entropy, flow = (entry.number(f"likelihood.{key}") for key in ("bound", "nll", "flow"))
        gap, error = entry.number("likelihood.gap"), entry.number("likelihood.gap_standard_error")
        if None not in (bound, entropy, gap):
            beside = "" if flow is None else f", and the probability flow gives {flow:.5g}"
            parts.append(
                f"in run {entry.name} the bound {bound:.5g} is {shown(gap, error)} nats above the negative "
                f"log-likelihood {entropy:.5g}{beside}"
            )
    return _sentence(parts or ["no run has a bound"])


def _of_samples(entries):
    parts = []
    for entry in entries:
        w1, floor = entry.number("projection.w1"), entry.number("projection.w1_floor")
        if None not in (w1, floor):
            parts.append(f"in run {entry.name} W1 is {w1:.3g}, {w1 / floor:.3g} times its floor")
    return _sentence(parts or ["the numbers stand in the table"])


# The figures. -------------------------------------------------------------------------------------------------------

_DESCENT = Kind(
    {
        "E|delta|² at the end": "sgd.end.mean_square",
        "exact": "sgd.end.mean_square_exact",
        "modified equation": "sgd.end.modified",
        "OU process": "sgd.end.ou",
        "average": "sgd.end.average",
        "average, exact": "sgd.end.average_exact",
        "diverged": "sgd.diverged.share",
        "explodes from": "sgd.threshold",
    },
    ("descent",),
    _of_descents,
)
_PROCESS = Kind(
    {
        "E theta_1 at the end": "sde.ou.end.mean",
        "exact": "sde.ou.end.mean_exact",
        "variance": "sde.ou.end.variance",
        "exact variance": "sde.ou.end.variance_exact",
        "limit of the variance": "sde.ou.stationary_variance",
        "rate": "sde.ou.kappa",
    },
    ("ou",),
    _of_process,
)
_IMAGES = Kind(
    {
        "recognised": "images.recognised",
        "of held-out images": "images.recognised_floor",
        "copies": "images.memorised",
        "among held-out images": "images.memorised_floor",
        "sliced W1": "images.sliced_w1",
        "floor": "images.sliced_w1_floor",
        "class distance": "images.class_distance",
        "training (s)": "training.seconds",
    },
    ("denoising", "images", "generalisation"),
    _of_images,
)
_LOSSES = Kind(
    {
        "loss": "training.loss",
        "held-out loss": "training.validation_loss",
        "steps": "training.steps",
        "recognised": "images.recognised",
        "training (s)": "training.seconds",
    },
    (),
    _of_losses,
)
_BOUNDS = Kind(
    {
        "bound": "likelihood.bound",
        "exact posterior mean": "likelihood.bound_exact",
        "gap": "likelihood.gap",
        "-log p": "likelihood.nll",
        "probability flow": "likelihood.flow",
        "T": "likelihood.steps",
    },
    ("likelihood",),
    _of_bounds,
)
_SAMPLES = Kind(
    {
        "W1": "projection.w1",
        "floor": "projection.w1_floor",
        "mode weight": "projection.mode_weight",
        "exact": "projection.mode_weight_exact",
    },
    ("projection",),
    _of_samples,
)


def _presets(*numbers: int) -> tuple[str, ...]:
    return tuple(f"thesis_fig{number:02}" for number in numbers)


FIGURES = (
    Figure(
        "Figures 1 to 3: SGD with the step 0.01, sigma = 0.1",
        _presets(1, 2, 3),
        "the test error of several runs, and two coordinates; the error is about 0 from t = 200 on.",
        "the text has inputs N(0, I) and the squared distance. The code has inputs uniform on [0, 5], twice the step,"
        " and half the distance, so that its errors fall faster and end higher.",
        _DESCENT,
    ),
    Figure(
        "Figures 4 to 6: sigma = 1",
        _presets(4, 5, 6),
        "the runs fluctuate more with more noise.",
        "as above. The limit of the mean square is proportional to sigma², exactly.",
        _DESCENT,
    ),
    Figure(
        "Figures 7 to 9: the step 0.1",
        _presets(7, 8, 9),
        "with ten times the step SGD explodes.",
        "with the inputs of the text the mean square is stable below 2/(d+2) = 0.286, and 0.1 is the fastest of the "
        "four steps. With the inputs of the code it explodes from 0.0206 on, and so does every run.",
        _DESCENT,
    ),
    Figure(
        "Figures 10 to 12: the step 0.001",
        _presets(10, 11, 12),
        "with a tenth of the step SGD is slow, and more accurate after convergence.",
        "with the inputs of the text 1000 steps do not end the descent; with those of the code they do.",
        _DESCENT,
    ),
    Figure(
        "Figures 13 to 15: a step that falls as 1/t",
        _presets(13, 14, 15),
        "0.1/t balances accuracy and velocity.",
        "with the inputs of the text the mean square falls as a small power of t, and 0.1/t is the slowest of all. "
        "The code has 0.5/t times 2, whose first steps are beyond the edge of stability.",
        _DESCENT,
    ),
    Figure(
        "Figure 16: the OU process by Euler-Maruyama",
        _presets(16),
        "paths of the OU process that models SGD; no numbers.",
        "the text has the rate 1 and the volatility sqrt(gamma sigma²); the code has the rate 0.1 and sqrt(gamma "
        "sigma²/2), and a limit of the variance that is five times as large.",
        _PROCESS,
    ),
    Figure(
        "Section 5.1: score matching with Langevin dynamics",
        ("thesis_smld",),
        "the method; the thesis has no experiment of it.",
        "none: the numbers are ours alone, beside the exact posterior mean.",
        _SAMPLES,
    ),
    Figure(
        "Sections 5.2.1 and 5.2.2: the variational bound",
        ("thesis_bound",),
        "the bound and its terms, equations (27) to (38); the thesis has no numbers of it.",
        "none: the gap to the negative log-likelihood is exact, as the density of the mixture is known.",
        _BOUNDS,
    ),
    Figure(
        "Figure 18: an image made of noise",
        _presets(18),
        "noise becomes a digit, 2, between the steps 0 and 190 of 200.",
        "the thesis shows MNIST, 28 x 28, after 15 epochs of 60 000 images; without a path the digits are those of 8 "
        "x 8 of scikit-learn. The code takes the Huber loss and random flips, and draws the same times and noise at "
        "every step, so that it learns less than its loss says.",
        _IMAGES,
    ),
    Figure(
        "Figure 19: the loss over the epochs of five runs",
        _presets(19),
        "the mean of five runs falls, and the band of one standard deviation becomes narrower.",
        "the data set as in figure 18. With the same noise at every step the loss of the code falls by learning this "
        "noise: the loss at fresh noise stands beside it.",
        _LOSSES,
    ),
)
