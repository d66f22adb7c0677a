"""Things that hold tensors, and move with them from one device to another."""

import copy

import torch


class Movable:
    """Base of plain objects whose attributes are, or hold, tensors."""

    def to(self, device):
        """Return a copy whose tensors are on a device; the object itself stays as it is.

        The tensors inside of lists, tuples and dictionaries move too, and so do attributes that have a method `to` of
        their own.
        """
        other = copy.copy(self)
        vars(other).update({name: moved(value, device) for name, value in vars(self).items()})
        return other


def moved(value, device):
    """Return a value with all its tensors on a device; a value without tensors stays as it is."""
    if isinstance(value, torch.nn.Module):  # its `to` would move the original
        return copy.deepcopy(value).to(device)
    if callable(getattr(value, "to", None)) and not isinstance(value, type):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(moved(item, device) for item in value)
    if type(value) is dict:
        return {key: moved(item, device) for key, item in value.items()}
    return value
