"""Time of exact sums over spins, beside a product with the list of all states and beside the machine's matrix products.

    python scripts/bench_spins.py [--n 20] [--fields 256] [--threads 1] [--rounds 5]

For a batch of fields: the posterior means, and the means with all pair moments. `listed` holds the (2^n, n) matrix of
states and takes exp(states @ fields) in blocks, as one writes it first. `products` are two matrix products of the sizes
of the halves, which no method can do without. Seconds are medians over the rounds.
"""

import argparse
import statistics
import time

import torch

from scorelab.laws.spin_sums import SpinSums, all_states
from scorelab.targets.ising import sherrington_kirkpatrick


def listed(states, log_weights, fields, block: int = 8):
    """The means (B, n) by an exponential for each state and field, a few fields at a time."""
    found = []
    for some in fields.split(block):
        logs = states @ some.T
        logs += log_weights.unsqueeze(1)
        weights = torch.exp(logs - logs.amax(0))
        found.append((weights.T @ states) / weights.sum(0).unsqueeze(1))
    return torch.cat(found)


def median_seconds(function, rounds: int) -> float:
    """The median time of a call, after one call that does not count."""
    function()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--fields", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    draws = torch.Generator().manual_seed(0)
    couplings = 0.9 * sherrington_kirkpatrick(asked.n, draws)
    fields = torch.randn(asked.fields, asked.n, generator=draws, dtype=torch.float64)
    sums = SpinSums.quadratic(couplings)
    states, log_weights = all_states(asked.n), sums.log_weights.flatten()
    u, v = (torch.rand(asked.fields, size, generator=draws, dtype=torch.float64) for size in sums.weights.shape)

    few = min(asked.fields, 16)  # the listed way is timed on fewer fields
    slow = median_seconds(lambda: listed(states, log_weights, fields[:few]), 1) * asked.fields / few
    floor = median_seconds(lambda: (v @ sums.weights.T, u @ sums.weights), asked.rounds)
    rows = {
        "build the weights": median_seconds(lambda: SpinSums.quadratic(couplings), asked.rounds),
        "products": floor,
        "means": median_seconds(lambda: sums.means(fields), asked.rounds),
        "means and pairs": median_seconds(lambda: sums.pair_moments(fields), 2),
        "10000 samples": median_seconds(lambda: sums.sample(10_000, draws), 2),
        "listed, means": slow,
    }
    error = float((sums.means(fields[:few]) - listed(states, log_weights, fields[:few])).abs().max())
    print(f"n = {asked.n}, {asked.fields} fields, {asked.threads} threads")
    for name, seconds in rows.items():
        print(f"{name:20s} {seconds:10.4f} s {seconds / floor:10.2f} times the products")
    print(f"listed over means: {slow / rows['means']:.0f} times; largest difference of the means {error:.1e}")


if __name__ == "__main__":
    main()
