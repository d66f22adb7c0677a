"""Stage `train`: the run's own denoiser, and trade.csv, the errors of networks for one phase and for both phases."""

import math

import torch

from scorelab.channel import HALF_PI, mix
from scorelab.progress import Progress
from scorelab.randomness import default_stream, stream, stream_seed
from scorelab.studies import training
from scorelab.training.trainer import Trainer


def run(study, context):
    """Do the training of the main job, then train one network for each width, share and repeat."""
    training.run(study, context)
    trade = study.trade
    target = study.mixture("study.trade.target", trade.target, context.config)
    end = context.training.angle_max
    phases = Phases(end, math.atan(math.sqrt(trade.switch)))
    jobs = [(repeat, width) for repeat in range(trade.repeats) for width in trade.widths]
    rows = []
    with Progress("one phase and both", len(jobs), "widths") as progress:
        for done, (repeat, width) in enumerate(jobs):
            progress.update(done, f"m = {width}")
            for name, share, steps in plans(trade):
                seed = stream_seed(context.seed, "trade", repeat)
                options = options_of(context.training, trade, steps)
                with default_stream(stream_seed(seed, "denoiser")):
                    network = trade.of_width(width).build(target.n)
                trained = train(network, target, options, phases, share, seed)
                row = {"width": width, "name": name, "share": share, "steps": steps, "repeat": repeat}
                rows.append(row | errors(trained, target, phases, trade.draws))
                context.grow_table("trade.csv", rows)
        progress.update(len(jobs))
    context.write_table("trade.csv", rows)


def plans(trade):
    """(name, share of low noise, steps) of every training: each share with the same steps, and half and half with twice
    as many steps, the budget of the two networks of one phase together."""
    yield from (("alone", share, trade.steps) for share in (0.0, 1.0))
    yield from (("shared", share, trade.steps) for share in trade.shares)
    yield "both", 0.5, 2 * trade.steps


def options_of(training, trade, steps):
    """The run's training options with the numbers of `trade`, and with as many epochs as make `steps` steps."""
    epochs = max(round(steps * trade.batch_size / trade.N), 1)
    change = {"N": trade.N, "batch_size": trade.batch_size, "epochs": epochs, "records": 1, "checkpoint_every": 0}
    return training.model_copy(update=change | {"angles": "native", "validation": 0.0, "keep": "last"})


class Phases:
    """A clock in which a law of angles is uniform: a share of the law lies above `switch`, and the law is uniform above
    `switch` and below.

    The training asks this of a schedule with `training.angles: native`; `of(share)` returns the clock of a share.
    """

    def __init__(self, end: float, switch: float, share: float | None = None):
        self.switch, self.share, self.end = switch, share, end
        self.start_angle = switch if share == 1 else 0.0
        self.end_angle = switch if share == 0 else end

    def of(self, share: float) -> "Phases":
        """The clock of a share of low noise in [0, 1]."""
        return Phases(self.end, self.switch, share)

    def time(self, angle):
        """The share of the law below an angle."""
        below = (1 - self.share) * angle / self.switch
        above = 1 - self.share + self.share * (angle - self.switch) / (self.end - self.switch)
        return torch.where(angle < self.switch, below, above)

    def angle(self, time):
        """The inverse of `time`."""
        before = 1 - self.share
        below = self.switch * time / max(before, 1e-300)
        above = self.switch + (self.end - self.switch) * (time - before) / max(self.share, 1e-300)
        return torch.where(time < before, below, above)


def train(network, target, options, phases: Phases, share: float, seed: int):
    """Train a network on a share of low noise, and return it."""
    Trainer(network, target, options, seed, phases.of(share)).run()
    return network.eval()


@torch.no_grad()
def errors(denoiser, target, phases: Phases, draws: int) -> dict[str, float]:
    """Phase -> E|velocity - exact velocity|^2 per coordinate, with uniform angles in the phase, up to pi/2 - 0.1."""
    found = {}
    ends = {"high": (0.0, phases.switch), "low": (phases.switch, min(phases.end, HALF_PI - 0.1))}
    for name, (low, high) in ends.items():
        generator = stream(0, "trade", name)
        clean = target.sample(draws, generator)
        angle = low + (high - low) * torch.rand(draws, generator=generator)
        x = mix(clean, torch.randn(clean.shape, generator=generator), angle)
        error = (denoiser(x, angle) - target.posterior_mean(x, angle)) / torch.cos(angle).unsqueeze(1)
        found[name] = float(error.double().square().mean())
    return found
