"""Time of a training step of the U-Net, and its share of the machine's rate of matrix products.

    python scripts/bench_images.py [--device cuda] [--seconds 1] [--threads 2] [--variants float32 graph ...]

For each network and batch a step is the draw of angles and noise, the noisy images, the network, its gradient and
AdamW on one vector of parameters. The first variants are a plain loop, each with what those before it have:

    float32         single precision; on a GPU with TF32 products
    channels_last   images and activations are stored pixel by pixel
    bfloat16        the network under autocast, its parameters stay in single precision
    compiled        the network through torch.compile, with CUDA graphs: minutes for the compiler, and not by default

The others are epochs of the Trainer, which draws noise and takes steps as in any run; on a GPU by a CUDA graph:

    graph           as it is
    graph_by_channel    activations stored channel by channel
    graph_bfloat16  training.precision=bfloat16

By default a CPU has float32, channels_last and graph, which is the Trainer there as well: one without instructions for
bfloat16 takes minutes for a step in it.

The operations of a step are counted by torch. The rate of a 2048 x 2048 product, in the type of the variant, is
measured before and after it. The last column is the time of the thesis' training, at this rate of images. cuDNN has
ended in "misaligned address" under autocast where widths are no multiples of 8, as those of the thesis' network: what
is in bfloat16 comes last.
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
from scorelab.randomness import stream
from scorelab.targets.images import Images
from scorelab.training import Trainer, Training
from scorelab.training.parameters import FlatParameters

PLAIN = ("float32", "channels_last", "bfloat16", "compiled")
TRAINER = ("graph", "graph_by_channel", "graph_bfloat16")
#: what is measured by default
DEFAULT = {
    "cpu": ("float32", "channels_last", "graph"),
    "cuda": ("float32", "channels_last", *TRAINER[:2], "bfloat16", TRAINER[2]),
}
#: images of the thesis' training, and its epochs
_IMAGES, _EPOCHS = 60_000, 15
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
    "cuda": (Case(8, 32, (1, 2), 1, 256), Case(28, 32, (1, 2, 4), 2, 1024), Case(28, 28, (1, 2, 4), 2, 128)),
}


def network(case: Case) -> UNetDenoiser:
    shape = (1, case.side, case.side)
    return UNetDenoiser(shape, case.dim, case.multipliers, case.blocks, True, "velocity", 0.75)


def training_step(case: Case, variant: str, device: str):
    """A function that does one step, for one of `PLAIN`."""
    level, shape = PLAIN.index(variant), (1, case.side, case.side)
    denoiser = network(case).to(device)
    denoiser.by_pixel = level >= 1
    flat = FlatParameters(denoiser)
    optimizer = torch.optim.AdamW([flat.value], lr=1e-4, fused=True)
    layout = torch.channels_last if level >= 1 else torch.contiguous_format
    clean = torch.rand(case.batch, *shape, device=device).mul(2).sub(1).to(memory_format=layout)
    called = torch.compile(denoiser, mode="reduce-overhead") if level >= 3 else denoiser
    half = level >= 2

    def step():
        angle = 1.56 * torch.rand(case.batch, device=device)
        sin, cos = aligned(angle.sin(), clean), aligned(angle.cos(), clean)
        x = sin * clean + cos * torch.randn_like(clean)
        with torch.autocast(device, torch.bfloat16) if half else contextlib.nullcontext():
            mean = called(x, angle)
        flat.gradient.zero_()
        ((mean - clean) / cos).square().mean().backward()
        optimizer.step()

    return step


def trainer_step_seconds(case: Case, variant: str, device: str, least: float) -> float:
    """The time of a step in epochs of a Trainer, in seconds, for one of `TRAINER`; the first epoch is not timed."""
    count = _IMAGES // 2 if device == "cuda" else 8 * case.batch
    options = Training(
        N=count,
        epochs=_IMAGES,
        batch_size=case.batch,
        objective="velocity",
        weight=None,
        probe="rademacher",
        probes=1,
        angles="uniform",
        angle_min=0.0,
        angle_max=1.5,
        noise_level=1.0,
        levels=30,
        optimizer="adamw",
        lr=1e-4,
        lr_schedule="cosine",
        warmup=100,
        weight_decay=1e-4,
        clip=1.0,
        averaging=0.99,
        precision="bfloat16" if variant == "graph_bfloat16" else "float32",
        validation=0.0,
        validation_batch=100,
        keep="last",
        checkpoint_every=0,
        records=1,
        resume=None,
    )
    images = torch.rand(count, 1, case.side, case.side, generator=stream(0, "images")) * 2 - 1
    denoiser = network(case)
    if variant == "graph_by_channel":
        denoiser.by_pixel = False
    trainer = Trainer(denoiser, Images(images[:8]), options, 0, samples=images, device=device)
    return seconds_a_call(trainer.train_epoch, device, least, warmup=1, calls=1) / options.steps_per_epoch


def seconds_a_call(call, device: str, least: float, warmup: int = _WARMUP, calls: int = 5) -> float:
    """The median time of a call in seconds, over at least so many calls and so many seconds."""
    for _ in range(warmup):
        call()
    times = []
    while len(times) < calls or sum(times) < least:
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
    parser.add_argument("--seconds", type=float, default=1.0, help="least duration of each measurement")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--variants", nargs="+", choices=PLAIN + TRAINER, default=None)
    arguments = parser.parse_args()
    device = arguments.device
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"torch {torch.__version__}, {where}\n")
    heads = ("images", "dim", "blocks", "batch", "variant", "ms a step", "steps/s", "images/s", "GFLOP/s")
    print("| " + " | ".join((*heads, "of the product's rate", f"{_EPOCHS} epochs of {_IMAGES} (s)")) + " |")
    print("|" + " --- |" * (len(heads) + 2))
    for variant in arguments.variants or DEFAULT[device]:
        for case in CASES[device]:
            print("| " + " | ".join(map(str, row(case, variant, device, arguments.seconds))) + " |", flush=True)


def row(case: Case, variant: str, device: str, least: float) -> tuple:
    """The cells of a case and a variant."""
    work = operations(training_step(case, "float32", device))
    kind = torch.bfloat16 if variant in ("bfloat16", "compiled", "graph_bfloat16") else torch.float32
    with tf32_products():
        rates = [product_rate(kind, device, least / 4)]
    if variant in PLAIN:
        with tf32_products():
            took = seconds_a_call(training_step(case, variant, device), device, least)
    else:
        took = trainer_step_seconds(case, variant, device, least)
    with tf32_products():
        rates.append(product_rate(kind, device, least / 4))
    rate = case.batch / took
    numbers = (f"{1e3 * took:.3g}", f"{1 / took:.0f}", f"{rate:.0f}", f"{work / took / 1e9:.0f}")
    share = f"{work / took / statistics.mean(rates):.0%}"
    cells = (f"{case.side} x {case.side}", case.dim, case.blocks, case.batch, variant.replace("_", " "))
    return (*cells, *numbers, share, f"{_EPOCHS * _IMAGES / rate:.3g}")


@contextlib.contextmanager
def tf32_products():
    """Let matrix products of a GPU be of TF32, as its convolutions are in any case."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


if __name__ == "__main__":
    main()
