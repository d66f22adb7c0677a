"""Time of a training step under each objective, relative to `posterior_mean`.

    python scripts/bench_objectives.py [--seconds 2] [--threads 1]

It uses the default protocol and the default network on the default target. The objectives take turns, so that a change
of the machine's speed affects all objectives alike. The table gives medians over the rounds.
"""

import argparse
import statistics
import time
from typing import get_args

import torch
from hydra import compose, initialize_config_dir

from scorelab.lab.app import config_folder, plain
from scorelab.lab.config import check
from scorelab.lab.context import Context
from scorelab.lab.hydra_internals import BASE
from scorelab.training import Trainer, Training

ROUNDS = 5


def default_trainer(*overrides: str) -> Trainer:
    """The trainer of the default run, with overrides."""
    with initialize_config_dir(str(config_folder()), **BASE):
        config = check(plain(compose("config", overrides=list(overrides))))
    context = Context(None, config)
    return Trainer(context.new_denoiser(), context.target, context.training, context.seed)


def seconds_a_step(trainer: Trainer, least: float) -> float:
    """Train whole epochs until `least` seconds have passed, and return the time of a step in seconds."""
    steps, started = trainer.step, time.perf_counter()
    while time.perf_counter() - started < least:
        trainer.train_epoch()
    return (time.perf_counter() - started) / (trainer.step - steps)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="least duration of a measurement in each round")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = get_args(Training.model_fields["objective"].annotation)
    trainers = {}
    for name in names:
        samples = ["training.N=1000"] if name == "implicit" else []  # a step of `implicit` is long: take fewer of them
        trainers[name] = default_trainer(f"training.objective={name}", *samples)
        trainers[name].train_epoch()
    times = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name, trainer in trainers.items():
            times[name].append(seconds_a_step(trainer, arguments.seconds))
    print(f"torch {torch.__version__}, {arguments.threads} threads, {ROUNDS} rounds of {arguments.seconds} s\n")
    print("| objective | ms a step | relative |\n| --- | --- | --- |")
    for name in names:
        pairs = zip(times[name], times["posterior_mean"], strict=True)
        ratio = statistics.median(one / reference for one, reference in pairs)
        print(f"| `{name}` | {1000 * statistics.median(times[name]):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
