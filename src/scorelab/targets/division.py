"""Data in two parts: those that are the law, and those that are held out."""

import torch

from scorelab.errors import ConfigError
from scorelab.nodes import HERE
from scorelab.randomness import stream


def split(count: int, labels, share: float, generator):
    """The places of the data that are kept and of those that are held out, each in a random order.

    labels (count,): integers; None counts as one class. Of each class the share is held out, up to one of them.
    """
    order = torch.randperm(count, generator=generator)
    if labels is not None:
        order = order[torch.as_tensor(labels)[order].argsort(stable=True)]
    marks = (torch.arange(count + 1, dtype=torch.float64) * share + 1e-9).floor()
    chosen = marks[1:] > marks[:-1]  # evenly spaced along the classes
    parts = order[~chosen], order[chosen]
    return tuple(part[torch.randperm(len(part), generator=generator)] for part in parts)


def divided(options, count: int, labels, others: bool, key: str, what: str):
    """The places of the data of the law and of those that are held out, as the options of a target say.

    options: with `held_out`, `split_seed` and `limit`. others: whether other data are held out, so that none of these
    are. key: of the data. what: they are. Raises ConfigError for a limit, and for a share, that leaves too few.
    """
    share = 0.0 if others else options.held_out
    kept, held_out = split(count, labels, share, stream(options.split_seed, "split"))
    if options.limit is not None and options.limit > len(kept):
        raise ConfigError(f"{HERE}.limit = {options.limit}: {key} has {len(kept)} {what} that are not held out")
    if len(kept) < 2 or len(held_out) == 1:
        found = f"{len(kept)} {what} are left, and {len(held_out)} held out"
        raise ConfigError(f"{HERE}.held_out = {options.held_out:g}: of each two are needed, or none held out; {found}")
    return kept[: options.limit], held_out
