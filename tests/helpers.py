"""What several test files share."""

import functools
import inspect
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from scorelab.channel import mix
from scorelab.lab.app import config_folder, plain
from scorelab.samplers import Sampling
from scorelab.targets import GaussianMixture

ROOT = Path(__file__).parents[1]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def composed(*overrides) -> dict:
    """The configuration of a command line as plain data, composed by Hydra and not yet checked."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return plain(compose("config", overrides=list(overrides)))


@functools.cache
def _default() -> dict:
    return composed()


def with_values(*overrides) -> dict:
    """The default configuration with overrides of values, not of groups, put into it; much faster than `composed`."""
    config, parser = OmegaConf.create(_default()), OverridesParser.create()
    for override in map(parser.parse_override, overrides):
        OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
    return OmegaConf.to_container(config)


def run_py(*arguments, cwd, **environment):
    """The command line in a process of its own: status, output and errors, as `subprocess.run` returns them."""
    command = [sys.executable, str(ROOT / "run.py"), *map(str, arguments)]
    environment = os.environ | environment
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120)


def copied(result, folder) -> Path:
    """The run directory of a shared result, copied below a folder of the test's own, where it may be changed."""
    return shutil.copytree(result.directory, folder / "copy")


def random_mixture(modes, n, std="unit", seed=0):
    """A mixture with random weights and means; `std`: unit, common (0.6 for all modes) or per_mode (0.5 to 1.5)."""
    draws = seeded(1000 * seed + 10 * modes + n)
    weights = 0.1 + torch.rand(modes, generator=draws, dtype=torch.float64)
    means = 1.5 * torch.randn(modes, n, generator=draws, dtype=torch.float64)
    per_mode = 0.5 + torch.rand(modes, generator=draws, dtype=torch.float64)
    return GaussianMixture(weights, means, {"unit": 1.0, "common": 0.6, "per_mode": per_mode}[std])


def noisy_states(target, angle, count, seed=0, dtype=torch.float64):
    """Exact draws of the noisy state at an angle, shape (count, n)."""
    draws = seeded(seed)
    clean = target.sample(count, draws, dtype)
    return mix(clean, torch.randn(clean.shape, generator=draws, dtype=dtype), angle)


def product_grid(low, high, step):
    """A grid of points (count, n) over a box, and the volume of its cells."""
    axes = [numpy.arange(first, last, step) for first, last in zip(low, high, strict=True)]
    points = numpy.stack(numpy.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return points, step ** len(axes)


def assert_close(actual, expected, rtol, atol=0.0, case=None):
    """Numbers and arrays are compared in double precision, tensors in their own, which must agree.

    case: what a failure names, for a comparison in a loop.
    """
    actual, expected = (
        value if isinstance(value, torch.Tensor) else torch.as_tensor(value, dtype=torch.float64)
        for value in (actual, expected)
    )
    message = None if case is None else (lambda text: f"{case}: {text}")
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol, msg=message)


def refused(kind, function, *arguments) -> str:
    """The text of the error of a kind that a call raises; "not refused" if it raises none, which no error says."""
    try:
        function(*arguments)
    except kind as error:
        return str(error)
    return "not refused"


def standard_error(values) -> float:
    return float(values.std() / math.sqrt(len(values)))


def over(names, values):
    """As pytest.mark.parametrize, but all in one test; a failure names its case."""
    names = [names] if isinstance(names, str) else list(names)

    def decorate(test):
        signature = inspect.signature(test)
        others = [parameter for name, parameter in signature.parameters.items() if name not in names]

        @functools.wraps(test)
        def run(**given):
            for value in values:
                case = dict(zip(names, value if len(names) > 1 else [value], strict=True))
                try:
                    test(**case, **given)
                except Exception as error:
                    error.add_note(f"case: {case}")
                    raise

        run.__signature__ = signature.replace(parameters=others)
        return run

    return decorate


def job(rule, count=100, steps=10, batch_size=256, output="scaled"):
    """A small job that samples by a rule."""
    return Sampling(rule=rule, count=count, steps=steps, batch_size=batch_size, output=output)
