"""Time of sampling spins with AMP, against the matrix products that it makes.

    python scripts/bench_spins_amp.py [--n 1000] [--count 100] [--steps 60] [--threads 2] [--betas 0.3 0.5 0.9]

Samples of the model of Sherrington and Kirkpatrick, all at once, by stochastic localization with 15 iterations of AMP
and 15 steps of natural gradient descent at each step. The table has the seconds of the wall clock for the sampling, for
as many matrix products of the same shape alone, each the better of two tries in turn, and their ratio; then the energy
<x, A x>/n over beta, and n E R^2 times 1 - beta^2, which tend to 1 as n grows, with their standard errors.
"""

import argparse
import time

import torch

from scorelab.denoisers import AMPDenoiser
from scorelab.metrics import spins
from scorelab.randomness import stream
from scorelab.samplers.spins import Paths, localize, signs, times
from scorelab.targets import Ising
from scorelab.targets.ising import sherrington_kirkpatrick

_TRIES = 2


def seconds(work):
    """The seconds of the wall clock that a call takes, and its result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def products(matrix, m, count):
    """So many products m A, each of the last result, kept at the size of signs."""
    for _ in range(count):
        m = torch.addmm(m, m, matrix, beta=0.5, alpha=0.5)
    return m


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--betas", type=float, nargs="+", default=[0.3, 0.5, 0.9])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    n, count, steps = arguments.n, arguments.count, arguments.steps
    A = sherrington_kirkpatrick(n, stream(0, "matrix"))
    print("| beta | sampling (s) | products (s) | ratio | energy/beta | n E R^2 (1 - beta^2) |")
    print("| --- | --- | --- | --- | --- | --- |")
    for beta in arguments.betas:
        target = Ising(A, beta)
        denoiser, paths = AMPDenoiser(target.couplings), Paths(times(30.0, steps), (count, n), 0)
        matrix, m = denoiser.matrix.float(), torch.ones(count, n)
        made = (steps + 1) * denoiser.products
        tries = []
        for _ in range(_TRIES):
            alone, _ = seconds(lambda matrix=matrix, m=m, made=made: products(matrix, m, made))
            whole, means = seconds(lambda denoiser=denoiser, paths=paths: localize(denoiser, paths))
            tries.append((whole, alone))
        whole, alone = (min(values) for values in zip(*tries, strict=True))
        x = signs(means, stream(0, "signs"))
        energy, overlap = spins.energy(target, x), spins.squared_overlap(x)
        shown = (
            f"{each.value * scale:.3f} ± {each.standard_error * scale:.3f}"
            for each, scale in ((energy, 1 / beta), (overlap, 1 - beta**2))
        )
        print(f"| {beta:g} | {whole:.1f} | {alone:.1f} | {whole / alone:.2f} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
