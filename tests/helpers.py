"""What several test files share."""

import functools
import inspect
import math

import torch

from scorelab.channel import mix
from scorelab.samplers import Sampling
from scorelab.targets import GaussianMixture


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


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


def assert_close(actual, expected, rtol, atol=0.0):
    """Numbers and arrays are compared in double precision, tensors in their own, which must agree."""
    actual, expected = (
        value if isinstance(value, torch.Tensor) else torch.as_tensor(value, dtype=torch.float64)
        for value in (actual, expected)
    )
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)


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
