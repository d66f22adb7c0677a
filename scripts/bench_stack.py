"""Replica-steps a second of stacked trainings, beside single trainings of the same network.

    python scripts/bench_stack.py [--device cpu] [--threads K] [--replicas 1 2 4 8] [--seconds 2]

The network is the semester paper's, batch 50, with tanh, clipping and AdamW. `single` is a training alone, `stack` is a
`Stack` of R of them, timed in turns, so that a change of the machine's speed affects both alike; `time` is that of a
step of the stack in steps of the single training, which R single trainings take R of. `products` is the time of the
matrix products of the stack's step alone, in the same unit. The table gives medians over the rounds.
"""

import argparse
import statistics
from functools import partial

import torch
from bench_training import NETWORKS, epoch_steps, network, options, seconds_a_step

from scorelab.devices import describe, resolve
from scorelab.targets import GaussianMixture
from scorelab.training import Trainer
from scorelab.training.stack import Stack, pays_alone

BATCH, DIMENSION, ROUNDS = 50, 128, 5


def trainers(count: int, L: int, m: int, device) -> list[Trainer]:
    """So many trainings that differ in their seeds."""
    target = GaussianMixture.two_modes(n=DIMENSION)
    return [Trainer(network(L, m), target, options(BATCH), seed, device=device) for seed in range(count)]


def products(count: int, L: int, m: int, device):
    """A function that does the five matrix products of a step of so many networks."""
    u, h, z, r = (torch.randn(count, BATCH, size, device=device) for size in (DIMENSION, m, L * m, DIMENSION))
    first = torch.randn(count, m, DIMENSION, device=device)
    second = torch.randn(count, DIMENSION, L * m, device=device)

    def step():
        for one, other in ((u, first.mT), (z, second.mT), (r.mT, z), (r, second), (h.mT, u)):
            torch.bmm(one, other)
        return 1

    return step


def stack_steps(stack: Stack) -> int:
    """Train one epoch, and return its number of steps."""
    stack.train_epoch()
    return stack.trainers[0].options.steps_per_epoch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=1.0, help="least duration of a measurement in each round")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = resolve(arguments.device)
    print(f"torch {torch.__version__}, {describe(device)}, {ROUNDS} rounds of {arguments.seconds} s\n")
    print("| L | m | R | single steps/s | stack replica-steps/s | time | products |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for L, m in NETWORKS:
        (single,) = trainers(1, L, m, device)
        single = Stack([single]) if pays_alone(single) else single
        for count in arguments.replicas:
            stack, multiply = Stack(trainers(count, L, m, device)), products(count, L, m, device)
            rounds = []
            for _ in range(ROUNDS):
                calls = (partial(epoch_steps, single), partial(stack_steps, stack), multiply)
                rounds.append([seconds_a_step(call, arguments.seconds) for call in calls])
            one, many = (statistics.median(column) for column in list(zip(*rounds, strict=True))[:2])
            ratio = statistics.median(b / a for a, b, _ in rounds)
            share = statistics.median(c / a for a, _, c in rounds)
            cells = (L, m, count, f"{1 / one:.0f}", f"{count / many:.0f}", f"{ratio:.2f}", f"{share:.2f}")
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
