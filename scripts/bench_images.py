"""Time of a training step of the U-Net, and its share of the machine's rate of matrix products.

    python scripts/bench_images.py [--device cuda] [--seconds 2] [--threads 2] [--variants float32 channels_last ...]

For each network and batch a step is the draw of angles and noise, the noisy images, the network, its gradient and
AdamW on one vector of parameters. The variants, each with what those before it have:

    float32         single precision; on a GPU with TF32 products
    channels_last   images and activations are stored pixel by pixel
    bfloat16        the network under autocast, its parameters stay in single precision
    compiled        the network through torch.compile, with CUDA graphs
By default a CPU has the first two alone: one without instructions for bfloat16 takes minutes for a step in it.

The operations of a step are counted by torch. The rate of a 2048 x 2048 product, in the type of the variant, is
measured before and after it. On a GPU the whole table takes a few minutes, most of them for the compiler; there widths
are multiples of 8, as cuDNN has ended in "misaligned address" with others under autocast.
"""

import argparse
import contextlib
import statistics
import time
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from scorelab.channel import aligned
from scorelab.denoisers.unet import UNetDenoiser
from scorelab.training.parameters import FlatParameters

VARIANTS = ("float32", "channels_last", "bfloat16", "compiled")
#: steps before anything is timed
_WARMUP = 3


class Case(NamedTuple):
    """A network for images of side x side, and a batch."""

    side: int
    dim: int
    multipliers: tuple[int, ...]
    blocks: int
    batch: int


CASES = {
    "cpu": (Case(8, 32, (1, 2), 1, 64), Case(8, 32, (1, 2), 1, 256), Case(28, 32, (1, 2, 4), 2, 32)),
    "cuda": (Case(8, 32, (1, 2), 1, 256), Case(28, 32, (1, 2, 4), 2, 128), Case(28, 32, (1, 2, 4), 2, 1024)),
}


def training_step(case: Case, variant: str, device: str):
    """A function that does one step, for one of `VARIANTS`."""
    level = VARIANTS.index(variant)
    shape = (1, case.side, case.side)
    denoiser = UNetDenoiser(shape, case.dim, case.multipliers, case.blocks, True, "velocity", 0.75).to(device)
    flat = FlatParameters(denoiser)
    optimizer = torch.optim.AdamW([flat.value], lr=1e-4, fused=True)
    layout = torch.channels_last if level >= 1 else torch.contiguous_format
    clean = torch.rand(case.batch, *shape, device=device).mul(2).sub(1).to(memory_format=layout)
    network = torch.compile(denoiser, mode="reduce-overhead") if level >= 3 else denoiser
    half = level >= 2

    def step():
        angle = 1.56 * torch.rand(case.batch, device=device)
        sin, cos = aligned(angle.sin(), clean), aligned(angle.cos(), clean)
        x = sin * clean + cos * torch.randn_like(clean)
        with torch.autocast(device, torch.bfloat16) if half else contextlib.nullcontext():
            mean = network(x, angle)
        flat.gradient.zero_()
        ((mean - clean) / cos).square().mean().backward()
        optimizer.step()

    return step


def seconds_a_call(call, device: str, least: float) -> float:
    """The median time of a call in seconds, over at least five calls and so many seconds."""
    for _ in range(_WARMUP):
        call()
    times = []
    while len(times) < 5 or sum(times) < least:
        _wait(device)
        started = time.perf_counter()
        call()
        _wait(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def product_rate(kind: torch.dtype, device: str, least: float) -> float:
    """Operations per second of a 2048 x 2048 product."""
    a, b = (torch.randn(2048, 2048, device=device).to(kind) for _ in range(2))
    return 2 * 2048**3 / seconds_a_call(lambda: a @ b, device, least)


def operations(step) -> int:
    """The operations of the convolutions and of the products of a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=2.0, help="least duration of each measurement")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=None)
    arguments = parser.parse_args()
    device = arguments.device
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"torch {torch.__version__}, {where}\n")
    print("| images | dim | blocks | batch | variant | ms a step | images/s | GFLOP/s | of the product's rate |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES[device]:
        work = operations(training_step(case, "float32", device))
        for variant in arguments.variants or (VARIANTS if device == "cuda" else VARIANTS[:2]):
            kind = torch.float32 if VARIANTS.index(variant) < 2 else torch.bfloat16
            rates = [product_rate(kind, device, arguments.seconds / 4)]
            took = seconds_a_call(training_step(case, variant, device), device, arguments.seconds)
            rates.append(product_rate(kind, device, arguments.seconds / 4))
            share = work / took / statistics.mean(rates)
            cells = (f"{case.side} x {case.side}", case.dim, case.blocks, case.batch, variant.replace("_", " "))
            numbers = (f"{1e3 * took:.3g}", f"{case.batch / took:.0f}", f"{work / took / 1e9:.0f}", f"{share:.0%}")
            print("| " + " | ".join(map(str, (*cells, *numbers))) + " |", flush=True)


if __name__ == "__main__":
    main()
