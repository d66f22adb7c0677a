"""Whether a denoiser takes the states of a target."""

import torch

from scorelab.errors import ScorelabError


@torch.no_grad()
def require_fit(denoiser, samples, angle: float):
    """Raise ScorelabError unless the denoiser takes states of the shape of two samples and returns the same shape."""
    name, shape = f"denoiser {type(denoiser).__name__}", tuple(samples.shape)
    try:
        mean = denoiser(samples, torch.full((len(samples),), angle, dtype=samples.dtype, device=samples.device))
    except RuntimeError as error:
        if not any(word in str(error) for word in ("shape", "size", "dimension")):  # a mistake of another kind
            raise
        raise ScorelabError(f"{name} cannot take states of shape {shape} ({str(error).splitlines()[0]})") from error
    if not isinstance(mean, torch.Tensor):
        raise ScorelabError(f"{name} returns a {type(mean).__name__} for states of shape {shape}: a tensor is needed")
    if tuple(mean.shape) != shape:
        raise ScorelabError(f"{name} returns the shape {tuple(mean.shape)} for states of shape {shape}")
