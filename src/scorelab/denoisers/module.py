"""Any torch module as a denoiser."""

import contextlib

import torch

from scorelab import channel
from scorelab.denoisers.base import Denoiser
from scorelab.denoisers.convention import Convention
from scorelab.devices import widest
from scorelab.errors import ScorelabError

#: prediction -> function from (output of the module, x, angle) to the posterior mean
POSTERIOR_MEAN = {
    "posterior_mean": lambda output, x, angle: output,
    "noise": channel.noise_to_posterior_mean,
    "velocity": channel.velocity_to_posterior_mean,
    "v_prediction": lambda output, x, angle: channel.velocity_to_posterior_mean(-output, x, angle),
    "score": channel.score_to_posterior_mean,
}


class ModuleDenoiser(Denoiser):
    """Any torch module with a declared convention; it serves every schedule.

    module: called as module(state, time) with the state (count, *shape) and the time (count,). It returns a tensor of
    the state's shape, or, as the models of diffusers do, an object whose first entry is such a tensor. convention: the
    arguments of a `Convention`: prediction, state, time, schedule, angles.

    At pi/2 the posterior mean is x itself, whatever the module returns. The module stays in evaluation mode, also while
    it is trained: dropout is off, and the statistics of batch normalisation are fixed. So the output for a state
    depends neither on other states nor on global random numbers.

    Raises ValueError for a convention that does not exist.
    """

    def __init__(self, module: torch.nn.Module, prediction: str, **convention):
        super().__init__()
        self.module, self.convention = module, Convention(prediction, **convention)
        self.module.eval()

    def train(self, mode: bool = True):
        """Set the mode of the denoiser; the module stays in evaluation mode."""
        super().train(mode)
        self.module.eval()
        return self

    def forward(self, x, angle):
        """See `Denoiser.forward`. Raises ScorelabError if the output is no tensor of the state's shape."""
        if not isinstance(angle, torch.Tensor):
            angle = torch.full((), float(angle), dtype=widest(x.device), device=x.device)
        angle = angle.to(x.device)
        flat = x.flatten(angle.dim())  # one axis for each axis of the angle, one for the entries
        _, cos = channel.sin_cos(angle, flat)
        known, time, scale = self.convention.place(angle.to(widest(x.device)), torch.finfo(x.dtype).eps)
        scale = (scale.unsqueeze(-1) if scale.dim() else scale).to(x.dtype)
        output = self._ask(x, flat * scale, time).reshape(flat.shape)
        if self.convention.prediction == "score":
            output = output * scale
        mean = POSTERIOR_MEAN[self.convention.prediction](output, flat, known)
        return torch.where(cos == 0, flat, mean).view(x.shape)

    def _ask(self, x, state, time):
        """The output of the module for a flat state and a time of the angle's shape, in the type of x."""
        time = time if time.dtype == torch.int64 else time.to(x.dtype)
        output = self.module(state.view(x.shape), time.expand(len(x)) if time.dim() == 0 else time)
        name = type(self.module).__name__
        if not isinstance(output, torch.Tensor):
            with contextlib.suppress(TypeError, LookupError):
                output = output[0]
            if not isinstance(output, torch.Tensor):
                raise ScorelabError(f"denoiser: {name} returns a {type(output).__name__}, and a tensor is needed")
        if output.shape != x.shape:
            found = tuple(output.shape)
            raise ScorelabError(f"denoiser: {name} returns the shape {found} for a state of shape {tuple(x.shape)}")
        return output.to(x.dtype)
