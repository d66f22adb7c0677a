"""Files of tensors: safetensors, written whole or not at all. Reading one never executes what it contains."""

import contextlib
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from scorelab.errors import ScorelabError
from scorelab.files import write_bytes


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]):
    """Write tensors and metadata; an existing file is replaced in one step. Tensors that share memory are copied."""
    write_bytes(path, save({name: value.cpu().contiguous().clone() for name, value in tensors.items()}, metadata))


def read_tensors(path: Path):
    """Read (tensors, metadata). Raises ScorelabError for a missing or truncated file, or a file of another kind."""
    with _opened(path) as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dictionary)
    return tensors, metadata


def require_whole(path: Path):
    """Raise ScorelabError for what `read_tensors` refuses, by the head and the size of the file."""
    with _opened(path):
        pass


@contextlib.contextmanager
def _opened(path):
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise ScorelabError(f"{path}: no such file") from None
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ScorelabError(f"{path}: not a whole safetensors file ({error})") from None


def load_state(path: Path, tensors: dict[str, torch.Tensor], module: torch.nn.Module):
    """Set all parameters and buffers of a module to the tensors that were read from `path`.

    Raises ScorelabError unless the file has the tensors of the module, in their shapes, and no others, and for a number
    that is not finite where the module's own is.
    """
    state = module.state_dict()
    require_shapes(path, tensors, state)
    unknown = sorted(tensors.keys() - state.keys())
    if unknown:
        raise ScorelabError(f"{path}: made by another network: {unknown[0]} is no tensor of {type(module).__name__}")
    for name, tensor in tensors.items():
        if bool((~torch.isfinite(tensor) & torch.isfinite(state[name])).any()):  # a mask may have infinities
            raise ScorelabError(f"{path}: {name} has a number that is not finite")
    module.load_state_dict(tensors)


def require_types(path: Path, tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]):
    """Raise ScorelabError unless the tensors read from `path` have the types of those of the same name."""
    for name, tensor in tensors.items():
        if name in expected and tensor.dtype != expected[name].dtype:
            raise ScorelabError(f"{path}: {name} is {tensor.dtype}, {expected[name].dtype} is needed")


def require_shapes(path: Path, tensors: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]):
    """Raise ScorelabError unless the tensors read from `path` have the names and shapes of the expected ones."""
    for name, shape in ((name, tensor.shape) for name, tensor in expected.items()):
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        if found != tuple(shape):
            raise ScorelabError(f"{path}: made by another network: {name} is {found}, {tuple(shape)} is needed")
