"""Replica-steps a second on a device, beside what a user would write in PyTorch and in jax.

    python scripts/bench_device.py [--device cuda] [--replicas 1 8 32 128] [--seconds 1]

The replicas are 1, 8, 32 and 128 by default, and on a CPU 1 and 8.

The network is the semester paper's, batch 50, with tanh, clipping and AdamW, for R replicas that differ in their seeds.
A step has everything that a training has: noise, noisy states, the loss, its gradient, clipping, AdamW.

    plain torch   one network in a loop over batches, with torch's AdamW and clipping, for R = 1
    torch ops     `DeviceStack` without kernels of our own
    scorelab      `DeviceStack`
    tf32          the same with training.precision=tf32
    jax           `vmap`, `jit` and `scan` over the steps of an epoch, the noise of an epoch drawn at once, optax's
                  AdamW; its products are in tf32 as well; where jax is installed

A plain step moves 36 bytes a parameter: parameters, gradient and both moments are read and written, and the network
reads the parameters. `share` is the rate of that traffic over the rate of a large copy, measured in the same run, for
the faster one of our columns.

The second table has the samples a second of R such networks, by 32 steps of `dpm_solver_2m`, 2000 of each network:
drawn of one network after the other, and of all together as after the training of a stack.

The third table has the seconds of `python run.py` on the device, the default job: of the whole command, and of it what
training and sampling take, what the run does beside (data, metrics, figures), and the rest, which is the start and the
end of the process. On a GPU the command is run twice, as the first one compiles kernels.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from bench_training import network, options

from scorelab.channel import mix
from scorelab.denoisers.stacked import Stacked
from scorelab.devices import describe, resolve
from scorelab.samplers import DPMSolver2M, Sampling
from scorelab.samplers.loop import draw_samples
from scorelab.samplers.together import draw_together
from scorelab.schedules import Localization
from scorelab.targets import GaussianMixture
from scorelab.training import Trainer
from scorelab.training.device_stack import DeviceStack

ROOT = Path(__file__).resolve().parent.parent
BATCH, DIMENSION = 50, 128
NETWORKS = ((3, 256), (6, 512))
JOB = Sampling(rule=DPMSolver2M(), count=2000, steps=32, batch_size=8192, output="scaled")
SCHEDULE = Localization(grid="log_snr", alpha_max=1.47, T=None, t_min=3e-4)
#: bytes that a step of AdamW moves for a parameter
TRAFFIC = 36


def wait(device):
    """Let the device end what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def steps_a_second(epoch, steps: int, seconds: float, ready) -> float:
    """Steps a second of a function that takes so many steps; the first calls are not counted. ready(): waits, as a
    training does where it records something, every fifth epoch."""
    for _ in range(2):
        epoch()
    ready()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(5):
            epoch()
        ready()
        count += 5 * steps
    return count / (time.perf_counter() - started)


def copy_rate(device, seconds: float) -> float:
    """Bytes a second of a large copy, read and written."""
    size = 2**31 if device.type == "cuda" else 2**27
    one, two = (torch.empty(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size * steps_a_second(lambda: two.copy_(one), 1, seconds, lambda: wait(device))


def stack(count: int, L: int, m: int, device, precision: str | None):
    """Trainings that differ in their seeds; precision: of the products of the kernels, None for none of them."""
    target, training = GaussianMixture.two_modes(n=DIMENSION), options(BATCH)
    training = training.model_copy(update={"precision": precision or "float32"})
    trainers = [Trainer(network(L, m), target, training, seed, device=device) for seed in range(count)]
    made = DeviceStack(trainers, kernels=precision is not None)
    return made, trainers[0].options.steps_per_epoch


def plain(L: int, m: int, device):
    """A loop over batches with torch's own parts, as a user writes it, and its number of steps."""
    training = options(BATCH)
    data = GaussianMixture.two_modes(n=DIMENSION).sample(training.N, torch.Generator().manual_seed(0)).to(device)
    denoiser = network(L, m).to(device)
    choice = {"lr": training.lr, "weight_decay": training.weight_decay, "fused": True}
    optimizer = torch.optim.AdamW(denoiser.parameters(), **choice)

    def epoch():
        for batch in torch.randperm(len(data), device=device).split(BATCH):
            clean = data[batch]
            angle = training.angle_max * torch.rand(len(clean), device=device)
            x = mix(clean, torch.randn_like(clean), angle)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(denoiser(x, angle), clean).backward()
            torch.nn.utils.clip_grad_norm_(denoiser.parameters(), training.clip)
            optimizer.step()

    return epoch, training.steps_per_epoch


def in_jax(count: int, L: int, m: int):
    """A function that trains the same networks for an epoch in jax, its number of steps, and a function that waits."""
    import jax
    import optax
    from jax import numpy

    training, harmonics = options(BATCH), numpy.arange(21.0)
    steps = training.N // BATCH
    optimizer = optax.chain(
        optax.clip_by_global_norm(training.clip), optax.adamw(training.lr, weight_decay=training.weight_decay)
    )

    def estimate(p, x, angle):
        phases = angle[:, None] * harmonics
        s = numpy.concatenate([numpy.cos(phases), numpy.sin(phases)], 1) @ p["w0"] + p["b0"]
        h = numpy.tanh((numpy.sin(angle) / numpy.cos(angle) ** 2)[:, None] * x @ p["w1"] + p["b1"])
        z = (s[:, :, None] * h[:, None, :]).reshape(len(x), -1)
        return numpy.sin(angle)[:, None] * x + z @ p["w2"] + p["b2"]

    def step(state, batch):
        p, moments = state
        clean, noise, angle = batch
        x = numpy.sin(angle)[:, None] * clean + numpy.cos(angle)[:, None] * noise
        loss, gradient = jax.value_and_grad(lambda q: numpy.mean((estimate(q, x, angle) - clean) ** 2))(p)
        change, moments = optimizer.update(gradient, moments, p)
        return (optax.apply_updates(p, change), moments), loss

    def epoch(state, data, key):
        order, noise, angle = jax.random.split(key, 3)
        clean = jax.random.permutation(order, data).reshape(steps, BATCH, DIMENSION)
        batches = (
            clean,
            jax.random.normal(noise, clean.shape),
            training.angle_max * jax.random.uniform(angle, clean.shape[:2]),
        )
        return jax.lax.scan(step, state, batches)

    def start(key):
        keys = jax.random.split(key, 3)
        sizes = {"w0": (42, L), "w1": (DIMENSION, m), "w2": (L * m, DIMENSION)}
        p = {
            name: jax.random.uniform(k, size, minval=-1.0, maxval=1.0) / size[0] ** 0.5
            for k, (name, size) in zip(keys, sizes.items(), strict=True)
        }
        p |= {"b0": numpy.zeros(L), "b1": numpy.zeros(m), "b2": numpy.zeros(DIMENSION)}
        return p, optimizer.init(p)

    keys = jax.random.split(jax.random.key(0), count)
    held = {"state": jax.vmap(start)(keys)}
    data = jax.random.normal(jax.random.key(1), (count, steps * BATCH, DIMENSION))
    train = jax.jit(jax.vmap(epoch), donate_argnums=0)

    def run():
        held["state"], held["losses"] = train(held["state"], data, keys)

    return run, steps, lambda: jax.block_until_ready(held["losses"])


def one_by_one(count: int, L: int, m: int, device, seconds: float) -> float:
    """Samples a second of networks that are sampled one after the other."""
    each = [network(L, m).to(device) for _ in range(count)]

    def draw():
        for seed, denoiser in enumerate(each):
            for _ in draw_samples(JOB, SCHEDULE, denoiser, DIMENSION, seed, device=device):
                pass

    return steps_a_second(draw, count * JOB.count, seconds, lambda: wait(device))


def at_once(count: int, L: int, m: int, device, seconds: float) -> float:
    """Samples a second of networks that are sampled together."""
    stacked, seeds = Stacked([network(L, m).to(device) for _ in range(count)], (DIMENSION,)), [*range(count)]

    def draw():
        for _ in draw_together(JOB, SCHEDULE, stacked, (DIMENSION,), seeds, JOB.angles(SCHEDULE), device=device):
            pass

    return steps_a_second(draw, count * JOB.count, seconds, lambda: wait(device))


def training_table(device, replicas, seconds: float):
    """Print replica-steps a second of stacks, beside a plain loop and jax."""
    has_jax = importlib.util.find_spec("jax") is not None and importlib.util.find_spec("optax") is not None
    if has_jax:  # else it takes most of the memory for itself
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        os.environ.setdefault("JAX_PLATFORMS", "cpu" if device.type == "cpu" else "")
    copied = copy_rate(device, seconds)
    print(f"torch {torch.__version__}, {describe(device)}, a copy moves {copied / 1e12:.2f} TB/s\n")
    kinds = {"torch ops": None} | ({"scorelab": "float32", "tf32": "tf32"} if device.type == "cuda" else {})
    names = ("plain torch", *kinds, "jax") if has_jax else ("plain torch", *kinds)
    heads = ("L", "m", "R", *names, "over jax", "share")
    print("replica-steps a second\n\n| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    for L, m in NETWORKS:
        size = sum(parameter.numel() for parameter in network(L, m).parameters())
        for count in replicas:
            rates = {}
            if count == 1:
                rates["plain torch"] = steps_a_second(*plain(L, m, device), seconds, lambda: wait(device))
            for name, precision in kinds.items():
                made, steps = stack(count, L, m, device, precision)
                rates[name] = count * steps_a_second(made.train_epoch, steps, seconds, lambda: wait(device))
                del made
            if has_jax:
                run, steps, ready = in_jax(count, L, m)
                rates["jax"] = count * steps_a_second(run, steps, seconds, ready)
            best = max(rates[name] for name in kinds)
            cells = [f"{rates[name]:.0f}" if name in rates else "" for name in names]
            cells += [f"{best / rates['jax']:.2f}" if has_jax else "", f"{best * TRAFFIC * size / copied:.0%}"]
            print("| " + " | ".join(map(str, (L, m, count, *cells))) + " |", flush=True)


def sampling_table(device, replicas, seconds: float):
    """Print samples a second of networks one by one and together."""
    print("\nsamples a second\n\n| L | m | R | one by one | together | ratio |\n" + "| --- " * 6 + "|")
    for L, m in NETWORKS:
        for count in replicas:
            alone, together = (each(count, L, m, device, seconds) for each in (one_by_one, at_once))
            print(f"| {L} | {m} | {count} | {alone:.0f} | {together:.0f} | {together / alone:.2f} |", flush=True)


def job_table(device):
    """Print the seconds of the default job as a command, and what takes them."""
    heads = ("command", "training", "sampling", "data, metrics, figures", "start and end")
    print("\nthe default job, seconds\n\n| " + " | ".join(heads) + " |\n" + "| --- " * len(heads) + "|")
    with tempfile.TemporaryDirectory(prefix="job-") as scratch:
        for number in range(2 if device.type == "cuda" else 1):
            place = Path(scratch, str(number))
            words = [sys.executable, str(ROOT / "run.py"), f"device={device}", f"hydra.run.dir={place}"]
            started = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            whole, metrics = time.perf_counter() - started, json.loads((place / "metrics.json").read_text())
            parts = [metrics[section]["seconds"] for section in ("training", "sampling")]
            inside = metrics["run"]["wall_seconds"]
            cells = (whole, *parts, inside - sum(parts), whole - inside)
            print("| " + " | ".join(f"{cell:.1f}" for cell in cells) + " |", flush=True)


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--replicas", type=int, nargs="+")
    parser.add_argument("--seconds", type=float, default=1.0, help="least duration of a measurement")
    arguments = parser.parse_args()
    device, seconds = resolve(arguments.device), arguments.seconds
    replicas = arguments.replicas or ([1, 8] if device.type == "cpu" else [1, 8, 32, 128])
    training_table(device, replicas, seconds)
    sampling_table(device, replicas, seconds)
    job_table(device)


if __name__ == "__main__":
    main()
