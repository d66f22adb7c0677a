"""Things that hold tensors, and move with them from one device to another."""

import copy

import torch


class Movable:
    """Base of plain objects whose attributes are, or hold, tensors."""

    def to(self, device):
        """A copy whose tensors are on a device; the object itself stays as it is.

        Tensors are also found inside of lists, tuples and dictionaries, and inside of attributes that have a method
        `to` of their own.
        """
        other = copy.copy(self)
        vars(other).update({name: moved(value, device) for name, value in vars(self).items()})
        return other


def moved(value, device):
    """A value with all tensors that it holds on a device; a value without any as it is."""
    if isinstance(value, torch.nn.Module):  # which moves itself in place
        return copy.deepcopy(value).to(device)
    if callable(getattr(value, "to", None)) and not isinstance(value, type):
        return value.to(device)
    if type(value) in (list, tuple):
        return type(value)(moved(item, device) for item in value)
    if type(value) is dict:
        return {key: moved(item, device) for key, item in value.items()}
    return value
