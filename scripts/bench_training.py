"""Training steps per second, compared with a plain loop on the same network and with the rate of matrix products.

    python scripts/bench_training.py [--seconds 2] [--threads K]

For each network and batch size three things are timed in turns, so that a change of the machine's speed affects all
alike:

    scorelab     as in a run: noise and noisy states made many batches at a time, the gradient of a small batch
                 in closed form, one vector of parameters
    plain        torch's DataLoader, optimiser and clip_grad_norm_, one batch at a time, on the same network
    GEMM         a 2048 x 2048 float32 matrix product; the least time of a step is the time of its own matrix products
                 at the rate of this product

The table gives the median of the rounds.
"""

import argparse
import functools
import statistics
import time

import torch
import yaml
from torch.utils.data import DataLoader, TensorDataset

from scorelab.channel import mix
from scorelab.denoisers import OuterProduct
from scorelab.lab.app import config_folder
from scorelab.targets import GaussianMixture
from scorelab.training import Trainer, Training
from scorelab.training.stack import Stack, pays_alone

NETWORKS = ((3, 32), (3, 256), (6, 512))
BATCHES = (50, 2000)
ROUNDS = 5


def options(batch_size: int) -> Training:
    """The protocol `paper` at another batch size, without checkpoints."""
    values = {}
    for name in ("fast", "paper"):
        values |= yaml.safe_load((config_folder() / "training" / f"{name}.yaml").read_text())
    values = {key: value for key, value in values.items() if key not in ("_target_", "defaults")}
    return Training(**values | {"batch_size": batch_size, "N": max(4000, 4 * batch_size), "checkpoint_every": 0})


def network(L: int, m: int):
    """The tanh network of section 7.4 with L time features and m hidden units."""
    choice = {"activation": "tanh", "parametrization": "skip", "input": "raw", "zero_output": False}
    return OuterProduct(L=L, m=m, frequencies=21, **choice).build(128)


def epoch_steps(trained) -> int:
    """Train a `Trainer` or a `Stack` of one for an epoch, and return its number of steps."""
    trained.train_epoch()
    return getattr(trained, "first", trained).options.steps_per_epoch


def plain_epoch(denoiser, optimizer, data, training: Training) -> int:
    """Train one epoch with a plain loop, as most people would write it, and return its number of steps."""
    steps = 0
    for (clean,) in DataLoader(TensorDataset(data), batch_size=training.batch_size, shuffle=True):
        optimizer.zero_grad()
        angle = training.angle_max * torch.rand(len(clean))
        x = mix(clean, torch.randn_like(clean), angle)
        loss = torch.nn.functional.mse_loss(denoiser(x, angle), clean)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), training.clip)
        optimizer.step()
        loss.item()
        steps += 1
    return steps


def seconds_a_step(epoch, least: float) -> float:
    """Call `epoch` until `least` seconds have passed, and return the time of a step in seconds."""
    steps, started = 0, time.perf_counter()
    while time.perf_counter() - started < least:
        steps += epoch()
    return (time.perf_counter() - started) / steps


def gemm_rate(least: float) -> float:
    """The floating-point operations per second of a large float32 matrix product."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)

    def product():
        a @ b
        return 1

    return 2 * 2048**3 / seconds_a_step(product, least)


def operations(L: int, m: int, batch: int, n: int = 128) -> int:
    """The operations of the matrix products of a step.

    Linear_2 has one product forward and two backward; Linear_1 has one forward and one backward.
    """
    return 2 * batch * (3 * L * m * n + 2 * m * n)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="least duration of a measurement in each round")
    parser.add_argument("--threads", type=int, default=None)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    target = GaussianMixture.two_modes()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {ROUNDS} rounds of {arguments.seconds} s\n")
    print("| L | m | batch | scorelab steps/s | plain steps/s | ratio | of GEMM rate | GEMM GFLOP/s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for L, m in NETWORKS:
        for batch in BATCHES:
            training = options(batch)
            trainer = Trainer(network(L, m), target, training, seed=0)
            denoiser = network(L, m)
            optimizer = torch.optim.AdamW(denoiser.parameters(), lr=training.lr, weight_decay=training.weight_decay)
            ours, plain, rates = [], [], []
            our_epoch = functools.partial(epoch_steps, Stack([trainer]) if pays_alone(trainer) else trainer)
            their_epoch = functools.partial(plain_epoch, denoiser, optimizer, trainer.data, training)
            for _ in range(ROUNDS):
                ours.append(seconds_a_step(our_epoch, arguments.seconds))
                plain.append(seconds_a_step(their_epoch, arguments.seconds))
                rates.append(gemm_rate(arguments.seconds / 4))
            ratio = statistics.median(p / o for p, o in zip(plain, ours, strict=True))
            work = operations(L, m, batch)
            share = statistics.median(work / (o * rate) for o, rate in zip(ours, rates, strict=True))
            step, other, rate = (statistics.median(values) for values in (ours, plain, rates))
            cells = (L, m, batch, f"{1 / step:.0f}", f"{1 / other:.0f}", f"{ratio:.2f}", f"{share:.0%}")
            print("| " + " | ".join(map(str, (*cells, f"{rate / 1e9:.0f}"))) + " |", flush=True)


if __name__ == "__main__":
    main()
