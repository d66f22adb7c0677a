"""Where tensors live: the key `device`, and what torch can do there.

What is computed for many states at a time, a network, its training, its samples and the exact posterior mean beside it,
is on the device of a run. Laws, quadratures, grids and every draw of a stream are on the CPU, in float64 where they say
so: they are short, and so they are the same numbers on every device.
"""

import contextlib

import torch

from scorelab.errors import ConfigError

CPU = torch.device("cpu")
#: the kinds of devices that have no float64
WITHOUT_FLOAT64 = {"mps"}


def there() -> list[str]:
    """The devices of this machine, as the key `device` names them."""
    found = ["cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def resolve(name: str, place: int = 0) -> torch.device:
    """The device that the key `device` names: `auto` takes a GPU of CUDA where there is one, and else the CPU.

    place: of a process among those that share the GPUs of this machine; where no GPU is named, they take turns.
    Raises ConfigError for a device that this machine does not have.
    """
    known = there()
    if name == "auto":
        name = "cuda" if "cuda" in known else "cpu"
    if name not in known:
        raise ConfigError(f"device = {name}: not on this machine, which has {', '.join(known)}")
    if name == "cuda" and place:
        name = f"cuda:{place % torch.cuda.device_count()}"
    return torch.device(name)


def current(device: torch.device):
    """A context in which kernels, graphs and whatever names no GPU take this one."""
    return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()


def describe(device: torch.device) -> str:
    """The kind of a device and its name, for metrics.json."""
    import platform

    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def widest(device: torch.device) -> torch.dtype:
    """The most precise type of number of a device: float64, but for mps, which has float32."""
    return torch.float32 if device.type in WITHOUT_FLOAT64 else torch.float64


def on(thing, device: torch.device):
    """A thing with a method `to` on a device; the thing itself where this is the CPU, on which everything is made."""
    return thing if device.type == "cpu" else thing.to(device)


def like(angle, x) -> torch.Tensor:
    """A number, or a tensor of them, in the type and on the device of x; nothing waits for the device."""
    if isinstance(angle, torch.Tensor):
        return angle.to(x.device, x.dtype)
    return torch.full((), angle, dtype=x.dtype, device=x.device)


class Watch:
    """The first step at which something went wrong. On the CPU it is read at each step; elsewhere, where reading waits
    for the device, it stays there, and is read every `EVERY` steps and when it is asked for."""

    EVERY = 32

    def __init__(self, device: torch.device, count: tuple[int, ...] = ()):
        self.device, self.asked = device, 0
        self.step = torch.zeros(count, dtype=torch.int64, device=device)

    def note(self, wrong: torch.Tensor, step: int):
        """wrong: bool, whether it goes wrong at this step, a number >= 1."""
        self.step.masked_fill_(wrong & (self.step == 0), step)

    def first(self, now: bool = False) -> int | None:
        """The step, or None. now: ask the device in any case."""
        self.asked += 1
        if not (now or self.device.type == "cpu" or self.asked % self.EVERY == 0):
            return None
        return int(self.step) or None
