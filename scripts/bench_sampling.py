"""Sampling: the evaluations that each sampler needs on each grid, the time of a step without the network, and memory.

    python scripts/bench_sampling.py [--parts evaluations corrected step memory] [--seeds 8] [--threads 1] [--quick]

evaluations   The fewest denoiser evaluations, among the counts in EVALUATIONS, with which the W1 of the projection of
              40000 samples is within 1.25 times the mean floor, there and at the next larger count. The target is
              two_modes in 128 dimensions, and the denoiser is exact. The coordinate along `a` then evolves by itself,
              like the same problem in one dimension, where the counts are searched with the mean of 64 to 8 seeds. The
              other coordinates are Gaussian, and the variance of their chain is exact. Rows that need few evaluations
              are then measured directly: 40000 samples in 128 dimensions for each of --seeds seeds.
corrected     The same direct measurement for the predictor-corrector, whose step depends on all dimensions, at a few
              counts.
step          The time of a step of 5000 samples in 128 dimensions without the forward passes of the paper's network
              (L = 3, m = 256), divided by the time of these passes, for scorelab and, if they are installed, diffusers
              and azula. All take turns, and the table gives medians.
memory        The peak resident memory for several numbers of steps; each number has its own process.
"""

import argparse
import time

import torch
from bench_sampling_evaluations import corrected, evaluations
from bench_sampling_steps import memory, peak_memory, step_times

PARTS = {"evaluations": evaluations, "corrected": corrected, "step": step_times, "memory": memory}


def main():
    """Do the parts that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, default=8, help="sets of samples measured in 128 dimensions")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a smoke run with few samples; its numbers mean nothing")
    parser.add_argument("--peak", nargs=2, metavar=("RULE", "STEPS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.peak:
        print(peak_memory(arguments.peak[0], int(arguments.peak[1])))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    for part in arguments.parts:
        started = time.perf_counter()
        PARTS[part](arguments)
        print(f"({part}: {time.perf_counter() - started:.0f} s)\n", flush=True)


if __name__ == "__main__":
    main()
