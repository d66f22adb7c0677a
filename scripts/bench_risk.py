"""Time and accuracy of the Bayes risk of many modes.

    python scripts/bench_risk.py [--angles 64] [--threads 2] [--modes 2 3 25 64 100] [--dimensions 2 20 128]

The targets have random weights, means with independent normal coordinates of deviation 4 in the plane and 1.5 in more
dimensions, and either unit standard deviations or random ones between 0.5 and 1.5. The angles are even from 0.01 to
1.56. The table has the seconds for all angles, the largest and the median error as a share of the
risk, and the largest distance to a mean over exact states in its own standard errors.
"""

import argparse
import math
import time

import torch

from scorelab.channel import mix
from scorelab.laws.estimate import mean_and_error
from scorelab.targets import GaussianMixture

_CHECKED, _STATES = 5, 20_000  # angles that are checked, with so many exact states


def random_target(modes: int, n: int, unequal: bool) -> GaussianMixture:
    """A mixture with random weights and means, and random standard deviations if they are unequal."""
    draws = torch.Generator().manual_seed(0)
    means = torch.randn(modes, n, generator=draws, dtype=torch.float64) * (4.0 if n == 2 else 1.5)
    weights = 0.2 + torch.rand(modes, generator=draws, dtype=torch.float64)
    std = 0.5 + torch.rand(modes, generator=draws, dtype=torch.float64) if unequal else 1.0
    return GaussianMixture(weights, means, std)


def distance(target, angle: float, risk: float, error: float) -> float:
    """How far a risk is from the mean of |X - m|^2 over exact states, in standard errors of the difference."""
    draws = torch.Generator().manual_seed(1)
    clean = target.sample(_STATES, draws, torch.float64)
    x = mix(clean, torch.randn(clean.shape, generator=draws, dtype=torch.float64), angle)
    mean, spread = mean_and_error((clean - target.posterior_mean(x, angle)).square().sum(1))
    return abs(risk - mean) / math.hypot(spread, error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--angles", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--modes", type=int, nargs="+", default=[2, 3, 25, 64, 100])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 20, 128])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    angles = torch.linspace(0.01, 1.56, arguments.angles, dtype=torch.float64)
    checked = range(0, arguments.angles, -(-arguments.angles // _CHECKED))
    print("| modes | n | widths | seconds | largest error | median error | distance |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for modes in arguments.modes:
        for n in arguments.dimensions:
            for unequal in (False, True):
                target, started = random_target(modes, n, unequal), time.perf_counter()
                risk, error = target.bayes_risk_and_error(angles)
                seconds = time.perf_counter() - started
                error = torch.zeros_like(risk) if error is None else error
                share = error / risk
                far = max(distance(target, float(angles[i]), float(risk[i]), float(error[i])) for i in checked)
                print(
                    f"| {modes} | {n} | {'unequal' if unequal else 'equal'} | {seconds:.2f} | "
                    f"{float(share.max()):.1e} | {float(share.median()):.1e} | {far:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
