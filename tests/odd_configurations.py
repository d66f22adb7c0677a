"""Configurations drawn from the options' own files: with other values, with values at the edges, and broken ones."""

import copy
import functools

from helpers import ROOT, composed
from hypothesis import strategies as some
from omegaconf import OmegaConf

#: values that no key, or hardly any key, allows
BROKEN = (
    *(None, True, False, "", " ", "text", "1e4", "${x}", "\x1b[31m", "\u202e", "../..", "/dev/null", "x" * 5000),
    *([], [[]], [None], ["a"], {}, {"a": 1}, {1: 2}, {"_target_": "os.system"}),
    *(float("nan"), float("inf"), -float("inf")),
)
#: numbers at the ends of something
EDGES = (
    *(0, 1, 2, 3, -1, 10**9, 10**9 + 1, 2**31, 2**63, 10**30, -(10**30)),
    *(0.0, 0.5, 1.0, -1.0, 1.5707963267948966, 1.6, 1e-3, 1e-12, 5e-324, 1e12, 1e15, 1e16, 1e300),
    *([0], [1], [1, 1], [1.0, 2.0], [2.0, 1.0], [1] * 1000),
)


def options(group):
    """The names of the options of a group."""
    return sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml"))


@functools.cache
def node_of(group, name):
    """One option of a group, as it is composed; None for an option that needs keys beside it."""
    alone = OmegaConf.load(ROOT / "conf" / group / f"{name}.yaml")
    if not ("defaults" in alone or "${" in str(alone)):  # then the file is all there is to it
        return OmegaConf.to_container(alone)
    try:
        return composed(f"{group}={name}")[group]
    except Exception:
        return None


def places(node, path=()):
    """Yield the path of every key and entry below a node, the inner ones as well."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield (*path, key)
        yield from places(value, (*path, key))


def at(node, path):
    """The value at a path."""
    for key in path:
        node = node[key]
    return node


@some.composite
def configurations(draw, groups=("target", "denoiser", "process", "schedule", "sampler", "training", "study"), most=3):
    """A configuration as plain data: any option of each group, and up to `most` of its values changed."""
    data = copy.deepcopy(composed_once())
    for group in groups:
        name = draw(some.sampled_from(options(group)))
        if node_of(group, name) is not None:
            data[group] = copy.deepcopy(node_of(group, name))
    for _ in range(draw(some.integers(0, most))):
        path = draw(some.sampled_from(list(places(data))))
        holder, old = at(data, path[:-1]), at(data, path)
        change = draw(some.sampled_from(("scaled", "edge", "broken", "renamed", "dropped")))
        number = isinstance(old, (int, float)) and not isinstance(old, bool)
        if change == "scaled" and number:
            holder[path[-1]] = type(old)(old * draw(some.sampled_from((0.5, 2, 3, 10))))
        elif change == "renamed" and isinstance(holder, dict):
            holder[f"{path[-1]}s"] = holder.pop(path[-1])
        elif change == "dropped":
            holder.pop(path[-1])
        else:
            holder[path[-1]] = copy.deepcopy(draw(some.sampled_from(BROKEN if change == "broken" else EDGES)))
    return data


@functools.cache
def composed_once():
    """The default configuration."""
    return composed()
