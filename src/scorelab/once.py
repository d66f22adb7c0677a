"""Exact references that the runs of one process have in common, computed once.

The jobs of a sweep often share their target. What depends on the target alone, such as the floor of a distance or when
the exact process commits to a mode, is then the same number in each of them.
"""

import functools
import hashlib
from collections import OrderedDict

import numpy
import torch

#: results that a function keeps, and the most bytes of an array that are looked at to find one
_KEPT, _LARGEST = 256, 2**24


def once(function):
    """A function of exact things that keeps its last results, by the content of its positional arguments.

    What it returns is shared and must not be changed. It is computed anew for arguments whose content cannot be told,
    which is never a question of the result: the function has to be one of its arguments alone.
    """
    results = OrderedDict()

    @functools.wraps(function)
    def kept(*arguments):
        key = content(arguments)
        if key is None:
            return function(*arguments)
        if key not in results:
            results[key] = function(*arguments)
            if len(results) > _KEPT:
                results.popitem(last=False)
        results.move_to_end(key)
        return results[key]

    kept.results = results
    return kept


def content(thing) -> bytes | None:
    """A digest of numbers, texts, tensors and of objects made of them; None for anything else, such as a function, and
    for what has a large array, as a set of images."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        _add(digest, thing)
    except TypeError:
        return None
    return digest.digest()


def _add(digest, thing):
    """Add a thing to a digest, with its type and its length, so that different things are different texts."""
    digest.update(f"{type(thing).__module__}.{type(thing).__qualname__}:".encode())
    if thing is None or isinstance(thing, bool | int | float | complex | str):
        digest.update(f"{thing!r};".encode())
    elif isinstance(thing, torch.Tensor | numpy.ndarray):
        values = thing.detach().cpu().numpy() if isinstance(thing, torch.Tensor) else thing
        if values.dtype.hasobject or values.nbytes > _LARGEST:
            raise TypeError("an array of objects, or a large one")
        digest.update(f"{values.dtype}{values.shape};".encode())
        digest.update(numpy.ascontiguousarray(values).tobytes())
    elif isinstance(thing, list | tuple):
        digest.update(f"{len(thing)};".encode())
        for each in thing:
            _add(digest, each)
    elif isinstance(thing, dict):
        _add(digest, list(thing.items()))
    elif type(thing).__module__.startswith("scorelab."):
        _add(digest, vars(thing))
    else:
        raise TypeError(f"{type(thing).__name__} is more than its content")
