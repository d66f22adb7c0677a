"""The direction that samples are projected on, where a configuration chooses one."""

import math

import torch

from scorelab.errors import ConfigError
from scorelab.nodes import HERE
from scorelab.options import show
from scorelab.targets.finite import leading_direction


def direct(target, choice):
    """Give a target the direction that a checked `target.direction` names; see `targets.options.Direction`.

    Raises ConfigError, which names the key, for a choice that the target does not have.
    """
    found = torch.as_tensor(_of(target, choice), dtype=torch.float64)
    if not bool(found.any()):
        raise _refused(choice, "this direction is 0; another is needed")
    target.direction = found.reshape(target.shape).contiguous()
    return target


def _of(target, choice):
    """The direction, n numbers."""
    if choice == "pc":
        _require(target, choice, "covariance")
        return leading_direction(target.covariance) / math.sqrt(target.n)
    if isinstance(choice, dict) and "axis" in choice:
        if choice["axis"] >= target.n:
            raise _refused(choice, f"the axes are 0 to {target.n - 1}")
        return torch.eye(target.n, dtype=torch.float64)[choice["axis"]] if target.n > 1 else torch.ones(1)
    if isinstance(choice, dict):
        _require(target, choice, "modes")
        if not hasattr(target, "means"):
            raise _refused(choice, "the modes of the target have no means")
        one, other = choice["modes"]
        if max(one, other) >= len(target.means):
            raise _refused(choice, f"the modes are 0 to {len(target.means) - 1}")
        return target.means[one] - target.means[other]
    if isinstance(choice, list) and len(choice) != target.n:
        raise _refused(choice, f"has {len(choice)} entries, and {target.n} are needed")
    return torch.tensor(choice, dtype=torch.float64).expand(target.n)


def _require(target, choice, capability):
    why = target.lacks(capability)
    if why is not None:
        raise _refused(choice, why)


def _refused(choice, why):
    return ConfigError(f"{HERE}.direction = {show(choice)}: {why}")
